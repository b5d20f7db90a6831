"""A task on one signal of one source, at one of its limits: what it is held against now, and whether it fires."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from nodes.impact_cortex.chatter import ChatterState
from nodes.impact_cortex.detectors import Detector, DeviationState, Limit, LimitState
from nodes.impact_cortex.procedures import Reads
from nodes.impact_cortex.tasks import Doing, Settings, Task, k_of_n
from nodes.impact_cortex.tunnel import Tunnel, TunnelState
from nodes.impact_cortex.tunnels import NOWHERE
from schemas.impact import Reaction
from schemas.machine import SignalInfo

LOST_S = 0.02
LOST_READINGS = 3
"""a sensor counts as lost after both"""


class Level(Enum):
    """Which limit of a task."""

    WARNING = auto()
    ERROR = auto()
    UNGATED = auto()
    """of a gated task, while what is known of the machine is too old for its gate"""


@dataclass(slots=True, eq=False)
class Watch:
    """A task on one signal of one source, at one of its limits."""

    task: Task
    level: Level
    reaction: Reaction
    signal: str
    unit: str
    """of its readings"""
    limit_unit: str
    column: int
    detector: Detector
    state: Any
    settle_rows: int
    lost_rows: int
    period_s: float
    """of the readings"""
    settle_left: int = 0
    armed: bool = False
    """its gate is open, and what it needs is known"""
    resting: bool = False
    """what it is held against, a model of the cut or a commanded speed, is not there now"""
    gain: float = 1.0
    offset: float = 0.0
    """what is judged is gain · value + offset"""
    fired: bool = False
    guard: Limit | None = None
    """after a reaction: k of n on the very reading that led to it"""
    guard_state: Any = None
    beyond: bool = False
    """the guard's answer"""
    where: str = ""
    """of a tunnel: which one it judges by, in words"""
    why: str = ""
    """of a tunnel: why it rests, while its gate is open"""
    calm: float = math.nan
    """a reading up to this changes nothing here, armed or not: most do not, and cost one comparison. NaN: no such"""

    @property
    def lost(self) -> bool:
        return int(self.state.lost) >= self.lost_rows

    def observe(self, settings: Settings) -> None:
        """From now on tell in `beyond` whether the reading is still above what it was held against when it fired.

        Of a load that fell too low: with the feed held it stays low, and that says nothing. Nor does a tunnel, once
        its block is held.
        """
        if self.task.how.reads is Reads.BELOW_MODEL or isinstance(self.state, TunnelState):
            return
        self.guard = k_of_n(self.detector.bound(self.state), settings)
        self.guard_state = self.guard.start()
        self.beyond = True
        self.calm = math.nan  # the guard wants every reading

    def release_guard(self) -> None:
        self.beyond = False
        self.guard = self.guard_state = None

    def aim(self, now: Doing, idle_pct: float) -> None:
        """Judge by this from now on; what begins to be judged settles first."""
        task, before = self.task, self.armed
        aimed = task.how.reads.aim(task.given, idle_pct, now.model_pct, now.speed_rpm)
        self.resting = aimed is None
        learns = False
        if aimed is not None:
            self.gain, self.offset = aimed
        if isinstance(self.detector, Tunnel):
            learns = self._enter(self.detector, now)
        old = task.gated and now.age_ms > task.max_state_age_ms
        if self.level is Level.UNGATED:
            self.armed = old and not self.resting
        else:
            self.armed = (not task.gated or (now.gate and not old)) and (learns or not self.resting)
        if task.gated and self.armed and not before:
            self.settle(now)
        if isinstance(self.state, ChatterState):
            self.state.turn(now.speed_rpm, now.teeth)

    def shown(self, state: Any, value: float) -> tuple[float, float]:
        """A reading and what it is held against, as people know the signal; `state`: the detector's after it."""
        reading, bound = self.detector.reading(state, value), self.detector.bound(state)
        return (reading - self.offset) / self.gain, (bound - self.offset) / self.gain

    def _enter(self, detector: Tunnel, now: Doing) -> bool:
        """What was taught of the place where the machine is; whether it is being taught."""
        here, margin_pct, learns = NOWHERE, self.task.given["margin_pct"], self.level is Level.ERROR
        if now.tunnels is not None:
            steps = (detector.step_s, margin_pct)
            here = now.tunnels.here(self.task.name, self.signal, now.place, *steps, learns=learns)
        self.state.enter(here.band, here.bins, 0 if now.place is None else now.place.began_ns)
        self.resting, self.where, self.why, self.calm = here.band is None, here.where, here.why, math.nan
        return here.bins is not None

    def settle(self, now: Doing) -> None:
        """What begins is only followed for a while: a tool that enters slowly looks like one that is broken."""
        self.settle_left = self.settle_rows
        if self.task.how.reads is Reads.BELOW_MODEL:
            self.settle_left = max(self.settle_rows, math.ceil(now.enters_s / self.period_s))

    def forget(self) -> None:
        """What was read before a release counts no more among the last n: what does not settle would fire by it."""
        if isinstance(self.state, (LimitState, DeviationState, TunnelState)):
            self.state.over = 0
        self.calm = math.nan

    def release(self) -> None:
        """Fire anew when the signal asks for it."""
        self.fired = False
        self.release_guard()


def watches_of(task: Task, info: SignalInfo, column: int, period_s: float) -> Iterator[Watch]:
    """A task on a signal whose readings come at this pace: one for each of its limits."""
    how = task.how
    settle = math.ceil(task.settle_s / period_s)
    lost = max(LOST_READINGS, math.ceil(LOST_S / period_s))
    levels = [
        (Level.ERROR, task.error, task.reaction),
        (Level.WARNING, task.warning, Reaction.WARN),
        (Level.UNGATED, task.ungated if task.gated else math.nan, task.reaction),
    ]
    for level, limit, reaction in levels:
        if math.isnan(limit):
            continue
        detector = how.detector(limit, task.given, period_s)
        yield Watch(
            task,
            level,
            reaction,
            info.name,
            info.unit if how.reading_unit is None else how.reading_unit,
            info.unit if how.unit is None else how.unit,
            column,
            detector,
            detector.start(),
            settle,
            lost,
            period_s,
            settle_left=settle,
        )
