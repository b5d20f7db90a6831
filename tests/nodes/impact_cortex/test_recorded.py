"""A bag through the backtest: decision for decision what a lock-step replay of it in OBSERVE gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bus.backtest import NoBacktest, Question
from bus.bag import BagReader, BagWriter
from bus.labels import Label, Moment
from bus.replay import replay
from bus.replay.inputs import recorded_nodes
from nodes.impact_cortex import ImpactCortex
from nodes.impact_cortex.recorded import Reader, Recording, backtest, gathered
from schemas import topics
from schemas.impact import Intervention, Judgement, Mode, ModeRequest
from schemas.machine import Execution, Fault, Motion
from schemas.shop import JobCut, JobLimit, JobSpec
from tests.bus.replay.tapes import rewrite
from tests.nodes.impact_cortex.bag_rig import ENGINE, BagWorld
from tests.nodes.impact_cortex.rig import machine_state

CRASH = Path(__file__).parents[2] / "bags" / "vmc1_crash.mcap"
Said = tuple[int, str, str, float, float]

SETTINGS: list[dict[str, Any]] = [
    {},
    {"limit_pct": 30.0},
    {"limit_pct": 28.0, "limit_k": 5, "rearm_s": 0.1},
    {"breakage_fall_pct": 20.0, "wear_rise_pct": 2.0, "air_pct": 3.0},
    {"accel_limit": 5.0, "accel_share": 0.05, "axis_limit_pct": 20.0, "rearm_s": 0.3},
]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mill that chatters, crashes and wears its tool; a parameter is set, a job begins, the state is lost."""
    path = tmp_path_factory.mktemp("bag") / "job.mcap"
    world = BagWorld(path, 5, limit_pct=60.0)
    world.run(1500)
    world.inject(Fault.CHATTER)
    world.run(400)
    world.mill.mill.faults.clear()
    world.change("warn_pct", 22.0)
    world.run(600)
    limits, cuts = (JobLimit(task="load_limit", error=24.0),), (JobCut(tool=1, load_pct=18.0),)
    world.ask("start_job", JobSpec(job_id="501", program="O1001 POCKET"))
    world.run(10)
    world.tell(topics.JOB_SPEC, JobSpec(job_id="502", program="O1001 POCKET", limits=limits, cuts=cuts))
    world.inject(Fault.CRASH)
    world.run(500)
    world.ask("set_mode", ModeRequest(mode=Mode.OBSERVE, changed_by="maria", reason="seen"))
    world.mill.reset("r1", world.now)
    world.run(1500)  # the program runs anew, as the job
    world.inject(Fault.WORN_TOOL, 1.2)
    world.run(900)
    world.lose_state()
    world.run(200)
    world.close()
    return path


def read(path: Path, settings: list[dict[str, Any]], node: str = ENGINE) -> Recording:
    with BagReader(path) as reader:
        (recorded,) = (n for n in recorded_nodes(reader) if n.name == node)
        return Reader(reader, recorded, ImpactCortex.interface, settings).read()


def decided(found: Recording) -> list[list[Said]]:
    return [[(d.heard_ns, d.task, str(d.reaction), d.value, d.limit) for d in made] for made in found.decided]


def replayed(path: Path, **parameters: Any) -> list[Said]:
    result = replay(ImpactCortex, path, node=ENGINE, **{**parameters, "mode": Mode.OBSERVE})
    assert result.problems == []
    made = [d.message() for d in result.made if d.topic == "vmc1/impact/intervention"]
    return [(m.stamp_ns, m.task, str(m.reaction), m.value, m.limit) for m in made if isinstance(m, Intervention)]


def test_a_job_with_all_that_changes_in_it_decides_as_lock_step(job: Path) -> None:
    expected = [replayed(job, **s) for s in SETTINGS]
    found = read(job, SETTINGS)
    assert decided(found) == expected
    assert {task for made in expected for _, task, *_ in made} >= {"load_limit", "chatter", "load_warning", "vibration"}
    assert any(limit == 24.0 for _, _, _, _, limit in expected[0])  # the job's
    assert found.notes == []
    assert [i.task for i in found.interventions] == [task for _, task, *_ in expected[0]]


def test_the_committed_crash_decides_as_lock_step() -> None:
    assert decided(read(CRASH, SETTINGS)) == [replayed(CRASH, **s) for s in SETTINGS]


