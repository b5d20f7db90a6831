"""A machine's messages as SHDR observations: pure. A key is the name that a field or a signal has on the bus.

Only what is new is told; `dump` is all of it, for whoever comes late or lost something. What is not known is
UNAVAILABLE.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum
from typing import Any

from schemas.base import Message
from schemas.machine import Alarm, ConditionLevel, CoolantState, MachineInfo, MachineState, SignalBlock, Signals
from schemas.topics import SAMPLES
from schemas.wire.shdr import UNAVAILABLE, Condition, Value, encode

AVAILABILITY = "avail"
SYSTEM = "system"
"""the key of every condition: the alarm's id is its native code"""
ALARMS_MAX = 500
LATEST_NS = 253_402_300_799 * 1_000_000_000
"""the end of the year 9999"""
LEFT_OUT = ("stamp_ns", "run_id")


class Lines:
    """What is known of a machine, and what of it is new."""

    def __init__(self) -> None:
        self._told = {AVAILABILITY: Value(None, AVAILABILITY, UNAVAILABLE)}
        self._alarms: dict[str, Condition] = {}
        self._columns: dict[str, tuple[str, ...]] = {}
        self._gone: set[str] = set()
        """sources that are not available"""

    def fields(self, message: MachineState | CoolantState) -> bytes:
        """The fields that changed, in one line: they are of one moment."""
        known = {AVAILABILITY: "AVAILABLE"} if isinstance(message, MachineState) else {}
        return self._line(message.stamp_ns, known | {n: _text(v) for n, v in _fields(message)})

    def signals(self, message: Signals) -> None:
        """Which columns a block has."""
        self._columns = {}
        for signal in message.signals:
            if signal.topic == SAMPLES.name:
                self._columns[signal.source] = (*self._columns.get(signal.source, ()), signal.name)

    def row(self, block: SignalBlock) -> bytes:
        """The last row of a block; nothing where it does not fit its columns."""
        names, data = self._columns.get(block.source, ()), block.data.array
        if data.ndim != 2 or not len(data) or data.shape[1] != len(names) or block.source in self._gone:
            return b""
        stamp_ns = block.stamp_ns + (len(data) - 1) * block.period_ns
        return self._line(stamp_ns, {name: _reading(float(v)) for name, v in zip(names, data[-1], strict=True)})

    def info(self, message: MachineInfo, now_ns: int) -> bytes:
        """The signals of a source that fell silent."""
        self._gone = {s.name for s in message.sources if not s.available}
        return self._lost((n for s in sorted(self._gone) for n in self._columns.get(s, ())), now_ns)

    def alarm(self, message: Alarm) -> bytes:
        """A condition; one whose source is UNAVAILABLE is a warning, since UNAVAILABLE would end all others."""
        code = message.alarm_id
        level = "WARNING" if message.level is ConditionLevel.UNAVAILABLE else message.level.value
        said = Condition(_calendar(message.stamp_ns), SYSTEM, level, code, "", "", message.text)
        if level == "NORMAL":
            if self._alarms.pop(code, None) is None:
                return b""
        elif code in self._alarms or len(self._alarms) < ALARMS_MAX:
            self._alarms[code] = said
        return encode(said)

    def gone(self, now_ns: int) -> bytes:
        """The machine's node is gone: nothing is known any more."""
        return self._line(now_ns, {AVAILABILITY: UNAVAILABLE}) + self._lost(list(self._told), now_ns)

    def dump(self) -> bytes:
        """All that is known."""
        known = b"".join(map(encode, sorted(self._told.values(), key=lambda value: value.stamp_ns or 0)))
        head = encode(Condition(None, SYSTEM, "NORMAL"))
        return known + head + b"".join(encode(alarm) for alarm in self._alarms.values())

    def _lost(self, names: Iterable[str], now_ns: int) -> bytes:
        return self._line(now_ns, {n: UNAVAILABLE for n in names if n in self._told and n != AVAILABILITY})

    def _line(self, stamp_ns: int, texts: dict[str, str]) -> bytes:
        line, stamp_ns = b"", _calendar(stamp_ns)
        for name, text in texts.items():
            before = self._told.get(name)
            if before is not None and before.text == text:
                continue
            self._told[name] = said = Value(stamp_ns, name, text)
            one = encode(said)
            line = one if not line else line[:-1] + one[one.index(b"|") :]
        return line


def _calendar(stamp_ns: int) -> int:
    """An odd stamp must arrive, too, as one that a calendar has."""
    return min(max(stamp_ns, 0), LATEST_NS)


def _fields(message: Message) -> Iterable[tuple[str, Any]]:
    return ((name, value) for name, value in message.__dict__.items() if name not in LEFT_OUT)


def _text(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return "ACTIVE" if value else "INACTIVE"
    return UNAVAILABLE if isinstance(value, float) and math.isnan(value) else str(value)


def _reading(value: float) -> str:
    """Nine digits, which are exact for the float32 that samples are."""
    return UNAVAILABLE if math.isnan(value) else f"{value:.9g}"
