from __future__ import annotations

from nodes.knowledge_graph import answers, topology
from nodes.knowledge_graph.answers import World
from nodes.knowledge_graph.faults import FAULTS, State
from nodes.knowledge_graph.reach import Reach
from nodes.knowledge_graph.reading import Reading
from nodes.knowledge_graph.topology import Shared, derive
from schemas.graph import CausesRequest, ImpactRequest
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


def test_the_overlay_marks_what_is_seen_and_what_is_likely() -> None:
    levels = answers.overlay(world(flow(), PRESSURE))
    assert levels["vmc1/coolant"][0] is ConditionLevel.WARNING
    assert levels["vmc1/coolant/filter"][0] is ConditionLevel.WARNING
    assert levels["vmc1/coolant/filter"][1].startswith("is clogged (")
    assert "vmc2/spindle" not in levels
