"""Closing the bag of a dead recorder: what is whole stays where it is, the torn end goes, the summary is written."""

from __future__ import annotations

import fcntl
import mmap
import os
import zlib
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from mcap import records

from bus.bag.records import MAGIC, MESSAGE, BadBag, Cut, Opcode, Span, chunk_head, inflate, pack, parse, walk
from bus.bag.writer import LIBRARY, BagWriter


class BagInUse(RuntimeError):
    """Somebody is writing the bag."""


def being_written(path: str | Path) -> bool:
    """Whether a living process writes the bag."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def is_finished(path: str | Path) -> bool:
    """Whether the file ends as a closed bag does."""
    with Path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(MAGIC)))
        return size > 2 * len(MAGIC) and file.read() == MAGIC


def recover(path: str | Path, words: Mapping[str, Mapping[str, str]] | None = None) -> bool:
    """Close an unfinished bag in place, adding named sets of `words` to it; False when there was nothing to do.

    Raises:
        BadBag: the file is none, or a chunk in it is damaged (`rise bag cut --skip-damaged` copies the rest).
        BagInUse: its recorder lives.
        OSError: no room for the summary.
    """
    if Path(path).stat().st_size == 0:
        raise BadBag(path, "is empty (0 bytes): nothing to recover")
    if is_finished(path):
        return False
    bag = _Reopened(path)
    try:
        for name, values in (words or {}).items():
            bag.metadata(name, values)
    finally:
        bag.close()
    return True


class _Reopened(BagWriter):
    """A writer that stands at the end of what is whole in an unfinished bag."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._chunk_bytes = 0
        self._compressor = None
        self._begin(os.open(self.path, os.O_RDWR | os.O_CLOEXEC))
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with mmap.mmap(self._fd, 0, access=mmap.ACCESS_READ) as data:
                missing = self._take(data)
            os.ftruncate(self._fd, self._end)
            self._append(missing)
        except BlockingIOError:
            os.close(self._fd)
            raise BagInUse(f"{path}: is being written") from None
        except Cut as cut:
            os.close(self._fd)
            raise BadBag(path, f"damaged, {cut}; `rise bag cut --skip-damaged` copies the rest") from None
        except BaseException:
            os.close(self._fd)
            raise

    def _take(self, data: Any) -> bytes:
        """Learn everything that stands in the file; sets where it goes on, returns what is missing there."""
        if data[: len(MAGIC)] != MAGIC[: len(data)]:
            raise BadBag(self.path, "is no bag: the magic is missing")
        at = len(MAGIC)
        spans: list[Span] = []
        try:
            for span in walk(data, at, len(data)):
                if span.opcode == Opcode.DATA_END:
                    break
                spans.append(span)
                at = span.end
        except Cut:
            pass  # the torn end: `at` is where it starts
        if not spans:
            self._end = 0
            return MAGIC + pack(records.Header(profile="", library=LIBRARY))
        for n, span in enumerate(spans):
            if span.opcode == Opcode.CHUNK:
                missing = self._take_chunk(data, span)
                if missing and any(s.opcode != Opcode.MESSAGE_INDEX for s in spans[n + 1 :]):
                    raise Cut(span.start, "the chunk's index differs from its content")
                if missing:
                    self._goes_on(data, span.end)
                    return missing
            elif span.opcode == Opcode.METADATA:
                name = parse(records.Metadata, data, span).name
                self._metadata.append(records.MetadataIndex(span.start, span.end - span.start, name))
            elif span.opcode == Opcode.ATTACHMENT:
                self._take_attachment(data, span)
            elif span.opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                self._take_declaration(data, span)
        self._goes_on(data, at)
        return b""

    def _goes_on(self, data: Any, at: int) -> None:
        self._end = at
        with memoryview(data) as whole, whole[:at] as kept:
            self._crc = zlib.crc32(kept)
            self._sha256.update(kept)

    def _take_chunk(self, data: Any, span: Span) -> bytes:
        """The chunk's indexes when they do not stand behind it."""
        head = chunk_head(data, span)
        content = inflate(data, span, head)
        times: list[int] = []
        for inner in walk(content, 0, len(content)):
            if inner.opcode != Opcode.MESSAGE:
                self._take_declaration(content, inner)
                continue
            _, _, channel, _, log_ns, _ = MESSAGE.unpack_from(content, inner.start)
            self._index.setdefault(channel, array("Q")).extend((log_ns, inner.start))
            times.append(log_ns)
        index, offsets = self._index_block(span.end)
        self._chunks.append(
            records.ChunkIndex(
                chunk_length=span.end - span.start,
                chunk_start_offset=span.start,
                compression=head.compression,
                compressed_size=head.end - head.data,
                message_end_time=head.end_ns,
                message_index_length=len(index),
                message_index_offsets=offsets,
                message_start_time=head.start_ns,
                uncompressed_size=head.uncompressed_size,
            )
        )
        self._count_chunk(min(times, default=0), max(times, default=0))
        self._forget_chunk()
        return b"" if data[span.end : span.end + len(index)] == index else index

    def _take_attachment(self, data: Any, span: Span) -> None:
        a = parse(records.Attachment, data, span)
        self._attachments.append(
            records.AttachmentIndex(
                span.start, span.end - span.start, a.log_time, a.create_time, len(a.data), a.name, a.media_type
            )
        )

    def _take_declaration(self, data: Any, span: Span) -> None:
        if span.opcode == Opcode.SCHEMA:
            schema = parse(records.Schema, data, span)
            self._schemas[schema.name, str(schema.id)] = schema
        elif span.opcode == Opcode.CHANNEL:
            channel = parse(records.Channel, data, span)
            self._channels[channel.topic, channel.id] = channel

    def __enter__(self) -> Self:
        return self
