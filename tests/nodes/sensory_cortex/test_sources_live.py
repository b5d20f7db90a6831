"""A mill and a data acquisition device beside it on a real bus: rows of both, one that goes, the replay of it all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bus.host import Spec
from bus.node import Raw
from bus.replay import differences, identical, replay
from bus.testing import Domain
from nodes.sensory_cortex import SensoryCortex
from schemas import topics
from schemas.codec import codec
from schemas.machine import Alarm, ConditionLevel, Execution, MachineInfo, SourceStatus
from tests.nodes.sensory_cortex.daq import device, port_of, values
from tests.nodes.sensory_cortex.test_live import Ear, domain, of_machine
from tests.nodes.sensory_cortex.test_stream import free_udp

__all__ = ["domain"]  # a fixture

THREE = ["x_current_a", "y_current_a", "z_current_a"]
MILL = {"driver": "simulator"}


def daq(url: str) -> dict[str, Any]:
    return {"driver": "stream", "name": "daq", "url": url, "columns": THREE}


def cortex(*sources: dict[str, Any]) -> Spec:
    return Spec(SensoryCortex, namespace="m", parameters={"sources": sources})


def source(ear: Ear, name: str) -> SourceStatus | None:
    infos = ear.of(topics.MACHINE_INFO)
    return next((s for s in infos[-1].sources if s.name == name), None) if infos else None


def daq_rows(ear: Ear) -> int:
    mine = [b for b in ear.of(topics.SAMPLES) if b.source == "daq"]
    return mine[-1].first_row + len(mine[-1].data.array) if mine else 0


def alarms(ear: Ear, name: str) -> list[Alarm]:
    return [a for a in ear.of(topics.ALARM) if a.alarm_id.endswith(f"source/{name}")]


def test_a_device_beside_a_mill_comes_whole_goes_alone_and_comes_back(domain: Domain) -> None:
    ear, total = Ear(), 8000
    with device("tcp:0", "--rate=4000", "--rows=40") as first:
        port = port_of(first)
        spec = cortex(MILL, daq(f"tcp://127.0.0.1:{port}"))
        with domain.running(spec), domain.session(select=of_machine, heard=ear) as session:
            spin = session.executor.spin
            assert spin(lambda: any(b"daq" in r.payload for r in ear.raw.get("m/machine/samples", [])[-3:]), 20.0)
            assert spin(lambda: (s := source(ear, "daq")) is not None and s.available and s.rate_hz > 3500, 20.0)
            info = ear.of(topics.MACHINE_INFO)[-1]
            told = {s.name: s for s in info.sources}
            assert (told["daq"].driver, told["daq"].signals) == ("stream", tuple(THREE))
            assert (told["daq"].takes_stop, told["drive"].takes_stop) == (False, True)
            assert spin(lambda: daq_rows(ear) >= total, 20.0)
            first.kill()
            first.wait()
            # a busy computer may have called it silent before, and not said why
            assert spin(lambda: any("closed" in a.text or "refused" in a.text for a in alarms(ear, "daq")), 10.0)
            assert alarms(ear, "daq")[-1].level is ConditionLevel.UNAVAILABLE
            assert spin(lambda: (s := source(ear, "daq")) is not None and not s.available, 10.0)
            assert ear.of(topics.MACHINE_STATE)[-1].execution is Execution.ACTIVE, "the machine goes on"
            with device(f"tcp:{port}", "--rate=4000", "--rows=40"):
                assert spin(lambda: alarms(ear, "daq")[-1].level is ConditionLevel.NORMAL, 20.0)
                assert spin(lambda: daq_rows(ear) > total + 400, 10.0)
    mine = [b for b in ear.of(topics.SAMPLES) if b.source == "daq"]
    begin = mine[0].first_row  # before it nobody listened
    rows = np.concatenate([b.data.array for b in mine])
    assert (rows[: total - begin] == values(begin, total - begin, 3)).all()
    mill = [b for b in ear.of(topics.SAMPLES) if b.source == "drive"]
    missing = mill[-1].first_row + len(mill[-1].data.array) - mill[0].first_row - sum(len(b.data.array) for b in mill)
    told_lost = source(ear, "drive")
    assert told_lost is not None
    assert missing <= told_lost.lost_rows, "what a late node lost is counted"
    assert ear.lost == 0


def test_a_device_that_is_not_there_is_an_alarm_and_the_mill_runs(domain: Domain) -> None:
    ear = Ear()
    spec = cortex(MILL, daq("tcp://127.0.0.1:1"))
    with domain.running(spec), domain.session(select=of_machine, heard=ear) as session:
        assert session.executor.spin(lambda: bool(alarms(ear, "daq")), 10.0)
        assert "Connection refused" in alarms(ear, "daq")[0].text
        assert ear.of(topics.MACHINE_STATE)[-1].execution is Execution.ACTIVE


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bag of a mill with a device that loses datagrams, says nonsense, and is restarted."""
    folder = tmp_path_factory.mktemp("bags")
    port = free_udp()
    heard: list[Raw] = []
    sources = json.dumps([MILL, daq(f"udp://127.0.0.1:{port}")])
    core = ["nodes.sensory_cortex", "--namespace", "m", "-p", f"sources={sources}"]

    def status() -> SourceStatus | None:
        last = [r for r in heard if r.topic == "m/machine/info" and r.payload]
        info = codec(MachineInfo).decode(last[-1].payload) if last else None
        return next((s for s in info.sources if s.name == "daq"), None) if info else None

    with (
        Domain() as domain,
        domain.process("nodes.recorder", "-p", f'directory="{folder}"', "-p", "vibration=true") as recorder,
    ):
        chosen = {"m/machine/info", "bag/status"}
        with domain.session(select=lambda topic, _: topic in chosen, heard=heard.extend) as session:
            with domain.process(*core) as mill:
                assert session.spin(lambda: (s := status()) is not None and not s.trouble, 20.0)
                for _ in range(2):
                    with device(f"udp:{port}", "--rate=2000", "--rows=20"):
                        assert session.spin(lambda: (s := status()) is not None and s.rate_hz > 1500, 20.0)
                    assert session.spin(lambda: (s := status()) is not None and not s.available, 20.0)
                mill.terminate()
                mill.wait(10)
            seen = sum(r.topic == "bag/status" for r in heard)
            assert session.spin(lambda: sum(r.topic == "bag/status" for r in heard) >= seen + 2, 10.0)
        recorder.terminate()
        assert recorder.wait(20) == 0
    (bag,) = (p for p in folder.rglob("*.mcap") if "black_box" not in p.name)
    return bag


def test_what_a_device_sent_replays_to_the_byte(recorded: Path) -> None:
    first, second = replay(SensoryCortex, recorded), replay(SensoryCortex, recorded)
    assert (first.problems, first.notes, first.errors) == ([], [], [])
    assert differences(first.recorded, first) == []
    assert identical(first.recorded, first)
    assert first.made == second.made
    assert sum(b"daq" in d.payload for d in first.made if d.topic == "m/machine/samples") > 50
