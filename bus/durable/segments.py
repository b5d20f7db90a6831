"""The segments of a log as files: found by name, read by number, each with an index that grows as it is read."""

from __future__ import annotations

import bisect
import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from bus.durable import numbers
from bus.durable.segment import HEADER_BYTES, Record, parse_header, scan, seed

INDEX_EVERY_BYTES = 32 * 1024
_NAME = re.compile(r"(\d{20})\.log")


class Segment:
    """One file. `end` is where its whole records end; what lies behind is not looked at."""

    __slots__ = ("_index", "end", "first_seq", "path", "written_ns")

    def __init__(self, first_seq: int, path: Path, end: int, written_ns: int) -> None:
        self.first_seq = first_seq
        """no record of a lower number is in it; it need not hold this one"""
        self.path = path
        self.end = end
        self.written_ns = written_ns
        """when it was last written, wall time of the computer"""
        self._index: list[tuple[int, int]] = []
        """(number, offset) of a record in every so many bytes"""

    def note(self, seq: int, start: int, size: int) -> None:
        """A record was appended."""
        self.end = start + size
        self.mark(seq, start)

    def mark(self, seq: int, start: int) -> None:
        """A record was seen at this place."""
        if start >= (self._index[-1][1] if self._index else HEADER_BYTES) + INDEX_EVERY_BYTES:
            self._index.append((seq, start))

    def records(self, first: int, crc_seed: int) -> Iterator[Record]:
        """The whole records numbered `first` and higher. Raises OSError."""
        at = bisect.bisect_right(self._index, first, key=lambda entry: entry[0]) - 1
        start = self._index[at][1] if at >= 0 else HEADER_BYTES
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for record in scan(fd, start, self.end, crc_seed):
                self.mark(record.seq, record.start)
                if record.seq >= first:
                    yield record
        finally:
            os.close(fd)


def listed(folder: Path) -> list[Segment]:
    """The files that are named like segments, by number; as long as they are, whole or not. Raises OSError."""
    found = []
    for entry in os.scandir(folder):
        name = _NAME.fullmatch(entry.name)
        if name:
            with contextlib.suppress(FileNotFoundError):  # retention took it
                there = entry.stat()
                found.append(Segment(int(name[1]), Path(entry.path), there.st_size, there.st_mtime_ns))
    return sorted(found, key=lambda s: s.first_seq)


def header_of(segment: Segment) -> tuple[int, int, int] | None:
    """(log_id, first_seq, made_ns) as the file says; None when its header is damaged. Raises OSError."""
    fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return parse_header(os.pread(fd, HEADER_BYTES, 0))
    finally:
        os.close(fd)


def id_of(folder: Path, segments: list[Segment]) -> int:
    """Which log the folder holds, as the most segments and its own file say; 0 when none of them is legible."""
    said = [header[0] for s in segments if (header := header_of(s)) is not None]
    own = numbers.read(folder / "numbers")
    if own is not None:
        said.append(own.log_id)
    return max(said, key=said.count, default=0)


def records(folder: Path, first: int = 1) -> Iterator[Record]:
    """The events of a log numbered `first` and higher, for any process, while another one writes it.

    The numbers tell of what is missing: deleted by retention, damaged, or never kept.

    Raises:
        OSError: the folder or a file cannot be read.
    """
    segments = listed(folder)
    crc_seed = seed(id_of(folder, segments))
    for n, segment in enumerate(segments):
        if n + 1 < len(segments) and segments[n + 1].first_seq <= first:
            continue
        with contextlib.suppress(FileNotFoundError):
            yield from segment.records(first, crc_seed)
