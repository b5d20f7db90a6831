"""The knowledge graph on the real bus, beside simulated mills in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bus.node import BadParameter, Raw, Source
from bus.testing import Domain
from nodes.knowledge_graph import KnowledgeGraph
from nodes.knowledge_graph.node import MOST_MACHINES, together
from nodes.sensory_cortex.levels import summary
from schemas import topics
from schemas.codec import codec
from schemas.graph import (
    CausesReply,
    CausesRequest,
    ExportRequest,
    GraphFormat,
    ImpactRequest,
    InfluenceRequest,
    Topology,
)
from schemas.machine import ConditionLevel, Fault, InjectRequest
from schemas.system import Processes, ProcessState, ProcessStatus
from tests.nodes.impact_cortex.rig import STILL, machine_info
from tests.nodes.knowledge_graph.cell import MS, Cell, Hand, short

GIVEN = ("-p", 'machines={"vmc1": {"tools": [1, 2]}, "vmc2": {}}')


def test_a_lost_network_is_found_through_real_processes(domain: Domain) -> None:
    heard: list[Topology] = []

    def hear(batch: list[Raw]) -> None:
        heard.extend(codec(Topology).decode(r.payload) for r in batch if not r.lost_first)

    with (
        domain.process("nodes.sensory_cortex", "--namespace", "vmc1"),
        domain.process("nodes.sensory_cortex", "--namespace", "vmc2"),
        domain.process("nodes.knowledge_graph", *GIVEN),
        domain.session(select=lambda topic, _: topic == "graph/topology", heard=hear) as session,
    ):

        def causes(condition: str = "") -> CausesReply:
            request = CausesRequest(condition=condition)
            return session.call("graph/causes", topics.CAUSES, request, timeout_s=5.0)

        def mill_is_known() -> bool:
            return bool(heard) and "vmc1/sensor/coolant_flow_l_min" in {c.name for c in heard[-1].components}

        assert session.spin(mill_is_known, 20.0)
        lost = InjectRequest(fault=Fault.NETWORK_LOST)
        assert session.call("vmc1/machine/inject", topics.INJECT, lost, timeout_s=5.0).accepted

        def level(name: str) -> ConditionLevel:
            return next(c.level for c in heard[-1].components if c.name == name)

        assert session.spin(lambda: level("vmc1/network") is ConditionLevel.WARNING, 20.0), causes()
        reply = causes("vmc1/source/drive")
        assert reply.causes[0].text == "vmc1/network is down"
        assert len(reply.causes[0].speaks_for) == 3
        # and that is true as well: nobody has started the logic engines
        assert session.spin(lambda: {level(f"vmc{n}/logic") for n in (1, 2)} == {ConditionLevel.FAULT}, 20.0)
        assert {"vmc1/logic does not beat", "vmc2/logic does not beat"} <= {c.text for c in causes().causes}
        assert level("vmc2/source/drive") is ConditionLevel.NORMAL

        impact = session.call("graph/impact", topics.IMPACT, ImpactRequest(component="vmc1/network"), timeout_s=5.0)
        assert impact.machines == ("vmc1",)
        moved = InfluenceRequest(parameter="feed_mm_min", machine="vmc2")
        influence = session.call("graph/influence", topics.INFLUENCE, moved, timeout_s=5.0)
        assert "vmc2/spindle_torque_nm" in {i.signal for i in influence.influences}
        request = ExportRequest(format=GraphFormat.GRAPHML)
        assert "vmc2/spindle" in session.call("graph/export", topics.EXPORT, request, timeout_s=5.0).text
        rise = [sys.executable, "-P", "-m", "bus.cli", "service", "call"]
        done = subprocess.run(
            [*rise, "/graph/causes", "--domain", domain.name], capture_output=True, text=True, timeout=30, check=True
        )
        assert "vmc1/network is down" in done.stdout


def test_parameters_that_are_wrong_stop_it_at_once() -> None:
    cell = Cell(machines=())
    with pytest.raises(BadParameter, match="did you mean 'coolant_tank'"):
        KnowledgeGraph(Hand(cell, "g"), {"shared": [{"kind": "coolant_tnk"}]}).on_configure()


def test_a_machine_that_the_launch_did_not_name_is_taken_in_up_to_a_limit() -> None:
    graph = Cell(machines=()).graph
    for n in range(MOST_MACHINES + 3):
        graph.source = Source(f"m{n}/sensory_cortex", f"m{n}/machine/info", 1, 0)
        graph.on_info(machine_info())
    assert len(graph.live) == MOST_MACHINES
    assert "m0/spindle" in graph.shape.components
    assert isinstance(graph.context, Hand)
    assert "MACHINES_FULL" in graph.context.findings


def test_a_relation_that_waits_for_its_sensor_is_made_when_the_machine_says_it(tmp_path: Path) -> None:
    path = tmp_path / "topology.toml"
    path.write_text('[components."vmc1/probe"]\nkind = "tool"\nmeasured_by = ["vmc1/sensor/x_load_pct"]\n')
    cell = Cell(("vmc1",), short(), topology=str(path))
    assert cell.graph.shape.relations["vmc1/probe", "vmc1/sensor/x_load_pct"] == "measured_by"
    assert cell.graph.pending == []


def test_a_process_that_has_ended_explains_what_has_fallen_silent_with_it() -> None:
    cell = Cell(("vmc1",), short())
    process = ProcessStatus(
        name="vmc1/core", nodes=("vmc1/sensory_cortex", "vmc1/impact_cortex"), state=ProcessState.READY, pid=1,
        restarts=0, last_exit="", cpu_pct=0.0, pss_bytes=0, scheduling="",
    )  # fmt: skip
    cell.graph.on_processes(Processes(stamp_ns=0, launch="shop", processes=(process,)))
    cell.run(3)
    assert cell.causes().causes == ()
    ended = process.model_copy(update={"state": ProcessState.BACKOFF, "last_exit": "killed by SIGKILL"})
    cell.now_ns += 10_000 * MS
    cell.graph.on_processes(Processes(stamp_ns=0, launch="shop", processes=(ended,)))
    (first, *_) = cell.causes().causes
    assert first.text == "process/vmc1/core has ended"
    assert any("killed by SIGKILL" in said for said in first.speaks_for)
    assert len(first.speaks_for) == 4


def test_gravity_is_no_vibration() -> None:
    (*_, deviation) = summary(STILL)
    assert together(deviation) == 0.0
    assert together(np.array([3.0, np.nan, 4.0])) == 5.0
    assert np.isnan(together(np.array([np.nan])))
