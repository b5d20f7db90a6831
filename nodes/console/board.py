"""What the table shows, gathered from messages: values in, values out. Knows no terminal."""

from __future__ import annotations

import math
import os
from collections import deque
from dataclasses import dataclass, field

from schemas.impact import (
    Assessment,
    Intervention,
    Mode,
    Protection,
    ProtectionState,
    Reaction,
    ReactionResult,
    StackLight,
)
from schemas.machine import (
    Alarm,
    ConditionLevel,
    Execution,
    MachineInfo,
    MachineState,
    MotionEvent,
    MotionPhase,
)
from schemas.system import BagSplit, Diagnostics, RecorderStatus, TopicCount

STALE_NS = 2_000_000_000
"""a machine's row older than this is shown as stale, never as live"""
TIMELINE_NS = 20_000_000_000
"""events this close to an intervention belong to its timeline"""
ALARMS_MAX = 32

REACH_NS = 8_000_000_000
"""what a replay about a moment reads before it: `rise replay --around` with its warm-up"""
SHORT_S = 30.0
"""a bag this short is replayed whole in two seconds"""
LONGEST_S = 1e9
OPEN_END_NS = 1 << 62


@dataclass(frozen=True, slots=True)
class Step:
    """One line of an intervention's timeline."""

    stamp_ns: int
    what: str
    text: str


@dataclass(slots=True)
class MachineBoard:
    """What is known of one machine."""

    name: str
    state: MachineState | None = None
    info: MachineInfo | None = None
    assessment: Assessment | None = None
    brain: Protection | None = None
    hal: Protection | None = None
    heard_ns: int = 0
    rate_hz: float = math.nan
    lost: int = 0
    decision_p50_ms: float = math.nan
    decision_p99_ms: float = math.nan
    interventions: deque[Intervention] = field(default_factory=lambda: deque(maxlen=20))
    results: deque[ReactionResult] = field(default_factory=lambda: deque(maxlen=20))
    motion: deque[MotionEvent] = field(default_factory=lambda: deque(maxlen=50))
    alarms: dict[str, Alarm] = field(default_factory=dict)
    """those that are active, the last one last"""
    _received: tuple[int, int] | None = None

    def on_alarm(self, alarm: Alarm) -> None:
        self.alarms.pop(alarm.alarm_id, None)
        if alarm.level is not ConditionLevel.NORMAL:
            self.alarms[alarm.alarm_id] = alarm
            if len(self.alarms) > ALARMS_MAX:
                del self.alarms[next(iter(self.alarms))]

    @property
    def alarm(self) -> Alarm | None:
        """The last fault, else the last alarm of any level."""
        last = list(reversed(self.alarms.values()))
        return next((a for a in last if a.level is ConditionLevel.FAULT), last[0] if last else None)

    def protection(self, now_ns: int) -> tuple[ProtectionState, str]:
        """The worse of what the logic engine and the machine's own node say, and why."""
        if now_ns - self.heard_ns > STALE_NS:
            return ProtectionState.UNPROTECTED, "nothing heard from this machine"
        order = (ProtectionState.UNPROTECTED, ProtectionState.DEGRADED, ProtectionState.PROTECTED)
        said = [p for p in (self.hal, self.brain) if p is not None]
        if not said:
            return ProtectionState.UNPROTECTED, "no logic engine has reported"
        worst = min(said, key=lambda p: order.index(p.state))
        return worst.state, "; ".join(worst.reasons)

    def on_diagnostics(self, d: Diagnostics) -> None:
        """Rate, losses and latency of the samples, as the machine's logic engine counted them."""
        counts = [t for t in d.topics if t.topic == f"{self.name}/machine/samples" and t.publisher != d.node]
        if not counts:
            return
        c: TopicCount = counts[0]
        if self._received is not None and d.stamp_ns > self._received[0]:
            self.rate_hz = (c.received - self._received[1]) / ((d.stamp_ns - self._received[0]) / 1e9)
        self._received = (d.stamp_ns, c.received)
        self.lost = c.lost + c.dropped + c.expired
        self.decision_p50_ms, self.decision_p99_ms = c.delay_p50_ms, c.delay_p99_ms

    def event(self) -> list[Intervention]:
        """The interventions of the last event, the first of them first."""
        if not self.interventions:
            return []
        last = self.interventions[-1]
        return [i for i in self.interventions if last.stamp_ns - i.stamp_ns < TIMELINE_NS and i.run_id == last.run_id]

    def timeline(self) -> list[Step]:
        """The last story's steps in order: contact, decisions, stop, standstill; or a stop that somebody asked for."""
        run = self.event()
        moves = self._moves(run)
        by_hand = self._moves([])
        if by_hand and (not run or (by_hand[0].stamp_ns > run[-1].stamp_ns and by_hand[0] not in moves)):
            run, moves = [], by_hand
        steps = [Step(i.stamp_ns, _decision(i), i.reason) for i in run if i.reaction is not Reaction.NONE]
        ids = {i.intervention_id for i in run}
        steps += [
            Step(r.stamp_ns, "accepted" if r.accepted else "REFUSED", f"{r.reaction.value} {r.text}".rstrip())
            for r in self.results
            if r.intervention_id in ids
        ]
        touched = any(m.phase is MotionPhase.CONTACT for m in moves)
        for m in moves:
            text = m.text
            if m.phase is MotionPhase.AXES_STANDING:
                text = f"{m.travel_mm:.2f} mm {'overtravel since contact' if touched else 'since the request'}"
            if m.phase in _PHASES:
                steps.append(Step(m.stamp_ns, _PHASES[m.phase], text))
            elif not run and m.phase is MotionPhase.ACCEPTED:
                steps.append(Step(m.stamp_ns, "asked by hand", text))
        return sorted(steps, key=lambda s: (s.stamp_ns, _ORDER.get(s.what, 1)))

    @property
    def what_if(self) -> str:
        """The parameter of impact_cortex that had another answer to the last event, as `-p` takes it."""
        run = self.event()
        return WHAT_IF.get(run[0].task, "") if run else WHAT_IF["load_limit"]

    def _moves(self, run: list[Intervention]) -> list[MotionEvent]:
        """The motion about an event; without one what came last. A release ends a story, so none goes past it."""
        moves: list[MotionEvent] = []
        for m in sorted(self.motion, key=lambda m: m.stamp_ns):
            if m.phase is MotionPhase.RELEASED:
                if run and m.stamp_ns > run[-1].stamp_ns:
                    break
                if not run or m.stamp_ns < run[0].stamp_ns:
                    moves.clear()
            elif not run or abs(m.stamp_ns - run[0].stamp_ns) < TIMELINE_NS:
                moves.append(m)
        return moves


