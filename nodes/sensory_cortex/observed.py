"""What an adapter or agent tells, as the machine's messages: pure, one event after the other.

Readings become rows at the pace they come: a row is everything told of one moment, the other signals keeping what was
last told of them (an observation holds until the next one: MTConnect part 1). UNAVAILABLE is NaN. A signal has a column
from the first time it is told of.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nodes.sensory_cortex.arrival import SenderClock
from nodes.sensory_cortex.items import NOWHERE, SIGNAL_TOPICS, Item, Items
from schemas.base import Message, Samples
from schemas.machine import (
    Alarm,
    ConditionLevel,
    ControllerMode,
    CoolantState,
    EmergencyStop,
    Execution,
    MachineState,
    Motion,
    SignalBlock,
    SignalInfo,
    Signals,
)
from schemas.system import LogLevel
from schemas.topics import ALARM, COOLANT, LOG, MACHINE_STATE
from schemas.wire.shdr import (
    UNAVAILABLE,
    Asset,
    AssetsRemoved,
    Bad,
    Command,
    Condition,
    Event,
    MessageText,
    TimeSeries,
    Value,
)
from schemas.wire.shdr_text import shown

UNKNOWN_MAX = 200
"""unknown keys that are told by name"""
CONDITIONS_MAX = 200
"""conditions in force at a time"""
WORD_MAX, TEXT_MAX = 100, 400
"""characters of a key or a code, and of a text, that go into an alarm"""
MESSAGES_PER_S = 5
"""of the control's messages that go to the log"""

UNTOLD: dict[str, Any] = {
    "availability": "",
    "execution": Execution.UNAVAILABLE,
    "controller_mode": ControllerMode.UNAVAILABLE,
    "emergency_stop": EmergencyStop.UNAVAILABLE,
    "motion": Motion.UNKNOWN,
    "program": "",
    "block_number": 0,
    "block": "",
    "tool_number": 0,
    "tool_serial": "",
    "part_count": 0,
    "spindle_speed_commanded_rpm": math.nan,
    "feed_commanded_mm_min": math.nan,
    "feed_override_pct": math.nan,
}
"""the fields of a state of which nothing was told"""
HOLDS = ("part_count",)
"""what stays as it was told last while it is not known: a counter that fell to 0 and rose again would be parts made"""
PROGRAMS_MOST = 64
UNTOLD_COOLANT: dict[str, Any] = {
    "level_pct": math.nan,
    "concentration_pct": math.nan,
    "temperature_c": math.nan,
    "pump_on": False,
    "flow_l_min": math.nan,
    "pressure_bar": math.nan,
}


