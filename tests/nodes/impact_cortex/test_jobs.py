"""The steps of a run by the machine's states: loops, sub-programs, warm-up programs, pauses, ends of every kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.impact_cortex import physics
from nodes.impact_cortex.jobs import MOST_TOOLS, NO_JOB, Jobs, same_program
from nodes.impact_cortex.materials import MATERIALS
from schemas.machine import Execution, MachineState, Motion
from schemas.shop import JobEvent, JobEventKind, JobSpec
from tests.nodes.impact_cortex.rig import T0, machine_state

ACTIVE, DONE, HOLD, READY = Execution.ACTIVE, Execution.PROGRAM_COMPLETED, Execution.FEED_HOLD, Execution.READY
STARTED, CYCLE, PAUSED = JobEventKind.RUN_STARTED, JobEventKind.CYCLE_COMPLETED, JobEventKind.RUN_PAUSED
COMPLETED, ABORTED = JobEventKind.RUN_COMPLETED, JobEventKind.ABORTED
SPEC = JobSpec(job_id="502", program="O1001", operator_id="maria", material="c45_annealed")


def state(execution: Execution, run_id: str = "a", parts: int = 0, program: str = "O1001") -> MachineState:
    made = machine_state(T0, execution, Motion.FEED)
    return made.model_copy(update={"run_id": run_id, "part_count": parts, "program": program})


def told(*states: MachineState, jobs: Jobs | None = None) -> list[JobEvent]:
    jobs = Jobs() if jobs is None else jobs
    return [event for s in states for event in jobs.state(s)]


def kinds(*states: MachineState, jobs: Jobs | None = None) -> list[JobEventKind]:
    return [event.kind for event in told(*states, jobs=jobs)]


def test_one_part() -> None:
    assert kinds(state(READY, ""), state(ACTIVE), state(ACTIVE), state(DONE, "", 1)) == [STARTED, CYCLE, COMPLETED]


def test_a_control_that_counts_no_parts_has_one_at_the_end_of_its_program() -> None:
    assert kinds(state(ACTIVE), state(DONE, "a"), state(DONE, "a")) == [STARTED, CYCLE, COMPLETED]


def test_a_part_that_is_counted_before_the_end_is_said_is_one_part() -> None:
    assert kinds(state(ACTIVE), state(ACTIVE, parts=1), state(DONE, "", 1)) == [STARTED, CYCLE, COMPLETED]


@pytest.mark.parametrize("parts", [(0, 2), (7, 0, 7), (3, 900)])
def test_a_counter_that_jumps_is_one_end_of_a_program(parts: tuple[int, ...]) -> None:
    """A program may make two parts, and people set counters."""
    assert kinds(*(state(ACTIVE, parts=n) for n in parts)) == [STARTED, CYCLE]


@pytest.mark.parametrize(("program", "wanted"), [("O1001", ""), ("O2002", "O1001")])
def test_a_program_that_is_told_after_the_start_says_which_job_it_is(program: str, wanted: str) -> None:
    jobs = Jobs()
    jobs.wanted = SPEC
    assert kinds(state(ACTIVE, program=""), jobs=jobs) == [STARTED]
    assert (jobs.spec, jobs.mismatch) == (None, "")
    assert kinds(state(ACTIVE, program=program), jobs=jobs) == []
    assert (jobs.spec, jobs.mismatch) == (None if wanted else SPEC, wanted)


def test_m99_loops_are_cycles_of_one_run() -> None:
    events = told(*(state(ACTIVE, parts=n) for n in range(4)), state(READY, "", 3))
    assert [e.kind for e in events] == [STARTED, CYCLE, CYCLE, CYCLE, ABORTED]
    assert [e.cycles for e in events] == [0, 1, 2, 3, 3]


def test_a_loop_that_begins_anew_between_two_states_is_an_end_and_a_start() -> None:
    assert kinds(state(ACTIVE), state(ACTIVE, "b", 1)) == [STARTED, CYCLE, COMPLETED, STARTED]


def test_a_sub_program_is_the_same_run() -> None:
    jobs = Jobs()
    jobs.wanted = SPEC
    events = told(state(ACTIVE), state(ACTIVE, program="O9100"), state(ACTIVE), state(DONE, "", 1), jobs=jobs)
    assert [(e.kind, e.program, e.job_id) for e in events] == [
        (STARTED, "O1001", "502"),
        (CYCLE, "O1001", "502"),
        (COMPLETED, "O1001", "502"),
    ]


def test_a_warm_up_program_is_none_of_the_jobs_runs() -> None:
    jobs = Jobs()
    jobs.wanted = SPEC
    events = told(state(ACTIVE, program="WARMUP"), jobs=jobs)
    assert (events[0].job_id, events[0].text) == ("", "the job wants program O1001")
    assert (jobs.spec, jobs.mismatch) == (None, "O1001")
    told(state(DONE, "", 0, "WARMUP"), state(ACTIVE, "b"), jobs=jobs)
    assert (jobs.spec, jobs.mismatch) == (SPEC, "")


def test_a_job_begins_with_the_next_start() -> None:
    jobs = Jobs()
    told(state(ACTIVE), jobs=jobs)
    jobs.wanted = SPEC
    assert {e.job_id for e in told(state(ACTIVE, parts=1), state(DONE, "", 1), jobs=jobs)} == {""}
    assert jobs.spec is None
    assert told(state(ACTIVE, "b", 1), jobs=jobs)[0].job_id == "502"
    jobs.wanted = NO_JOB
    assert told(state(DONE, "", 2), jobs=jobs)[-1].job_id == "502"


def test_a_pause_is_told_once_and_again_after_it_went_on() -> None:
    assert kinds(state(ACTIVE), state(HOLD), state(HOLD), state(ACTIVE), state(HOLD)) == [STARTED, PAUSED, PAUSED]


@pytest.mark.parametrize("end", [state(READY, ""), state(READY, "a"), state(ACTIVE, "b")])
def test_whatever_else_ends_a_run_aborts_it(end: MachineState) -> None:
    assert ABORTED in kinds(state(ACTIVE), end)


def test_what_is_not_known_is_no_end() -> None:
    assert kinds(state(ACTIVE), state(Execution.UNAVAILABLE, ""), state(ACTIVE)) == [STARTED]


states = st.lists(
    st.builds(
        state, st.sampled_from(Execution), st.sampled_from(["", "a", "b"]), st.integers(0, 3), st.sampled_from("XO")
    ),
    max_size=30,
)


@given(states)
def test_every_run_has_one_start_and_at_most_one_end(sent: list[MachineState]) -> None:
    open_run = ""
    for event in told(*sent):
        if event.kind is STARTED:
            assert not open_run
            open_run = event.run_id
        else:
            assert event.run_id == open_run
        if event.kind in (COMPLETED, ABORTED):
            open_run = ""


def test_what_a_run_uses() -> None:
    jobs = Jobs()
    jobs.wanted = SPEC
    told(state(ACTIVE), jobs=jobs)
    run = jobs.run
    assert run is not None
    for _ in range(3600):
        run.spend(1.0, 2.0)
        run.cut(1.0, state(ACTIVE), "c45_annealed", 10.0)
    run.spend(1.0, float("nan"))
    (event,) = [e for e in told(state(READY, ""), jobs=jobs) if e.kind is ABORTED]
    assert event.energy_kwh == pytest.approx(2.0)
    assert event.cutting_s == 3600.0
    (use,) = event.tools
    life_min = physics.tool_life_min(MATERIALS["c45_annealed"], physics.cutting_speed_m_min(9549.0, 10.0))
    assert use.wear_pct == pytest.approx(100.0 * 60.0 / life_min)
    assert use.tool_serial == "em10-0001"


def test_of_an_unknown_material_no_wear_is_said_and_tools_are_bounded() -> None:
    jobs = Jobs()
    told(state(ACTIVE), jobs=jobs)
    run = jobs.run
    assert run is not None
    for n in range(MOST_TOOLS + 5):
        run.cut(1.0, state(ACTIVE).model_copy(update={"tool_number": n}), "ti6al4v_low", 10.0)
    assert len(run.tools) == MOST_TOOLS
    assert {use.wear for use in run.tools.values()} == {0.0}


@pytest.mark.parametrize(
    ("shown", "same"),
    [("o1001", True), ("//CNC_MEM/USER/O1001.NC", True), ("C:\\nc\\O1001.H", True), ("O10010", False)],
)
def test_a_program_is_known_by_its_stem(shown: str, same: bool) -> None:
    assert same_program("O1001", shown) is same
