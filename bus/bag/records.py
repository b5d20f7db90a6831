"""MCAP records as bytes: walking over them, and the one error for what is no bag.

The rare records (schema, channel, indexes, ...) are read and written by the `mcap` library's classes; messages and
chunks, of which there are millions, are packed here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import zstandard
from mcap.data_stream import ReadDataStream, RecordBuilder
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.writer import MCAP0_MAGIC as MAGIC

from schemas.sayable import sayable

__all__ = [
    "MAGIC",
    "MESSAGE",
    "RECORD",
    "BadBag",
    "Cut",
    "Opcode",
    "Record",
    "Span",
    "inflate",
    "pack",
    "parse",
    "walk",
]

RECORD = struct.Struct("<BQ")
"""opcode and length: the head of every record"""
MESSAGE = struct.Struct("<BQHIQQ")
"""a message record up to its payload: opcode, length, channel, sequence, log time, publish time"""
MESSAGE_FIXED_BYTES = 22
CHUNK = struct.Struct("<QQQI")
"""a chunk up to its compression's name: start, end, uncompressed size, uncompressed CRC"""

MAX_CHUNK_BYTES = 1 << 28
"""an uncompressed chunk above this is damage, not data: what a reader allocates has a bound"""


class BadBag(ValueError):
    """The file is no bag of this system, or is damaged; the text says where, what was expected, and what to do."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {sayable(reason)}")
        self.path = str(path)
        self.reason = reason


class Cut(Exception):
    """The file ends (or turns to garbage) inside a record that starts at `at`."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(f"byte {at}: {reason}")
        self.at = at
        self.reason = reason


class Span(NamedTuple):
    """A record in a file: its opcode, and where it starts, its body starts, and it ends."""

    opcode: int
    start: int
    body: int
    end: int


class Record(NamedTuple):
    """The head of a chunk and where its data lies."""

    start_ns: int
    end_ns: int
    uncompressed_size: int
    crc: int
    compression: str
    data: int
    end: int


def walk(data: Any, at: int, end: int) -> Iterator[Span]:
    """The records in data[at:end] one after the other.

    Raises:
        Cut: the last one is not whole, or what stands there is no record.
    """
    while at < end:
        if end - at < RECORD.size:
            raise Cut(at, f"{end - at} bytes where a record's head of {RECORD.size} was expected")
        opcode, length = RECORD.unpack_from(data, at)
        if opcode == 0:
            raise Cut(at, "opcode 0 is no record")
        body = at + RECORD.size
        if length > end - body:
            raise Cut(at, f"a record of {length} bytes, and {end - body} are left")
        yield Span(opcode, at, body, body + length)
        at = body + length


def parse(kind: Any, data: Any, span: Span) -> Any:
    """The record at `span` as an instance of one of mcap.records' classes.

    Raises:
        Cut: its body is not that of such a record.
    """
    try:
        return kind.read(ReadDataStream(BytesIO(bytes(data[span.body : span.end]))))
    except (McapError, struct.error, ValueError, OverflowError, MemoryError) as error:
        raise Cut(span.start, f"not a {kind.__name__} record: {error or type(error).__name__}") from None


def pack(record: Any) -> bytes:
    """One of mcap.records' instances as bytes."""
    builder = RecordBuilder()
    record.write(builder)
    data: bytes = builder.end()  # type: ignore[no-untyped-call] # the library leaves it unannotated
    return data


def chunk_head(data: Any, span: Span) -> Record:
    """The chunk's times, sizes and where its data is.

    Raises:
        Cut: the chunk's lengths do not fit each other.
    """
    try:
        start_ns, end_ns, size, crc = CHUNK.unpack_from(data, span.body)
        at = span.body + CHUNK.size
        (name_length,) = struct.unpack_from("<I", data, at)
        at += 4
        if name_length > 16:
            raise ValueError(f"compression's name of {name_length} bytes")
        compression = bytes(data[at : at + name_length]).decode()
        at += name_length
        (length,) = struct.unpack_from("<Q", data, at)
        at += 8
    except (struct.error, ValueError) as error:
        raise Cut(span.start, f"not a Chunk record: {error}") from None
    if at + length != span.end or size > MAX_CHUNK_BYTES:
        raise Cut(span.start, f"not a Chunk record: {length} bytes of {size}, and {span.end - at} are there")
    return Record(start_ns, end_ns, size, crc, compression, at, span.end)


def inflate(data: Any, span: Span, head: Record) -> bytes:
    """The records inside a chunk, uncompressed, their CRC verified.

    Raises:
        Cut: unknown compression, data that does not decompress, or a CRC that differs.
    """
    stored = bytes(data[head.data : head.end])
    if head.compression == "zstd":
        try:
            content = zstandard.ZstdDecompressor().decompress(stored, max_output_size=head.uncompressed_size)
        except (zstandard.ZstdError, MemoryError) as error:  # it says how large it is, and may lie
            raise Cut(span.start, f"chunk does not decompress: {error or 'it is too large'}") from None
    elif head.compression == "":
        content = stored
    else:
        raise Cut(span.start, f"chunk compressed with {head.compression!r}; only zstd is read here")
    if len(content) != head.uncompressed_size:
        raise Cut(span.start, f"chunk of {len(content)} bytes announced {head.uncompressed_size}")
    if head.crc and zlib.crc32(content) != head.crc:
        raise Cut(span.start, f"chunk's CRC is {zlib.crc32(content):08x}, {head.crc:08x} was written")
    return content
