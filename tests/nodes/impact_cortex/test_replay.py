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
from schemas.machine import Fault
from tests.bus.replay.tapes import write
from tests.bus.replay.toys import Tape
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
