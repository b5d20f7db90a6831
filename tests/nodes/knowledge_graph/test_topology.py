from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nodes.knowledge_graph import topology
from nodes.knowledge_graph.reach import Reach
from nodes.knowledge_graph.topology import Shape, Shared, derive
from schemas.machine import SignalInfo

TWO = {"vmc1": {"tools": [1, 2]}, "vmc2": {"tools": [7]}}


def signal(name: str, source: str = "drive") -> SignalInfo:
    return SignalInfo(name=name, mtconnect_type="LOAD", unit="%", source=source, topic="machine/samples")


def test_the_default_has_every_part_and_no_circle() -> None:
    shape = derive(TWO, [Shared("coolant_tank", "coolant_tank", ("vmc1", "vmc2"))])
    topology.add_signals(shape, "vmc1", [signal("spindle_load_pct"), signal("x_load_pct"), signal("odd")])
    topology.add_coolant(shape, "vmc1")
    topology.add_process(shape, "vmc1/core", ("vmc1/sensory_cortex", "vmc1/impact_cortex"))
    assert shape.cycle() == ()
    reach = Reach(shape)
    assert {"vmc1", "vmc2", "vmc1/tool_1", "vmc2/tool_7", "cell"} <= reach.downstream("coolant_tank")
    assert "vmc1/sensor/spindle_load_pct" in reach.downstream("vmc1/spindle")
    assert "vmc1/sensor/x_load_pct" in reach.downstream("vmc1/axis_x")
    assert "vmc1/sensor/x_load_pct" not in reach.downstream("vmc1/spindle") - reach.downstream("vmc1/tool_1")
    assert "vmc1/sensor/odd" in reach.downstream("vmc1/control")
    assert "vmc1/sensor/coolant_level_pct" in reach.downstream("coolant_tank")
    assert "vmc1/source/drive" in reach.downstream("process/vmc1/core")
    assert "vmc2/source/drive" not in reach.downstream("cell/network")  # it has not said that it has one
    assert "vmc1/source/drive" in reach.downstream("cell/network")


def test_a_machine_has_a_tank_of_its_own_unless_it_shares_one() -> None:
    shape = derive(TWO, [Shared("tank_a", "coolant_tank", ("vmc1",))])
    assert "vmc1/coolant/tank" not in shape.components
    assert topology.tank_of(shape, "vmc1") == "tank_a"
    assert topology.tank_of(shape, "vmc2") == "vmc2/coolant/tank"
    topology.add_machine(shape, "vmc1")
    assert "vmc1/coolant/tank" not in shape.components


def test_one_machine_has_no_network_of_the_cell() -> None:
    assert "cell/network" not in derive({"vmc1": {}}).components


def test_what_there_is_no_room_for_is_counted() -> None:
    shape = derive({"vmc1": {}})
    topology.add_signals(shape, "vmc1", [signal(f"s{i}") for i in range(topology.MOST_COMPONENTS)])
    assert len(shape.components) == topology.MOST_COMPONENTS
    assert shape.refused > 0
    many = derive({"vmc1": {"tools": range(1, 1000)}})
    assert sum(kind == "tool" for kind in many.components.values()) == topology.MOST_TOOLS


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_a_circle_is_found_and_is_one(pairs: list[tuple[int, int]]) -> None:
    shape = Shape()
    for n in range(7):
        shape.add(f"c{n}", "machine")
    for a, b in pairs:
        shape.relate(f"c{a}", "feeds", f"c{b}")
    circle = shape.cycle()
    if circle:
        assert circle[0] == circle[-1]
        steps = list(pairwise(circle))
        assert all((a, b) in shape.relations for a, b in steps) or all((b, a) in shape.relations for a, b in steps)
    else:
        reach = Reach(shape)
        assert all(a not in reach.downstream(b) for a, b in shape.relations)
