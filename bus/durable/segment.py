"""The bytes of a log: segments of records. Sans-IO but for `scan`, which reads a file piece by piece.

    segment   magic 8 | log_id u64 | first_seq u64 | made_ns i64 | crc u32 | record | record ...
    record    mark u32 | crc of the head u32 | crc of the body u32 | seq u64 | wall_ns i64 |
              frame bytes u32 | tail bytes u32 | frame | tail

little-endian. The body is what crossed the wire (bus/frame.py). Both CRCs begin with the log's id, so a record of
another log, or of a file that had the same blocks before, is none of this one. Numbers rise; they need not be dense.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

MAGIC = b"RISELOG\x01"
MARK = b"\xa5REC"
_HEADER = struct.Struct("<8sQQqI")
HEADER_BYTES = _HEADER.size
_REST = struct.Struct("<IQqII")
_HEAD = struct.Struct("<4sI")
_WHOLE = struct.Struct("<4sIIQqII")
"""the two together"""
HEAD_BYTES = _WHOLE.size
BODY_MAX_BYTES = 1 << 30
_BLOCK = 256 * 1024


class Record(NamedTuple):
    """One event as it was sent, and where it lies in its segment."""

    seq: int
    wall_ns: int
    frame: bytes
    tail: bytes
    start: int
    end: int


def seed(log_id: int) -> int:
    """What the CRCs of a log begin with."""
    return crc32(log_id.to_bytes(8, "little"))


def pack_header(log_id: int, first_seq: int, made_ns: int) -> bytes:
    """What a segment begins with."""
    plain = _HEADER.pack(MAGIC, log_id, first_seq, made_ns, 0)[:-4]
    return plain + crc32(plain).to_bytes(4, "little")


def parse_header(data: bytes) -> tuple[int, int, int] | None:
    """(log_id, first_seq, made_ns); None when the bytes are no whole header."""
    if len(data) < HEADER_BYTES:
        return None
    magic, log_id, first_seq, made_ns, crc = _HEADER.unpack_from(data)
    whole = magic == MAGIC and crc == crc32(data[: HEADER_BYTES - 4])
    return (log_id, first_seq, made_ns) if whole else None


def pack_head(crc_seed: int, seq: int, wall_ns: int, frame: bytes, tail: bytes | memoryview) -> bytes:
    """What precedes frame and tail."""
    body = crc32(frame, crc_seed)
    rest = _REST.pack(crc32(tail, body) if tail else body, seq, wall_ns, len(frame), len(tail))
    return _HEAD.pack(MARK, crc32(rest, crc_seed)) + rest


def _size_at(data: bytes, at: int, crc_seed: int) -> int:
    """Bytes of the record whose head is whole at `at`; 0 when there is none."""
    if data[at : at + 4] != MARK or len(data) - at < HEAD_BYTES:
        return 0
    _, crc, _, _, _, frame_bytes, tail_bytes = _WHOLE.unpack_from(data, at)
    if crc32(data[at + 8 : at + HEAD_BYTES], crc_seed) != crc or frame_bytes + tail_bytes > BODY_MAX_BYTES:
        return 0
    return HEAD_BYTES + int(frame_bytes) + int(tail_bytes)


def scan(fd: int, start: int, end: int, crc_seed: int, after_seq: int = 0) -> Iterator[Record]:
    """The whole records that begin in `start`..`end`, with rising numbers; what is damaged in between is passed over.

    The numbers tell what was: behind a damaged record the next one does not follow.

    Raises:
        OSError: the disk does not give the bytes.
    """
    unpack, new = _WHOLE.unpack_from, tuple.__new__
    base, data, at = start, b"", start
    while at < end:
        if at + HEAD_BYTES > base + len(data):
            base, data = at, os.pread(fd, min(_BLOCK, end - at), at)
        size = _size_at(data, at - base, crc_seed)
        if not size or at + size > end:
            at = _next_head(fd, at + 1, end, crc_seed)
            continue
        if at + size > base + len(data):
            base, data = at, os.pread(fd, min(max(_BLOCK, size), end - at), at)
            if len(data) < size:
                return  # cut while it was read
        head = at - base
        _, _, crc, seq, wall_ns, frame_bytes, _ = unpack(data, head)
        body, stop = head + HEAD_BYTES, head + size
        frame = data[body : body + frame_bytes]
        tail = data[body + frame_bytes : stop]
        found = crc32(frame, crc_seed)
        if (crc32(tail, found) if tail else found) == crc and seq > after_seq:
            yield new(Record, (seq, wall_ns, frame, tail, at, at + size))
            after_seq = seq
        at += size


def _next_head(fd: int, at: int, end: int, crc_seed: int) -> int:
    """Where the next whole head lies behind something damaged; `end` when there is none."""
    while end - at >= HEAD_BYTES:
        data = os.pread(fd, min(_BLOCK, end - at), at)
        if len(data) < HEAD_BYTES:
            return end  # cut while it was read
        found = data.find(MARK)
        while 0 <= found <= len(data) - HEAD_BYTES:
            if _size_at(data, found, crc_seed):
                return at + found
            found = data.find(MARK, found + 1)
        at += len(data) - HEAD_BYTES + 1  # a head may lie across the end of the block
    return end


def is_cut_short(fd: int, start: int, end: int, crc_seed: int) -> bool:
    """Whether what lies at `start`..`end` is the beginning of one record, as a write leaves it that never returned."""
    data = os.pread(fd, min(HEAD_BYTES, end - start), start)
    if len(data) < HEAD_BYTES:
        return MARK.startswith(data[:4])
    return start + _size_at(data, 0, crc_seed) > end
