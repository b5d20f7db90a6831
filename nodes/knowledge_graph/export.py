"""The graph for drawing programs: DOT for Graphviz, GraphML for yEd and Gephi."""

from __future__ import annotations

import json
from collections.abc import Mapping

from nodes.knowledge_graph.topology import Shape
from schemas.machine import ConditionLevel

# colour only where something is abnormal (ISA-101)
COLOURS: Mapping[ConditionLevel, str] = {
    ConditionLevel.NORMAL: "white",
    ConditionLevel.WARNING: "gold",
    ConditionLevel.FAULT: "tomato",
    ConditionLevel.UNAVAILABLE: "lightgrey",
}


def dot(shape: Shape, levels: Mapping[str, ConditionLevel]) -> str:
    """A digraph in the DOT language, from cause to effect."""
    lines = ["digraph shop {", "  rankdir=LR; node [shape=box, style=filled, fontname=sans];"]
    for name, kind in shape.components.items():
        colour = COLOURS[levels.get(name, ConditionLevel.UNAVAILABLE)]
        # JSON's quoting is DOT's for every character that a name can hold
        lines.append(f"  {json.dumps(name)} [label={json.dumps(f'{name} ({kind})')}, fillcolor={colour}];")
    for (source, target), kind in shape.relations.items():
        lines.append(f"  {json.dumps(source)} -> {json.dumps(target)} [label={json.dumps(kind)}];")
    return "\n".join([*lines, "}"])


def graphml(shape: Shape, levels: Mapping[str, ConditionLevel]) -> str:
    """The same as GraphML, with kind and level of each component."""
    import networkx as nx

    graph = nx.DiGraph()
    for name, kind in shape.components.items():
        graph.add_node(name, kind=kind, level=levels.get(name, ConditionLevel.UNAVAILABLE).value)
    for (source, target), kind in shape.relations.items():
        graph.add_edge(source, target, kind=kind)
    return "\n".join(nx.generate_graphml(graph))
