"""Three linear axes on a straight path: the speed along it changes only as fast as the acceleration limit lets it."""

from __future__ import annotations

import math

ARRIVED_MM = 1e-6


class Axes:
    """Position and path speed, stepped by the caller. A path is straight; it ends standing."""

    __slots__ = (
        "_left_mm",
        "_target",
        "_unit",
        "acceleration_mm_s2",
        "applied_mm_s2",
        "moving_mm_s",
        "path_mm",
        "x",
        "y",
        "z",
    )

    def __init__(self, acceleration_mm_s2: float = 3000.0, at: tuple[float, float, float] = (0.0, 0.0, 100.0)) -> None:
        self.acceleration_mm_s2 = acceleration_mm_s2
        self.x, self.y, self.z = at
        self.moving_mm_s = 0.0
        self.applied_mm_s2 = 0.0
        """acceleration along the path in the last step"""
        self.path_mm = 0.0
        """travelled since ever"""
        self._target = at
        self._unit = (0.0, 0.0, 0.0)
        self._left_mm = 0.0

    @property
    def arrived(self) -> bool:
        return self._left_mm == 0.0

    @property
    def left_mm(self) -> float:
        """What is left of the path."""
        return self._left_mm

    @property
    def direction(self) -> tuple[float, float, float]:
        return self._unit

    def go(self, x: float, y: float, z: float) -> None:
        """Begin a straight path from where the axes are."""
        dx, dy, dz = x - self.x, y - self.y, z - self.z
        length = math.sqrt(dx * dx + dy * dy + dz * dz)
        self._target = (x, y, z)
        if length <= ARRIVED_MM:
            self._left_mm = 0.0
            self._unit = (0.0, 0.0, 0.0)
        else:
            self._left_mm = length
            self._unit = (dx / length, dy / length, dz / length)

    def abandon(self) -> None:
        """Forget the rest of the path; the axes must stand."""
        self._left_mm = 0.0

    def stopping_mm(self) -> float:
        """How far the axes go on when they begin to stop now: v²/2a."""
        return self.moving_mm_s**2 / (2.0 * self.acceleration_mm_s2)

    def step(self, wanted_mm_s: float, dt_s: float, against_mm_s2: float = 0.0) -> float:
        """Move for `dt_s` towards path speed `wanted_mm_s` (0: stop). Returns the travel in mm.

        `against_mm_s2`: what an obstacle adds to the braking of axes that stop.
        """
        before = self.moving_mm_s
        left = self._left_mm
        a = self.acceleration_mm_s2 + against_mm_s2
        if left == 0.0 or (before == 0.0 and wanted_mm_s == 0.0):
            self.moving_mm_s = self.applied_mm_s2 = 0.0
            return 0.0
        change = a * dt_s
        # the highest speed at the end of this step from which the rest still suffices to stop
        room = 0.25 * change * change + 2.0 * a * (left - 0.5 * before * dt_s)
        goal = min(wanted_mm_s, math.sqrt(room) - 0.5 * change) if room > 0.25 * change * change else 0.0
        if before <= goal - change:
            after = before + change
            travel = (before + after) * 0.5 * dt_s
        elif before >= goal + change:
            after = before - change
            travel = (before + after) * 0.5 * dt_s
        else:
            after = goal
            # the goal is reached within the step: ramp, then constant speed for the rest of it
            ramp_s = abs(goal - before) / a
            travel = (before + goal) * 0.5 * ramp_s + goal * (dt_s - ramp_s)
        if travel >= left - ARRIVED_MM:
            self.path_mm += left
            self.x, self.y, self.z = self._target
            self._left_mm = 0.0
            self.moving_mm_s = 0.0
            self.applied_mm_s2 = -before / dt_s
            return left
        self._left_mm = left - travel
        self.path_mm += travel
        ux, uy, uz = self._unit
        self.x += ux * travel
        self.y += uy * travel
        self.z += uz * travel
        self.moving_mm_s = after
        self.applied_mm_s2 = (after - before) / dt_s
        return travel
