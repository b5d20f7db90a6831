"""Whether the machine is watched, and every reason why not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from schemas import topics
from schemas.base import Samples
from schemas.impact import (
    Assessment,
    Beat,
    BypassRequest,
    Intervention,
    Mode,
    ModeReply,
    ProtectionState,
    StackLight,
)
from schemas.machine import Alarm, ConditionLevel, Execution, Motion, MotionPhase, Signals
from tests.nodes.impact_cortex.rig import (
    ACCELEROMETER,
    DRIVE,
    MS,
    World,
    cutting,
    drive_block,
    machine_info,
    machine_state,
)


def late(world: World, execution: Execution, motion: Motion, by_ms: int) -> None:
    """The machine's state, as it was so long ago."""
    world._hear(topics.MACHINE_STATE)
    world.node.on_state(machine_state(world.now - by_ms * MS, execution, motion))


def test_a_state_that_comes_150_ms_late_opens_no_gate_and_the_ungated_limit_judges() -> None:
    """At 1 kHz a spin-up is over before a late state says that it began: what is gated would call it a crash."""
    world = cutting()
    late(world, Execution.ACTIVE, Motion.FEED, 150)
    world.samples(120.0, 200)
    assert world.reactions == []
    assert world.protection().state is ProtectionState.DEGRADED
    (said,) = [r for r in world.protection().reasons if "late" in r]
    assert said.startswith("machine/state comes more than 100 ms late: judged load_limit by the ungated limit; ")
    assert "load_cusum" in said
    world.samples(170.0, 5)
    assert world.reactions == [("load_limit", "FEED_HOLD"), ("load_hard", "STOP")]
    assert world.said(Intervention)[0].reason.startswith("judged without its gate, ")


def test_a_state_in_time_is_trusted_again() -> None:
    world = cutting()
    late(world, Execution.ACTIVE, Motion.FEED, 150)
    world.samples(40.0, 60)
    world.state(Execution.ACTIVE, Motion.FEED)
    world.samples(40.0, 200)
    assert world.protection().state is ProtectionState.PROTECTED
    world.samples(120.0, 5)
    assert world.reactions == [("load_limit", "FEED_HOLD")]


def test_the_stamp_of_another_clock_is_no_age() -> None:
    world = cutting()
    late(world, Execution.ACTIVE, Motion.FEED, 5_000_000)
    world.samples(120.0, 100)
    assert world.reactions[0] == ("load_limit", "FEED_HOLD")


def test_a_lost_sensor_is_never_within_limits() -> None:
    world = cutting()
    assert world.protection().state is ProtectionState.PROTECTED
    world.samples(math.nan, 100)
    assert world.protection().state is ProtectionState.DEGRADED
    assert "sensor spindle_load_pct gives no reading" in world.protection().reasons
    world.samples(math.nan, 100, axis_pct=math.nan)
    assert world.protection().state is ProtectionState.UNPROTECTED
    (margin,) = [m for m in world.said(Assessment)[-1].margins if m.task == "load_limit"]
    assert math.isnan(margin.value)
    world.samples(40.0, 100)
    assert world.protection().state is ProtectionState.PROTECTED


def test_silence_is_unprotected_and_ends_with_the_samples() -> None:
    world = cutting()
    for _ in range(7):
        world.tick()
    assert world.protection().state is ProtectionState.UNPROTECTED
    assert "samples silent" in world.protection().reasons
    assert world.said(Assessment)[-1].light is StackLight.RED  # the program runs
    world.samples(40.0, 100)
    assert world.protection().state is ProtectionState.PROTECTED


def test_strange_sources_and_columns_are_said_and_harm_nothing() -> None:
    world = cutting()
    world.node.on_signals(Signals(signals=(*DRIVE[:2], *ACCELEROMETER)))
    world.samples(200.0, 50)
    assert world.reactions == []
    assert any("source drive sends other columns" in r for r in world.protection().reasons)
    stranger = drive_block(world.now, 0, 40.0).model_copy(update={"source": "nobody"})
    world.node.on_samples(stranger)
    world.tick()
    assert any("source nobody" in r for r in world.protection().reasons)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"can_stop": False}, ProtectionState.DEGRADED),
        ({"can_feed_hold": False}, ProtectionState.DEGRADED),
        ({"can_stop": False, "can_feed_hold": False}, ProtectionState.UNPROTECTED),
    ],
)
def test_a_machine_that_cannot_is_not_protected(changes: dict[str, bool], state: ProtectionState) -> None:
    world = cutting()
    world.node.on_info(machine_info(**changes))
    world.samples(40.0, 50)
    assert world.protection().state is state


