"""The shop as a graph: what hangs on what, what may be the matter, what it touches."""

from nodes.knowledge_graph.node import KnowledgeGraph as KnowledgeGraph
