"""Faults of the simulated cell, seen only through what travels on the bus: the true cause comes first.

The work item asks for nine of twelve first and all of them among the first three; here all must be first.
"""

from __future__ import annotations

import pytest

from schemas.machine import Fault
from tests.nodes.knowledge_graph.cell import Cell, short

pytestmark = pytest.mark.timeout(300)
"""each steps two mills through some twenty seconds, a millisecond at a time: 2 s on a quiet computer"""

Injected = tuple[tuple[str, Fault, str], ...]

TANK: Injected = (("vmc1", Fault.COOLANT_LOW, ""), ("vmc2", Fault.COOLANT_LOW, ""))
TWELVE: dict[str, tuple[Injected, float, set[str]]] = {
    # name: what is injected, seconds until it is asked, what must be at the top
    "pump": ((("vmc1", Fault.COOLANT_PUMP, ""),), 10, {"vmc1/coolant/pump delivers too little"}),
    "clogged filter": ((("vmc2", Fault.COOLANT_FILTER, ""),), 10, {"vmc2/coolant/filter is clogged"}),
    "shared tank low": (TANK, 10, {"coolant_tank is low"}),
    "dead sensor": ((("vmc1", Fault.SENSOR_LOST, "x_load_pct"),), 1, {"vmc1/sensor/x_load_pct is dead"}),
    "source silent": ((("vmc2", Fault.SOURCE_SILENT, "drive"),), 2, {"vmc2/source/drive is silent"}),
    "network of a machine": ((("vmc1", Fault.NETWORK_LOST, ""),), 5, {"vmc1/network is down"}),
    "worn tools": ((("vmc1", Fault.WORN_TOOL, ""),), 15, {"vmc1/tool_1 is worn", "vmc1/tool_2 is worn"}),
    "chatter": ((("vmc2", Fault.CHATTER, ""),), 15, {"vmc2/tool_1 chatters", "vmc2/tool_2 chatters"}),
    "spindle bearing": ((("vmc1", Fault.SPINDLE_BEARING, ""),), 15, {"vmc1/spindle has a failing bearing"}),
    "axis drag": ((("vmc2", Fault.AXIS_DRAG, "y"),), 9, {"vmc2/axis_y drags: guide or ball screw"}),
    "two at once, two machines": (
        (("vmc1", Fault.COOLANT_PUMP, ""), ("vmc2", Fault.SPINDLE_BEARING, "")),
        15,
        {"vmc1/coolant/pump delivers too little", "vmc2/spindle has a failing bearing"},
    ),
    "two at once, one machine": (
        (("vmc1", Fault.COOLANT_FILTER, ""), ("vmc1", Fault.AXIS_DRAG, "x")),
        12,
        {"vmc1/coolant/filter is clogged", "vmc1/axis_x drags: guide or ball screw"},
    ),
}
MORE: dict[str, tuple[Injected, float, set[str]]] = {
    "network of the cell": (
        (("vmc1", Fault.NETWORK_LOST, ""), ("vmc2", Fault.NETWORK_LOST, "")),
        5,
        {"cell/network is down"},
    ),
    "dead flow meter": (
        (("vmc1", Fault.SENSOR_LOST, "coolant_flow_l_min"),),
        2,
        {"vmc1/sensor/coolant_flow_l_min is dead"},
    ),
    "drag of the axis that holds a weight": (
        (("vmc1", Fault.AXIS_DRAG, "z"),),
        12,
        {"vmc1/axis_z drags: guide or ball screw"},
    ),
    "crash": ((("vmc1", Fault.CRASH, ""),), 4, {"vmc1/fixture stands in the way: collision"}),
}
EITHER = ("worn tools", "chatter")


@pytest.fixture(scope="module")
def cell() -> Cell:
    """Two mills that have made three parts and are sound."""
    made = Cell(program=short())
    made.run(24)
    return made


def test_of_a_sound_cell_it_says_that_there_is_no_evidence(cell: Cell) -> None:
    reply = cell.causes()
    assert (reply.ok, reply.causes) == (True, ())
    assert reply.text.startswith("no evidence: of ")
    known = {r.quantity for r in cell.graph.world().readings}
    assert known >= {"cutting_load", "idle_load", "axis_load", "idle_vibration", "cutting_vibration", "coolant_flow"}


@pytest.mark.parametrize("name", [*TWELVE, *MORE])
def test_the_true_cause_comes_first(cell: Cell, name: str) -> None:
    injected, seconds, true = (TWELVE | MORE)[name]
    for machine, fault, signal in injected:
        cell.inject(machine, fault, signal)
    try:
        cell.run(seconds)
        reply = cell.causes(most=8)
        found = [(c.text, c.probability_pct) for c in reply.causes]
        # of two tools that wear or chatter alike the light cut of one may not show it yet
        most = 1 if name in EITHER else len(true)
        assert {text for text, _ in found[:most]} <= true, found
        assert all(c.speaks_for for c in reply.causes[:most])
        # the condition as an operator says it: the machine
        for machine in {m for m, _, _ in injected}:
            mine = cell.causes(machine, most=3)
            assert {c.text for c in mine.causes} & true, mine.causes
    finally:
        cell.heal()
        cell.run(9)
    assert cell.causes().causes == (), f"not forgotten after the repair: {cell.causes().text}"


def test_a_tool_that_breaks_is_the_one_that_is_named(cell: Cell) -> None:
    cell.inject("vmc1", Fault.TOOL_BREAKAGE)
    try:
        cell.run(9)
        (broken,) = cell.mill("vmc1").mill.faults.broken
        assert cell.causes().causes[0].text == f"vmc1/tool_{broken} is broken"
    finally:
        cell.heal()
        cell.run(9)
    assert cell.causes().causes == ()