def shift(world: World, minutes: float) -> ModeReply:
    return world.node.on_bypass(BypassRequest(minutes=minutes, changed_by="maria", reason="probing by hand"))


def test_a_bypass_asks_nothing_of_the_machine_says_so_and_ends_by_itself() -> None:
    world = cutting()
    assert not shift(world, 481.0).accepted
    assert world.protection().state is ProtectionState.PROTECTED
    assert shift(world, 10.0).accepted
    said = world.protection()
    assert (said.state, said.mode) == (ProtectionState.UNPROTECTED, Mode.OBSERVE)
    assert any(r.startswith("bypassed by maria until ") and r.endswith("probing by hand") for r in said.reasons)
    assert world.said(Beat)[-1].mode is Mode.STOP
    world.tick()
    assert world.said(Beat)[-1].mode is Mode.OBSERVE, "the HAL knows it, too"
    world.samples(120.0, 20)
    assert world.asked == []
    assert world.reactions == [("load_limit", "(FEED_HOLD)")]
    world.samples(40.0, 2000)
    world.now += 600_000 * MS
    world.samples(40.0, 100)
    assert world.protection().state is ProtectionState.PROTECTED
    world.samples(120.0, 20)
    assert world.asked == ["machine/feed_hold"]


def test_a_bypass_can_be_ended() -> None:
    world = cutting()
    shift(world, 10.0)
    assert shift(world, 0.0).accepted
    assert world.protection().state is ProtectionState.PROTECTED


def test_a_stop_without_effect_is_a_fault_that_no_view_can_hide() -> None:
    world = cutting()
    world.samples(120.0, 660)  # the hold is asked after 3 ms, the stop 150 ms later
    assert world.asked[:2] == ["machine/feed_hold", "machine/stop"]
    assert world.said(Alarm) == []
    world.samples(40.0, 60)
    (alarm,) = world.said(Alarm)
    assert (alarm.level, alarm.native_code) == (ConditionLevel.FAULT, "STOP_NOT_EFFECTIVE")
    assert alarm.text.endswith("press the machine's EMERGENCY STOP")
    assert alarm.text in world.reports
    light = world.said(Assessment)[-1]
    assert light.light is StackLight.RED
    assert light.reason.startswith("STOP WITHOUT EFFECT")
    assert "the last STOP had no effect" in world.protection().reasons
    world.samples(40.0, 3000)
    assert len(world.said(Alarm)) == 1, "said once, and it stands"
    world.motion(MotionPhase.RELEASED)
    assert world.said(Alarm)[-1].level is ConditionLevel.NORMAL
    world.tick()
    assert world.protection().state is ProtectionState.PROTECTED


def test_axes_that_stand_need_no_fault() -> None:
    world = cutting()
    world.samples(120.0, 160)
    world.motion(MotionPhase.AXES_STANDING)
    world.samples(120.0, 2000)
    assert world.said(Alarm) == []


@pytest.mark.parametrize(("feed", "stops"), [(60.0, False), (80.0, True), (math.nan, True)])
def test_a_feed_below_a_twentieth_of_the_commanded_one_is_held(feed: float, stops: bool) -> None:
    """Whatever a control says of its state; 1432 mm/min are commanded."""
    world = World((*DRIVE, FEED), mode=Mode.STOP)
    fed(world, 40.0, 1432.0, 600)
    fed(world, 120.0, feed, 5)
    assert world.asked == ["machine/feed_hold"]
    fed(world, 40.0, feed, 300)
    assert ("machine/stop" in world.asked) is stops


FEED = DRIVE[0].model_copy(update={"name": "feed_mm_min", "mtconnect_type": "PATH_FEEDRATE", "unit": "mm/min"})


def fed(world: World, load_pct: float, feed_mm_min: float, ms: int) -> None:
    """Samples with a measured feed beside the load."""
    for _ in range(ms):
        world.now += MS
        block = drive_block(world.now, world._rows, load_pct)
        data = np.hstack((block.data.array, np.full((1, 1), feed_mm_min, dtype=np.float32)))
        world._hear(topics.SAMPLES)
        world.node.on_samples(block.model_copy(update={"data": Samples(data)}))
        world._rows += 1
        world.answer()


def test_a_source_whose_columns_do_not_fit_protects_nothing() -> None:
    world = cutting()
    for n in range(100):
        world.now += MS
        block = drive_block(world.now, n, 200.0)
        narrow = Samples(block.data.array[:, :3].copy())
        world.tell(topics.SAMPLES, block.model_copy(update={"data": narrow}))
    world.time()
    assert world.protection().state is ProtectionState.UNPROTECTED
    assert "no task that could hold the feed has readings" in world.protection().reasons
    world.samples(40.0, 100)
    assert world.protection().state is ProtectionState.DEGRADED
