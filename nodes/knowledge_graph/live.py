"""What one machine says, turned into readings: values and times in, readings out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from statistics import median

from nodes.knowledge_graph.faults import State
from nodes.knowledge_graph.passes import Change, Passes, Place
from nodes.knowledge_graph.reading import Reading, merged
from schemas.impact import Assessment, Intervention, Protection, ProtectionState
from schemas.machine import (
    Alarm,
    ConditionLevel,
    CoolantState,
    EmergencyStop,
    Execution,
    MachineInfo,
    MachineState,
    Motion,
    SignalInfo,
    Signals,
)

COOLANT_SILENT_NS = 3_500_000_000
"""coolant/state comes once a second"""
SILENT_NS = 4_000_000_000
"""machine/state comes once a second"""
ASSESSMENT_NS = 2_000_000_000
BEGINS_MS = 1000.0
"""a source that has not come yet is no news for so long"""
INTERVENTION_NS = 120_000_000_000
"""so long after it an intervention still says something, unless the machine was released"""
MOST_ALARMS = 64
MOST_INTERVENTIONS = 32
SETTLED = 1
"""readings of the coolant after the pump was switched on that say nothing yet"""

SPINDLE_LOADS = ("TORQUE", "WATTAGE", "LOAD", "AMPERAGE")
"""MTConnect types that tell how hard the spindle works, the most direct first"""
FLOORS = {"TORQUE": 0.04, "WATTAGE": 0.03, "LOAD": 1.5, "AMPERAGE": 0.1, "ACCELERATION": 0.6}
"""a change below this, in the signal's own unit, is noise"""

ALARMS: tuple[tuple[str, str, State], ...] = (
    ("SV*", "servo_alarm", State.HIGH),
    ("EMERGENCY*", "emergency_stop", State.HIGH),
)
"""native codes (patterns) and what they tell of the machine; FANUC's servo alarms begin with SV"""

