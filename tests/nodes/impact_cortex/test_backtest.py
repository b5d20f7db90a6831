"""Many settings in one pass over arrays: decision for decision what the live engine says, block by block."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nodes.impact_cortex.backtest import Backtest, Blocks
from nodes.impact_cortex.tasks import BadTasks
from nodes.sensory_cortex.drivers.simulator import Simulator
from schemas import topics
from schemas.base import Message, Samples
from schemas.impact import Intervention
from schemas.machine import (
    Execution,
    Fault,
    MachineState,
    Motion,
    MotionEvent,
    MotionPhase,
    SignalBlock,
    Signals,
)
from schemas.shop import JobLimit, JobRun, JobSpec
from tests.nodes.impact_cortex.mill_rig import VMC1, MillWorld
from tests.nodes.impact_cortex.rig import DRIVE, MS, T0, World, machine_state

Said = tuple[int, str, str, float, float]
Heard = list[tuple[int, Message]]

SETTINGS: list[dict[str, Any]] = [
    {},
    {"limit_pct": 30.0},
    {"limit_pct": 155.0, "cusum_threshold_pct_s": 0.4},
    {"limit_pct": 28.0, "limit_k": 5, "rearm_s": 0.1},
    {"breakage_fall_pct": 20.0, "wear_rise_pct": 2.0, "air_pct": 3.0},
    {"accel_limit": 5.0, "accel_share": 0.05, "axis_limit_pct": 20.0, "rearm_s": 0.3},
    {"depth_mm": 6.0, "width_mm": 7.0, "cuts": ()},
]


def described(**parameters: Any) -> dict[str, Any]:
    """The parameters of a MillWorld's node."""
    shipped = {n: tuple(v) if isinstance(v, list) else v for n, v in VMC1.items()}
    return {**shipped, **parameters}


@pytest.fixture(scope="module")
def heard() -> Heard:
    """What an engine that only observed heard of a mill that chattered, wore a tool, crashed and was reset."""
    world = MillWorld(5)
    world.run(2500)
    world.inject(Fault.CHATTER)
    world.run(600)
    world.mill.mill.faults.clear()
    world.inject(Fault.WORN_TOOL, 1.2)
    world.run(1500)
    world.inject(Fault.CRASH)
    world.run(1200)
    assert world.mill.reset("r1", world.now).accepted
    world.run(1500)
    return world.heard


def live(heard: Heard, **parameters: Any) -> list[Said]:
    """What an engine says that hears it block by block."""
    world = World(signals=tuple(Simulator.signals), **described(**parameters))
    for n, (heard_ns, message) in enumerate(heard):
        world.now = heard_ns
        if isinstance(message, MachineState):
            world.node.on_state(message)
        elif isinstance(message, MotionEvent):
            world.node.on_motion(message)
        elif isinstance(message, SignalBlock) and message.source == "drive":
            world.node.on_samples(message)
        elif isinstance(message, SignalBlock):
            world.node.on_vibration(message)
        if not n % 50:
            world.node.tick()
    return [(i.stamp_ns, i.task, str(i.reaction), i.value, i.limit) for i in world.said(Intervention)]


def backtested(heard: Heard, settings: list[dict[str, Any]]) -> list[list[Said]]:
    """What each setting decides, of the same."""
    test = Backtest([described(**s) for s in settings])
    test.state(machine_state(T0, Execution.ACTIVE, Motion.FEED), T0)  # as a World begins
    test.signals(Signals(signals=tuple(Simulator.signals)))
    for heard_ns, message in heard:
        if isinstance(message, MachineState):
            test.state(message, heard_ns)
        elif isinstance(message, MotionEvent) and message.phase is MotionPhase.RELEASED:
            test.released()
        elif isinstance(message, SignalBlock):
            topic = topics.SAMPLES if message.source == "drive" else topics.VIBRATION
            blocks = Blocks.of(topic.name, message, len(message.data.array))
            test.rows([blocks._replace(heard_ns=np.array([heard_ns]))])
    test.finish()
    return [said(test, n) for n in range(len(settings))]


def said(test: Backtest, n: int = 0) -> list[Said]:
    return [(d.heard_ns, d.task, str(d.reaction), d.value, d.limit) for d in test.decided(n)]


def test_every_setting_decides_as_the_live_engine_does(heard: Heard) -> None:
    expected = [live(heard, **s) for s in SETTINGS]
    assert backtested(heard, SETTINGS) == expected
    assert [len(made) for made in expected if not made] == []
    assert len({str(made) for made in expected}) == len(SETTINGS)


# --- arrays of one's own ----------------------------------------------------------------------------------------------


def drive(loads: list[float], first: int = 0) -> Blocks:
    data = np.full((len(loads), len(DRIVE)), 12.0, dtype=np.float32)
    data[:, 0], data[:, 1] = 9549.0, loads
    block = SignalBlock(
        stamp_ns=T0 + first * MS, period_ns=MS, source="drive", first_row=first, data=Samples.take(data)
    )
    return Blocks.of("machine/samples", block)


def cutting(*settings: dict[str, Any]) -> Backtest:
    test = Backtest(settings)
    test.signals(Signals(signals=DRIVE))
    test.state(machine_state(T0, Execution.ACTIVE, Motion.FEED), T0)
    return test