_PHASES = {
    MotionPhase.CONTACT: "contact",
    MotionPhase.DECELERATING: "decelerating",
    MotionPhase.AXES_STANDING: "axes stood",
    MotionPhase.SPINDLE_STANDING: "spindle stood",
}


_ORDER = {"contact": 0, "accepted": 2, "REFUSED": 2, **dict.fromkeys([*_PHASES.values()][1:], 3)}
"""of what has one and the same stamp; decisions stand between"""

WHAT_IF = {
    "load_limit": "limit_pct=155",
    "load_hard": "hard_limit_pct=250",
    "load_cusum": "cusum_threshold_pct_s=5",
    "load_warning": "warn_pct=90",
    "axis_limit": "axis_limit_pct=150",
    "tool_broken": "breakage_fall_pct=80",
    "tool_worn": "wear_rise_pct=40",
    "vibration": "accel_limit=60",
}
"""by task: what to ask of the recording"""


def _decision(i: Intervention) -> str:
    return f"would have: {i.reaction.value}" if i.would_have else f"decision {i.reaction.value}"


@dataclass(slots=True)
class Board:
    """The whole table."""

    machines: dict[str, MachineBoard] = field(default_factory=dict)
    recorder: RecorderStatus | None = None
    closed: BagSplit | None = None
    """the bag before the one that is written now"""
    black_box: BagSplit | None = None
    dashboard: str = ""
    """its address as it is to be opened, with the one-time key where there is one"""
    troubles: dict[str, str] = field(default_factory=dict)
    """by node: its worst finding"""

    def machine(self, name: str) -> MachineBoard:
        return self.machines.setdefault(name, MachineBoard(name))

    def on_bag(self, bag: BagSplit) -> None:
        if os.path.basename(bag.path).startswith("black_box"):
            self.black_box = bag
        else:
            self.closed = bag

    def to_replay(self, at_ns: int | None) -> tuple[list[str], list[str]]:
        """Bags, and options of `rise replay`, for an answer within two seconds: what happened about `at_ns`.

        Without a moment the newest, or the whole of a short bag.
        """
        r = self.recorder
        recorded_s = min(max(0.0, r.duration_s), LONGEST_S) if r is not None else 0.0  # whatever a node may have sent
        bags: list[tuple[str, int, int]] = []
        if self.closed is not None:
            bags.append((self.closed.path, self.closed.start_ns, self.closed.end_ns))
        if r is not None and r.path:
            bags.append((r.path, r.stamp_ns - round(recorded_s * 1e9), OPEN_END_NS))
        if at_ns is not None:
            about = [bag for bag in bags if bag[1] <= at_ns and at_ns - REACH_NS <= bag[2]]
            if about and at_ns <= about[-1][2]:
                return [path for path, *_ in about], ["--around", f"{(at_ns - about[0][1]) / 1e9:.2f}"]
            box = self.black_box
            if box is not None and box.start_ns <= at_ns <= box.end_ns:
                return [box.path], []
        if r is None or not r.path:
            return ([self.black_box.path], []) if self.black_box is not None else ([], [])
        tens = int(recorded_s) // 10
        return [r.path], ["--start", f"{tens - 1}0"] if recorded_s > SHORT_S else []

    def on_diagnostics(self, d: Diagnostics) -> None:
        worst = next((f for f in d.findings if f.level is d.level), None)
        if worst is None:
            self.troubles.pop(d.node, None)
        else:
            self.troubles[d.node] = f"{worst.level.value} {worst.code}: {worst.text}"
        if d.node.endswith("/impact_cortex"):
            self.machine(d.node.split("/", 1)[0]).on_diagnostics(d)

    @property
    def all_simulated(self) -> bool:
        infos = [m.info for m in self.machines.values() if m.info is not None]
        return bool(infos) and all(i.simulated for i in infos)


LIGHTS = {StackLight.RED: "● RED", StackLight.YELLOW: "▲ YELLOW", StackLight.GREEN: "■ GREEN", StackLight.OFF: "○ OFF"}
STYLES = {
    StackLight.RED: "bold white on red",
    StackLight.YELLOW: "black on yellow",
    StackLight.GREEN: "",
    StackLight.OFF: "dim",
}


def execution(m: MachineBoard) -> str:
    return m.state.execution.value if m.state is not None else Execution.UNAVAILABLE.value


def mode(m: MachineBoard) -> str:
    return m.brain.mode.value if m.brain is not None else Mode.OBSERVE.value
