"""Whether a file is sound MCAP, to the letter: what the format's own doctor asks, and every CRC and index.

One pass over the file; what each record says is compared with what is really there.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from mcap import records

from bus.bag.records import MAGIC, MESSAGE, RECORD, Cut, Opcode, Record, Span, chunk_head, inflate, parse, walk

Progress = Callable[[int, int], None]
"""done, of"""
MAX_SHOWN = 20
_CLOSE_IT = "`rise bag check --recover` closes it"
_COPY_IT = "`rise bag cut --skip-damaged` copies the rest"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a bag. The id is stable; an error makes the check fail, a warning does not."""

    id: str
    level: Literal["error", "warning"]
    text: str


@dataclass(slots=True)
class Problems:
    """What was found; of one kind only the first are kept, all are counted."""

    listed: list[Problem] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, id: str, text: str, level: Literal["error", "warning"] = "error") -> None:
        self.counts[id] = self.counts.get(id, 0) + 1
        if self.counts[id] <= MAX_SHOWN:
            self.listed.append(Problem(id, level, text))

    @property
    def errors(self) -> list[Problem]:
        return [p for p in self.listed if p.level == "error"]


@dataclass(slots=True)
class _Seen:
    """What the data section really holds."""

    schemas: dict[int, records.Schema] = field(default_factory=dict)
    channels: dict[int, records.Channel] = field(default_factory=dict)
    chunks: dict[int, tuple[Span, Record, dict[int, int], int]] = field(default_factory=dict)
    """by offset: where, its head, index offsets by channel, bytes of all its indexes"""
    attachments: dict[int, Span] = field(default_factory=dict)
    metadata: dict[int, Span] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)
    """first and last log time of every chunk with messages"""


Entries = dict[int, list[tuple[int, int]]]
"""(log time, offset) of the messages of a chunk, by channel"""


def check_format(data: Any, found: Problems, progress: Progress | None = None) -> None:
    """Compare every record of the file `data` with what the format asks and with one another."""
    size = len(data)
    if data[: len(MAGIC)] != MAGIC[:size]:
        found.add("format/magic", "byte 0: the magic is missing")
        return
    closed = size > len(MAGIC) and data[size - len(MAGIC) : size] == MAGIC
    seen = _Seen()
    try:
        end = _data_section(data, seen, found, progress)
        if end is not None:
            _summary(data, end, seen, found)
    except Cut as cut:
        if closed:
            found.add("format/damaged", f"{cut}: the file had been closed, so this is damage; {_COPY_IT}")
        else:
            found.add("format/unfinished", f"{cut}: the file was not closed; {_CLOSE_IT}", "warning")
        return
    if end is None:
        found.add("format/unfinished", f"byte {size}: the file ends without a summary; {_CLOSE_IT}", "warning")


def _data_section(data: Any, seen: _Seen, found: Problems, progress: Progress | None) -> int | None:
    """The offset after DataEnd; None when the file ends before it."""
    crc = zlib.crc32(MAGIC)
    entries: Entries = {}
    current: tuple[Span, Record, dict[int, int], int] | None = None
    for n, span in enumerate(walk(data, len(MAGIC), len(data))):
        if progress is not None:
            progress(span.end, len(data))
        if (n == 0) != (span.opcode == Opcode.HEADER):
            found.add("format/header", f"byte {span.start}: the header must be the first record, and only it")
        if span.opcode == Opcode.DATA_END:
            _indexed(current, entries, found)
            end = parse(records.DataEnd, data, span)
            if end.data_section_crc not in (0, crc):
                found.add("format/crc", f"byte {span.start}: the data section's CRC differs")
            return span.end
        crc = zlib.crc32(data[span.start : span.end], crc)
        if span.opcode == Opcode.MESSAGE_INDEX and current is not None:
            _message_index(data, span, current, entries, found)
            _, _, offsets, length = current
            current = (*current[:2], offsets, length + span.end - span.start)
            seen.chunks[current[0].start] = current
            continue
        _indexed(current, entries, found)
        current = None
        if span.opcode == Opcode.CHUNK:
            try:
                head, entries = _chunk(data, span, seen, found)
            except Cut as cut:
                found.add("format/chunk", str(cut))
                entries = {}
                continue
            current = (span, head, {}, 0)
            seen.chunks[span.start] = current
        elif span.opcode == Opcode.ATTACHMENT:
            (stored,) = struct.unpack_from("<I", data, span.end - 4)
            if stored and stored != zlib.crc32(data[span.body : span.end - 4]):
                found.add("format/crc", f"byte {span.start}: the attachment's CRC differs")
            seen.attachments[span.start] = span
        elif span.opcode == Opcode.METADATA:
            parse(records.Metadata, data, span)
            seen.metadata[span.start] = span
        elif span.opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
            _declared(data, span, seen, found)
        elif span.opcode == Opcode.MESSAGE:
            found.add("format/loose_message", f"byte {span.start}: a message outside a chunk", "warning")
    return None


