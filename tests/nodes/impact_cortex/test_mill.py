"""The logic engine in a closed loop with the simulated mill: silent on the ordinary programme, quick on a crash."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from schemas.impact import Assessment, Intervention, Mode, ProtectionState, Reaction, StackLight
from schemas.machine import Execution, Fault, Motion, MotionPhase
from tests.nodes.impact_cortex.mill_rig import MillWorld

MS = 1e6


each_sensor = pytest.mark.parametrize("load_sensor", ["drive_torque", "load_meter"])


@each_sensor
def test_two_passes_of_the_programme_raise_nothing(load_sensor: str) -> None:
    world = MillWorld(load_sensor=load_sensor, mode=Mode.STOP)
    world.run(70_000)
    assert world.mill.mill.part_count >= 2
    assert world.reactions == []
    assert world.protection().state is ProtectionState.PROTECTED
    for task in ("load_cusum", "tool_worn", "tool_broken"):
        levels = [m.value / m.limit for a in world.said(Assessment) for m in a.margins if m.task == task]
        assert np.nanmax(levels) < 0.25


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


def test_the_assessed_force_and_power_are_those_of_the_physics_vector() -> None:
    world = MillWorld(3, mode=Mode.STOP)
    world.run_to(Motion.FEED, 500)
    world.run(1000)
    assessed = world.said(Assessment)[-20:]
    force, power, model = (
        np.mean([getattr(a, name) for a in assessed])
        for name in ("cutting_force_n", "spindle_power_kw", "model_load_pct")
    )
    idle_kw = world.mill.mill.spindle.curve.rated_power_kw * 0.063
    assert force == pytest.approx(226.0, rel=0.1)
    assert power == pytest.approx(1.130 + idle_kw, rel=0.1)
    assert model == pytest.approx(100 * 1.130 / 5.5, rel=0.01)


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
    hold = next(i for i in world.said(Intervention) if i.reaction is Reaction.FEED_HOLD)
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


@each_sensor
@pytest.mark.parametrize("seed", range(3))
def test_a_tool_that_breaks_in_the_cut_is_held_and_the_hold_is_enough(load_sensor: str, seed: int) -> None:
    world = MillWorld(seed, load_sensor, mode=Mode.STOP)
    world.run_to(Motion.FEED, 800)
    broken_ns = world.now
    world.inject(Fault.TOOL_BREAKAGE)
    world.run(1500)
    assert world.reactions == [("tool_broken", "FEED_HOLD")]
    (hold,) = world.said(Intervention)
    assert (hold.stamp_ns - broken_ns) / MS <= (100 if load_sensor == "drive_torque" else 400)
    assert hold.value < hold.limit  # too low, and the reason says so
    assert "far below" in hold.reason
    assert world.mill.mill.execution is Execution.FEED_HOLD
    assert world.mill.mill.spindle.speed_rpm > 9000


def test_a_tool_broken_in_one_cut_is_found_in_its_next_one_at_the_latest() -> None:
    world = MillWorld(1, mode=Mode.STOP)
    world.run_to(Motion.FEED, 100)  # not yet held against the model
    world.inject(Fault.TOOL_BREAKAGE)
    world.run(800)
    assert world.reactions == [("tool_broken", "FEED_HOLD")]


@each_sensor
@pytest.mark.parametrize("magnitude", [0.6, 0.9, 1.2])  # 30, 45, 60 % more load
def test_a_worn_tool_is_warned_of_and_goes_on_cutting(load_sensor: str, magnitude: float) -> None:
    world = MillWorld(2, load_sensor, mode=Mode.STOP)
    world.run_to(Motion.FEED, 800)
    world.inject(Fault.WORN_TOOL, magnitude)
    world.run(6000)
    assert set(world.reactions) == {("tool_worn", "WARN")}
    assert world.asked == []
    assert world.mill.mill.execution is Execution.ACTIVE
    assert world.said(Assessment)[-1].light is StackLight.YELLOW


def test_a_worn_tool_is_told_once_and_the_light_stays_until_a_sharp_one_has_cut() -> None:
    world = MillWorld(2, mode=Mode.STOP)
    world.run_to(Motion.FEED, 800)
    world.inject(Fault.WORN_TOOL)
    world.run(25_000)  # rapids, the slot, the tool change, into the finishing pass
    assert world.reactions == [("tool_worn", "WARN")]
    assert world.said(Assessment)[-1].light is StackLight.YELLOW
    world.mill.mill.faults.clear()
    world.run(15_000)
    assert world.mill.mill.tool is not None
    assert world.mill.mill.tool.number == 1
    assert world.said(Assessment)[-1].light is StackLight.GREEN
    assert world.reactions == [("tool_worn", "WARN")]


def test_chatter_of_a_worn_tool_is_warned_of_beside_it() -> None:
    world = MillWorld(2, mode=Mode.STOP)
    world.run_to(Motion.FEED, 500)
    world.inject(Fault.WORN_TOOL)
    world.run(2000)
    world.inject(Fault.CHATTER)
    world.run_to(Motion.FEED, 1000)
    assert world.reactions == [("tool_worn", "WARN"), ("vibration", "WARN"), ("chatter", "WARN")]


def test_without_described_cuts_nothing_is_held_against_a_model_and_the_margins_say_so() -> None:
    world = MillWorld(1, mode=Mode.STOP, cuts=())
    world.run_to(Motion.FEED, 800)
    world.inject(Fault.TOOL_BREAKAGE)
    world.run(1500)
    assert world.reactions == []
    margins = {m.task: m.margin_pct for m in world.said(Assessment)[-1].margins}
    assert math.isnan(margins["tool_broken"])
    assert math.isnan(margins["tool_worn"])


def test_chatter_is_warned_of() -> None:
    world = MillWorld(3, mode=Mode.STOP)
    world.run_to(Motion.FEED, 500)
    world.inject(Fault.CHATTER)
    world.run(500)
    assert world.reactions == [("vibration", "WARN"), ("chatter", "WARN")]


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
