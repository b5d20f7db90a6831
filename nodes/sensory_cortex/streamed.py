"""What a stream's reader makes of the bytes that come: chunks for the node's thread, each with its arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.columns import Column, ColumnMap
from nodes.sensory_cortex.counted import Counted, Counter
from nodes.sensory_cortex.frames import Frame, FrameParser, readings
from nodes.sensory_cortex.gathered import joins, rows_chunk
from nodes.sensory_cortex.lines import LineCutter
from nodes.sensory_cortex.recorded import replaced
from nodes.sensory_cortex.rows import BadRow, Row, read_rows
from schemas.base import Samples

GATHER_NS = 5_000_000
"""small frames that came at once travel together, but no longer than this, so that the lateness of each shows"""
TELL_NS = 100_000_000
"""what cannot be read is told no more often than this: it may be all that comes"""

Now = Callable[[], int]


class FrameReader:
    """Counted frames as chunks. Its counter outlives connections: what was lost between two of them shows."""

    def __init__(self, columns: Sequence[Column], channels: int, now_ns: Now, *, ordered: bool) -> None:
        self._at = [int(c.column) for c in columns]
        self._all = self._at == list(range(channels))
        self._scale = np.array([c.scale for c in columns], dtype=np.float64)
        self._offset = np.array([c.offset for c in columns], dtype=np.float64)
        self._plain = bool((self._scale == 1.0).all() and (self._offset == 0.0).all())
        self._channels = channels
        self._now_ns = now_ns
        self._ordered = ordered
        self._counter = Counter(ordered=ordered)
        self._bad = self._told_bad = 0
        self._text = ""

    def chunks(self, packets: Iterable[bytes]) -> Iterator[Chunk]:
        """The chunks of one connection."""
        parser = FrameParser()
        self._counter.connected()
        bad = self._bad
        misfits = told_ns = 0
        for data in packets:
            now_ns = self._now_ns()
            frames = parser.feed(data)
            if not self._ordered:
                parser.end()  # a datagram holds whole frames
            fitting = [f for f in frames if f.data.shape[1] == self._channels]
            misfits += len(frames) - len(fitting)
            self._bad = bad + parser.resynced + misfits
            if self._bad != self._told_bad and now_ns - told_ns >= TELL_NS:
                self._told_bad, told_ns = self._bad, now_ns
                self._text = f"{parser.garbage_bytes} bytes that are no frame"
                if misfits:
                    self._text = f"{misfits} frames without {self._channels} channels, as many as `columns` has"
                yield Chunk(kind=ChunkKind.BAD, bad_rows=self._bad, text=self._text)
            gathered: list[Counted] = []
            for counted in self._placed(fitting, now_ns):
                if gathered and not _continues(gathered, counted):
                    yield self._chunk(gathered)
                    gathered = []
                gathered.append(counted)
            if gathered:
                yield self._chunk(gathered)

    def _placed(self, frames: Sequence[Frame], now_ns: int) -> Iterator[Counted]:
        for frame in frames:
            yield from self._counter.push(frame, now_ns)
        yield from self._counter.overdue(now_ns)

    def _chunk(self, gathered: Sequence[Counted]) -> Chunk:
        first = gathered[0]
        data = np.concatenate([c.frame.data for c in gathered]) if len(gathered) > 1 else first.frame.data
        if not self._all:
            data = data[:, self._at]
        if not self._plain:
            with np.errstate(all="ignore"):
                data = readings(data * self._scale + self._offset)
        return Chunk(
            kind=ChunkKind.ROWS,
            session=first.session,
            offset_ns=first.offset_ns,
            period_ns=first.frame.period_ns,
            origin_ns=first.frame.stamp_ns,
            arrival_ns=first.arrival_ns,
            first_row=first.first_row,
            bad_rows=self._bad,
            doubled_rows=self._counter.doubled_rows,
            text=self._text,
            data=Samples(np.ascontiguousarray(data, dtype=np.float32)),
        )


def _continues(gathered: Sequence[Counted], new: Counted) -> bool:
    """Whether a frame goes on where the gathered ones end, and came with them."""
    first, last = gathered[0], gathered[-1]
    rows = new.first_row + len(new.frame.data) - first.first_row
    return (
        new.session == last.session
        and new.arrival_ns == last.arrival_ns
        and new.first_row == last.first_row + len(last.frame.data)
        and rows * first.frame.period_ns <= GATHER_NS
    )


class LineReader:
    """Lines of text as chunks, by a column map. Every connection begins anew: with its header, first row and time."""

    def __init__(self, by: ColumnMap, name: str, now_ns: Now, *, ordered: bool) -> None:
        self._by, self._name, self._now_ns, self._ordered = by, name, now_ns, ordered
        self._session = -1
        self._rows = 0
        """of all connections so far, bad ones counted"""
        self._bad = 0
        self._text = ""

    def chunks(self, packets: Iterable[bytes]) -> Iterator[Chunk]:
        """The chunks of one connection.

        Raises:
            BadTable: the header lacks a column.
        """
        cutter = LineCutter()
        waiting: deque[str] = deque()
        arrival_ns = told_ns = 0
        base_row = self._rows
        self._session += 1

        def lines() -> Iterator[str]:
            nonlocal arrival_ns
            for data in packets:
                arrival_ns = self._now_ns()
                whole = data if self._ordered or data.endswith(b"\n") else data + b"\n"
                waiting.extend(cutter.feed(whole))
                while waiting:
                    yield waiting.popleft()

        def chunk() -> Chunk:
            made = rows_chunk(gathered, 0, base_row, self._bad, self._text, self._by)
            return replaced(made, session=self._session, arrival_ns=arrival_ns)

        gathered: list[Row] = []
        for row in read_rows(lines(), self._by, self._name):
            if isinstance(row, BadRow):
                self._bad, self._text = self._bad + 1, row.text
                self._rows += 1
                if not waiting and not gathered and arrival_ns - told_ns >= TELL_NS:
                    told_ns = arrival_ns
                    yield Chunk(kind=ChunkKind.BAD, bad_rows=self._bad, text=self._text)
            else:
                if gathered and not joins(gathered, row):
                    yield chunk()
                    gathered = []
                gathered.append(row)
                self._rows = base_row + row.index + 1
            if gathered and not waiting:
                yield chunk()
                gathered = []
