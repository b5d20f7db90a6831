"""A tunnel on the node: taught, judged by, taught anew, forgotten; by hand, and with the simulated mill."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.impact_cortex.tasks import LOAD
from schemas.impact import Assessment, Intervention, Mode, Reaction, TeachAction, TeachRequest, Tunnel
from schemas.machine import Execution, Fault, Motion
from schemas.system import Done
from tests.nodes.impact_cortex.mill_rig import MillWorld
from tests.nodes.impact_cortex.rig import World, cutting, machine_state

TASK = {"name": "load_taught", "signal": LOAD, "procedure": "tunnel", "warning": 4.0, "error": 8.0, "settle_s": 0.05}
HOLDING = {**TASK, "reaction": "FEED_HOLD"}
PROGRAM = "O1001"


def teach(world: World, action: TeachAction = TeachAction.LEARN, **changes: Any) -> Done:
    words: dict[str, Any] = {"action": action, "changed_by": "maria", "reason": "new part", **changes}
    reply = world.node.teach(TeachRequest(**words))
    world.answer()
    return reply


def state(world: World, block: int = 120, **changes: Any) -> None:
    said = machine_state(world.now, Execution.ACTIVE, Motion.FEED)
    world.node.on_state(said.model_copy(update={"block_number": block, **changes}))


def end(world: World, parts: int, run: str) -> None:
    said = machine_state(world.now, Execution.PROGRAM_COMPLETED, Motion.FEED)
    world.node.on_state(said.model_copy(update={"part_count": parts, "run_id": run}))


def published(world: World) -> None:
    """What was learned is made into a message by one tick, and sent by the next."""
    world.tick()
    world.tick()


def run(world: World, number: int, loads: tuple[float, ...] = (40.0, 40.0), **changes: Any) -> None:
    """One run of a program of two blocks, 300 ms each."""
    for n, load in enumerate(loads):
        state(world, 10 * (n + 1), run_id=f"run{number}", part_count=number, **changes)
        world.samples(load, 300)
    end(world, number + 1, f"run{number}")
    published(world)


def learned(*loads: tuple[float, ...], **parameters: Any) -> World:
    """A machine that was taught by runs with these loads."""
    world = cutting(**{"tasks": (HOLDING,), "cusum_threshold_pct_s": 1e4, **parameters})
    end(world, 0, "run0")
    assert teach(world, runs=len(loads)).ok
    for number, each in enumerate(loads):
        run(world, number, each)
    assert len(world.said(Tunnel)) == 1
    return world


def fired(world: World) -> list[Intervention]:
    return [i for i in world.said(Intervention) if i.task == "load_taught"]


def test_taught_by_two_runs_it_judges_the_third_and_names_what_it_judged_by() -> None:
    world = learned((40.0, 60.0), (42.0, 60.0))
    said = world.said(Tunnel)[0]
    assert (said.version, said.runs, said.override_pct, said.taught_by) == (1, 2, 100.0, "maria")
    assert said.tunnel_id == f"load_taught/{LOAD}/{PROGRAM}"
    run(world, 2, (41.0, 60.0))
    assert fired(world) == []
    state(world, 10, run_id="run3", part_count=3)
    world.samples(41.0, 200)
    world.samples(60.0, 20)
    (held,) = [i for i in fired(world) if i.reaction is Reaction.FEED_HOLD]
    assert held.reason.endswith(
        "outside of what it was in the reference runs: 13.9 % against 8 %, tunnel v1 of O1001, tool 1, block 10"
    ), held.reason
    assert (held.program, held.block_number, held.limit) == (PROGRAM, 10, 8.0)
    assert held.value == pytest.approx(13.9)  # 42, and a tenth of the mean of 41


def test_a_load_that_is_right_in_another_block_is_wrong_in_this_one_and_below_counts_too() -> None:
    world = learned((40.0, 70.0))
    state(world, 20, run_id="run1", part_count=1)
    world.samples(70.0, 100)
    assert fired(world) == []
    world.samples(40.0, 20)
    assert {i.block_number for i in fired(world)} == {20}


def test_between_warning_and_error_it_is_warned_of() -> None:
    world = learned((40.0, 40.0))
    run(world, 1, (40.0, 50.0))
    assert [i.reaction for i in fired(world)] == [Reaction.WARN]


def test_untaught_it_rests_and_says_so() -> None:
    world = cutting(tasks=(HOLDING,))
    world.tick()
    assert "load_taught rests: nothing was taught of O1001" in world.protection().reasons
    end(world, 0, "run0")
    teach(world, runs=2)
    state(world, 10, run_id="run0")
    world.samples(40.0, 300)
    assert "load_taught rests: learns O1001: 0 of 2 runs" in world.protection().reasons
    margins = {m.task: m.value for m in world.said(Assessment)[-1].margins}
    assert margins["load_taught"] != margins["load_taught"]
    world = learned((40.0, 60.0))
    state(world, 10, run_id="run1", part_count=1)
    world.samples(40.0, 300)
    assert world.protection().reasons == ()
    assert {m.task: m.value for m in world.said(Assessment)[-1].margins}["load_taught"] == 0.0
    state(world, 30, run_id="run1", part_count=1)
    world.samples(40.0, 100)
    assert world.protection().reasons == ("load_taught rests: nothing was taught of tool 1, block 30",)


def test_an_override_that_is_turned_up_and_down_is_no_alarm_and_is_said() -> None:
    world = learned((40.0, 40.0))
    for beat in range(20):
        override = (100.0, 60.0, 140.0, 20.0)[beat % 4]
        state(world, 10, run_id="run1", part_count=1, feed_override_pct=override)
        world.samples(40.0 * (override / 100.0) ** 0.75, 35)
    assert fired(world) == []
    assert world.protection().reasons == (
        "load_taught rests: block 10 is not judged to its end: the feed override changed in it",
    )
    state(world, 20, run_id="run1", part_count=1, feed_override_pct=60.0)
    world.samples(27.0, 100)
    assert world.protection().reasons == ("load_taught rests: feed override 60 %, taught at 100 %",)
    assert fired(world) == []


def test_a_held_run_teaches_nothing() -> None:
    world = cutting(tasks=(HOLDING,))
    end(world, 0, "run0")
    teach(world, runs=1)
    state(world, 10, run_id="run0")
    world.samples(40.0, 100)
    state(world, 10, run_id="run0", execution=Execution.FEED_HOLD)
    state(world, 10, run_id="run0")
    world.samples(40.0, 100)
    end(world, 1, "run0")
    published(world)
    assert world.said(Tunnel) == []
    run(world, 1)
    assert [t.runs for t in world.said(Tunnel)] == [1]


def test_a_run_at_another_override_teaches_nothing() -> None:
    world = cutting(tasks=(HOLDING,))
    end(world, 0, "run0")
    teach(world, runs=2)
    run(world, 0)
    run(world, 1, feed_override_pct=80.0)
    assert world.said(Tunnel) == []
    run(world, 2)
    assert [(t.runs, t.override_pct) for t in world.said(Tunnel)] == [(2, 100.0)]


def test_a_run_in_which_something_was_found_is_no_reference() -> None:
    world = cutting(tasks=(HOLDING,), mode=Mode.OBSERVE)
    end(world, 0, "run0")
    teach(world, runs=1)
    run(world, 0, (40.0, 100.0))
    assert "load_limit" in {i.task for i in world.said(Intervention)}
    assert world.said(Tunnel) == []
    run(world, 1)
    assert len(world.said(Tunnel)) == 1


def test_taught_anew_it_counts_its_version_and_judges_by_the_old_one_meanwhile() -> None:
    world = learned((40.0, 40.0))
    teach(world, runs=1)
    state(world, 10, run_id="run1", part_count=1)
    world.samples(40.0, 300)
    assert world.protection().reasons == ()
    state(world, 20, run_id="run1", part_count=1)
    world.samples(45.0, 300)
    end(world, 2, "run1")
    published(world)
    assert [t.version for t in world.said(Tunnel)] == [1, 2]
    run(world, 2, (40.0, 53.0))
    assert fired(world) == [], "45, a tenth of it more, and less than 4 beyond that"
    run(world, 3, (40.0, 54.0))
    assert "tunnel v2 of O1001, tool 1, block 20" in fired(world)[-1].reason


def test_what_is_forgotten_is_not_judged_and_its_version_goes_on() -> None:
    world = learned((40.0, 40.0))
    assert teach(world, TeachAction.FORGET).text == f"load_taught of {LOAD} of O1001 is forgotten"
    run(world, 1, (40.0, 80.0))
    assert fired(world) == []
    assert not teach(world, TeachAction.FORGET).ok
    teach(world, runs=1)
    run(world, 2)
    assert [(t.version, t.runs) for t in world.said(Tunnel)] == [(1, 1), (2, 0), (3, 1)]


def test_the_next_life_judges_by_what_it_hears_of_this_one() -> None:
    said = learned((40.0, 40.0)).said(Tunnel)[0]
    world = cutting(tasks=(HOLDING,), cusum_threshold_pct_s=1e4)
    world.node.on_tunnel(said)
    world.node.on_tunnel(said.model_copy(update={"version": 0, "runs": 0}))
    world.node.on_tunnel(said.model_copy(update={"tunnel_id": "bad", "stretches": b"123"}))
    assert "3 bytes of stretches" in world.reports[-1]
    run(world, 1, (40.0, 60.0))
    assert {i.block_number for i in fired(world)} == {20}


def test_taught_in_other_steps_it_rests() -> None:
    said = learned((40.0, 40.0)).said(Tunnel)[0]
    world = cutting(tasks=({**HOLDING, "step_s": 0.1},))
    world.node.on_tunnel(said)
    state(world, 20)
    world.tick()
    assert any(
        reason.endswith("O1001 was taught in steps of 0.05 s, not 0.1 s: teach it anew")
        for reason in world.protection().reasons
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"changed_by": " "}, "say who teaches"),
        ({"reason": ""}, "say who teaches"),
        ({"runs": 0}, "runs: expected 1 to 100, got 0"),
        ({"runs": 101}, "runs: expected 1 to 100, got 101"),
        ({"task": "load_limit"}, "no task 'load_limit' judges by a tunnel"),
        ({}, "again, everything, load_taught, nothing judge 15 signals: 1 to 8 are taught at once"),
        ({"task": "nothing"}, "nothing judge 0 signals: 1 to 8 are taught at once"),
    ],
)
def test_a_lesson_that_cannot_be_is_refused_in_words(changes: dict[str, Any], text: str) -> None:
    rows = {"everything": "*", "again": "*", "nothing": "w_load_pct"}
    others = [{**TASK, "name": name, "signal": signal} for name, signal in rows.items()]
    reply = teach(cutting(tasks=(HOLDING, *others)), **changes)
    assert (reply.ok, text in reply.text) == (False, True), reply.text


def test_without_a_tunnel_there_is_nothing_to_teach_and_a_lesson_can_be_called_off() -> None:
    assert "no task judges by a tunnel" in teach(cutting()).text
    world = cutting(tasks=(HOLDING,))
    assert not teach(world, TeachAction.CANCEL).ok
    assert teach(world, runs=1).ok
    assert teach(world, TeachAction.CANCEL).ok
    end(world, 0, "run0")
    run(world, 0)
    assert world.said(Tunnel) == []


def test_of_a_source_in_blocks_it_is_learned_too() -> None:
    """10 kHz, a hundred readings at a time, beside the drive."""
    world = learned((40.0, 40.0), tasks=({"name": "taught", "signal": "x_accel", "procedure": "tunnel", "error": 3.0},))
    said = world.said(Tunnel)[0]
    assert (said.signal, said.unit) == ("x_accel", "m/s²")
    assert said.band.array[1].tolist() == pytest.approx([9.81] * 3, abs=0.001)


@pytest.fixture(scope="module")
def mill() -> MillWorld:
    """A mill that was taught by two passes of its program, its sensors as noisy as ever."""
    world = MillWorld(mode=Mode.STOP, tasks=(HOLDING,))
    end(world, 0, "")
    assert teach(world, runs=2, program="O1001 POCKET").ok
    for _ in range(100):
        world.run(1000)
        if world.said(Tunnel):
            break
    return world


def test_a_mill_that_was_taught_runs_without_a_false_alarm_and_finds_a_broken_tool(mill: MillWorld) -> None:
    (said,) = mill.said(Tunnel)
    assert (said.runs, said.version) == (2, 1)
    parts = mill.mill.state(mill.now).part_count
    while mill.mill.state(mill.now).part_count < parts + 1:
        mill.run(1000)
    assert mill.said(Intervention) == []
    mill.run_to(Motion.FEED, 400)
    mill.inject(Fault.TOOL_BREAKAGE)
    mill.run(1500)
    assert "load_taught" in {i.task for i in mill.said(Intervention)}
