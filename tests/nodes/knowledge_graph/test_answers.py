from __future__ import annotations

import xml.etree.ElementTree as ET

from nodes.knowledge_graph import answers, export, topology
from nodes.knowledge_graph.answers import World
from nodes.knowledge_graph.faults import FAULTS, State
from nodes.knowledge_graph.reach import Reach
from nodes.knowledge_graph.reading import Reading
from nodes.knowledge_graph.topology import Shared, derive
from schemas.graph import CausesRequest, ImpactRequest, InfluenceRequest
from schemas.machine import ConditionLevel, Execution, MachineState, Motion, SignalInfo
from tests.nodes.impact_cortex.rig import machine_state


def world(*readings: Reading) -> World:
    shape = derive(
        {"vmc1": {"tools": [1, 2]}, "vmc2": {"tools": [1]}}, [Shared("coolant_tank", "coolant_tank", ("vmc1", "vmc2"))]
    )
    names = ("spindle_load_pct", "spindle_torque_nm", "x_load_pct", "x_accel")
    signals = [SignalInfo(name=n, mtconnect_type="LOAD", unit="%", source="drive", topic="t") for n in names]
    for machine in ("vmc1", "vmc2"):
        topology.add_signals(shape, machine, signals)
        topology.add_coolant(shape, machine)
    return World(Reach(shape), FAULTS, readings)


def flow(state: State = State.LOW, text: str = "12.0 l/min, usually 30.0") -> Reading:
    via = ("vmc1/sensor/coolant_flow_l_min",)
    return Reading("vmc1", "coolant_flow", "vmc1/coolant", state, text, via, ("vmc1/x/flow", "FL01"))


PRESSURE = Reading("vmc1", "coolant_pressure", "vmc1/coolant", State.HIGH, "11.2 bar, usually 8.8")
STATES = {
    "vmc1": machine_state(1, Execution.ACTIVE, Motion.FEED),
    "vmc2": MachineState(**{**machine_state(1, Execution.READY, Motion.IDLE).model_dump(), "run_id": ""}),
}


def test_a_cause_is_told_with_the_readings_for_and_against_it() -> None:
    reply = answers.causes(world(flow(), PRESSURE), CausesRequest())
    assert reply.text.startswith("2 abnormal: vmc1: coolant flow is LOW: 12.0 l/min, usually 30.0; ")
    assert "Likeliest: vmc1/coolant/filter is clogged (" in reply.text
    first = reply.causes[0]
    assert (first.component, first.kind, first.fault) == ("vmc1/coolant/filter", "coolant_filter", "is clogged")
    assert len(first.speaks_for) == 2
    assert first.speaks_against == ()
    pump = next(c for c in answers.causes(world(flow(), PRESSURE), CausesRequest(most=20)).causes if "pump" in c.text)
    assert any("coolant pressure is HIGH" in said for said in pump.speaks_against)
    assert any("filter is clogged: likelier" in said for said in pump.speaks_against)
    tank = next(c for c in answers.causes(world(flow(), PRESSURE), CausesRequest(most=20)).causes if "tank" in c.text)
    assert "coolant level: no reading" in tank.not_known


def test_a_condition_is_named_in_many_ways() -> None:
    w = world(flow(), PRESSURE)
    for word in ("vmc1", "coolant_flow", "vmc1/coolant_flow", "coolant flow", "vmc1/coolant", "FL01", "cell",
                 "coolant_flow_l_min", "vmc1/sensor/coolant_flow_l_min"):  # fmt: skip
        reply = answers.causes(w, CausesRequest(condition=word))
        assert reply.ok, word
        assert reply.causes[0].text == "vmc1/coolant/filter is clogged", word
    wrong = answers.causes(w, CausesRequest(condition="vmc1/coolnt"))
    assert (wrong.ok, "did you mean 'vmc1/coolant'?" in wrong.text) == (False, True)