TASKS: tuple[tuple[str, str, State, str], ...] = (
    ("*break*", "cutting_load", State.LOW, "tool"),
    ("*broken*", "cutting_load", State.LOW, "tool"),
    ("*worn*", "cutting_load", State.HIGH, "tool"),
    ("*wear*", "cutting_load", State.HIGH, "tool"),
    ("*chatter*", "cutting_vibration", State.HIGH, "tool"),
    ("*vibration*", "cutting_vibration", State.HIGH, "tool"),
    ("*axis*", "axis_overload", State.HIGH, "axis"),
    ("*underspeed*", "spindle_speed", State.LOW, "spindle"),
    ("*load*", "overload", State.HIGH, "tool"),
)
"""monitoring tasks (patterns) that intervene, what they have seen, and of which part; the first that fits"""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a reading is no longer normal. Ratios are against what was learned."""

    level_low_pct: float = 20.0
    concentration_low_pct: float = 4.0
    concentration_high_pct: float = 12.0
    temperature_high_c: float = 38.0
    flow_low: float = 0.8
    flow_high: float = 1.2
    cutting_high: float = 1.25
    cutting_low: float = 0.5
    idle_high: float = 1.4
    axis_high: float = 1.35
    vibration_high: float = 1.7
    vibration_low: float = 0.3


@dataclass(slots=True)
class _Usual:
    """The first readings of a probe teach what is usual."""

    first: list[float] = field(default_factory=list)
    value: float = math.nan

    def learn(self, value: float) -> None:
        if math.isnan(self.value) and not math.isnan(value):
            self.first.append(value)
            if len(self.first) >= 5:
                self.value = median(self.first)


class MachineLive:
    """The newest of everything that one machine says."""

    def __init__(self, name: str, teach: int = 1, limits: Limits | None = None) -> None:
        self.name = name
        self.limits = limits or Limits()
        self.passes = Passes(teach)
        self.state: MachineState | None = None
        self.info: MachineInfo | None = None
        self.coolant: CoolantState | None = None
        self.protection: Protection | None = None
        self.assessment: Assessment | None = None
        self.signals: dict[str, SignalInfo] = {}
        self.alarms: dict[str, Alarm] = {}
        self.interventions: dict[tuple[str, str], tuple[Intervention, str]] = {}
        """the newest of each task and part, with the part"""
        self._held = False
        self.tank = f"{name}/coolant/tank"
        """a shared one has another name"""
        self.usual = {"flow_l_min": _Usual(), "pressure_bar": _Usual()}
        self._coolant_ns = self._state_ns = 0
        self._pumping = 0
        self._recent: dict[str, deque[float]] = {name: deque(maxlen=3) for name in self.usual}

    # --- what is heard --------------------------------------------------------------------------------------------

    def on_signals(self, signals: Signals) -> None:
        self.signals = {s.name: s for s in signals.signals}
        self.passes.load = self._spindle_load()

    def _spindle_load(self) -> str:
        spindle = [s for s in self.signals.values() if s.name.startswith("spindle_")]
        return next((s.name for kind in SPINDLE_LOADS for s in spindle if s.mtconnect_type == kind), "")

    def on_state(self, state: MachineState, now_ns: int) -> None:
        self.state, self._state_ns = state, now_ns
        if state.execution in _HELD:
            self._held = True
        elif self._held and state.execution is Execution.ACTIVE:
            self._held = False
            self.interventions.clear()  # released: what it had seen is dealt with
        cuts = state.execution is Execution.ACTIVE and state.motion is Motion.FEED
        if state.execution in _HELD:
            self.passes.forget_visit()
        warned = (done.stamp_ns for done, _ in self.interventions.values())
        self.passes.may_teach = not any(now_ns - stamp_ns <= INTERVENTION_NS for stamp_ns in warned)
        place: Place | None = (state.program, state.tool_number, state.block_number) if cuts else None
        self.passes.at(place, now_ns)

    def on_coolant(self, coolant: CoolantState, now_ns: int) -> None:
        self.coolant, self._coolant_ns = coolant, now_ns
        self._pumping = self._pumping + 1 if coolant.pump_on else 0
        for name, usual in self.usual.items():
            if self._pumping > SETTLED:
                value = float(getattr(coolant, name))
                self._recent[name].append(value)
                usual.learn(value)

    def on_alarm(self, alarm: Alarm) -> None:
        self.alarms.pop(alarm.alarm_id, None)
        if alarm.level in (ConditionLevel.WARNING, ConditionLevel.FAULT, ConditionLevel.UNAVAILABLE):
            self.alarms[alarm.alarm_id] = alarm
            if len(self.alarms) > MOST_ALARMS:
                del self.alarms[next(iter(self.alarms))]

    def on_intervention(self, done: Intervention) -> None:
        """Of the part that works now: later another tool is in the spindle."""
        for pattern, _, _, of in TASKS:
            if fnmatchcase(done.task, pattern):
                part = self._part(of, done.signal)
                self.interventions.pop((done.task, part), None)
                self.interventions[done.task, part] = (done, part)
                if len(self.interventions) > MOST_INTERVENTIONS:
                    del self.interventions[next(iter(self.interventions))]
                return

    def on_samples(self, names: Sequence[str], row: Sequence[float]) -> None:
        """One row of one source, the newest of its block."""
        for name, value in zip(names, row, strict=False):
            known = self.signals.get(name)
            if known is not None and known.mtconnect_type in FLOORS:
                self.passes.sample(name, abs(value))

    def on_vibration(self, rms: float) -> None:
        """Of all channels together, their mean removed."""
        self.passes.sample("vibration", rms)

    # --- what it comes to -----------------------------------------------------------------------------------------

    def readings(self, now_ns: int) -> list[Reading]:
        """Every quantity that is known now; what comes through a sensor that is gone is not known."""
        found = merged((*self._arrivals(now_ns), *self._sensors(), *self._told(now_ns), *self._coolant(), *self._cut()))
        silent = {r.at.rpartition("/")[2] for r in found if r.quantity == "arrival" and r.abnormal}
        dead = {r.at for r in found if r.quantity == "reading" and r.abnormal}
        dead |= {self._sensor(s.name) for s in self.signals.values() if s.source in silent}
        if "coolant" in silent:
            found = [r for r in found if not r.quantity.startswith("coolant")]
        return [
            r
            for r in found
            if not (r.via and dead.issuperset(r.via))
            and not (r.quantity == "reading" and r.at in dead and not r.abnormal)
        ]

    def _sensor(self, signal: str) -> str:
        return f"{self.name}/sensor/{signal}"

    def _reading(
        self, quantity: str, part: str, state: State, text: str, *signals: str, codes: tuple[str, ...] = ()
    ) -> Reading:
        at = part if part == self.tank else f"{self.name}/{part}" if part else self.name
        return Reading(self.name, quantity, at, state, text, tuple(self._sensor(s) for s in signals), codes)

    def _arrivals(self, now_ns: int) -> Iterator[Reading]:
        deaf = bool(self._state_ns) and now_ns - self._state_ns > SILENT_NS
        if self.info is not None:
            for source in self.info.sources:
                part = f"source/{source.name}"
                if deaf:
                    text = f"nothing of the machine's node for {(now_ns - self._state_ns) / 1e9:.0f} s"
                    yield self._reading("arrival", part, State.GONE, text)
                elif source.available:
                    yield self._reading("arrival", part, State.NORMAL, f"{source.rate_hz:.0f} values a second")
                elif source.age_ms > BEGINS_MS:
                    yield self._reading("arrival", part, State.GONE, f"nothing for {source.age_ms / 1000:.1f} s")
        if self._coolant_ns:
            age_ns = now_ns - self._coolant_ns
            state = State.GONE if age_ns > COOLANT_SILENT_NS else State.NORMAL
            yield self._reading("arrival", "source/coolant", state, f"last {age_ns / 1e9:.1f} s ago")
        if self.protection is not None and not deaf:
            gone = self.protection.state is ProtectionState.UNPROTECTED
            yield self._reading(
                "protection", "logic", State.GONE if gone else State.NORMAL, "; ".join(self.protection.reasons)
            )

    def _sensors(self) -> Iterator[Reading]:
        gone = {}
        for alarm in self.alarms.values():
            if alarm.native_code == "SENSOR_LOST":
                gone[alarm.alarm_id.rpartition("/signal/")[2]] = alarm
        for name in self.signals:
            if name in gone:
                codes = (gone[name].alarm_id, gone[name].native_code)
                yield self._reading("reading", f"sensor/{name}", State.GONE, gone[name].text, codes=codes)
            else:
                yield self._reading("reading", f"sensor/{name}", State.NORMAL, "")
        if self.coolant is not None:
            for field_name in ("level_pct", "concentration_pct", "temperature_c", "flow_l_min", "pressure_bar"):
                lost = math.isnan(getattr(self.coolant, field_name))
                state, text = (State.GONE, "no reading") if lost else (State.NORMAL, "")
                yield self._reading("reading", f"sensor/coolant_{field_name}", state, text)

    def _told(self, now_ns: int) -> Iterator[Reading]:
        """Alarms and interventions."""
        codes = [a.native_code for a in self.alarms.values()]
        for pattern, quantity, _ in ALARMS:
            if not any(fnmatchcase(c, pattern) for c in codes):
                yield self._reading(quantity, "", State.NORMAL, "no such alarm")
        for alarm in self.alarms.values():
            behind = (alarm.alarm_id, alarm.native_code)
            if alarm.native_code == "SOURCE_SILENT":
                source = alarm.alarm_id.rpartition("/source/")[2]
                yield self._reading("arrival", f"source/{source}", State.GONE, alarm.text, codes=behind)
            elif alarm.native_code != "SENSOR_LOST":
                told = ((q, s) for pattern, q, s in ALARMS if fnmatchcase(alarm.native_code, pattern))
                quantity, state = next(told, ("alarm", State.HIGH))
                yield self._reading(quantity, "", state, f"{alarm.native_code} {alarm.text}", codes=behind)
        if self.state is not None and self.state.emergency_stop is EmergencyStop.TRIGGERED:
            yield self._reading("emergency_stop", "", State.HIGH, "triggered")
        yield from self._margins(now_ns)
        for done, part in self.interventions.values():
            found = next((q, s) for pattern, q, s, _ in TASKS if fnmatchcase(done.task, pattern))
            quantity, state = found
            if now_ns - done.stamp_ns <= INTERVENTION_NS and not self._outdated(done, quantity, part):
                text = f"{done.reaction} by {done.task}: {done.reason}"
                yield self._reading(quantity, part, state, text, done.signal, codes=(done.task, done.intervention_id))

    def _outdated(self, done: Intervention, quantity: str, part: str) -> bool:
        """Whether a whole visit of the same tool's cuts has been seen since: that tells it better."""
        signal = {"cutting_load": self.passes.load, "cutting_vibration": "vibration"}.get(quantity)
        if signal is None or not part.startswith("tool_"):
            return False
        cut = self.passes.cutting(signal, less_idle=signal != "vibration").get(int(part.removeprefix("tool_")))
        return cut is not None and cut.begun_ns > done.stamp_ns

    def _part(self, of: str, signal: str) -> str:
        if of == "axis":
            return f"axis_{signal[:1]}"
        tool = self.state.tool_number if self.state is not None else 0
        return f"tool_{tool}" if of == "tool" and tool else "spindle"

    def _margins(self, now_ns: int) -> Iterator[Reading]:
        """How far the logic engine sees the loads from their limits, at this moment."""
        said = self.assessment
        if said is None or now_ns - said.stamp_ns > ASSESSMENT_NS:
            return
        runs = self.state is not None and self.state.execution is Execution.ACTIVE
        for m in said.margins:
            found = next(((q, s, of) for pattern, q, s, of in TASKS if fnmatchcase(m.task, pattern)), None)
            if found is not None and found[0] in ("overload", "axis_overload") and not math.isnan(m.margin_pct):
                quantity, state, of = found
                text = f"{m.value:.3g} {m.unit} of {m.limit:.3g} {m.unit} ({m.task})"
                if m.margin_pct > 0.0:
                    if not runs:
                        continue  # of a machine that was stopped a load is small, whatever it was stopped for
                    state = State.NORMAL
                elif quantity == "overload":
                    continue  # a spindle that runs up needs more than any cut: whether it counts, an intervention says
                yield self._reading(quantity, self._part(of, m.signal), state, text, m.signal)

    def _coolant(self) -> Iterator[Reading]:
        c, limits = self.coolant, self.limits
        if c is None:
            return
        for quantity, value, low, high, unit, probe in (
            ("level", c.level_pct, limits.level_low_pct, math.inf, "%", "level_pct"),
            (
                "concentration",
                c.concentration_pct,
                limits.concentration_low_pct,
                limits.concentration_high_pct,
                "%",
                "concentration_pct",
            ),
            ("temperature", c.temperature_c, -math.inf, limits.temperature_high_c, "°C", "temperature_c"),
        ):
            if not math.isnan(value):
                state = State.LOW if value < low else State.HIGH if value > high else State.NORMAL
                bounds = " and ".join(
                    f"{word} {bound:g}" for word, bound in (("least", low), ("most", high)) if math.isfinite(bound)
                )
                text = f"{value:.1f} {unit}, {bounds} allowed"
                yield self._reading(f"coolant_{quantity}", self.tank, state, text, f"coolant_{probe}")
        for quantity, field_name, unit in (("flow", "flow_l_min", "l/min"), ("pressure", "pressure_bar", "bar")):
            usual, recent = self.usual[field_name].value, [v for v in self._recent[field_name] if v == v]
            if usual > 0.0 and recent:
                value = median(recent)
                ratio = value / usual
                state = (
                    State.LOW if ratio < limits.flow_low else State.HIGH if ratio > limits.flow_high else State.NORMAL
                )
                text = f"{value:.1f} {unit}, usually {usual:.1f}"
                yield self._reading(f"coolant_{quantity}", "coolant", state, text, f"coolant_{field_name}")

    def _cut(self) -> Iterator[Reading]:
        """What the passes of the program have changed."""
        passes, limits = self.passes, self.limits
        load = passes.load
        unit, floor = self._unit(load)
        idle = passes.idle(load)
        if idle is not None:
            yield self._changed("idle_load", "spindle", idle, (math.nan, limits.idle_high), unit, floor, load)
        for tool, cut in passes.cutting(load, less_idle=True).items():
            if cut.usual > 2.0 * floor:
                yield self._changed(
                    "cutting_load", f"tool_{tool}", cut, (limits.cutting_low, limits.cutting_high), unit, floor, load
                )
        for signal in self.signals.values():
            if signal.mtconnect_type == "LOAD" and signal.name[1:] == "_load_pct":
                moved = passes.moving(signal.name)
                if moved is not None:
                    bounds = (math.nan, limits.axis_high)
                    unit, floor = self._unit(signal.name)
                    yield self._changed("axis_load", f"axis_{signal.name[0]}", moved, bounds, unit, floor, signal.name)
        channels = tuple(s.name for s in self.signals.values() if s.mtconnect_type == "ACCELERATION")
        shake = ("m/s²", FLOORS["ACCELERATION"])
        idle = passes.idle("vibration")
        if idle is not None:
            yield self._changed("idle_vibration", "spindle", idle, (math.nan, limits.vibration_high), *shake, *channels)
        for tool, cut in passes.cutting("vibration", less_idle=False).items():
            bounds = (limits.vibration_low, limits.vibration_high)
            yield self._changed("cutting_vibration", f"tool_{tool}", cut, bounds, *shake, *channels)

    def _unit(self, signal: str) -> tuple[str, float]:
        info = self.signals.get(signal)
        return (info.unit, FLOORS.get(info.mtconnect_type, 0.0)) if info is not None else ("", 0.0)

    def _changed(
        self, quantity: str, part: str, c: Change, bounds: tuple[float, float], unit: str, floor: float, *signals: str
    ) -> Reading:
        low, high = bounds
        state = State.NORMAL
        if c.ratio > high and c.now - c.usual > floor:
            state = State.HIGH
        elif c.ratio < low and c.usual - c.now > floor:
            state = State.LOW
        return self._reading(
            quantity, part, state, f"{c.now:.2f} {unit}, usually {c.usual:.2f} (block {c.block})", *signals
        )


_HELD = (Execution.FEED_HOLD, Execution.STOPPED, Execution.INTERRUPTED, Execution.UNAVAILABLE)
