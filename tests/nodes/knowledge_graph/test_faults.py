from __future__ import annotations

from nodes.knowledge_graph.faults import ANY, FAULTS, KINDS, State
from nodes.knowledge_graph.reading import WORDS
from tests.benchmarks.graph import shop as shape


def test_the_table_speaks_of_known_things() -> None:
    assert {q for f in FAULTS for q, _ in f.effects} <= {*WORDS, ANY}
    assert all(0.0 < p < 1.0 for f in FAULTS for p in f.effects.values())
    assert all(0.0 < f.prior < 0.5 for f in FAULTS)
    assert all(s is not State.NORMAL for f in FAULTS for _, s in f.effects)
    assert set(shape().components.values()) <= KINDS
    assert len({(f.kind, f.name) for f in FAULTS}) == len(FAULTS)
