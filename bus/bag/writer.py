"""Writing a bag: an MCAP file that is whole after every flush, whatever happens to the process."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import struct
import zlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard
from mcap import records

from bus.bag.records import MAGIC, MESSAGE, MESSAGE_FIXED_BYTES, RECORD, Opcode, pack
from schemas.grammar import Definition, hash_of, json_schema_of

LIBRARY = "fanuc-rise"
CHUNK_BYTES = 1 << 20
MAX_CHANNELS = 65_000
"""MCAP numbers channels with 16 bits"""
ALONE_BYTES = 64 * 1024
"""a message this large gets a chunk of its own, which is not compressed when it holds an image that is"""
_pack_message = MESSAGE.pack
_IMAGE_MARKS = (b"\xff\xd8\xff", b"\x89PNG")


class BagFull(RuntimeError):
    """The file has as many channels as the format can number: begin another."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """What `BagWriter.discard` threw away of one channel."""

    channel: int
    first_seq: int
    last_seq: int
    messages: int


class BagWriter:
    """Appends to a new bag. Messages collect in a chunk; `flush` writes the chunk, `sync` also waits for the disk.

    Every write either reaches the file whole or leaves it as it was, so after OSError (disk full) the bag is good, the
    open chunk is still in memory, and the caller may try `flush` again, `discard` it, or `close` (which then drops the
    open chunk when there is still no room, and leaves a file that opens without a summary).
    While it is open the file is locked (flock), so that another process can tell a bag being written from one left by
    the dead. One thread at a time.

    Raises:
        FileExistsError: bags are never overwritten.
        OSError: the disk refuses.
    """

    def __init__(self, path: str | Path, *, chunk_bytes: int = CHUNK_BYTES, compress: bool = True) -> None:
        self.path = Path(path)
        self._chunk_bytes = chunk_bytes
        self._compressor = zstandard.ZstdCompressor(level=1) if compress else None
        self._begin(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o644))
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._append(MAGIC + pack(records.Header(profile="", library=LIBRARY)))
        except OSError:
            os.close(self._fd)
            self.path.unlink(missing_ok=True)
            raise

    def _begin(self, fd: int) -> None:
        self._fd = fd
        self._end = 0
        self._crc = 0
        self._sha256 = hashlib.sha256()
        self._open = bytearray()
        self._declared = bytearray()
        self._index: dict[int, array[int]] = {}
        self._first_seq: dict[int, int] = {}
        self._last_seq: dict[int, int] = {}
        self._schemas: dict[tuple[str, str], records.Schema] = {}
        self._channels: dict[tuple[str, int], records.Channel] = {}
        self._counts: dict[int, int] = {}
        self._chunks: list[records.ChunkIndex] = []
        self._attachments: list[records.AttachmentIndex] = []
        self._metadata: list[records.MetadataIndex] = []
        self.start_ns = 0
        """log time of the first message in the file"""
        self.end_ns = 0
        self.messages = 0
        """messages in the file; those of the open chunk are not"""

    @property
    def size_bytes(self) -> int:
        """Bytes in the file and in the open chunk."""
        return self._end + len(self._open)

    @property
    def sha256(self) -> str:
        """Of everything in the file, in hex."""
        return self._sha256.hexdigest()

    @property
    def open_bytes(self) -> int:
        """Bytes that a crash now would lose."""
        return len(self._open)

    def _append(self, data: bytes) -> int:
        """Write all of `data` or nothing of it; the offset where it starts."""
        start = at = self._end
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._fd, view, at)
                at += written
                view = view[written:]
        except OSError:
            os.ftruncate(self._fd, start)
            raise
        self._crc = zlib.crc32(data, self._crc)
        self._sha256.update(data)
        self._end = at
        return start

    def channel(
        self,
        topic: str,
        publisher: str,
        publisher_id: int,
        definition: Definition,
        qos: str,
        *,
        first_seq: int = 0,
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """The number of the channel for what this publisher sends on this topic; made at the first call.

        `first_seq` is the sequence number of its first message in full: messages carry the low 32 bits.

        Raises:
            BagFull: there is no number left.
        """
        known = self._channels.get((topic, publisher_id))
        if known is not None:
            return known.id
        if len(self._channels) >= MAX_CHANNELS:
            raise BagFull(f"{self.path}: {MAX_CHANNELS} channels")
        name, type_hash = str(definition["name"]), hash_of(definition)
        schema = self._schemas.get((name, type_hash))
        if schema is None:
            text = json.dumps(json_schema_of(definition), ensure_ascii=False, separators=(",", ":"))
            schema = records.Schema(len(self._schemas) + 1, text.encode(), "jsonschema", name)
            self._schemas[name, type_hash] = schema
            self._declare(pack(schema))
        described = {
            "qos": qos,
            "type_name": name,
            "type_hash": type_hash,
            "node": publisher,
            "publisher_id": str(publisher_id),
            "first_seq": str(first_seq),
            "definition": json.dumps(definition, ensure_ascii=False, separators=(",", ":")),
            **(metadata or {}),
        }
        made = records.Channel(len(self._channels) + 1, topic, "msgpack", described, schema.id)
        self._channels[topic, publisher_id] = made
        self._declare(pack(made))
        return made.id

    def _declare(self, record: bytes) -> None:
        self._declared += record
        self._open += record

    def write(self, channel: int, seq: int, log_ns: int, publish_ns: int, payload: bytes) -> None:
        """Add a message to the open chunk; the chunk is written when it is full.

        Raises:
            OSError: the full chunk could not be written; this message is in it, nothing is lost yet.
        """
        size = len(payload)
        refused: OSError | None = None
        if size >= ALONE_BYTES:
            try:
                self.flush()
            except OSError as error:
                refused = error
        held = self._open
        at = len(held)
        index = self._index.get(channel)
        if index is None:
            index = self._index[channel] = array("Q")
            self._first_seq[channel] = seq
        index.append(log_ns)
        index.append(at)
        self._last_seq[channel] = seq
        held += _pack_message(5, MESSAGE_FIXED_BYTES + size, channel, seq & 0xFFFFFFFF, log_ns, publish_ns)
        held += payload
        if refused is not None:
            raise refused
        if at + size >= self._chunk_bytes or size >= ALONE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the open chunk to the file; a crash of the process after this loses nothing of it.

        Raises:
            OSError: no room; the chunk stays open.
        """
        if not self._open:
            return
        content = bytes(self._open)
        times = [index[::2] for index in self._index.values()]
        start_ns, end_ns = (min(map(min, times)), max(map(max, times))) if times else (0, 0)
        packed, compression = content, ""
        image = len(content) >= ALONE_BYTES and any(mark in content[:8192] for mark in _IMAGE_MARKS)
        if self._compressor is not None and not image:
            packed, compression = self._compressor.compress(content), "zstd"
        chunk = pack(records.Chunk(compression, packed, end_ns, start_ns, zlib.crc32(content), len(content)))
        index, offsets = self._index_block(self._end + len(chunk))
        start = self._append(chunk + index)
        self._chunks.append(
            records.ChunkIndex(
                chunk_length=len(chunk),
                chunk_start_offset=start,
                compression=compression,
                compressed_size=len(packed),
                message_end_time=end_ns,
                message_index_length=len(index),
                message_index_offsets=offsets,
                message_start_time=start_ns,
                uncompressed_size=len(content),
            )
        )
        self._count_chunk(start_ns, end_ns)
        self._declared.clear()
        self._forget_chunk()

    def _index_block(self, at: int) -> tuple[bytes, dict[int, int]]:
        """The message indexes of the open chunk, to stand at offset `at`, and where each channel's will be."""
        offsets: dict[int, int] = {}
        block = bytearray()
        for channel, index in self._index.items():
            offsets[channel] = at + len(block)
            body = index.tobytes()
            block += RECORD.pack(Opcode.MESSAGE_INDEX, 6 + len(body)) + struct.pack("<HI", channel, len(body)) + body
        return bytes(block), offsets

    def _count_chunk(self, start_ns: int, end_ns: int) -> None:
        if self._index:
            self.start_ns = min(self.start_ns, start_ns) if self.messages else start_ns
            self.end_ns = max(self.end_ns, end_ns)
        for channel, index in self._index.items():
            self._counts[channel] = self._counts.get(channel, 0) + len(index) // 2
            self.messages += len(index) // 2

    def _forget_chunk(self) -> None:
        self._open.clear()
        self._index.clear()
        self._first_seq.clear()
        self._last_seq.clear()

    def discard(self) -> list[Discarded]:
        """Throw the open chunk away (there is no room for it); what was in it, per channel."""
        lost = [
            Discarded(channel, self._first_seq[channel], self._last_seq[channel], len(index) // 2)
            for channel, index in self._index.items()
        ]
        self._forget_chunk()
        self._open += self._declared
        return lost

    def sync(self) -> None:
        """Write the open chunk and wait until the disk has it."""
        self.flush()
        os.fdatasync(self._fd)

    def metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Add a named set of words about the recording: `rise`, `node:<full name>`."""
        record = pack(records.Metadata(name, dict(values)))
        start = self._append(record)
        self._metadata.append(records.MetadataIndex(offset=start, length=len(record), name=name))

    def repeated(self, messages: int) -> None:
        """Say that the first `messages` of the file repeat earlier state; their numbers are no stream."""
        self.metadata("repeated", {"messages": str(messages)})

    def node(self, entry: Mapping[str, Any]) -> None:
        """Keep a node's discovery entry (plain data) as `node:<full name>`; the last one of a name counts."""
        self.metadata(f"node:{entry['name']}", {"entry": json.dumps(entry, ensure_ascii=False)})

    def attach(self, name: str, media_type: str, data: bytes, stamp_ns: int) -> None:
        """Keep a file beside the messages: the launch file, the parameters."""
        record = pack(records.Attachment(0, stamp_ns, name, media_type, data))
        start = self._append(record)
        self._attachments.append(records.AttachmentIndex(start, len(record), stamp_ns, 0, len(data), name, media_type))

    def close(self) -> None:
        """Write the summary and end the file; closing twice does nothing.

        Raises:
            OSError: no room for the open chunk or the summary; the file is closed all the same, and opens without one.
        """
        if self._fd < 0:
            return
        try:
            self.flush()
            summary_start = self._append(pack(records.DataEnd(self._crc))) + RECORD.size + 4
            self._append(self._summary(summary_start))
            os.fsync(self._fd)
        finally:
            os.close(self._fd)
            self._fd = -1

    def abandon(self) -> None:
        """Let the file go as it is, as a crash would; the open chunk is lost."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _summary(self, summary_start: int) -> bytes:
        statistics = records.Statistics(
            attachment_count=len(self._attachments),
            channel_count=len(self._channels),
            channel_message_counts=self._counts,
            chunk_count=len(self._chunks),
            message_count=self.messages,
            message_end_time=self.end_ns,
            message_start_time=self.start_ns,
            metadata_count=len(self._metadata),
            schema_count=len(self._schemas),
        )
        groups: list[tuple[Opcode, list[Any]]] = [
            (Opcode.SCHEMA, list(self._schemas.values())),
            (Opcode.CHANNEL, list(self._channels.values())),
            (Opcode.STATISTICS, [statistics]),
            (Opcode.CHUNK_INDEX, list(self._chunks)),
            (Opcode.ATTACHMENT_INDEX, list(self._attachments)),
            (Opcode.METADATA_INDEX, list(self._metadata)),
        ]
        summary = bytearray()
        offsets = bytearray()
        for opcode, group in groups:
            body = b"".join(pack(record) for record in group)
            if body:
                offsets += pack(records.SummaryOffset(opcode, summary_start + len(summary), len(body)))
                summary += body
        offset_start = summary_start + len(summary)
        summary += offsets
        head = RECORD.pack(Opcode.FOOTER, 20) + struct.pack("<QQ", summary_start, offset_start)
        crc = zlib.crc32(head, zlib.crc32(summary))
        return bytes(summary) + head + struct.pack("<I", crc) + MAGIC

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()
