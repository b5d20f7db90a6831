"""Opening a bag: what it holds and where, from its summary; without one, from what stands behind each chunk."""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mcap import records

from bus.bag.contents import Attachment, Channel
from bus.bag.records import MAGIC, MESSAGE, RECORD, BadBag, Cut, Opcode, Record, Span, chunk_head, inflate, parse, walk
from schemas.definition import check_definition
from schemas.names import check_name
from schemas.sayable import sayable, shown

_CHANNEL_WORDS = ("qos", "type_name", "type_hash", "node", "publisher_id", "definition")
INDEX = struct.Struct("<HI")
"""a message index up to its entries: channel, their bytes"""
_ENTRY_BYTES = 16


class Opened:
    """A bag's index: its channels, chunks and words. Cheap: of an unfinished file only the heads of records are read.

    Raises:
        BadBag: no such file, empty, no MCAP file, or written by something else (its encodings, no types).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                self.size_bytes = file.seek(0, 2)
                self._data: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self.size_bytes else b""
        except OSError as error:
            raise BadBag(path, f"cannot be opened: {error.strerror}") from None
        except ValueError as error:
            raise BadBag(path, f"is no regular file: {error}") from None
        if not self.size_bytes:
            raise BadBag(path, "is empty (0 bytes): no bag; a recorder that died at once leaves such a file")
        if self._data[: len(MAGIC)] != MAGIC[: self.size_bytes]:
            raise BadBag(path, f"is no bag: it starts with {bytes(self._data[:8])!r}, an MCAP file with {MAGIC!r}")
        self.channels: dict[int, Channel] = {}
        self._schemas: dict[int, records.Schema] = {}
        self._metadata: list[records.Metadata] = []
        self._attachments: list[Attachment] = []
        self._chunks: list[tuple[Span, Record]] = []
        self._chunk_channels: dict[int, frozenset[int]] = {}
        self._counts: dict[int, int] = {}
        self._note = ""
        self._times = (0, 0)
        self.damaged: list[str] = []
        self._statistics = self._read_summary()
        if self._statistics is None:
            self._scan()

    # --- opening ------------------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether the recorder closed the file."""
        return self._statistics is not None

    def _read_summary(self) -> records.Statistics | None:
        data, size = self._data, self.size_bytes
        tail = RECORD.size + 20 + len(MAGIC)
        if size < tail + len(MAGIC) or data[size - len(MAGIC) : size] != MAGIC:
            self._note = "no closing magic"
            return None
        try:
            footer = next(walk(data, size - tail, size - len(MAGIC)))
            found = parse(records.Footer, data, footer)
            if footer.opcode != Opcode.FOOTER or not len(MAGIC) <= found.summary_start < footer.start:
                self._note = "no summary"
                return None
            statistics: records.Statistics | None = None
            lost: list[str] = []
            """what the indexes name and is not there"""
            for span in walk(data, found.summary_start, footer.start):
                if span.opcode == Opcode.STATISTICS:
                    statistics = parse(records.Statistics, data, span)
                elif span.opcode == Opcode.CHUNK_INDEX:
                    try:
                        self._add_indexed_chunk(parse(records.ChunkIndex, data, span))
                    except Cut as error:
                        lost.append(str(error))
                elif span.opcode == Opcode.METADATA_INDEX:
                    self._add_indexed(Opcode.METADATA, parse(records.MetadataIndex, data, span).offset)
                elif span.opcode == Opcode.ATTACHMENT_INDEX:
                    self._add_indexed(Opcode.ATTACHMENT, parse(records.AttachmentIndex, data, span).offset)
                else:
                    self._declare(span, data)
            if statistics is None or statistics.chunk_count != len(self._chunks) + len(lost):
                raise Cut(found.summary_start, "the summary has no statistics, or not every chunk")
        except Cut as error:
            self._note = f"summary unreadable, {error}"
            self._forget()
            return None
        if lost:
            self.damaged.append(lost[0] + (f"; so are {len(lost) - 1} more chunks" if len(lost) > 1 else ""))
        self._counts = dict(statistics.channel_message_counts)
        self._times = (statistics.message_start_time, statistics.message_end_time)
        return statistics

    def _forget(self) -> None:
        for found in (self.channels, self._schemas, self._metadata, self._attachments, self._chunks):
            found.clear()

    def _cut(self, error: Cut) -> None:
        """Where a file ends early: cut off, or, when it had been closed, damaged."""
        self._note = f"ends in the middle of a record, {error}"
        if self._data[-len(MAGIC) :] == MAGIC:
            self.damaged.append(f"{error}; the file had been closed, and what lies behind is not found")

    def _add_indexed_chunk(self, index: records.ChunkIndex) -> None:
        span = self._span_at(Opcode.CHUNK, index.chunk_start_offset)
        self._chunks.append((span, chunk_head(self._data, span)))
        if index.message_index_offsets:
            self._chunk_channels[span.start] = frozenset(index.message_index_offsets)

    def _add_indexed(self, opcode: Opcode, offset: int) -> None:
        self._keep(self._span_at(opcode, offset))

    def _span_at(self, opcode: Opcode, offset: int) -> Span:
        span = next(walk(self._data, offset, self.size_bytes), None)
        if span is None or span.opcode != opcode:
            raise Cut(offset, f"an index names a {opcode.name} here, and there is none")
        return span

    def _keep(self, span: Span) -> None:
        if span.opcode == Opcode.METADATA:
            self._metadata.append(parse(records.Metadata, self._data, span))
        elif span.opcode == Opcode.ATTACHMENT:
            found = parse(records.Attachment, self._data, span)
            self._attachments.append(Attachment(found.name, found.media_type, found.log_time, found.data))

    def _declare(self, span: Span, data: Any) -> None:
        if span.opcode == Opcode.SCHEMA:
            schema = parse(records.Schema, data, span)
            self._schemas[schema.id] = schema
        elif span.opcode == Opcode.CHANNEL:
            made = self._channel(parse(records.Channel, data, span))
            known = self.channels.get(made.id)
            if known is None or known.metadata != made.metadata:
                self.channels[made.id] = made

    def _channel(self, record: records.Channel) -> Channel:
        schema = self._schemas.get(record.schema_id)
        encodings = (record.message_encoding, schema.encoding if schema else "none")
        missing = [word for word in _CHANNEL_WORDS if word not in record.metadata]
        if encodings != ("msgpack", "jsonschema") or missing:
            lack = f", and its channel does not say {', '.join(missing)}" if missing else ""
            raise BadBag(
                self.path,
                f"unknown schema: {sayable(record.topic)} is {shown(encodings[0])} with a schema in "
                f"{shown(encodings[1])}{lack}; a bag of "
                "this system holds msgpack with jsonschema. Open this one with a general MCAP viewer",
            )
        words = record.metadata
        try:
            definition = check_definition(json.loads(words["definition"]))
            return Channel(
                record.id,
                check_name(record.topic),
                words["node"],
                int(words["publisher_id"]),
                words["type_name"],
                words["type_hash"],
                words["qos"],
                int(words.get("first_seq", "0")),
                definition,
                dict(words),
            )
        except (ValueError, RecursionError) as error:
            raise BadBag(self.path, f"channel {sayable(record.topic)}: its metadata is damaged: {error}") from None

    def _scan(self) -> None:
        """Without a summary: the indexes behind a chunk say what is in it; a chunk without them is unpacked."""
        found: list[tuple[Span, Record]] = []
        indexes: list[dict[int, int]] = []
        for span in self._sections():
            if span.opcode == Opcode.CHUNK:
                try:
                    found.append((span, chunk_head(self._data, span)))
                except Cut as error:
                    self._cut(error)
                    break
                indexes.append({})
            elif span.opcode == Opcode.MESSAGE_INDEX and indexes and span.end - span.body >= INDEX.size:
                channel_id, length = INDEX.unpack_from(self._data, span.body)
                indexes[-1][channel_id] = length // _ENTRY_BYTES
            else:
                try:
                    self._keep(span)
                except Cut as error:
                    self.damaged.append(str(error))
        passed: list[tuple[Span, Record]] = []
        times: list[int] = []
        for n, (span, head) in enumerate(found):
            index = indexes[n]
            # the last one's indexes may be cut off, and a channel's first chunk declares it
            if index and n < len(found) - 1 and self.channels.keys() >= index.keys():
                passed.append((span, head))
                self._note_chunk(span, head, index)
                times += (head.start_ns, head.end_ns)
                continue
            try:
                content = inflate(self._data, span, head)
            except Cut as error:
                self.damaged.append(str(error))
                continue
            index = {}
            for at in self._message_offsets(content):
                _, _, channel_id, _, log_ns, _ = MESSAGE.unpack_from(content, at)
                index[channel_id] = index.get(channel_id, 0) + 1
                times.append(log_ns)
            self._note_chunk(span, head, index)
            if not self.channels.keys() >= index.keys():
                self._declared_before(passed)
        self._times = (min(times), max(times)) if times else (0, 0)

    def _note_chunk(self, span: Span, head: Record, index: dict[int, int]) -> None:
        self._chunks.append((span, head))
        self._chunk_channels[span.start] = frozenset(index)
        for channel_id, count in index.items():
            self._counts[channel_id] = self._counts.get(channel_id, 0) + count

    def _declared_before(self, passed: list[tuple[Span, Record]]) -> None:
        """A large message goes to a chunk of its own: its channel is declared at the end of the one before."""
        for span, head in passed:
            try:
                for _ in self._message_offsets(inflate(self._data, span, head)):
                    pass
            except Cut as error:
                self.damaged.append(str(error))
        passed.clear()

    def _message_offsets(self, content: bytes) -> Iterator[int]:
        """Where messages stand in a chunk; the channels declared in it are kept on the way."""
        try:
            for span in walk(content, 0, len(content)):
                if span.opcode == Opcode.MESSAGE and span.end - span.start >= MESSAGE.size:
                    yield span.start
                else:
                    self._declare(span, content)
        except Cut as error:
            self.damaged.append(f"inside a chunk, {error}")

    def _sections(self) -> Iterator[Span]:
        """Top-level records of a file without a summary; ends where the file is cut."""
        try:
            for span in walk(self._data, len(MAGIC), self.size_bytes):
                if span.opcode == Opcode.DATA_END:
                    break
                yield span
        except Cut as error:
            self._cut(error)

    def close(self) -> None:
        """Let the file go."""
        if isinstance(self._data, mmap.mmap):
            self._data.close()
