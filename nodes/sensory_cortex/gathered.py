"""Rows gathered into chunks: what follows each other evenly, under the same state, travels together."""

from __future__ import annotations

import numpy as np

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.columns import ColumnMap
from nodes.sensory_cortex.rows import Row
from schemas.base import Samples

ROWS_PER_CHUNK = 512


def joins(gathered: list[Row], row: Row) -> bool:
    """Whether a row continues a chunk: none missing, evenly spaced, came in at the same time, nothing else changed."""
    last = gathered[-1]
    if row.index != last.index + 1:
        return False
    if len(gathered) >= ROWS_PER_CHUNK or row.arrival_ns != last.arrival_ns:
        return False
    if row.motion is not last.motion or row.block != last.block:
        return False
    return len(gathered) < 2 or row.offset_ns - last.offset_ns == last.offset_ns - gathered[-2].offset_ns


def rows_chunk(rows: list[Row], base_ns: int, base_row: int, bad: int, text: str, by: ColumnMap) -> Chunk:
    """Rows that join as one chunk, moved to where the recording or the session began."""
    with np.errstate(over="ignore"):
        data = np.array([r.values for r in rows], dtype=np.float64).astype(np.float32)
    first = rows[0]
    return Chunk(
        kind=ChunkKind.ROWS,
        offset_ns=base_ns + first.offset_ns,
        period_ns=rows[1].offset_ns - first.offset_ns if len(rows) > 1 else by.period_ns,
        arrival_ns=-1 if first.arrival_ns < 0 else base_ns + first.arrival_ns,
        motion=first.motion,
        block=first.block,
        first_row=base_row + first.index,
        bad_rows=bad,
        text=text,
        data=Samples.take(data),
    )
