"""The logic engine in a closed loop with the simulated mill: silent on the ordinary programme, quick on a crash."""

from __future__ import annotations

import math
import random

import pytest

from schemas.impact import Assessment, Intervention, Mode, ProtectionState, Reaction
from schemas.machine import Execution, Fault, Motion, MotionPhase
from tests.nodes.impact_cortex.mill_rig import MillWorld

MS = 1e6


def test_two_passes_of_the_programme_raise_nothing() -> None:
    world = MillWorld(mode=Mode.STOP)
    world.run(70_000)
    assert world.mill.mill.part_count >= 2
    assert world.reactions == []
    assert world.protection().state is ProtectionState.PROTECTED
    levels = [m.value for a in world.said(Assessment) for m in a.margins if m.task == "load_cusum"]
    assert max(levels) < 0.25 * world.node.cusum_threshold_pct_s


@pytest.mark.parametrize("seed", range(4))
def test_crash_is_held_within_15_ms_of_contact_and_stopped_when_the_tool_stays_jammed(seed: int) -> None:
    world = MillWorld(seed, mode=Mode.STOP)
    world.run_to(Motion.FEED, 500)
    world.inject(Fault.CRASH)
    world.run(600)
    contact = world.at(MotionPhase.CONTACT)
    hold, stop = world.said(Intervention)
    assert world.asked == ["machine/feed_hold", "machine/stop"]
    assert (hold.stamp_ns - contact.stamp_ns) / MS <= 15
    assert (stop.stamp_ns - hold.stamp_ns) / MS == pytest.approx(150)
    assert world.at(MotionPhase.AXES_STANDING).travel_mm < 0.6
    assert "spindle load above its limit" in hold.reason
    assert stop.execution is Execution.FEED_HOLD


MOMENTS = 50
PASS_MS = 30_000


def test_a_crash_at_any_moment_of_the_programme_is_held_and_stands_within_a_second() -> None:
    met: set[Motion | None] = set()
    for moment in range(MOMENTS):
        world = MillWorld(moment, mode=Mode.STOP)
        mill = world.mill.mill
        for _ in range(random.Random(moment).randrange(PASS_MS // MOMENTS) + PASS_MS // MOMENTS * moment):
            mill.step()  # nobody looks yet
        world.run(100)
        asked_ns = world.now
        world.inject(Fault.CRASH)
        world.run(1000)
        contact = world.at(MotionPhase.CONTACT)
        hold, stop = (i for i in world.said(Intervention) if i.reaction is not Reaction.WARN)
        assert (hold.reaction, stop.reaction) == (Reaction.FEED_HOLD, Reaction.STOP)
        assert asked_ns < contact.stamp_ns < hold.stamp_ns < stop.stamp_ns
        assert (hold.stamp_ns - contact.stamp_ns) / MS <= 40
        assert world.at(MotionPhase.AXES_STANDING).travel_mm < 4.0
        assert mill.execution in (Execution.STOPPED, Execution.INTERRUPTED)
        met.add(world.met_in)
    assert met >= {Motion.FEED, Motion.RAPID, Motion.TOOL_CHANGE}


def test_with_the_limit_out_of_reach_the_cusum_catches_the_crash() -> None:
    world = MillWorld(2, mode=Mode.STOP, limit_pct=155.0)
    world.run_to(Motion.FEED, 800)
    world.inject(Fault.CRASH)
    world.run(100)
    hold = world.said(Intervention)[0]
    assert hold.task == "load_cusum"
    assert (hold.stamp_ns - world.at(MotionPhase.CONTACT).stamp_ns) / MS <= 40


def test_observe_lets_the_crash_happen_and_says_what_it_would_have_done() -> None:
    world = MillWorld(1)
    world.run_to(Motion.FEED, 500)
    world.inject(Fault.CRASH)
    world.run(600)
    assert world.asked == []
    assert world.reactions[0] == ("load_limit", "(FEED_HOLD)")


def test_after_a_reset_the_next_crash_is_caught_again() -> None:
    world = MillWorld(1, mode=Mode.STOP)
    for crashes in (1, 2):
        world.run_to(Motion.FEED, 500)
        world.inject(Fault.CRASH)
        world.run(1500)
        assert world.asked == ["machine/feed_hold", "machine/stop"] * crashes
        assert world.mill.reset(f"r{crashes}", world.now).accepted


def test_chatter_is_warned_of() -> None:
    world = MillWorld(3, mode=Mode.STOP)
    world.run_to(Motion.FEED, 500)
    world.inject(Fault.CHATTER)
    world.run(500)
    assert world.reactions == [("vibration", "WARN")]


def test_a_lost_sensor_is_said_and_with_the_last_one_that_could_hold_the_feed_protection_ends() -> None:
    world = MillWorld(3, mode=Mode.STOP)
    world.run_to(Motion.FEED, 500)
    world.mill.mill.faults.lost.add("x_accel")
    world.run(200)
    assert world.protection().state is ProtectionState.DEGRADED
    assert world.protection().reasons == ("sensor x_accel gives no reading",)
    world.mill.mill.faults.lost |= {"spindle_load_pct", "x_load_pct", "y_load_pct", "z_load_pct"}
    world.run(200)
    assert world.protection().state is ProtectionState.UNPROTECTED
    assert "sensor spindle_load_pct gives no reading" in world.protection().reasons
    assert not any(math.isnan(i.value) for i in world.said(Intervention))


def test_a_silent_drive_is_not_protected_and_says_so() -> None:
    world = MillWorld(3, mode=Mode.STOP)
    world.run_to(Motion.FEED, 500)
    world.mill.mill.faults.silent.add("drive")
    world.run(500)
    assert world.protection().state is ProtectionState.UNPROTECTED
    assert "source drive silent" in world.protection().reasons
