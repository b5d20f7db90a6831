"""Who is reached from where: the graph of relations, with what lies up and down of each component kept."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from nodes.knowledge_graph.topology import RELATIONS, Shape


class Reach:
    """A shape as networkx sees it; made anew when the shape changes."""

    def __init__(self, shape: Shape) -> None:
        import networkx as nx  # 0.2 s: not for whoever only reads this node's interface

        self._nx: Any = nx
        self.shape = shape
        self._graph: Any = nx.DiGraph()
        self._graph.add_nodes_from(shape.components)
        self._graph.add_edges_from(shape.relations)
        self._up: dict[str, frozenset[str]] = {}
        self._down: dict[str, frozenset[str]] = {}

    def upstream(self, name: str) -> frozenset[str]:
        """The components whose faults show here, itself included; empty for a stranger."""
        found = self._up.get(name)
        if found is None:
            known = name in self.shape.components
            found = frozenset({name, *self._nx.ancestors(self._graph, name)}) if known else frozenset()
            self._up[name] = found
        return found

    def downstream(self, name: str) -> frozenset[str]:
        """The components at which a fault of this one shows, itself included; empty for a stranger."""
        found = self._down.get(name)
        if found is None:
            known = name in self.shape.components
            found = frozenset({name, *self._nx.descendants(self._graph, name)}) if known else frozenset()
            self._down[name] = found
        return found

    def ways(self, source: str) -> Mapping[str, list[str]]:
        """The shortest way to every component downstream."""
        found: dict[str, list[str]] = self._nx.single_source_shortest_path(self._graph, source)
        return found

    def said(self, way: list[str]) -> str:
        """`coolant_tank feeds vmc1/coolant/pump feeds vmc1/coolant/filter`."""
        words = [way[0]]
        for source, target in pairwise(way):
            words += [RELATIONS.get(self.shape.relations[source, target], "affects"), target]
        return " ".join(words)