def _declared(data: Any, span: Span, seen: _Seen, found: Problems) -> None:
    if span.opcode == Opcode.SCHEMA:
        schema = parse(records.Schema, data, span)
        if schema.id == 0:
            found.add("format/schema", "schema number 0 is reserved")
        if seen.schemas.setdefault(schema.id, schema) != schema:
            found.add("format/schema", f"schema {schema.id} is declared twice, differently")
        return
    channel = parse(records.Channel, data, span)
    if channel.schema_id and channel.schema_id not in seen.schemas:
        found.add(
            "format/channel", f"channel {channel.id} ({channel.topic}) names schema {channel.schema_id}: none such"
        )
    if seen.channels.setdefault(channel.id, channel) != channel:
        found.add("format/channel", f"channel {channel.id} ({channel.topic}) is declared twice, differently")


def _chunk(data: Any, span: Span, seen: _Seen, found: Problems) -> tuple[Record, Entries]:
    head = chunk_head(data, span)
    content = inflate(data, span, head)
    entries: Entries = {}
    first, last = 1 << 64, 0
    for inner in walk(content, 0, len(content)):
        if inner.opcode != Opcode.MESSAGE:
            _declared(content, inner, seen, found)
            continue
        if inner.end - inner.start < MESSAGE.size:
            raise Cut(span.start, f"a message of {inner.end - inner.body} bytes inside the chunk")
        _, _, channel, _, log_ns, _ = MESSAGE.unpack_from(content, inner.start)
        if channel not in seen.channels:
            found.add("format/message", f"chunk at byte {span.start}: a message on channel {channel}, declared nowhere")
        entries.setdefault(channel, []).append((log_ns, inner.start))
        first, last = min(first, log_ns), max(last, log_ns)
        seen.counts[channel] = seen.counts.get(channel, 0) + 1
    bounds = (first, last) if entries else (0, 0)
    if (head.start_ns, head.end_ns) != bounds:
        said = f"{head.start_ns}..{head.end_ns}"
        found.add("format/bounds", f"chunk at byte {span.start}: says {said} ns, holds {bounds[0]}..{bounds[1]} ns")
    if entries:
        seen.times.extend((first, last))
    return head, entries


def _message_index(data: Any, span: Span, current: Any, entries: Entries, found: Problems) -> None:
    index = parse(records.MessageIndex, data, span)
    if entries.pop(index.channel_id, []) != index.records:
        found.add("format/index", f"byte {span.start}: index of channel {index.channel_id} differs from its chunk")
    current[2][index.channel_id] = span.start


def _indexed(current: Any, entries: Entries, found: Problems) -> None:
    if current is not None and entries:
        found.add("format/index", f"chunk at byte {current[0].start}: channels {sorted(entries)} have no index")
    entries.clear()


