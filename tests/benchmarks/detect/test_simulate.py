"""The hours are the simulated mill's: the same signals, row by row, as the mill gives one millisecond at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from nodes.sensory_cortex.mill import Mill
from nodes.sensory_cortex.program import Program, pocket
from nodes.sensory_cortex.vibration import Excitation, Vibration
from schemas.machine import Motion
from tests.benchmarks.detect.scenarios import normal
from tests.benchmarks.detect.simulate import (
    BLOCK_ROWS,
    Base,
    Varied,
    even_stuff,
    recorded,
    shaken_ranges,
    shaking,
    two_passes,
)

SAME = 1e-9
"""relative: sums in another order"""


class Same:
    """Draws that are given to the mill one by one, and kept for the other form."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.drawn: list[float] = []

    def __iter__(self) -> Iterator[float]:
        return self

    def __next__(self) -> float:
        value = float(self._rng.standard_t(4.0) / np.sqrt(2.0))
        self.drawn.append(value)
        return value


PROGRAMS = [pocket(), normal(np.random.default_rng(5)).program, normal(np.random.default_rng(6)).program]


@pytest.mark.parametrize("program", PROGRAMS, ids=["pocket", "drawn 5", "drawn 6"])
def test_loads_and_forces_are_those_of_the_mill_row_by_row(program: Program) -> None:
    first, later = two_passes(Mill(program, even_stuff()))
    draws = Same(3)
    mill = Mill(program, draws)
    mill.start()
    varied = Varied()
    for base, wear in ((first, 1.0), (later, 1.2), (later, 1.25)):
        mill.faults.wear_aim = wear
        true = []
        drawn = len(draws.drawn)
        for _ in range(len(base)):
            mill.step()
            true.append((mill.spindle.load_pct, *mill.axis_load_pct, mill.force_n))
        mine = varied.over(base, np.array(draws.drawn[drawn:]), wear)
        columns = (mine.load_pct, *mine.axis_load_pct, mine.force_n)
        np.testing.assert_allclose(np.stack(columns, axis=1), np.array(true), rtol=SAME, atol=1e-6)
        assert mill.spindle.speed_rpm == pytest.approx(base.speed_rpm[-1])
    assert mill.part_count == 3


def test_the_gates_change_in_the_rows_in_which_the_mill_says_so() -> None:
    base = recorded_pocket()
    mill = Mill(pocket(), even_stuff())
    mill.start()
    told: list[tuple[int, Motion]] = [(0, mill.motion)]
    revision = mill.revision
    for row in range(len(base)):
        mill.step()
        if mill.revision != revision:
            revision = mill.revision
            told.append((row, mill.motion))
    assert [(row, state.motion) for row, state in base.changes] == told


def recorded_pocket() -> Base:
    mill = Mill(pocket(), even_stuff())
    mill.start()
    return recorded(mill)


def test_acceleration_is_that_of_the_vibration_of_the_simulator() -> None:
    base, _ = two_passes(Mill(pocket(), even_stuff()))
    true = Varied().over(base, np.zeros(len(base.in_cut)), 1.0)
    (first, end), *_ = shaken_ranges(base)
    mine = shaking(base, true.force_n, first, end).reshape(end - first, -1)
    vibration = Vibration(100)
    for block in range(first, end):
        a, b = block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS
        excitation = Excitation(
            float(base.angle_rad[a - 1]),
            float(base.angle_rad[b - 1]),
            int(base.teeth[b - 1]),
            sum(true.force_n[a:b].tolist()) / BLOCK_ROWS,
            float(base.speed_rpm[b - 1]),
        )
        np.testing.assert_allclose(mine[block - first], vibration.block(excitation)[:, 0], rtol=SAME, atol=1e-9)


def test_every_feed_move_lies_in_a_range_of_vibration() -> None:
    base, _ = two_passes(Mill(pocket(), even_stuff()))
    shaken = np.zeros(len(base) // BLOCK_ROWS, dtype=bool)
    for first, end in shaken_ranges(base):
        assert not shaken[first:end].any()
        shaken[first:end] = True
    assert shaken[base.in_cut[base.in_cut < len(shaken) * BLOCK_ROWS] // BLOCK_ROWS].all()


def test_a_cut_beyond_the_drive_is_refused() -> None:
    base, _ = two_passes(Mill(pocket(), even_stuff()))
    with pytest.raises(ValueError, match="at its limit"):
        Varied().over(base, np.zeros(len(base.in_cut)), 30.0)
