from __future__ import annotations

from nodes.knowledge_graph.reach import Reach
from nodes.knowledge_graph.topology import derive


def test_up_and_down_are_each_others_mirror() -> None:
    reach = Reach(derive({"vmc1": {"tools": [1]}, "vmc2": {}}))
    names = list(reach.shape.components)
    assert all((a in reach.upstream(b)) == (b in reach.downstream(a)) for a in names for b in names)
    assert all(name in reach.upstream(name) for name in names)
    assert reach.upstream("stranger") == reach.downstream("stranger") == frozenset()


def test_a_way_is_said_in_words() -> None:
    reach = Reach(derive({"vmc1": {"tools": [1]}}))
    way = reach.ways("vmc1/coolant/pump")["vmc1/tool_1"]
    assert reach.said(way) == "vmc1/coolant/pump feeds vmc1/coolant/filter feeds vmc1/coolant feeds vmc1/tool_1"
