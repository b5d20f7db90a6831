"""The node against a world turned by hand: what it asks, says and latches, millisecond by millisecond."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

from bus.node import Gone, Lost, Source, Stale
from nodes.impact_cortex import ImpactCortex
from nodes.impact_cortex.tasks import Settings, default_tasks
from schemas import codec as codec_module
from schemas import topics
from schemas.base import Message
from schemas.codec import codec
from schemas.impact import (
    Assessment,
    Beat,
    Intervention,
    Mode,
    ModeRequest,
    ProtectionState,
    Reaction,
    ReactionResult,
    StackLight,
)
from schemas.machine import (
    ActionReply,
    Execution,
    FeedHoldRequest,
    Motion,
    MotionPhase,
    SignalBlock,
    StopRequest,
)
from tests.nodes.impact_cortex.rig import ACCELEROMETER, DRIVE, MS, STILL, World, cutting, drive_block


def test_the_first_decision_waits_for_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: dict[type[Message], Any] = {}
    monkeypatch.setattr(codec_module, "_codecs", compiled)
    world = cutting()
    before = set(compiled)
    world.samples(120.0, 200)
    assert {type(m) for m in world.published} | {FeedHoldRequest, StopRequest, ActionReply} <= before


def test_crash_holds_the_feed_within_three_readings_and_stops_when_that_does_not_help() -> None:
    world = cutting()
    world.samples(120.0, 2)
    assert world.asked == []
    world.samples(120.0, 1)
    assert world.asked == ["machine/feed_hold"]
    world.state(Execution.FEED_HOLD, Motion.IDLE)
    world.motion(MotionPhase.AXES_STANDING)
    world.samples(120.0, 149)
    assert world.asked == ["machine/feed_hold"]
    world.samples(120.0, 1)
    assert world.asked == ["machine/feed_hold", "machine/stop"]
    world.samples(120.0, 500)
    assert world.reactions == [("load_limit", "FEED_HOLD"), ("load_limit", "STOP")]
    hold, stop = world.said(Intervention)
    assert "120 % against 85 %" in hold.reason
    assert stop.reason == "spindle_load_pct still 120 %, limit 85 %, 150 ms after the feed hold"


def test_intervention_tells_who_when_why_and_shows_the_samples() -> None:
    world = cutting()
    world.samples(120.0, 3)
    (i,) = world.said(Intervention)
    assert (i.program, i.block_number, i.tool_serial, i.run_id) == ("O1001", 120, "em10-0001", "vmc1/sensory_cortex#1")
    assert i.cause.topic == "vmc1/machine/samples"
    assert i.evidence_names == ("spindle_speed_rpm", "spindle_load_pct", "spindle_torque_nm", "x_load_pct")
    assert i.evidence.array.shape == (200, 4)
    assert i.evidence.array[:, 1].tolist() == [40.0] * 197 + [120.0] * 3
    assert i.evidence.dtype == "<f4"
    assert i.age_ms == 0.0
    (r,) = world.said(ReactionResult)
    assert (r.intervention_id, r.accepted, r.action_id) == (i.intervention_id, True, "a1")


def test_a_feed_hold_that_helps_is_all() -> None:
    world = cutting()
    world.samples(120.0, 3)
    world.state(Execution.FEED_HOLD, Motion.IDLE)
    world.motion(MotionPhase.AXES_STANDING)
    world.samples(7.0, 300)
    world.samples(120.0, 300)  # the operator turns the spindle off and on
    assert world.asked == ["machine/feed_hold"]


def test_beyond_the_hard_limit_both_are_asked_at_once_in_order() -> None:
    world = cutting()
    world.samples(200.0, 3)
    assert world.asked == ["machine/feed_hold", "machine/stop"]


def test_the_hard_limit_needs_no_gate_and_no_state() -> None:
    world = World(mode=Mode.STOP)
    world.state(Execution.READY, Motion.IDLE)
    world.samples(150.0, 300)
    assert world.asked == []
    world.samples(200.0, 3)
    assert world.reactions == [("load_hard", "FEED_HOLD"), ("load_hard", "STOP")]


@pytest.mark.parametrize("motion", [Motion.RAPID, Motion.TOOL_CHANGE, Motion.FEED])
def test_an_axis_that_meets_something_is_held_in_any_motion(motion: Motion) -> None:
    world = cutting()
    world.state(Execution.ACTIVE, motion)
    world.samples(7.0, 200, axis_pct=45.0)
    world.samples(7.0, 2, axis_pct=120.0)
    assert world.reactions == []
    world.samples(7.0, 1, axis_pct=120.0)
    assert world.reactions == [("axis_limit", "FEED_HOLD")]
    (i,) = world.said(Intervention)
    assert i.signal == "x_load_pct"
    world.samples(7.0, 150, axis_pct=120.0)
    assert world.asked == ["machine/feed_hold", "machine/stop"]


def test_what_pressed_on_an_axis_is_let_go_by_the_release_and_watched_again_soon_after() -> None:
    world = cutting()
    world.samples(7.0, 3, axis_pct=300.0)
    world.state(Execution.FEED_HOLD, Motion.IDLE)
    world.motion(MotionPhase.AXES_STANDING)
    world.motion(MotionPhase.RELEASED)
    world.state(Execution.ACTIVE, Motion.RAPID)
    world.samples(7.0, 8, axis_pct=300.0)  # read before the release, heard after it
    world.samples(7.0, 42)
    assert world.asked == ["machine/feed_hold"]
    world.samples(7.0, 3, axis_pct=300.0)
    assert world.asked == ["machine/feed_hold"] * 2


@pytest.mark.parametrize("motion", [Motion.RAPID, Motion.SPINDLE_CHANGE, Motion.TOOL_CHANGE, Motion.DWELL])
def test_nothing_is_raised_outside_the_cut_nor_while_it_settles(motion: Motion) -> None:
    world = cutting()
    world.state(Execution.ACTIVE, motion)
    world.samples(150.0, 1000)
    world.state(Execution.ACTIVE, Motion.FEED)
    world.samples(150.0, 50)
    assert world.reactions == []
    world.samples(150.0, 3)
    assert world.reactions == [("load_limit", "FEED_HOLD")]


def test_air_cut_and_re_entry_raise_nothing() -> None:
    world = cutting()
    for load in (3.0, 60.0, 3.0, 30.0, 3.0, 60.0):
        world.samples(load, 500)
    assert world.reactions == []


def test_cusum_holds_the_feed_below_the_limit() -> None:
    world = cutting()
    world.samples(82.0, 150)
    assert world.reactions[0] == ("load_cusum", "FEED_HOLD")
    (i,) = world.said(Intervention)[:1]
    assert i.value == 82.0


def test_idle_load_is_learned_in_rapid() -> None:
    world = cutting()
    world.state(Execution.ACTIVE, Motion.RAPID)
    world.samples(9.0, 1500)
    world.state(Execution.ACTIVE, Motion.FEED)
    world.samples(9.0, 1000)  # above air_pct, but not above idle: the tool cuts air
    world.samples(60.0, 300)
    assert world.reactions == []


def test_a_hold_that_is_refused_is_followed_by_stop_and_both_are_said() -> None:
    world = cutting()
    world.refuse = "door open"
    world.samples(120.0, 3)
    assert world.asked[:2] == ["machine/feed_hold", "machine/stop"]
    assert world.protection().state is ProtectionState.UNPROTECTED
    assert any("door open" in r for r in world.protection().reasons)
    assert "door open" in world.said(Intervention)[1].reason


def test_a_hal_that_does_not_answer_is_asked_again_and_not_for_ever() -> None:
    world = cutting()
    world.refuse = ""
    world.samples(120.0, 2000)
    assert world.asked[:2] == ["machine/feed_hold", "machine/stop"]
    assert 10 <= world.asked.count("machine/stop") <= 25
    assert world.reactions == [("load_limit", "FEED_HOLD"), ("load_limit", "STOP")]
    assert any("did not take the last request" in r for r in world.protection().reasons)


def test_stop_comes_by_the_timer_when_the_samples_fall_silent() -> None:
    world = cutting()
    world.samples(120.0, 3)
    for _ in range(4):
        world.tick()
    assert world.asked == ["machine/feed_hold", "machine/stop"]


@pytest.mark.parametrize("by", ["released", "active", "acknowledged"])
def test_latched_until_the_operator_resets(by: str) -> None:
    world = cutting()
    world.samples(120.0, 3)
    world.state(Execution.FEED_HOLD, Motion.IDLE)
    world.motion(MotionPhase.AXES_STANDING)
    world.samples(7.0, 3000)
    assert world.said(Assessment)[-1].light is StackLight.RED
    if by == "released":
        world.motion(MotionPhase.RELEASED)
    if by == "acknowledged":
        world.node.set_mode(ModeRequest(mode=Mode.STOP, changed_by="anna", reason="tool looked at"))
    world.state(Execution.ACTIVE, Motion.FEED)
    world.samples(40.0, 100)
    assert world.said(Assessment)[-1].light is StackLight.GREEN
    world.samples(120.0, 3)
    assert world.asked == ["machine/feed_hold"] * 2


def test_observe_is_the_default_asks_nothing_and_says_what_it_would_have_done() -> None:
    assert ImpactCortex.interface.parameters["mode"].default is Mode.OBSERVE
    world = cutting(mode=Mode.OBSERVE)
    world.samples(200.0, 1000)
    assert world.asked == []
    assert world.reactions[:2] == [("load_limit", "(FEED_HOLD)"), ("load_hard", "(STOP)")]
    assert "OBSERVE would have: STOP" in world.said(Assessment)[-1].reason
    assert world.protection().state is ProtectionState.UNPROTECTED
    assert "mode OBSERVE: nothing is asked of the machine" in world.protection().reasons


def test_what_was_only_said_ends_with_the_quiet() -> None:
    world = cutting(mode=Mode.OBSERVE)
    world.samples(120.0, 100)
    world.samples(40.0, 2000)
    world.samples(120.0, 100)
    assert world.reactions == [("load_limit", "(FEED_HOLD)")] * 2


def test_mode_hold_holds_and_only_says_stop() -> None:
    world = cutting(mode=Mode.HOLD)
    world.samples(120.0, 200)
    assert world.asked == ["machine/feed_hold"]
    assert world.reactions == [("load_limit", "FEED_HOLD"), ("load_limit", "(STOP)")]
    assert world.protection().state is ProtectionState.DEGRADED


def test_mode_is_changed_by_someone_for_a_reason() -> None:
    world = cutting(mode=Mode.OBSERVE)
    refused = world.node.set_mode(ModeRequest(mode=Mode.STOP, changed_by="anna", reason=""))
    assert not refused.accepted
    assert "reason" in refused.text
    assert world.node.set_mode(ModeRequest(mode=Mode.STOP, changed_by="anna", reason="taught in")).accepted
    assert world.protection().state is ProtectionState.PROTECTED
    assert world.said(Beat)[-1].mode is Mode.OBSERVE
    world.samples(120.0, 3)
    assert world.asked == ["machine/feed_hold"]


def test_warning_when_the_load_stays_high() -> None:
    world = cutting(cusum_threshold_pct_s=100.0)
    world.samples(80.0, 600)
    assert world.reactions == [("load_warning", "WARN")]
    assert world.asked == []
    assert world.said(Assessment)[-1].light is StackLight.YELLOW


def test_chatter_is_warned_of_once_and_gravity_is_not_chatter() -> None:
    world = cutting()
    t = np.arange(3000) / 10_000
    loud = np.tile(STILL, (30, 1))
    loud[:, 0] += (60 * np.sin(2 * math.pi * 1350 * t)).astype(np.float32)
    world.vibration(loud)
    assert world.reactions == [("vibration", "WARN"), ("chatter", "WARN")]
    i, _ = world.said(Intervention)
    assert i.signal == "x_accel"
    assert i.evidence.array.shape == (2000, 3)


def test_the_links_say_silence_at_once() -> None:
    world = cutting()
    hal = Source("vmc1/sensory_cortex", "vmc1/machine/state", 1, world.now)
    world.node.on_state_link(Stale(hal, 3.0))
    assert "machine/state silent: only the limits that need no gate are judged" in world.protection().reasons
    world.samples(120.0, 100)
    assert world.reactions == []
    world.samples(200.0, 3)
    assert world.reactions == [("load_limit", "FEED_HOLD"), ("load_hard", "STOP")]
    assert "judged without its gate" in world.said(Intervention)[0].reason
    world.node.on_samples_link(Gone(hal, clean=False))
    world.node.on_vibration_link(Gone(hal, clean=False))
    assert world.protection().state is ProtectionState.UNPROTECTED
    world.node.on_samples_link(Lost(hal, 5, 8))
    assert world.reports == ["4 messages of machine/samples never came: they were not judged"]


def test_every_link_is_handled() -> None:
    assert all(
        ImpactCortex.interface.handles_silence(t) for t in (topics.SAMPLES, topics.VIBRATION, topics.MACHINE_STATE)
    )


def test_columns_are_found_by_name() -> None:
    world = World(signals=(DRIVE[1], DRIVE[0], *DRIVE[2:]), mode=Mode.STOP)
    world.samples(40.0, 300)  # the rig sends speed first: 9549 where the load should be
    assert world.reactions[0] == ("load_hard", "FEED_HOLD")


def test_a_machine_without_drive_load_rests_those_tasks_and_says_so() -> None:
    world = World(signals=ACCELEROMETER, mode=Mode.STOP)
    world.samples(40.0, 300)
    assert "no task that could hold the feed has readings" in world.protection().reasons
    (reason,) = [r for r in world.protection().reasons if "spindle_load_pct" in r]
    assert "load_limit" in reason
    assert "load_cusum" in reason


def test_before_anything_is_heard_nothing_is_claimed() -> None:
    world = World(mode=Mode.STOP)
    world.node.on_configure()
    world.tick()
    assert world.protection().state is ProtectionState.UNPROTECTED
    assert world.said(Assessment)[-1].light is StackLight.OFF


def test_assessment_knows_forces_and_the_described_cut() -> None:
    world = cutting(
        material="aluminium_wrought",
        tool_diameter_mm=10.0,
        teeth=3,
        depth_mm=5.0,
        width_mm=5.0,
        rated_torque_nm=35.0,
        rated_power_kw=5.5,
    )
    a = world.said(Assessment)[-1]
    assert a.spindle_power_kw == pytest.approx(2.2, rel=0.01)  # 2.2 Nm at 9549 rpm
    assert a.cutting_force_n == pytest.approx(440, rel=0.01)
    assert a.model_load_pct == pytest.approx(20.5, rel=0.01)
    assert {m.task for m in a.margins} == {t.name for t in default_tasks(Settings())}
    (margin,) = [m for m in a.margins if m.task == "load_limit"]
    assert margin.margin_pct == pytest.approx(100 * (1 - 40 / 85))


def test_blocks_of_many_rows_are_judged_like_single_rows() -> None:
    world = cutting()
    world.now += 100 * MS
    data = np.tile(np.array([9549.0, 40.0, 2.2, 12.0], dtype=np.float32), (100, 1))
    data[60:, 1] = 120.0
    block = drive_block(world.now, 1000, 0.0, rows=100)
    world.node.on_samples(block.model_copy(update={"data": type(block.data)(data)}))
    (i,) = world.said(Intervention)
    assert i.reaction is Reaction.FEED_HOLD
    assert i.evidence.array[-1, 1] == 120.0
    assert int((i.evidence.array[:, 1] == 120.0).sum()) == 3


def test_the_same_input_gives_the_same_bytes() -> None:
    def run() -> list[bytes]:
        world = cutting()
        world.samples(120.0, 200)
        return [m.model_dump_json().encode() for m in world.published]

    assert run() == run()


@pytest.mark.parametrize("period_ns", [1, -1, -(2**63), 2**63 - 1, 2**64 - 1])
def test_a_period_that_is_none_takes_no_memory_and_ends_nothing(period_ns: int) -> None:
    """A table whose stamps are in another unit than its map says gives such."""
    world = World(mode=Mode.STOP)
    tracemalloc.start()
    try:
        for n in range(20):
            block = drive_block(world.now + n * MS, n, 170.0)
            world._hear(topics.SAMPLES)
            world.node.on_samples(SignalBlock(**{**block.__dict__, "period_ns": period_ns}))
            world.node.tick()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50_000_000
    for message in world.published:
        codec(type(message)).encode(message)