def test_without_evidence_it_says_so() -> None:
    sound = flow(State.NORMAL, "30.1 l/min, usually 30.0")
    assert "no evidence: of 1 live readings none" in answers.causes(world(sound), CausesRequest()).text
    asked = answers.causes(world(sound), CausesRequest(condition="vmc1/coolant_flow"))
    assert "shows nothing abnormal (vmc1: coolant flow is NORMAL: 30.1 l/min, usually 30.0)" in asked.text
    assert "if it were" in asked.text
    assert {c.component for c in asked.causes} >= {"vmc1/coolant/filter", "coolant_tank"}
    nothing = answers.causes(world(sound), CausesRequest(condition="vmc2/spindle"))
    assert nothing.text == "no evidence: nothing live is known of vmc2/spindle"
    assert nothing.causes == ()


def test_the_impact_of_a_shared_thing_is_on_all_who_share_it() -> None:
    reply = answers.impact(world(), ImpactRequest(component="coolant_tank"), STATES)
    assert reply.machines == ("vmc1", "vmc2")
    assert reply.jobs == ("vmc1: O1001, run vmc1/sensory_cortex#1, tool em10-0001, part 1",)
    assert "orders are not known" in reply.text
    assert "coolant_tank feeds vmc1/coolant/pump feeds vmc1/coolant/filter" in reply.components


def test_the_impact_of_a_tool_is_on_the_job_that_uses_it() -> None:
    used = answers.impact(world(), ImpactRequest(component="vmc1/tool_1"), STATES)
    idle = answers.impact(world(), ImpactRequest(component="vmc1/tool_2"), STATES)
    assert len(used.jobs) == 1
    assert idle.jobs == ()
    assert "not in the spindle now" in idle.text
    wrong = answers.impact(world(), ImpactRequest(component="vmc1/tol_1"), STATES)
    assert (wrong.ok, "did you mean 'vmc1/tool_1'?" in wrong.text) == (False, True)


def test_which_parameter_moves_which_signal() -> None:
    signals = {"vmc1": ["spindle_load_pct", "x_mm", "coolant_flow_l_min"], "vmc2": ["spindle_load_pct"]}
    reply = answers.influence(InfluenceRequest(parameter="feed_mm_min"), signals)
    assert {i.signal for i in reply.influences} == {"vmc1/spindle_load_pct", "vmc2/spindle_load_pct"}
    assert "Kienzle" in reply.influences[0].text
    of_signal = answers.influence(InfluenceRequest(signal="vmc1/coolant_flow_l_min"), signals)
    assert {i.parameter for i in of_signal.influences} == {"pump_speed", "filter_clogging", "coolant_level"}
    assert "no known influence" in answers.influence(InfluenceRequest(signal="x_mm"), signals).text
    for request, hint in (
        (InfluenceRequest(parameter="fed_mm_min"), "did you mean 'feed_mm_min'?"),
        (InfluenceRequest(signal="spindle_lod_pct"), "did you mean 'spindle_load_pct'?"),
        (InfluenceRequest(machine="vmc3"), "did you mean 'vmc"),
    ):
        reply = answers.influence(request, signals)
        assert (reply.ok, hint in reply.text) == (False, True)


def test_the_overlay_marks_what_is_seen_and_what_is_likely() -> None:
    levels = answers.overlay(world(flow(), PRESSURE))
    assert levels["vmc1/coolant"][0] is ConditionLevel.WARNING
    assert levels["vmc1/coolant/filter"][0] is ConditionLevel.WARNING
    assert levels["vmc1/coolant/filter"][1].startswith("is clogged (")
    assert "vmc2/spindle" not in levels


def test_dot_and_graphml_hold_every_component_and_relation() -> None:
    shape = world().reach.shape
    shape.add('odd "name"', "tool")
    levels = {"vmc1": ConditionLevel.FAULT}
    drawn = export.dot(shape, levels)
    assert drawn.startswith("digraph shop {")
    assert drawn.count(" -> ") == len(shape.relations)
    assert '"vmc1" [label="vmc1 (machine)", fillcolor=tomato];' in drawn
    assert '"odd \\"name\\""' in drawn
    root = ET.fromstring(export.graphml(shape, levels))
    space = {"g": "http://graphml.graphdrawing.org/xmlns"}
    assert len(root.findall(".//g:node", space)) == len(shape.components)
    assert len(root.findall(".//g:edge", space)) == len(shape.relations)
