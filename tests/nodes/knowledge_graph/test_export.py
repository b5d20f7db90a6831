from __future__ import annotations

import xml.etree.ElementTree as ET

from nodes.knowledge_graph import export
from nodes.knowledge_graph.topology import derive
from schemas.machine import ConditionLevel


def test_dot_and_graphml_hold_every_component_and_relation() -> None:
    shape = derive({"vmc1": {"tools": [1, 2]}, "vmc2": {}})
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