def test_an_episode_ends_when_the_signals_are_quiet_and_the_next_one_is_another_decision() -> None:
    test = cutting({}, {"rearm_s": 3.0}, {"limit_pct": 130.0})
    test.rows([drive([40.0] * 200 + [120.0] * 10 + [40.0] * 2000 + [120.0] * 10 + [40.0] * 100)])
    test.finish()
    holds = [
        [(d.episode, (d.stamp_ns - T0) // MS) for d in test.decided(n) if d.reaction == "FEED_HOLD"] for n in range(3)
    ]
    assert holds == [[(1, 202), (2, 2212)], [(1, 202)], []]


def test_a_reading_that_is_missing_neither_begins_nor_ends_an_episode() -> None:
    test = cutting({})
    test.rows([drive([40.0] * 200 + [120.0] * 10 + [math.nan] * 3000 + [120.0] * 10)])
    test.finish()
    assert [(d.reaction, (d.stamp_ns - T0) // MS) for d in test.decided(0)] == [("FEED_HOLD", 202)]


def test_a_release_ends_the_episode_and_what_goes_on_is_decided_anew_when_it_has_settled() -> None:
    test = cutting({})
    test.rows([drive([40.0] * 200 + [120.0] * 100)])
    test.released()
    test.rows([drive([120.0] * 100, 300)])
    test.finish()
    assert [(d.reaction, (d.stamp_ns - T0) // MS) for d in test.decided(0)] == [("FEED_HOLD", 202), ("FEED_HOLD", 352)]


def test_a_job_brings_its_limits_with_the_start_of_its_program() -> None:
    test = cutting({}, {"limit_pct": 30.0})
    limits = (JobLimit(task="load_limit", error=50.0),)
    test.job(JobSpec(job_id="502", program="O1001", limits=limits), 2)
    test.job(JobSpec(job_id="501", program="O1001"), 1)  # of a writer that was started again: it is older
    ready = machine_state(T0, Execution.READY, Motion.IDLE)
    test.state(ready.model_copy(update={"run_id": ""}), T0)
    test.state(machine_state(T0, Execution.ACTIVE, Motion.FEED).model_copy(update={"run_id": "m#2"}), T0)
    test.rows([drive([40.0] * 200 + [60.0] * 20)])
    test.finish()
    assert [[(d.limit, (d.stamp_ns - T0) // MS) for d in test.decided(n)] for n in range(2)] == [[(50.0, 202)]] * 2


def test_times_that_no_clock_shows_are_refused() -> None:
    for stamp_ns, period_ns in ((1 << 63, MS), (T0, 1 << 62), (T0, -1)):
        block = SignalBlock(
            stamp_ns=stamp_ns, period_ns=period_ns, source="drive", first_row=0, data=Samples(np.zeros((2, 1), "<f4"))
        )
        with pytest.raises(ValueError, match="cannot be"):
            Blocks.of("machine/samples", block)


def test_a_parameter_that_is_refused_leaves_what_was_not_given_as_it_was() -> None:
    test = Backtest([{}])
    test.parameter("cuts", [({"tool": -1},)])
    test.parameter("rearm_s", [1.0])
    test.finish()


def test_a_run_that_began_before_keeps_its_own_job() -> None:
    limits = (JobLimit(task="load_limit", error=50.0),)
    run = JobRun(stamp_ns=1, run_id="m#1", program="O1001", spec=JobSpec(job_id="502", program="O1001", limits=limits))
    test = Backtest([described()])
    test.run(run)
    test.job(JobSpec(job_id="503", program="O1001"), 2)
    test.signals(Signals(signals=DRIVE))
    test.state(machine_state(T0, Execution.ACTIVE, Motion.FEED).model_copy(update={"run_id": "m#1"}), T0)
    test.run(JobRun(stamp_ns=3, run_id="m#2", program="O1001"))  # what the engine tells of its runs is no news
    test.rows([drive([40.0] * 200 + [60.0] * 20)])
    test.finish()
    assert [(d.limit, (d.stamp_ns - T0) // MS) for d in test.decided(0)] == [(50.0, 202)]


def test_a_machine_of_which_nobody_says_what_it_does_is_judged_by_its_hard_limit_alone() -> None:
    test = cutting({})
    test.state_lost()
    test.rows([drive([120.0] * 100 + [170.0] * 10)])
    test.finish()
    assert [(d.task, d.reaction) for d in test.decided(0)] == [("load_limit", "FEED_HOLD"), ("load_hard", "STOP")]


def test_a_parameter_set_meanwhile_holds_for_the_settings_that_do_not_give_it() -> None:
    """Two settings that began with the same cuts have others from then on."""
    model = {**described(cuts=()), "tasks": ()}
    test = cutting(*({**model, "cuts": ({"tool": 1, "load_pct": load},)} for load in (20.0, 20.0)))
    test.state(machine_state(T0, Execution.ACTIVE, Motion.RAPID), T0)
    test.rows([drive([6.0] * 700)])  # what idle is
    test.state(machine_state(T0, Execution.ACTIVE, Motion.FEED), T0)
    test.rows([drive([26.0] * 700, 700)])
    test.parameter("cuts", [({"tool": 1, "load_pct": 20.0},), ({"tool": 1, "load_pct": 80.0},)])
    test.rows([drive([40.0] * 1500, 1400)])
    test.finish()
    assert [[d.task for d in test.decided(n)] for n in range(2)] == [["tool_worn"], ["tool_broken"]]
    test.parameter("limit_pct", [25.0, 90.0])
    test.parameter("breakage_fall_pct", [100.0, 100.0])
    test.parameter("cuts", [(), ({"tool": 1, "load_pct": -1.0},)])  # none: what was described stays in force
    test.rows([drive([30.0] * 500, 2900)])
    test.finish()
    assert [[d.task for d in test.decided(n)] for n in range(2)] == [["tool_worn", "load_limit"], ["tool_broken"]]


def test_settings_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(BadTasks):
        Backtest([{"tasks": ({"name": "nothing"},)}])
