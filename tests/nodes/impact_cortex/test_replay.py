"""A crash recorded live, replayed in lock-step: the same bytes twice, and what another limit would have decided."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus.bag import BagWriter
from bus.host import Spec
from bus.replay import differences, identical, replay
from bus.testing import Domain
from nodes.impact_cortex import ImpactCortex
from schemas import topics
from schemas.impact import Intervention, Mode
from schemas.machine import Execution, Fault, Motion
from schemas.shop import JobEvent, JobSpec
from tests.bus.live import until
from tests.bus.replay.tapes import write
from tests.bus.replay.toys import Tape
from tests.nodes.impact_cortex.rig import machine_state
from tests.nodes.impact_cortex.test_live import Ear, core, stopped


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag of vmc1 with one crash, held and stopped."""
    path = tmp_path_factory.mktemp("bag") / "crash.mcap"
    with Domain() as domain, domain.running(Spec(Tape), *core(mode=Mode.STOP)), Ear(domain) as ear:
        ear.until_cutting()
        entries = {name: json.loads(e.to_json()) for name, e in ear.session.directory.entries().items()}
        ear.inject(Fault.CRASH)
        ear.until(lambda: stopped(ear))
        so_far = len(ear.of(topics.SAMPLES))
        ear.until(lambda: len(ear.of(topics.SAMPLES)) > so_far + 200)
    definitions = {h: d for e in entries.values() for h, d in e["definitions"].items()}
    with BagWriter(path) as writer:
        for name in ("vmc1/sensory_cortex", "vmc1/impact_cortex"):
            writer.node(entries[name])
        for raw in Tape.heard:
            if raw.topic.startswith("vmc1/"):
                write(writer, raw, definitions)
    return path


def test_two_replays_give_the_recorded_bytes(crash: Path) -> None:
    first, second = replay(ImpactCortex, crash), replay(ImpactCortex, crash)
    assert first.problems == []
    assert identical(first, second)
    assert differences(first.recorded, first) == []


def test_limits_out_of_reach_take_the_feed_hold_away(crash: Path) -> None:
    as_it_was = replay(ImpactCortex, crash)
    out_of_reach = replay(ImpactCortex, crash, limit_pct=155.0, axis_limit_pct=400.0, cusum_threshold_pct_s=1e4)
    lines = [str(line) for line in differences(as_it_was, out_of_reach)]
    (hold,) = [line for line in lines if "FEED_HOLD -> (nothing)" in line and "impact/intervention" in line]
    assert "spindle load above its limit" in hold


def test_a_lower_limit_decides_earlier(crash: Path) -> None:
    def first_hold(limit_pct: float) -> Intervention:
        made = replay(ImpactCortex, crash, limit_pct=limit_pct).made
        found = next(d for d in made if d.topic == "vmc1/impact/intervention").message()
        assert isinstance(found, Intervention)
        return found

    early, late = first_hold(60.0), first_hold(85.0)
    assert early.stamp_ns <= late.stamp_ns  # the same moment when both readings came in one block
    assert early.value < late.value


def test_the_job_of_an_earlier_life_is_an_input_like_any_other(tmp_path: Path) -> None:
    """Told in one life, heard in the next, both in one bag: each says in replay what it said then, and no more."""
    spec = Spec(ImpactCortex, namespace="vmc1")

    def traced() -> int:
        return sum(r.topic.endswith("cortex/trace") for r in Tape.heard)

    with Domain() as domain, domain.running(Spec(Tape)):
        with domain.running(spec), domain.session() as session:
            job = JobSpec(job_id="502", program="O1001")
            assert session.call("vmc1/job/start", topics.JOB_START, job, timeout_s=5.0).ok
            until(lambda: traced() > 2)
        with domain.running(spec), domain.session() as session:
            entries = session.directory.entries()
            state = machine_state(1, Execution.ACTIVE, Motion.FEED)

            def has_begun() -> bool:
                session.publish(topics.MACHINE_STATE, "vmc1/machine/state", state)
                session.spin(lambda: False, 0.02)
                return any(r.topic == "vmc1/job/event" for r in Tape.heard)

            until(has_begun)
            blocks = traced()
            until(lambda: traced() > blocks + 2)
    definitions = {h: d for e in entries.values() for h, d in e.definitions.items()}
    with BagWriter(tmp_path / "anew.mcap") as writer:
        writer.node(json.loads(entries["vmc1/impact_cortex"].to_json()))
        for raw in Tape.heard:
            if raw.topic.startswith("vmc1/"):
                write(writer, raw, definitions)
    result = replay(ImpactCortex, tmp_path / "anew.mcap")
    assert result.problems == []
    (event,) = [d.message() for d in result.made if d.topic == "vmc1/job/event"]
    assert isinstance(event, JobEvent)
    assert event.job_id == "502"
    assert differences(result.recorded, result) == []
