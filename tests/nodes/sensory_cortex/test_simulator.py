"""The simulated mill by the clock: every row once, at its own pace and faster, and what is too late is counted."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from nodes.sensory_cortex.drivers import Setting
from nodes.sensory_cortex.drivers.simulator import DRIVE, Simulator, SimulatorOptions
from schemas.base import Message
from schemas.machine import SignalBlock
from schemas.system import LogLevel

MS = 1_000_000
LOGGED: list[str] = []


def simulator(speed: float) -> Simulator:
    LOGGED.clear()

    def log(level: LogLevel, text: str) -> None:
        LOGGED.append(text)

    ids = itertools.count(1)
    options = SimulatorOptions(speed=speed)
    made = Simulator(Setting("vmc1", "simulator", options, Random(1), lambda: f"x#{next(ids)}", log))
    made.start(0)
    return made


def rows(said: list[Message]) -> list[SignalBlock]:
    return [m for m in said if isinstance(m, SignalBlock) and m.source == DRIVE]


@pytest.mark.parametrize("speed", [0.5, 3.0, 20.0])
def test_every_row_comes_once_and_the_mill_moves_the_same_at_any_speed(speed: float) -> None:
    """Its noise is another: sensors draw in the order in which they are read."""
    own_pace, other = simulator(1.0), simulator(speed)
    for ms in range(1, 1201):
        own_pace.advance(ms * MS)
    blocks = [b for ms in range(1, int(1200 / speed) + 1) for b in rows(other.advance(ms * MS))]
    at = 0
    for block in blocks:
        assert block.first_row == at
        assert block.stamp_ns == (at + 1) * MS
        at += len(block.data.array)
    assert at == 1200
    one, two = own_pace.mill, other.mill
    assert (two.steps, two.axes.x, two.axes.y, two.axes.z) == (one.steps, one.axes.x, one.axes.y, one.axes.z)
    assert two.spindle.commanded_rpm == one.spindle.commanded_rpm > 0
    assert other.lost_rows == 0


@pytest.mark.parametrize(("speed", "most"), [(1.0, 4), (20.0, 40)])
def test_a_late_tick_is_caught_up_over_several(speed: float, most: int) -> None:
    mill = simulator(speed)
    at_ns = 100 * MS
    blocks = [b for _ in range(100) for b in rows(mill.advance(at_ns))]
    assert {len(b.data.array) for b in blocks} == {most}
    assert sum(len(b.data.array) for b in blocks) == 100 * speed
    assert mill.lost_rows == 0


@pytest.mark.parametrize("speed", [1.0, 20.0])
def test_what_is_later_than_a_second_is_lost_and_counted(speed: float) -> None:
    mill = simulator(speed)
    (block,) = rows(mill.advance(1500 * MS))
    assert mill.lost_rows == block.first_row == 500 * speed
    assert [f"{1500 * speed:.0f} ms late: {500 * speed:.0f} rows of drive are lost"] == LOGGED
