"""Reading a bag: forward over the mapped file, fast; finished, unfinished or cut at any byte."""

from __future__ import annotations

import json
import mmap
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mcap import records

from bus.bag.contents import Attachment, BagMessage, Channel, Info
from bus.bag.plain import BadPayload, unpack
from bus.bag.records import MAGIC, MESSAGE, RECORD, BadBag, Cut, Opcode, Record, Span, chunk_head, inflate, parse, walk
from schemas.definition import check_definition
from schemas.names import check_name
from schemas.sayable import sayable, shown

_CHANNEL_WORDS = ("qos", "type_name", "type_hash", "node", "publisher_id", "definition")


class BagReader:
    """A bag, opened. Cheap for a finished file (its summary is read), one pass over an unfinished one.

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
            for span in walk(data, found.summary_start, footer.start):
                if span.opcode == Opcode.STATISTICS:
                    statistics = parse(records.Statistics, data, span)
                elif span.opcode == Opcode.CHUNK_INDEX:
                    self._add_indexed_chunk(parse(records.ChunkIndex, data, span))
                elif span.opcode == Opcode.METADATA_INDEX:
                    self._add_indexed(Opcode.METADATA, parse(records.MetadataIndex, data, span).offset)
                elif span.opcode == Opcode.ATTACHMENT_INDEX:
                    self._add_indexed(Opcode.ATTACHMENT, parse(records.AttachmentIndex, data, span).offset)
                else:
                    self._declare(span, data)
            if statistics is None or statistics.chunk_count != len(self._chunks):
                raise Cut(found.summary_start, "the summary has no statistics, or not every chunk")
        except Cut as error:
            self._note = f"summary unreadable, {error}"
            self._forget()
            return None
        self._counts = dict(statistics.channel_message_counts)
        self._times = (statistics.message_start_time, statistics.message_end_time)
        return statistics

    def _forget(self) -> None:
        for found in (self.channels, self._schemas, self._metadata, self._attachments, self._chunks):
            found.clear()

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
        """One pass over a file without a summary: chunks, channels, counts, times."""
        first, last, seen = 0, 0, False
        for span, content in self._sections():
            if span.opcode != Opcode.CHUNK:
                try:
                    self._keep(span)
                except Cut as error:
                    self.damaged.append(str(error))
                continue
            index = self._chunks[-1][0].start
            held = set()
            for at in self._message_offsets(content):
                _, _, channel_id, _, log_ns, _ = MESSAGE.unpack_from(content, at)
                held.add(channel_id)
                self._counts[channel_id] = self._counts.get(channel_id, 0) + 1
                first = min(first, log_ns) if seen else log_ns
                last = max(last, log_ns)
                seen = True
            self._chunk_channels[index] = frozenset(held)
        self._times = (first, last)

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

    def _sections(self) -> Iterator[tuple[Span, bytes]]:
        """Top-level records of a file without a summary, chunks with their content; ends where the file is cut."""
        data = self._data
        try:
            for span in walk(data, len(MAGIC), self.size_bytes):
                if span.opcode == Opcode.DATA_END:
                    break
                if span.opcode != Opcode.CHUNK:
                    yield span, b""
                    continue
                head = chunk_head(data, span)
                self._chunks.append((span, head))
                try:
                    content = inflate(data, span, head)
                except Cut as error:
                    self._chunks.pop()
                    self.damaged.append(str(error))
                    continue
                yield span, content
        except Cut as error:
            self._note = f"ends in the middle of a record, {error}"

    # --- what it holds ------------------------------------------------------------------------------------------------

    @property
    def info(self) -> Info:
        """Start, end, counts, channels."""
        return Info(
            str(self.path),
            self.size_bytes,
            self.finished,
            "" if self.finished else self._note,
            self._times[0],
            self._times[1],
            sum(self._counts.values()),
            dict(self._counts),
            dict(self.channels),
            list(self.damaged),
        )

    @property
    def start_ns(self) -> int:
        """Log time of the first message."""
        return self._times[0]

    @property
    def end_ns(self) -> int:
        """Log time of the last message."""
        return self._times[1]

    def metadata(self) -> dict[str, dict[str, str]]:
        """The named sets of words; the last one of a name counts."""
        return {m.name: dict(m.metadata) for m in self._metadata}

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The discovery entry of every node that was there, by full name."""
        found: dict[str, dict[str, Any]] = {}
        for name, words in self.metadata().items():
            if name.startswith("node:"):
                try:
                    entry = json.loads(words["entry"])
                    if not isinstance(entry, dict):
                        raise ValueError(f"expected an object, got {type(entry).__name__}")
                except (KeyError, ValueError, RecursionError) as error:
                    raise BadBag(self.path, f"metadata {sayable(name)}: no entry of a node: {error}") from None
                found[name[5:]] = entry
        return found

    @property
    def repeated(self) -> int:
        """How many messages at the head repeat earlier state (a split, a cut): their numbers are no stream."""
        text = self.metadata().get("repeated", {}).get("messages", "0")
        if not text.isdecimal() or len(text) > 18:
            raise BadBag(self.path, f"metadata repeated: expected a number of messages, got {shown(text)}")
        return int(text)

    def attachments(self) -> list[Attachment]:
        """Files kept beside the messages."""
        return list(self._attachments)

    def losses(self) -> list[BagMessage]:
        """The recorded LostMessages, in order."""
        return list(self.messages(topics=lambda topic: topic == "bag/lost"))

    def lost(self) -> int:
        """How many messages the recorder says it did not get, or had no room for."""
        total = 0
        for message in self.losses():
            try:
                values = unpack(message.channel.definition, message.payload)
                if values.get("reason", "lost") != "reduced":
                    total += values["last_seq"] - values["first_seq"] + 1
            except (BadPayload, KeyError, TypeError) as error:
                raise BadBag(self.path, f"bag/lost number {message.seq} is no note of a loss: {error}") from None
        return total

    # --- its messages -------------------------------------------------------------------------------------------------

    def messages(
        self,
        *,
        topics: Callable[[str], bool] | re.Pattern[str] | None = None,
        start_ns: int = 0,
        end_ns: int = 1 << 63,
        skip_damaged: bool = False,
    ) -> Iterator[BagMessage]:
        """The messages in the order they were recorded, with log times in start_ns <= t < end_ns.

        Args:
            topics: which topics (a predicate, or a pattern searched in the name); all when None.
            skip_damaged: pass over chunks that cannot be read; `damaged` says which.

        Raises:
            BadBag: a chunk is damaged.
        """
        select = topics.search if isinstance(topics, re.Pattern) else topics
        if self.damaged and not skip_damaged:
            raise BadBag(self.path, f"damaged, {self.damaged[0]}; `rise bag check` lists all")
        wanted: dict[int, Channel | None] = {}
        last: dict[int, int] = {}
        every_time = start_ns <= self.start_ns and end_ns > self.end_ns
        for span, head in self._chunks:
            if not every_time and (head.end_ns < start_ns or head.start_ns >= end_ns):
                continue
            if select is not None and not self._holds(span, select):
                continue
            try:
                content = inflate(self._data, span, head)
                yield from self._chunk_messages(content, select, wanted, last, start_ns, end_ns)
            except Cut as error:
                if not skip_damaged:
                    raise BadBag(self.path, f"damaged, {error}") from None
                self.damaged.append(str(error))

    def _holds(self, span: Span, select: Callable[[str], Any]) -> bool:
        """Whether the chunk may hold messages of the selected topics."""
        held = self._chunk_channels.get(span.start)
        if held is None:
            return True
        return any(channel not in self.channels or select(self.channels[channel].topic) for channel in held)

    def _chunk_messages(
        self,
        content: bytes,
        select: Callable[[str], Any] | None,
        wanted: dict[int, Channel | None],
        last: dict[int, int],
        start_ns: int,
        end_ns: int,
    ) -> Iterator[BagMessage]:
        # every message passes here: no call and no object that is not needed
        unpack, new, fixed, make = MESSAGE.unpack_from, tuple.__new__, MESSAGE.size, BagMessage
        at, size = 0, len(content)
        while at < size:
            if content[at] != 5:
                span = next(walk(content, at, size))
                self._declare(span, content)
                at = span.end
                continue
            try:
                _, length, channel_id, sequence, log_ns, publish_ns = unpack(content, at)
                end = at + 9 + length
                channel = wanted[channel_id]
            except KeyError:
                known = self.channels.get(channel_id)
                if known is None:
                    raise Cut(at, f"a message on channel {channel_id}, which nothing declares") from None
                wanted[channel_id] = known if select is None or select(known.topic) else None
                continue
            except struct.error as error:
                raise Cut(at, f"no message: {error}") from None
            if end > size:
                raise Cut(at, f"a message of {length} bytes, and {size - at - 9} are left")
            if channel is not None:
                # messages carry the low 32 bits of the number: take the one nearest to the one before
                seq = last.get(channel_id, channel.first_seq)
                seq += ((sequence - seq + 0x80000000) & 0xFFFFFFFF) - 0x80000000
                last[channel_id] = seq
                if start_ns <= log_ns < end_ns:
                    yield new(make, (channel, seq, log_ns, publish_ns, content[at + fixed : end]))
            at = end

    def close(self) -> None:
        """Let the file go."""
        if isinstance(self._data, mmap.mmap):
            self._data.close()

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(path: str | Path) -> Iterator[BagMessage]:
    """Every message of a bag in the order it was recorded.

    Raises:
        BadBag: it is none, or is damaged. An unfinished or cut bag is none of that: its whole part is read.
    """
    with BagReader(path) as bag:
        yield from bag.messages()
