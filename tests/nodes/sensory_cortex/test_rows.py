"""Rows of a table and where they stand in it, bad ones left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodes.sensory_cortex.chunk import ChunkKind
from nodes.sensory_cortex.columns import ColumnMap, column_map
from nodes.sensory_cortex.drivers.recording import table_chunks
from nodes.sensory_cortex.rows import BadRow, BadTable, Row, read_rows


def by(**more: Any) -> ColumnMap:
    return column_map({"columns": {"x_mm": "x"}, **(more or {"period_ms": 100.0})})


def read(text: str, how: ColumnMap) -> tuple[list[Row], list[str]]:
    found = list(read_rows(text.splitlines(keepends=True), how, "t.csv"))
    return [r for r in found if isinstance(r, Row)], [r.text for r in found if isinstance(r, BadRow)]


def test_a_bad_row_keeps_its_place_and_its_time() -> None:
    rows, bad = read("x\n0\nbad\n2\n\n3\n1,2\n" + "9" * 70_000 + "\n6\n", by())
    assert [(r.index, r.offset_ns, r.values[0]) for r in rows] == [
        (0, 0, 0.0),
        (2, 200_000_000, 2.0),
        (3, 300_000_000, 3.0),
        (6, 600_000_000, 6.0),
    ]
    assert len(bad) == 3


def test_a_gap_of_bad_rows_shows_in_the_chunks_and_after_a_loop(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x\n0\nbad\n2\nbad\n4\n5\n")
    chunks = table_chunks(path, by(), skip_bad=True, loop=True)
    rows = [c for c in (next(chunks) for _ in range(8)) if c.kind is ChunkKind.ROWS]
    assert [(c.first_row, c.offset_ns // 100_000_000, len(c.data.array)) for c in rows] == [
        (0, 0, 1),
        (2, 2, 1),
        (4, 4, 2),
        (6, 6, 1),
        (8, 8, 1),
        (10, 10, 2),
    ]


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e999", "1e39", "-4e38", "Infinity"])
def test_what_no_sample_can_hold_is_no_reading(cell: str) -> None:
    rows, bad = read(f"x\n1\n{cell}\n3\n", by())
    assert [r.values[0] for r in rows] == [1.0, 3.0]
    assert bad == [f"t.csv, line 3, column 'x': {cell!r} is no number"]


def test_a_column_that_stands_there_twice_is_refused_when_it_is_wanted() -> None:
    with pytest.raises(BadTable, match="line 1: column 'x' stands there 2 times"):
        read("x,y,x\n1,2,3\n", by())
    rows, _ = read("x,y,y\n1,2,3\n", by())
    assert [r.values[0] for r in rows] == [1.0]