def _summary(data: Any, at: int, seen: _Seen, found: Problems) -> None:
    size = len(data)
    closing = size - len(MAGIC)
    footer_at = closing - RECORD.size - 20
    if bytes(data[closing:]) != MAGIC or footer_at < at:
        raise Cut(max(closing, 0), "the closing magic is missing")
    footer_span = next(walk(data, footer_at, closing))
    footer = parse(records.Footer, data, footer_span)
    if footer_span.opcode != Opcode.FOOTER or footer_span.end != closing:
        raise Cut(footer_at, "a footer was expected here")
    if footer.summary_start != at:
        found.add("format/summary", f"the footer puts the summary at byte {footer.summary_start}, it starts at {at}")
        return
    if footer.summary_crc not in (0, zlib.crc32(data[at : closing - 4])):
        found.add("format/crc", f"byte {footer_at}: the summary's CRC differs")
    groups: dict[int, tuple[int, int]] = {}
    offsets: list[records.SummaryOffset] = []
    schemas: dict[int, Any] = {}
    channels: dict[int, Any] = {}
    listed: dict[Opcode, set[int]] = {Opcode.CHUNK: set(), Opcode.ATTACHMENT: set(), Opcode.METADATA: set()}
    statistics: records.Statistics | None = None
    offset_start = 0
    for span in walk(data, at, footer_at):
        if span.opcode == Opcode.SUMMARY_OFFSET:
            offset_start = offset_start or span.start
            offsets.append(parse(records.SummaryOffset, data, span))
            continue
        start, length = groups.get(span.opcode, (span.start, 0))
        groups[span.opcode] = (start, length + span.end - span.start)
        if span.opcode == Opcode.SCHEMA:
            schema = parse(records.Schema, data, span)
            schemas[schema.id] = schema
        elif span.opcode == Opcode.CHANNEL:
            channel = parse(records.Channel, data, span)
            channels[channel.id] = channel
        elif span.opcode == Opcode.STATISTICS:
            statistics = parse(records.Statistics, data, span)
        elif span.opcode == Opcode.CHUNK_INDEX:
            listed[Opcode.CHUNK].add(_chunk_index(parse(records.ChunkIndex, data, span), seen, found))
        elif span.opcode == Opcode.ATTACHMENT_INDEX:
            row = parse(records.AttachmentIndex, data, span)
            listed[Opcode.ATTACHMENT].add(_placed(row, seen.attachments, "attachment", found))
        elif span.opcode == Opcode.METADATA_INDEX:
            row = parse(records.MetadataIndex, data, span)
            listed[Opcode.METADATA].add(_placed(row, seen.metadata, "metadata", found))
    if footer.summary_offset_start != offset_start:
        found.add("format/summary", f"summary offsets start at byte {offset_start}, not {footer.summary_offset_start}")
    if {o.group_opcode: (o.group_start, o.group_length) for o in offsets} != groups and offsets:
        found.add("format/summary", "the summary offsets do not name the groups that are there")
    if schemas != seen.schemas or channels != seen.channels:
        found.add("format/summary", "the summary's schemas and channels are not those of the data")
    for opcode, real in (
        (Opcode.CHUNK, set(seen.chunks)),
        (Opcode.ATTACHMENT, set(seen.attachments)),
        (Opcode.METADATA, set(seen.metadata)),
    ):
        if real - listed[opcode]:
            found.add(
                "format/index", f"not indexed: {opcode.name.lower()} at bytes {sorted(real - listed[opcode])[:5]}"
            )
    real_statistics = records.Statistics(
        attachment_count=len(seen.attachments),
        channel_count=len(seen.channels),
        channel_message_counts=seen.counts,
        chunk_count=len(seen.chunks),
        message_count=sum(seen.counts.values()),
        message_end_time=max(seen.times, default=0),
        message_start_time=min(seen.times, default=0),
        metadata_count=len(seen.metadata),
        schema_count=len(seen.schemas),
    )
    if statistics is None:
        found.add("format/statistics", "there are none")
    elif statistics != real_statistics:
        said, held = dataclasses.asdict(statistics), dataclasses.asdict(real_statistics)
        wrong = [f"{name} {said[name]}, not {held[name]}" for name in held if said[name] != held[name]]
        found.add("format/statistics", f"the statistics say {'; '.join(wrong)}")


def _chunk_index(index: records.ChunkIndex, seen: _Seen, found: Problems) -> int:
    real = seen.chunks.get(index.chunk_start_offset)
    if real is None:
        found.add("format/index", f"the summary names a chunk at byte {index.chunk_start_offset}: there is none")
        return index.chunk_start_offset
    span, head, offsets, length = real
    said = (
        index.chunk_length,
        index.message_start_time,
        index.message_end_time,
        index.uncompressed_size,
        index.compressed_size,
        index.compression,
        index.message_index_offsets,
        index.message_index_length,
    )
    is_ = (
        span.end - span.start,
        head.start_ns,
        head.end_ns,
        head.uncompressed_size,
        head.end - head.data,
        head.compression,
        offsets,
        length,
    )
    if said != is_:
        found.add("format/index", f"chunk at byte {span.start}: its index says {said}, it is {is_}")
    return span.start


def _placed(row: Any, real: dict[int, Span], kind: str, found: Problems) -> int:
    offset: int = row.offset
    span = real.get(offset)
    if span is None or span.end - span.start != row.length:
        found.add("format/index", f"the summary names {kind} {row.name!r} at byte {offset}: it is not there")
    return offset