def test_without_a_trace_the_same_is_decided_in_the_order_of_recording(job: Path, tmp_path: Path) -> None:
    bare = rewrite(CRASH, tmp_path / "bare.mcap", lambda m: m.topic != f"{ENGINE}/trace")
    found, traced = read(bare, SETTINGS), read(CRASH, SETTINGS)
    assert [[said[1:] for said in made] for made in decided(found)] == [
        [said[1:] for said in made] for made in decided(traced)
    ]
    assert found.notes == [f"{ENGINE}: no trace in the bag; judged in the order of recording"]


def test_what_is_not_in_the_bag_is_counted(tmp_path: Path) -> None:
    gone = rewrite(
        CRASH, tmp_path / "gone.mcap", lambda m: not (m.topic == "vmc1/machine/samples" and m.seq % 300 == 7)
    )
    (note,) = read(gone, [{}]).notes
    assert note.endswith("messages that vmc1/impact_cortex handled are not in the bag")
    assert int(note.split()[0]) in (9, 10)


def test_a_message_that_is_none_is_told_and_the_rest_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "odd.mcap"
    with BagReader(CRASH) as reader, BagWriter(path) as writer:
        for entry in reader.nodes().values():
            writer.node(entry)
        for m in reader.messages():
            c = m.channel
            number = writer.channel(c.topic, c.publisher, c.publisher_id, c.definition, c.qos, first_seq=m.seq)
            odd = m.topic in ("vmc1/impact/intervention", "vmc1/machine/motion")
            payload = b"\xc1" if odd else m.payload
            if m.topic == "vmc1/machine/samples" and m.seq % 3000 < 100:  # alike, so they are read as columns
                payload = payload.replace(b"period_ns", b"perioD_ns")
            writer.write(number, m.seq, m.log_ns, m.publish_ns, payload)
    found = read(path, [{}])
    assert any("missing required field `period_ns`" in note for note in found.notes)
    assert any("vmc1/impact/intervention" in note for note in found.notes)
    assert [made for made in decided(found)[0] if made[1] == "load_limit"]


# --- what it is worth -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mill that was held for a crash, was released, and made another part; the hold was judged as justified."""
    path = tmp_path_factory.mktemp("bag") / "held.mcap"
    world = BagWorld(path, 5, mode=Mode.STOP)
    world.run(2300)
    world.inject(Fault.CRASH)
    world.run(500)
    world.judge(world.said(Intervention)[0], Judgement.FALSE_STOP)
    world.judge(world.said(Intervention)[0], Judgement.JUSTIFIED)
    world.mill.reset("r1", world.now)
    world.run(300)
    world.tell(
        topics.MACHINE_STATE,
        machine_state(world.now, Execution.ACTIVE, Motion.FEED).model_copy(update={"run_id": "m#9"}),
    )
    world.run(800)
    world.close()
    return path


def counts(path: Path, settings: list[dict[str, Any]], **question: Any) -> list[dict[str, int]]:
    with BagReader(path) as reader:
        (node,) = (n for n in recorded_nodes(reader) if n.name == ENGINE)
        said = tuple(gathered(reader, node))
        asked = Question(said=said, **question)
        part = backtest(reader, node, ImpactCortex.interface, settings, asked, lambda done: None)
    return [{name: n for name, n in tally.counts.items() if n} for tally in part.tallies]


def test_a_setting_that_waits_longer_than_the_recorded_hold_cannot_be_known(held: Path) -> None:
    settings = [{}, {"limit_pct": 60.0}, {"limit_pct": 155.0, "axis_limit_pct": 400.0, "cusum_threshold_pct_s": 1e4}]
    now, earlier, later = counts(held, settings)
    assert now == {"interventions": 1, "justified": 1}
    assert earlier == {"interventions": 1, "justified": 1}
    assert later == {"cannot_be_known": 1}


def test_labels_say_when_it_began_and_what_is_outside_of_them_was_false(held: Path) -> None:
    def label(start_s: float, end_s: float, kind: str) -> Label:
        return Label("vmc1", Moment(round(start_s * 1e9), True), Moment(round(end_s * 1e9), True), kind)

    low = [{"limit_pct": 15.0, "rearm_s": 0.05}]
    (fine,) = counts(held, low, labels=(label(0.0, 9.0, "fine"),))
    assert fine["false_stops"] >= 1
    (missed,) = counts(held, [{"limit_pct": 400.0, "cusum_threshold_pct_s": 1e4}], labels=(label(0.2, 0.4, "crash"),))
    assert missed["misses"] == 1


def test_a_word_that_is_no_reaction_is_refused(held: Path) -> None:
    with pytest.raises(NoBacktest, match="HALT"):
        counts(held, [{}], least="HALT")
    with pytest.raises(NoBacktest, match="no task 'nothing'"):
        counts(held, [{"tasks": ({"name": "nothing", "off": True},)}])
