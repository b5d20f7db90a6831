"""A job on the node: when it takes effect, what it changes, what is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from bus.node import Source
from nodes.impact_cortex.jobs import UNSEEN
from schemas.impact import Assessment, Intervention, Mode
from schemas.machine import Alarm, ConditionLevel, Execution, MachineState, Motion
from schemas.shop import JobCut, JobEvent, JobEventKind, JobLimit, JobReply, JobRun, JobSpec
from tests.nodes.impact_cortex.rig import World, cutting, machine_state

SPEC = JobSpec(
    job_id="502",
    program="O1001",
    operator_id="maria",
    cuts=(JobCut(tool=1, load_pct=30.0),),
    limits=(JobLimit(task="load_limit", error=60.0),),
)


NONE = JobSpec(job_id="", program="")


def hear(world: World, execution: Execution, **changes: Any) -> MachineState:
    state = machine_state(world.now, execution, Motion.FEED).model_copy(update=changes)
    world.node.on_state(state)
    return state


def start(world: World, spec: JobSpec = SPEC) -> JobReply:
    return world.node.start_job(spec)


def publish(world: World, spec: JobSpec, stamp_ns: int, by: str = "erp") -> None:
    """Somebody has published this on job/spec."""
    world.node.source = Source(by, "vmc1/job/spec", 1, stamp_ns)
    world.node.on_spec(spec)


def again(world: World, **changes: Any) -> None:
    """The program ends and is started anew."""
    hear(world, Execution.PROGRAM_COMPLETED, run_id="", part_count=1)
    hear(world, Execution.ACTIVE, **{"run_id": "next", "part_count": 1, **changes})


def test_a_job_takes_effect_at_the_next_start_and_brings_its_cuts_and_limits() -> None:
    world = cutting(cusum_threshold_pct_s=100.0)
    reply = start(world)
    assert (reply.ok, reply.text) == (True, "job 502 begins with the next start of O1001")
    world.samples(70.0, 60)
    assert world.reactions == []
    again(world)
    world.samples(40.0, 100)
    assert world.said(Assessment)[-1].model_load_pct == 30.0
    world.samples(70.0, 20)
    assert world.reactions == [("load_limit", "FEED_HOLD")]
    hear(world, Execution.FEED_HOLD, run_id="next", part_count=1)
    hear(world, Execution.READY, run_id="", part_count=1)
    events = world.said(JobEvent)
    assert [(e.kind, e.job_id) for e in events] == [
        (JobEventKind.RUN_STARTED, ""),
        (JobEventKind.CYCLE_COMPLETED, ""),
        (JobEventKind.RUN_COMPLETED, ""),
        (JobEventKind.RUN_STARTED, "502"),
        (JobEventKind.RUN_PAUSED, "502"),
        (JobEventKind.ABORTED, "502"),
    ]
    assert (events[-1].interventions, events[-1].operator_id) == (1, "maria")
    assert len(world.said(Intervention)) == 1


def test_another_program_is_told_and_held_against_no_model_and_by_the_machines_own_limits() -> None:
    world = cutting(cuts=({"tool": 1, "load_pct": 30.0},))
    start(world)
    again(world, program="WARMUP")
    (alarm,) = world.said(Alarm)
    assert (alarm.level, alarm.native_code) == (ConditionLevel.WARNING, "PROGRAM_MISMATCH")
    assert alarm.text == "program WARMUP runs, the job wants O1001"
    world.samples(70.0, 100)
    assert world.reactions == [], "60 % is the limit of the job, 85 the machine's"
    assert world.said(Assessment)[-1].model_load_pct != world.said(Assessment)[-1].model_load_pct
    hear(world, Execution.PROGRAM_COMPLETED, run_id="", part_count=2, program="WARMUP")
    assert world.said(Alarm)[-1].level is ConditionLevel.NORMAL
    hear(world, Execution.ACTIVE, run_id="third", part_count=2)
    assert world.said(JobEvent)[-1].job_id == "502"


def test_a_job_that_cannot_be_taken_says_everything_that_is_wrong_with_it() -> None:
    world = cutting()
    wrong = JobSpec(
        job_id=" ",
        program="",
        material="unobtainium",
        limits=(JobLimit(task="load_limt", error=60.0), JobLimit(task="load_limit", error=-1.0)),
    )
    reply = start(world, wrong)
    assert not reply.ok
    for words in ("job_id: ", "program: ", "material: 'unobtainium'", "limits[0] (load_limt)", "limits[1].error"):
        assert words in reply.text
    again(world)
    assert world.said(JobEvent)[-1].job_id == ""


def test_a_job_can_be_ended() -> None:
    world = cutting()
    start(world)
    assert start(world, NONE).ok
    again(world)
    assert world.said(JobEvent)[-1].job_id == ""


def test_a_job_that_is_published_is_taken_as_one_that_is_given_by_hand() -> None:
    world = cutting(cusum_threshold_pct_s=100.0)
    publish(world, SPEC, world.now)
    again(world)
    assert world.said(JobEvent)[-1].job_id == "502"
    world.samples(40.0, 100)
    world.samples(70.0, 20)
    assert world.reactions == [("load_limit", "FEED_HOLD")]


def test_what_is_given_by_hand_is_published_so_that_the_next_life_hears_it() -> None:
    world = cutting()
    start(world)
    assert world.said(JobSpec) == [SPEC]
    assert not start(world, SPEC.model_copy(update={"program": ""})).ok
    start(world, NONE)
    assert world.said(JobSpec) == [SPEC, NONE]
    anew = cutting()
    publish(anew, SPEC, anew.now - 10**15, "vmc1/impact_cortex")
    again(anew)
    assert anew.said(JobEvent)[-1].job_id == "502"


def next_life(world: World) -> World:
    """The engine is ended, and begins again with what it has kept."""
    return World(mode=Mode.STOP, earlier=world.said(JobRun)[-1])


def test_a_run_goes_on_in_the_next_life_of_the_engine_by_its_own_job() -> None:
    world = cutting(cusum_threshold_pct_s=100.0)
    start(world)
    again(world)
    world.samples(40.0, 11_000)
    start(world, SPEC.model_copy(update={"job_id": "503", "limits": ()}))
    anew = next_life(world)
    publish(anew, SPEC.model_copy(update={"job_id": "503", "limits": ()}), 2)
    hear(anew, Execution.ACTIVE, run_id="next", part_count=1)
    anew.node.on_run(JobRun(stamp_ns=1, run_id="its own", program="is heard", spec=NONE))
    anew.samples(40.0, 600)
    anew.samples(70.0, 20)
    assert anew.reactions == [("load_limit", "FEED_HOLD")], "60 % is the limit of the run's job, 85 the machine's"
    again(anew, run_id="third")
    events = anew.said(JobEvent)
    assert [(e.kind, e.job_id, e.run_id, e.text) for e in events] == [
        (JobEventKind.CYCLE_COMPLETED, "502", "next", ""),
        (JobEventKind.RUN_COMPLETED, "502", "next", ""),
        (JobEventKind.RUN_STARTED, "503", "third", ""),
    ]
    (tool,) = events[0].tools
    assert tool.cutting_s > 10.0, "most of it was cut in the first life"
    assert events[0].interventions == 1


def test_a_run_that_ended_while_nobody_watched_has_its_end() -> None:
    for parts, kind in ((1, JobEventKind.ABORTED), (2, JobEventKind.RUN_COMPLETED)):
        world = cutting()
        start(world)
        again(world)
        anew = next_life(world)
        hear(anew, Execution.ACTIVE, run_id="third", part_count=parts)
        ended, started = anew.said(JobEvent)[-2:]
        assert (ended.kind, ended.run_id, ended.job_id, ended.text) == (kind, "next", "502", UNSEEN)
        assert (started.kind, started.run_id) == (JobEventKind.RUN_STARTED, "third")


def test_another_program_is_told_by_the_next_life_too() -> None:
    world = cutting()
    start(world)
    again(world, program="WARMUP")
    anew = next_life(world)
    hear(anew, Execution.ACTIVE, run_id="next", part_count=1, program="WARMUP")
    (alarm,) = anew.said(Alarm)
    assert (alarm.level, alarm.text) == (ConditionLevel.WARNING, "program WARMUP runs, the job wants O1001")


def test_a_run_that_is_over_is_resumed_by_nobody() -> None:
    world = cutting()
    hear(world, Execution.PROGRAM_COMPLETED, run_id="", part_count=1)
    anew = next_life(world)
    hear(anew, Execution.ACTIVE, run_id="vmc1/sensory_cortex#1", part_count=1)
    assert [e.kind for e in anew.said(JobEvent)] == [JobEventKind.RUN_STARTED]


def test_of_several_jobs_the_newest_counts_in_whatever_order_they_come() -> None:
    other = SPEC.model_copy(update={"job_id": "503"})
    for first, second in (((SPEC, 1), (other, 2)), ((other, 2), (SPEC, 1))):
        world = cutting()
        publish(world, *first)
        publish(world, *second)
        again(world)
        assert world.said(JobEvent)[-1].job_id == "503"
    world = cutting()
    publish(world, other, world.now - 1)
    start(world)
    publish(world, SPEC, world.now, "vmc1/impact_cortex")
    publish(world, other, world.now - 1)
    again(world)
    assert world.said(JobEvent)[-1].job_id == "502", "the one by hand is the newest, and the ERP's only comes again"
    publish(world, NONE, world.now + 1)
    again(world, run_id="third")
    assert world.said(JobEvent)[-1].job_id == ""


def test_a_published_job_that_cannot_be_taken_is_told_and_the_one_before_stays() -> None:
    world = cutting()
    publish(world, SPEC, 1)
    publish(world, SPEC.model_copy(update={"job_id": "503", "material": "unobtainium"}), 2)
    (text,) = world.reports
    assert text.startswith("job '503' from erp is not taken: material: 'unobtainium'")
    again(world)
    assert world.said(JobEvent)[-1].job_id == "502"


def test_a_parameter_set_under_a_job_leaves_the_job_in_force() -> None:
    world = cutting()
    start(world)
    again(world)
    world.node.__dict__["limit_pct"] = 95.0
    world.node.on_parameter("limit_pct")
    world.samples(40.0, 60)
    world.samples(70.0, 20)
    assert world.reactions == [("load_limit", "FEED_HOLD")]


def test_what_a_run_uses_is_counted_while_it_cuts() -> None:
    world = cutting(material="c45_annealed", tool_diameter_mm=10.0, teeth=3)
    world.samples(40.0, 2000)
    hear(world, Execution.PROGRAM_COMPLETED, run_id="", part_count=1)
    event = world.said(JobEvent)[-1]
    assert event.kind is JobEventKind.RUN_COMPLETED
    assert event.cutting_s == pytest.approx(2.5, abs=0.2)
    assert event.energy_kwh == pytest.approx(2.2 * 2.5 / 3600, rel=0.1)  # 2.2 Nm at 9549 rpm
    (tool,) = event.tools
    assert (tool.tool_number, tool.tool_serial) == (1, "em10-0001")
    assert tool.wear_pct > 0.0
