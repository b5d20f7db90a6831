"""What is asked when more is allowed than before, and when a hold or a stop counts as one that helped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schemas import topics
from schemas.base import Samples
from schemas.impact import BypassRequest, Mode, ModeRequest, ProtectionState
from schemas.machine import Alarm, ConditionLevel, Execution, Motion, MotionPhase, SignalBlock, SignalInfo
from tests.nodes.impact_cortex.rig import DRIVE, MS, World, cutting

FEED = SignalInfo(
    name="feed_mm_min", mtconnect_type="PATH_FEEDRATE", unit="mm/min", source="drive", topic="machine/samples"
)


class Moving(World):
    """A machine that tells its feed, half a second into an ordinary cut."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__((*DRIVE, FEED), **{"mode": Mode.STOP, **parameters})
        self.feed_mm_min = 1432.0
        self.samples(40.0, 600)
        assert self.reactions == []

    def samples(self, load_pct: float, ms: int, axis_pct: float = 12.0) -> None:
        for _ in range(ms):
            self.now += MS
            row = np.array([[9549.0, load_pct, 2.2, axis_pct, self.feed_mm_min]], dtype=np.float32)
            block = SignalBlock(
                stamp_ns=self.now, period_ns=MS, source="drive", first_row=self._rows, data=Samples.take(row)
            )
            self.tell(topics.SAMPLES, block)
            self._rows += 1
            self.answer()
            if self._rows % 50 == 0:
                self.time()


def bypass(world: World, minutes: float) -> None:
    request = BypassRequest(minutes=minutes, changed_by="anna", reason="probe in the way")
    assert world.node.on_bypass(request).accepted


def by_itself(world: World) -> None:
    world.samples(120.0, 400)


def by_hand(world: World) -> None:
    bypass(world, 0.0)


def by_parameter(world: World) -> None:
    world.node.mode = Mode.HOLD
    world.node.on_parameter("mode")
    world.node.mode = Mode.STOP
    world.node.on_parameter("mode")
    bypass(world, 0.0)


@pytest.mark.parametrize("ends", [by_itself, by_hand, by_parameter])
def test_what_was_only_said_is_asked_for_when_a_bypass_ends(ends: Callable[[World], None]) -> None:
    world = cutting()
    bypass(world, 0.01)  # 600 ms
    world.samples(120.0, 300)
    assert world.asked == []
    assert world.reactions == [("load_limit", "(FEED_HOLD)")]
    ends(world)
    world.samples(120.0, 3)
    assert world.asked == ["machine/feed_hold"]
    world.samples(120.0, 500)
    assert world.asked == ["machine/feed_hold", "machine/stop"]


def test_nothing_is_asked_for_that_is_over_when_a_bypass_ends() -> None:
    world = cutting()
    bypass(world, 0.01)
    world.samples(120.0, 300)
    world.samples(40.0, 1000)
    assert world.asked == []


@pytest.mark.parametrize("load_pct", [120.0, 200.0])
def test_a_stop_that_was_only_said_is_asked_for_when_the_mode_allows_it(load_pct: float) -> None:
    world = cutting(mode=Mode.HOLD)
    world.samples(load_pct, 300)
    assert world.asked == ["machine/feed_hold"]
    assert world.reactions[-1][1] == "(STOP)"
    world.node.set_mode(ModeRequest(mode=Mode.STOP, changed_by="anna", reason="it does not hold"))
    world.samples(load_pct, 3)
    assert world.asked == ["machine/feed_hold", "machine/stop"]


def test_a_hold_that_helped_stays_one_when_the_mode_allows_more() -> None:
    world = cutting(mode=Mode.HOLD)
    world.samples(120.0, 3)
    world.state(Execution.FEED_HOLD, Motion.IDLE)
    world.motion(MotionPhase.AXES_STANDING)
    world.samples(7.0, 300)
    world.node.set_mode(ModeRequest(mode=Mode.STOP, changed_by="anna", reason="taught in"))
    world.samples(7.0, 300)
    assert world.asked == ["machine/feed_hold"]


def test_axes_that_stand_in_a_corner_are_no_hold() -> None:
    moving = Moving()
    moving.samples(120.0, 3)
    moving.samples(40.0, 60)
    moving.feed_mm_min = 0.0
    moving.samples(40.0, 5)
    moving.feed_mm_min = 1432.0
    moving.samples(40.0, 90)
    assert moving.asked == ["machine/feed_hold", "machine/stop"]


def test_a_hold_in_time_is_one() -> None:
    moving = Moving()
    moving.samples(120.0, 3)
    moving.samples(40.0, 100)
    moving.feed_mm_min = 0.0
    moving.samples(7.0, 500)
    assert moving.asked == ["machine/feed_hold"]


def powerless() -> Moving:
    """A machine that goes on though it was asked to stop."""
    moving = Moving()
    moving.samples(200.0, 3)
    moving.samples(40.0, 100)
    moving.feed_mm_min = 0.0
    moving.samples(40.0, 60)  # a corner
    moving.feed_mm_min = 1432.0
    moving.samples(40.0, 500)
    assert [a.level for a in moving.said(Alarm)] == [ConditionLevel.FAULT]
    return moving


@pytest.mark.parametrize("between", [Execution.UNAVAILABLE, Execution.PROGRAM_COMPLETED])
def test_a_stop_without_effect_is_said_until_an_operator_resets(between: Execution) -> None:
    moving = powerless()
    moving.state(between, Motion.UNKNOWN)
    moving.state(Execution.ACTIVE)
    moving.samples(40.0, 2000)
    assert moving.protection().state is ProtectionState.UNPROTECTED
    assert "the last STOP had no effect" in moving.protection().reasons
    assert [a.level for a in moving.said(Alarm)] == [ConditionLevel.FAULT]
    moving.motion(MotionPhase.RELEASED)
    moving.samples(40.0, 100)
    assert "the last STOP had no effect" not in moving.protection().reasons
    assert [a.level for a in moving.said(Alarm)] == [ConditionLevel.FAULT, ConditionLevel.NORMAL]


def test_a_next_cycle_is_watched_though_the_last_stop_had_no_effect() -> None:
    moving = powerless()
    moving.state(Execution.PROGRAM_COMPLETED, Motion.IDLE)
    moving.state(Execution.ACTIVE)
    moving.samples(40.0, 300)
    moving.samples(120.0, 3)
    assert moving.asked == ["machine/feed_hold", "machine/stop", "machine/feed_hold"]


def test_a_connection_lost_for_a_moment_releases_nothing() -> None:
    world = cutting()
    world.samples(120.0, 3)
    world.state(Execution.UNAVAILABLE, Motion.UNKNOWN)
    world.state(Execution.ACTIVE)
    world.samples(120.0, 400)
    assert world.asked == ["machine/feed_hold", "machine/stop"]
    assert world.reactions == [("load_limit", "FEED_HOLD"), ("load_limit", "STOP")]
