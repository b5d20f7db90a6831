"""Hours of ordinary cutting in seconds: the simulated mill's own motion, with everything that varies laid over it.

A program is run twice by the mill itself, a millisecond at a time, with a sharp tool in stuff that is everywhere the
same: the first pass and a later one. While the spindle's drive is not at its limit, the cut changes neither speed nor
motion, so every further pass has the same motion, and its torque is the recorded one times hardness and wear. Those,
the loads that follow from them and the sensors are computed for whole passes at once, by the formulas that the mill
itself uses (drives.py, vibration.py, sensors.py). test_simulate.py holds both forms against each other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodes.sensory_cortex import drives, vibration
from nodes.sensory_cortex.faults import SERVO_TRIPS_N
from nodes.sensory_cortex.machine import unknown_state
from nodes.sensory_cortex.mill import WANDER_BACK, WANDER_GAIN, WEAR_PACE, Mill
from nodes.sensory_cortex.sensors import low_passed
from schemas.machine import Execution, MachineState, Motion

Floats = NDArray[np.float64]
BLOCK_ROWS = 10
"""milliseconds in a block of vibration"""
PER_BLOCK = 100
"""readings of acceleration in it"""
LEAD_BLOCKS = 30
"""blocks of vibration that are made before a cut, so that rest is known when it begins"""


@dataclass(frozen=True, slots=True)
class Base:
    """One pass of a program with a sharp tool in even stuff, a row each millisecond."""

    cutting_nm: Floats
    resting_nm: Floats
    """the spindle's torque beside the cut"""
    limit_nm: Floats
    """what the drive may give"""
    rated_nm: Floats
    speed_rpm: Floats
    angle_rad: Floats
    acceleration_mm_s2: Floats
    friction_n: Floats
    direction: tuple[Floats, Floats, Floats]
    diameter_mm: Floats
    teeth: NDArray[np.int64]
    changes: tuple[tuple[int, MachineState], ...]
    """(row, state): what the control shows from the block of this row on"""
    in_cut: NDArray[np.int64]
    """the rows in which a chip is made"""

    def __len__(self) -> int:
        return len(self.cutting_nm)


@dataclass(frozen=True, slots=True)
class Truth:
    """What there is to be measured in one pass."""

    load_pct: Floats
    axis_load_pct: tuple[Floats, Floats, Floats]
    force_n: Floats


def state_of(mill: Mill) -> MachineState:
    """What the control shows, as far as the logic engine looks at it."""
    block, tool = mill.block, mill.tool
    return unknown_state(0, mill.motion).model_copy(
        update={
            "execution": mill.execution,
            "block_number": block.number if block is not None else 0,
            "tool_number": tool.number if tool is not None else 0,
            "spindle_speed_commanded_rpm": mill.spindle.commanded_rpm,
            "feed_commanded_mm_min": block.feed_mm_min if block is not None else 0.0,
            "feed_override_pct": 100.0,
        }
    )


def recorded(mill: Mill) -> Base:
    """The next pass of the mill, up to the part that it completes."""
    rows: list[tuple[float, ...]] = []
    changes: list[tuple[int, MachineState]] = [(0, state_of(mill))]
    spindle, axes = mill.spindle, mill.axes
    revision, parts = mill.revision, mill.part_count
    while mill.part_count == parts:
        before_rpm, path_mm = spindle.speed_rpm, axes.path_mm
        mill.step()
        if mill.revision != revision:
            revision = mill.revision
            changes.append((len(rows), state_of(mill)))
        tool = mill.tool
        rated = spindle.curve.rated_nm(before_rpm)
        rows.append(
            (
                mill.cutting_nm,
                spindle.torque_nm - mill.cutting_nm,
                rated,
                spindle.speed_rpm,
                spindle.angle_rad,
                axes.applied_mm_s2,
                drives.friction_n(axes.moving_mm_s) if axes.path_mm > path_mm else 0.0,
                *axes.direction,
                tool.cutter.diameter_mm if tool is not None else 10.0,
                tool.cutter.teeth if tool is not None else 2,
            )
        )
    table = np.array(rows).T.copy()
    return Base(
        cutting_nm=table[0],
        resting_nm=table[1],
        limit_nm=table[2] * spindle.curve.overload,
        rated_nm=table[2],
        speed_rpm=table[3],
        angle_rad=table[4],
        acceleration_mm_s2=table[5],
        friction_n=table[6],
        direction=(table[7], table[8], table[9]),
        diameter_mm=table[10],
        teeth=table[11].astype(np.int64),
        changes=tuple(changes),
        in_cut=np.flatnonzero(table[0] > 0.0),
    )


