"""A mill and its logic engine in a process of their own, recorded by the recorder, replayed to the byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bus.node import Node, Raw
from bus.replay import differences, identical, replay
from bus.testing import Domain
from nodes.impact_cortex import ImpactCortex
from nodes.sensory_cortex import SensoryCortex
from schemas import topics
from schemas.machine import Fault, InjectRequest
from tests.nodes.sensory_cortex.adapter import Adapter

INTERVENTION = "vmc1/impact/intervention"
HEARD = {INTERVENTION, "vmc1/machine/state", "bag/status"}


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bag of a crash."""
    folder = tmp_path_factory.mktemp("bags")
    heard: list[Raw] = []
    core = ["nodes.sensory_cortex", "--namespace", "vmc1", "+", "nodes.impact_cortex", "--namespace", "vmc1"]
    with Domain() as domain, domain.process("nodes.recorder", "-p", f'directory="{folder}"') as recorder:
        with (
            domain.session(select=lambda topic, _: topic in HEARD, heard=heard.extend) as session,
            domain.process(*core, "-p", 'mode="STOP"') as mill,
        ):
            assert session.spin(lambda: any(r.topic == "vmc1/machine/state" for r in heard), 10.0)
            request = InjectRequest(fault=Fault.CRASH)
            assert session.call("vmc1/machine/inject", topics.INJECT, request, timeout_s=5.0).accepted
            assert session.spin(lambda: any(r.topic == INTERVENTION for r in heard), 20.0)
            mill.terminate()
            mill.wait(10)
            # the recorder tells its state once a second: after two of these the mill's last words are in the bag
            told = sum(r.topic == "bag/status" for r in heard)
            assert session.spin(lambda: sum(r.topic == "bag/status" for r in heard) >= told + 2, 10.0)
        recorder.terminate()
        assert recorder.wait(20) == 0
    (bag,) = (p for p in folder.rglob("*.mcap") if "black_box" not in p.name)
    return bag


@pytest.mark.parametrize("cls", [ImpactCortex, SensoryCortex])
def test_a_recorded_node_replays_to_the_byte_and_again(crash: Path, cls: type[Node]) -> None:
    first, second = replay(cls, crash), replay(cls, crash)
    assert (first.problems, first.notes, first.errors) == ([], [], [])
    assert differences(first.recorded, first) == []
    assert identical(first.recorded, first)
    assert first.made == second.made
    assert any(d.topic == INTERVENTION for d in first.made) is (cls is ImpactCortex)


def test_a_higher_limit_would_have_let_the_crash_pass(crash: Path) -> None:
    result = replay(ImpactCortex, crash, limit_pct=190.0, hard_limit_pct=200.0, axis_limit_pct=400.0)
    told = differences(result.recorded, result)
    first = next(line for line in told if line.startswith("vmc1 impact/intervention"))
    assert "FEED_HOLD -> " in first
    assert not first.endswith("(after divergence)")


def test_a_machine_behind_an_adapter_replays_to_the_byte(tmp_path: Path) -> None:
    """What came through the wire is an input of the replay, so it runs through the whole driver without a socket."""
    heard: list[Raw] = []
    lines = b"|execution|ACTIVE|program|O1|Sload|5\n|system|FAULT|7||HIGH|hot\n"
    with (
        Adapter(lines) as adapter,
        Domain() as domain,
        domain.process("nodes.recorder", "-p", f'directory="{tmp_path}"') as recorder,
    ):
        sources = json.dumps([{"driver": "shdr", "address": adapter.address}])
        core = ["nodes.sensory_cortex", "--namespace", "vmc1", "-p", f"sources={sources}"]
        with (
            domain.session(select=lambda topic, _: topic in HEARD, heard=heard.extend) as session,
            domain.process(*core) as mill,
        ):
            assert session.spin(lambda: any(b"ACTIVE" in r.payload for r in heard), 10.0)
            adapter.say(b"|Sload|much\n|Sload|6\n")
            adapter.cut()
            assert session.spin(lambda: adapter.connected == 2, 10.0)
            adapter.say(b"|execution|READY\n")
            assert session.spin(lambda: any(b"READY" in r.payload for r in heard), 10.0)
            mill.terminate()
            mill.wait(10)
            told = sum(r.topic == "bag/status" for r in heard)
            assert session.spin(lambda: sum(r.topic == "bag/status" for r in heard) >= told + 2, 10.0)
        recorder.terminate()
        assert recorder.wait(20) == 0
    (bag,) = (p for p in tmp_path.rglob("*.mcap") if "black_box" not in p.name)
    result = replay(SensoryCortex, bag)
    assert (result.problems, result.notes, result.errors) == ([], [], [])
    assert differences(result.recorded, result) == []
    assert identical(result.recorded, result)