class Observed:
    """The machine behind an adapter, as far as it was told.

    Args:
        name: of the source; the first part of its alarms' ids.
    """

    def __init__(
        self, name: str, source: str, table: Items, next_id: Callable[[], str], log: Callable[[LogLevel, str], None]
    ) -> None:
        self.signals: list[SignalInfo] = []
        self.revision = 0
        self.counts: Counter[str] = Counter()
        """observations, commands, assets, messages, moments before an earlier one (`time back`), values of keys that no
        row has (`unknown`) or that another key gives (`second key`), and what was not understood (`bad <reason>`)"""
        self.last_bad = ""
        self.clock = SenderClock()
        self._name, self._source = name, source
        self._rows, self._next_id, self._log = table.rows, next_id, log
        self._fields = dict(UNTOLD)
        self._coolant: dict[str, Any] = {}
        self._run_id = ""
        self._run_programs: set[str] = set()
        """it and what it calls. The run goes on over a lost connection, unless another one is told after it, or rest"""
        self._owner: dict[str, str] = {}
        """signal: key"""
        self._columns: dict[str, int] = {}
        self._values: list[float] = []
        self._row_stamp_ns: int | None = None
        self._moment_ns: int | None = None
        self._newest_ns: int | None = None
        self._row_keys: set[str] = set()
        self._columns_new = False
        self._first_rows: Counter[str] = Counter()
        self.unknown: dict[str, str] = {}
        """keys that no row has, and the first text of each"""
        self._seconds: set[str] = set()
        self._active: dict[str, dict[str, Condition]] = {}
        self._message = ""
        self._told_s = 0
        self._told_messages = 0

    # --- one event ---------------------------------------------------------------------------------------------------

    def changes_state(self, event: Event) -> bool:
        """Whether the machine's state may be another one after it: rows before it belong to the old one."""
        return isinstance(event, Value) and any(i.topic == MACHINE_STATE.name for i in self._rows.get(event.key, ()))

    def hear(self, event: Event, now_ns: int, out: list[Message]) -> None:
        """Take in one event; what it makes known is appended to `out`. Readings wait for `flush` or the next moment."""
        if (stamp_ns := getattr(event, "stamp_ns", None)) is not None and stamp_ns != self._moment_ns:
            self._moment_ns = stamp_ns
            self.clock.learn(stamp_ns, now_ns)
            if self._newest_ns is not None and stamp_ns < self._newest_ns:
                self.counts["time back"] += 1
                if self.counts["time back"] == 1:
                    text = "its time goes back: values count as they come, none is stamped before the last"
                    self._log(LogLevel.WARNING, f"{self._source}: {text}")
            else:
                self._newest_ns = stamp_ns
        match event:
            case Value():
                self.counts["observations"] += 1
                self._value(event, now_ns, out)
            case Condition():
                self.counts["observations"] += 1
                self._condition(event, now_ns, out)
            case TimeSeries():
                self.counts["observations"] += 1
                self._series(event, now_ns, out)
            case MessageText():
                self.counts["observations"] += 1
                self._say(event, now_ns)
            case Asset() | AssetsRemoved():
                self.counts["assets"] += 1
                if self.counts["assets"] == 1:
                    what = f"{event.asset_type} {event.asset_id}".strip()
                    self._log(
                        LogLevel.INFO, f"{self._source} tells of assets, the first: {shown(what)}; they are counted"
                    )
            case Command():
                self.counts["commands"] += 1
            case Bad(kind, text):
                self._bad(kind, text)

    def flush(self, now_ns: int, out: list[Message]) -> None:
        """The row that was begun."""
        if self._row_keys:
            self._row_keys.clear()
            if self._columns_new:
                self._columns_new = False
                out.append(Signals(signals=tuple(self.signals)))
            out.append(self._row(self.clock.ours(self._row_stamp_ns, now_ns)))

    def unchanged(self, now_ns: int, out: list[Message]) -> None:
        """The sender lives and told nothing new: the last row holds."""
        if self._values:
            out.append(self._row(self.clock.ours(None, now_ns)))

    def forget(self, now_ns: int, out: list[Message]) -> None:
        """The connection ended: nothing that was told holds any longer. What was in force may still be, or not."""
        for active in self._active.values():
            for code, condition in active.items():
                if condition.level != UNAVAILABLE:
                    active[code] = replace(condition, level=UNAVAILABLE)
                    out.append(self._alarm(condition, UNAVAILABLE, f"not known any more: {condition.text}", now_ns))
        self._fields = UNTOLD | {name: self._fields[name] for name in HOLDS}
        self._values = [math.nan] * len(self._values)
        self._owner.clear()  # another adapter may have other keys; the columns stay
        self._row_keys.clear()
        if self._coolant:
            self._coolant.clear()
            self._tell_coolant(now_ns, out)
        self.clock.restart()
        self._newest_ns = None
        self.revision += 1

    def _bad(self, kind: str, text: str) -> None:
        self.counts[f"bad {kind}"] += 1
        self.last_bad = text[:TEXT_MAX]

    def _value(self, event: Value, now_ns: int, out: list[Message]) -> None:
        found = self._rows.get(event.key)
        if found is None:
            self._stranger(event.key, event.text)
            return
        available = event.text.strip().upper() != UNAVAILABLE
        for item in found:
            if item.series:
                if available:
                    self._bad("series", f"{event.key} is no time series: {shown(event.text)}")
                continue
            try:
                value = item.read(event.text) if available or item.name == "availability" else None
            except ValueError as error:
                self._bad("value", f"{event.key} is {shown(event.text)}: {error}")
                value = None
            if item.topic in SIGNAL_TOPICS:
                self._reading(event, item, math.nan if value is None else value, now_ns, out)
            elif item.topic == MACHINE_STATE.name:
                if value is not None or item.name not in HOLDS:
                    self._field(item.name, UNTOLD[item.name] if value is None else value)
            elif item.topic == COOLANT.name:
                self._coolant[item.name] = UNTOLD_COOLANT[item.name] if value is None else value
                self._tell_coolant(self.clock.ours(event.stamp_ns, now_ns), out)
            elif item.topic not in (LOG.name, ALARM.name, NOWHERE):
                raise AssertionError(item.topic)

    def _stranger(self, key: str, text: str) -> None:
        self.counts["unknown"] += 1
        if key not in self.unknown and len(self.unknown) < UNKNOWN_MAX:
            self.unknown[key] = text[:TEXT_MAX]
            hint = "`items` says what it is, or that it is not wanted"
            self._log(LogLevel.INFO, f"{self._source}: unknown key {shown(key)}, {shown(text)}; the option {hint}")

    # --- readings ----------------------------------------------------------------------------------------------------

    def _own(self, key: str, item: Item, source: str) -> bool:
        """Whether the key is the one that its signal is read from; the first one told is."""
        owner = self._owner.get(item.name)
        if owner is None:
            self._owner[item.name] = key
            if item.name not in {s.name for s in self.signals}:
                self.signals.append(SignalInfo(
                    name=item.name, mtconnect_type=item.mtconnect_type, unit=item.unit, source=source, topic=item.topic
                ))  # fmt: skip
        elif owner != key:
            self.counts["second key"] += 1
            if key not in self._seconds and len(self._seconds) < UNKNOWN_MAX:
                self._seconds.add(key)
                text = f"{self._source}: {item.name} is read from {shown(owner)}, not from {shown(key)}, too"
                self._log(LogLevel.INFO, text)
        return owner in (None, key)

    def _reading(self, event: Value, item: Item, value: float, now_ns: int, out: list[Message]) -> None:
        if self._row_keys and (event.stamp_ns != self._row_stamp_ns or item.name in self._row_keys):
            self.flush(now_ns, out)
        if not self._own(event.key, item, self._source):
            return
        column = self._columns.get(item.name)
        if column is None:
            column = self._columns[item.name] = len(self._values)
            self._values.append(math.nan)
            self._columns_new = True
        self._values[column] = value
        self._row_stamp_ns = event.stamp_ns
        self._row_keys.add(item.name)

    def _row(self, stamp_ns: int) -> SignalBlock:
        first = self._first_rows[self._source]
        self._first_rows[self._source] += 1
        with np.errstate(over="ignore"):
            data = np.array([self._values], np.float32)
        return SignalBlock(
            stamp_ns=stamp_ns, period_ns=0, source=self._source, first_row=first, data=Samples.take(data)
        )

    def _series(self, event: TimeSeries, now_ns: int, out: list[Message]) -> None:
        """A time series is a source of its own, since its rows are its own; its stamp is that of the last value."""
        found = self._rows.get(event.key, ())
        for item in found:
            if not 0.001 <= event.rate_hz <= 1e9 or not event.values:
                self._bad("series", f"{event.key}: {len(event.values)} values at {event.rate_hz:g} Hz")
                continue
            source = f"{self._source}_{item.name}"
            known = len(self.signals)
            if not self._own(event.key, item, source):
                continue
            if len(self.signals) > known:
                out.append(Signals(signals=tuple(self.signals)))
            rows, period_ns = len(event.values), round(1e9 / event.rate_hz)
            end_ns = self.clock.ours(event.stamp_ns, now_ns)
            with np.errstate(over="ignore"):
                data = np.array(event.values, np.float32).reshape(rows, 1)
            first = self._first_rows[source]
            self._first_rows[source] += rows
            stamp_ns = end_ns - (rows - 1) * period_ns
            out.append(SignalBlock(
                stamp_ns=stamp_ns, period_ns=period_ns, source=source, first_row=first, data=Samples.take(data)
            ))  # fmt: skip
        if not found:
            self._stranger(event.key, f"{len(event.values)} values at {event.rate_hz:g} Hz")

    # --- the rest ----------------------------------------------------------------------------------------------------

    def _field(self, name: str, value: Any) -> None:
        before = self._fields[name]
        if value == before or (value != value and before != before):
            return
        self._fields[name] = value
        self.revision += 1
        if name == "execution" and value is not Execution.UNAVAILABLE:
            if value in (Execution.READY, Execution.PROGRAM_COMPLETED):
                self._run_id = ""
            elif not self._run_id:
                self._begin_run(self._fields["program"])
        elif name == "program" and self._run_id and value:
            if self._run_programs and not before and value not in self._run_programs:
                self._begin_run(value)  # while nobody saw it
            elif len(self._run_programs) < PROGRAMS_MOST:
                self._run_programs.add(value)

    def _begin_run(self, program: str) -> None:
        self._run_id, self._run_programs = self._next_id(), {program} if program else set()

    def _tell_coolant(self, stamp_ns: int, out: list[Message]) -> None:
        if out and isinstance(out[-1], CoolantState):
            out.pop()  # told in one line: one state of it
        out.append(CoolantState(stamp_ns=stamp_ns, **(UNTOLD_COOLANT | self._coolant)))

    def _say(self, event: MessageText, now_ns: int) -> None:
        self.counts["messages"] += 1
        text = f"{event.native_code} {event.text}".strip()
        if not text or text == self._message or event.text.upper() == UNAVAILABLE:
            return
        self._message = text
        second = now_ns // 1_000_000_000
        if second != self._told_s:
            self._told_s, self._told_messages = second, 0
        self._told_messages += 1
        if self._told_messages <= MESSAGES_PER_S:
            self._log(LogLevel.INFO, f"{self._source} says {shown(text)}")
        else:
            self.counts["messages not logged"] += 1

    def _condition(self, event: Condition, now_ns: int, out: list[Message]) -> None:
        """NORMAL and UNAVAILABLE end what is in force, NORMAL with a code that one; others are in force together."""
        stamp_ns = self.clock.ours(event.stamp_ns, now_ns)
        active = self._active.get(event.key, {})
        if event.level in ("WARNING", "FAULT"):
            if event.native_code not in active and sum(map(len, self._active.values())) >= CONDITIONS_MAX:
                self._bad("condition", f"more than {CONDITIONS_MAX} conditions in force: {shown(event.key)}")
                return
            before = active.get(event.native_code)
            self._active.setdefault(event.key, {})[event.native_code] = event
            if before is None or replace(before, stamp_ns=event.stamp_ns) != event:
                out.append(self._alarm(event, event.level, event.text, stamp_ns))
            return
        ended = [event.native_code] if event.level == "NORMAL" and event.native_code else list(active)
        over = [active.pop(code) for code in ended if code in active]
        out += [self._alarm(before, "NORMAL", event.text, stamp_ns) for before in over]
        if not active:
            self._active.pop(event.key, None)

    def _alarm(self, event: Condition, level: str, text: str, stamp_ns: int) -> Alarm:
        origin = f"{self._name}/{event.key[:WORD_MAX]}"
        code = event.native_code[:WORD_MAX]
        return Alarm(
            stamp_ns=stamp_ns,
            alarm_id=f"{origin}/{code}" if code else origin,
            level=ConditionLevel(level),
            origin=origin,
            native_code=code,
            text=text[:TEXT_MAX],
        )

    # --- what is known -----------------------------------------------------------------------------------------------

    def state(self, stamp_ns: int, *, alive: bool) -> MachineState:
        """The machine's state; UNAVAILABLE when its sender is not alive, or says so."""
        fields = {name: value for name, value in self._fields.items() if name != "availability"}
        if not alive or self._fields["availability"].upper() in (UNAVAILABLE, "OFF"):
            fields |= {"execution": Execution.UNAVAILABLE, "motion": Motion.UNKNOWN}
        run_id = "" if fields["execution"] is Execution.UNAVAILABLE else self._run_id
        return MachineState(stamp_ns=stamp_ns, run_id=run_id, **fields)

    @property
    def bad(self) -> int:
        """How much was not understood so far."""
        return sum(n for name, n in self.counts.items() if name.startswith("bad "))

    def misunderstood(self) -> str:
        """What was not understood so far, in words; empty when all was."""
        bad = {name.removeprefix("bad "): n for name, n in self.counts.items() if name.startswith("bad ")}
        if not bad:
            return ""
        listed = ", ".join(f"{n} {name}" for name, n in sorted(bad.items()))
        return f"not understood: {listed}; the last: {self.last_bad}"
