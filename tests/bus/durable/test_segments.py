"""Segments as files: the index finds what a scan from the beginning would, however it came to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.durable.segment import HEADER_BYTES, pack_head, pack_header, seed
from bus.durable.segments import INDEX_EVERY_BYTES, Segment, id_of, listed, records

SEED = seed(5)


def made(path: Path, bodies: list[int], step: int = 1) -> Segment:
    """A segment whose records have bodies of these sizes, numbered 1, 1 + step ..."""
    segment = Segment(1, path, HEADER_BYTES, 0)
    data = pack_header(5, 1, 0)
    for n, size in enumerate(bodies):
        seq, body = 1 + n * step, bytes(size)
        record = pack_head(SEED, seq, 0, body, b"") + body
        segment.note(seq, len(data), len(record))
        data += record
    path.write_bytes(data)
    return segment


@settings(max_examples=40)
@given(
    bodies=st.lists(st.integers(0, INDEX_EVERY_BYTES), max_size=30), step=st.integers(1, 3), first=st.integers(0, 100)
)
def test_from_any_number(tmp_path_factory: pytest.TempPathFactory, bodies: list[int], step: int, first: int) -> None:
    written = made(tmp_path_factory.mktemp("segment") / "s", bodies, step)
    expected = [seq for seq in (1 + n * step for n in range(len(bodies))) if seq >= first]
    read = Segment(1, written.path, written.end, 0)
    for segment in (written, read, read):
        assert [r.seq for r in segment.records(first, SEED)] == expected


def test_a_read_far_behind_begins_near(tmp_path: Path) -> None:
    """What was read or written once is not scanned again."""
    segment = made(tmp_path / "s", [1000] * 500)
    data = bytearray((tmp_path / "s").read_bytes())
    data[HEADER_BYTES : HEADER_BYTES + 4 * INDEX_EVERY_BYTES] = bytes(4 * INDEX_EVERY_BYTES)
    (tmp_path / "s").write_bytes(data)
    assert [r.seq for r in segment.records(400, SEED)] == list(range(400, 501))


def test_only_segments_are_listed_and_a_vote_says_whose_they_are(tmp_path: Path) -> None:
    for name in ("00000000000000000007.log", "00000000000000000001.log"):
        (tmp_path / name).write_bytes(pack_header(5, int(name[:20]), 0))
    (tmp_path / "00000000000000000009.log").write_bytes(pack_header(6, 9, 0))
    for name in ("1.log", "numbers", "lock", "00000000000000000001.damaged", "x00000000000000000001.log"):
        (tmp_path / name).write_bytes(b"")
    segments = listed(tmp_path)
    assert [s.first_seq for s in segments] == [1, 7, 9]
    assert id_of(tmp_path, segments) == 5
    assert list(records(tmp_path)) == []
