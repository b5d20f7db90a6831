"""The course of a stop, read off the controller's own rows: when the axes began to slow down, when they stood. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.machine import MotionEvent, MotionPhase

STANDING_MM_S = 0.001
SLOWER_MM_S = 0.01
"""less than what a servo period takes off at the mildest deceleration worth the name, 10 mm/s²"""
SPINDLE_STANDING_RPM = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a row says of the motion."""

    stamp_ns: int
    position_mm: tuple[float, float, float]
    velocity_mm_s: float
    spindle_rpm: float
    inhibited: bool


@dataclass(slots=True)
class _Action:
    """A hold or a stop that runs its course."""

    action_id: str
    stop: bool
    asked_ns: int
    travel_mm: float = 0.0
    fastest_mm_s: float = 0.0
    """since it was asked; what is slower than this decelerates"""
    decelerating: bool = False
    standing: bool = False
    over: bool = False


class Stopping:
    """Follows the actions in force. Rows come in order; what was asked is asked between two of them."""

    def __init__(self) -> None:
        self._actions: list[_Action] = []
        self._last: Reading | None = None
        self._contact_mm = math.nan
        """travelled since the simulated contact; NaN: there was none"""
        self.last_stop_ms = math.nan
        """request to standing axes, of the last action"""

    @property
    def in_force(self) -> str:
        """The strongest action that was asked for and is not released."""
        return self._actions[-1].action_id if self._actions else ""

    @property
    def stops(self) -> bool:
        return any(a.stop for a in self._actions)

    @property
    def stands(self) -> bool:
        return self._last is not None and self._last.velocity_mm_s <= STANDING_MM_S

    def asked(self, action_id: str, now_ns: int, *, stop: bool) -> tuple[str, MotionEvent | None]:
        """The action in force from now on, and the event that begins it: none when it was in force already."""
        if self._actions and (self.stops or not stop):
            return self.in_force, None
        fastest = 0.0 if self._last is None else self._last.velocity_mm_s
        action = _Action(action_id, stop, now_ns, fastest_mm_s=fastest)
        self._actions.append(action)
        return action_id, self._event(action, MotionPhase.ACCEPTED, now_ns)

    def contact(self, stamp_ns: int) -> MotionEvent:
        """The simulated load is there: travel counts from here."""
        self._contact_mm = 0.0
        return MotionEvent(stamp_ns=stamp_ns, phase=MotionPhase.CONTACT, action_id="", travel_mm=0.0, text="")

    def row(self, r: Reading) -> list[MotionEvent]:
        """What this row shows."""
        last, self._last = self._last, r
        moved = 0.0 if last is None else math.dist(r.position_mm, last.position_mm)
        self._contact_mm += moved
        return [event for action in self._actions if not action.over for event in self._follow(action, r, moved)]

    def _follow(self, a: _Action, r: Reading, moved: float) -> list[MotionEvent]:
        out: list[MotionEvent] = []
        if r.stamp_ns <= a.asked_ns:
            return out  # taken before, and heard only now
        a.travel_mm += moved
        if not a.standing:
            standing = r.inhibited and r.velocity_mm_s <= STANDING_MM_S
            if not a.decelerating and r.inhibited and r.velocity_mm_s < a.fastest_mm_s - SLOWER_MM_S:
                a.decelerating = True
                out.append(self._event(a, MotionPhase.DECELERATING, r.stamp_ns))
            a.fastest_mm_s = max(a.fastest_mm_s, r.velocity_mm_s)
            if standing:
                a.standing = True
                self.last_stop_ms = (r.stamp_ns - a.asked_ns) / 1e6
                out.append(self._event(a, MotionPhase.AXES_STANDING, r.stamp_ns))
        if a.standing and not a.stop:
            a.over = True
        elif a.standing and abs(r.spindle_rpm) <= SPINDLE_STANDING_RPM:
            a.over = True
            out.append(self._event(a, MotionPhase.SPINDLE_STANDING, r.stamp_ns))
        return out

    def released(self, action_id: str, now_ns: int) -> MotionEvent:
        """An operator released the machine."""
        self.forget()
        return MotionEvent(stamp_ns=now_ns, phase=MotionPhase.RELEASED, action_id=action_id, travel_mm=0.0, text="")

    def forget(self) -> None:
        """Nothing is in force: released, or another life of the controller."""
        self._actions.clear()
        self._contact_mm = math.nan

    def lost(self) -> None:
        """Rows are missing: the next one is the first."""
        self._last = None

    def _event(self, a: _Action, phase: MotionPhase, stamp_ns: int) -> MotionEvent:
        travel = a.travel_mm if math.isnan(self._contact_mm) else self._contact_mm
        return MotionEvent(stamp_ns=stamp_ns, phase=phase, action_id=a.action_id, travel_mm=travel, text="")


def readings(stamps_ns: Sequence[int], table: Sequence[Sequence[float]], at: dict[str, int]) -> list[Reading]:
    """Rows of the sampler, lengths in mm, as readings."""
    return [
        Reading(
            stamp_ns,
            (row[at["x"]], row[at["y"]], row[at["z"]]),
            abs(row[at["velocity"]]) / 60.0,
            row[at["spindle_rpm"]],
            row[at["inhibited"]] != 0.0,
        )
        for stamp_ns, row in zip(stamps_ns, table, strict=True)
    ]
