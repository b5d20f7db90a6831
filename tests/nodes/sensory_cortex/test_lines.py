"""Lines out of bytes, however they are cut, and none without an end."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from nodes.sensory_cortex.lines import LineCutter
from nodes.sensory_cortex.rows import LONGEST_LINE


@given(st.text(max_size=200), st.lists(st.integers(0, 1000), max_size=6))
def test_lines_are_the_same_however_they_are_cut(text: str, at: list[int]) -> None:
    data = text.encode("utf-8", "replace")
    edges = [0, *sorted(a % (len(data) + 1) for a in at), len(data)]
    cutter = LineCutter()
    lines = [line for a, b in itertools.pairwise(edges) for line in cutter.feed(data[a:b])]
    assert lines == data.decode("utf-8", "replace").split("\n")[:-1]


def test_a_line_without_an_end_is_kept_only_so_far_and_the_next_is_whole() -> None:
    cutter = LineCutter()
    for _ in range(10):
        assert cutter.feed(b"9" * LONGEST_LINE) == []
    long, whole = cutter.feed(b"9\n1,2\n")
    assert len(long) == LONGEST_LINE + 1
    assert whole == "1,2"
