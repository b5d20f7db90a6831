"""The last rows of a source, against a plain list."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nodes.impact_cortex.memory import Memory


@given(keep=st.integers(1, 20), blocks=st.lists(st.integers(0, 90), max_size=40), clear_at=st.integers(0, 60))
def test_holds_what_a_list_would(keep: int, blocks: list[int], clear_at: int) -> None:
    memory = Memory(2, keep)
    held: list[int] = []
    count = 0
    for i, rows in enumerate(blocks):
        if i == clear_at:
            memory.clear()
            held = []
        new = list(range(count, count + rows))
        count += rows
        memory.add(np.array([[v, -v] for v in new], dtype=np.float32).reshape(rows, 2))
        held += new
        for back in (0, rows // 2):
            seen = memory.last(keep, back)[:, 0].tolist()
            wanted = held[: len(held) - back][-keep:]
            assert seen == wanted[-len(seen) :] if seen else not wanted or back
            assert len(seen) >= min(len(wanted), keep - back)
