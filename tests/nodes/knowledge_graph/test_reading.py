from __future__ import annotations

from nodes.knowledge_graph.faults import State
from nodes.knowledge_graph.reading import Reading, merged


def flow(state: State, text: str, *codes: str, machine: str = "vmc1") -> Reading:
    return Reading(machine, "coolant_flow", f"{machine}/coolant", state, text, (), codes)


def test_what_is_abnormal_counts_and_all_that_speaks_for_it_is_said() -> None:
    found = merged(
        [
            flow(State.NORMAL, "30"),
            flow(State.LOW, "12", "a"),
            flow(State.LOW, "alarm 7", "b"),
            flow(State.NORMAL, "31"),
            flow(State.NORMAL, "30", machine="vmc2"),
        ]
    )
    assert [(r.machine, r.state, r.text, r.codes) for r in found] == [
        ("vmc1", State.LOW, "12; alarm 7", ("a", "b")),
        ("vmc2", State.NORMAL, "30", ()),
    ]


def test_a_reading_is_said_with_its_machine_and_place() -> None:
    assert flow(State.LOW, "12 l/min, usually 30").said() == "vmc1: coolant flow is LOW: 12 l/min, usually 30"
    axis = Reading("vmc1", "axis_load", "vmc1/axis_x", State.HIGH, "")
    assert axis.said() == "vmc1: load of the axis (axis_x) is HIGH"
    process = Reading("", "process", "process/vmc1/core", State.GONE, "BACKOFF")
    assert process.said() == "process (process/vmc1/core) is GONE: BACKOFF"