def two_passes(mill: Mill) -> tuple[Base, Base]:
    """The first pass of a program and a later one; `mill` is new, and its draws are all zero."""
    mill.start()
    return recorded(mill), recorded(mill)


def even_stuff() -> Iterator[float]:
    """Draws for a mill that cuts stuff without any variation."""
    return itertools.repeat(0.0)


class Varied:
    """Lays hardness and wear over passes, in order."""

    def __init__(self) -> None:
        self._hardness = 0.0
        self.wear = 1.0

    def over(self, base: Base, draws: Floats, wear_aim: float) -> Truth:
        """One pass: `draws` one for each row of `in_cut`, standard deviation 1.

        Raises:
            ValueError: the spindle's drive comes to its limit, so that the cut would change the motion.
        """
        n = len(base.in_cut)
        hardness = low_passed(draws * (WANDER_GAIN / WANDER_BACK), 1.0 - WANDER_BACK, self._hardness)
        wear = wear_aim + (self.wear - wear_aim) * (1.0 - WEAR_PACE) ** np.arange(1, n + 1)
        if n:
            self._hardness, self.wear = float(hardness[-1]), float(wear[-1])
        cutting = base.cutting_nm.copy()
        cutting[base.in_cut] *= (1.0 + hardness) * wear
        torque = base.resting_nm + cutting
        if np.any(np.abs(torque[base.in_cut]) > base.limit_nm[base.in_cut]):
            raise ValueError("the spindle's drive is at its limit: passes of this program are not alike")
        force = cutting * (2000.0 / base.diameter_mm)
        along = drives.pushed_n(base.acceleration_mm_s2, 0.0, force, base.friction_n)
        shown = drives.shown_pct(np.minimum(along, SERVO_TRIPS_N), force, base.direction)
        return Truth(np.abs(torque) * 100.0 / base.rated_nm, shown, force)


# --- vibration --------------------------------------------------------------------------------------------------------


def shaken_ranges(base: Base) -> list[tuple[int, int]]:
    """The blocks of vibration (first, end) in which the tool may cut, each with a lead before it."""
    whole = len(base) // BLOCK_ROWS
    starts = [row // BLOCK_ROWS for row, _ in base.changes] + [whole]
    ranges: list[tuple[int, int]] = []
    for (_, state), first, end in zip(base.changes, starts, starts[1:], strict=False):
        if state.execution is not Execution.ACTIVE or state.motion is not Motion.FEED or end <= first:
            continue
        first = max(0, first - LEAD_BLOCKS)
        if ranges and first <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], min(end + 1, whole))
        else:
            ranges.append((first, min(end + 1, whole)))
    return ranges


def shaking(base: Base, force_n: Floats, first: int, end: int) -> Floats:
    """The true acceleration of blocks first to end [readings], before each axis's share; one tool throughout."""
    a, b = first * BLOCK_ROWS, end * BLOCK_ROWS
    ends = base.angle_rad[a + BLOCK_ROWS - 1 : b : BLOCK_ROWS]
    begins = np.concatenate(([base.angle_rad[a - 1] if a else 0.0], ends[:-1]))
    speed = base.speed_rpm[a + BLOCK_ROWS - 1 : b : BLOCK_ROWS]
    mean_n = force_n[a:b].reshape(-1, BLOCK_ROWS).sum(axis=1) / BLOCK_ROWS
    steps = (np.arange(PER_BLOCK) + 1.0) / PER_BLOCK
    turned = steps * ((ends - begins) * vibration.PER_RAD)[:, None]
    turned += (begins % (2.0 * math.pi) * vibration.PER_RAD)[:, None]
    wave = vibration.turning(turned, speed[:, None], int(base.teeth[b - 1]), mean_n[:, None])
    return wave.reshape(-1)
