"""Reading a bag: forward over the mapped file, fast; finished, unfinished or cut at any byte."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bus.bag.contents import Attachment, BagMessage, Channel, Info
from bus.bag.latched import LatchedState, key_of
from bus.bag.opened import INDEX, Opened
from bus.bag.plain import BadPayload, unpack
from bus.bag.records import MESSAGE, BadBag, Cut, Opcode, Span, inflate, walk
from schemas.sayable import sayable, shown


class BagReader(Opened):
    """A bag, opened: what it holds, and its messages.

    Raises:
        BadBag: no such file, empty, no MCAP file, or written by something else (its encodings, no types).
    """

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

    def chunks(
        self, topics: Callable[[Channel], Any], progress: Callable[[float], None] | None = None
    ) -> Iterator[tuple[bytes, dict[int, NDArray[np.int64]]]]:
        """The chunks that may hold messages of some channels, unpacked, with where each channel's stand in them.

        Raises:
            BadBag: a chunk is damaged.
        """
        if self.damaged:
            raise BadBag(self.path, f"damaged, {self.damaged[0]}; `rise bag check` lists all")
        for n, (span, head) in enumerate(self._chunks):
            if progress is not None:
                progress(n / len(self._chunks))
            held = self._chunk_channels.get(span.start, self.channels.keys())
            if not any(topics(self.channels[c]) for c in held if c in self.channels):
                continue
            try:
                content = inflate(self._data, span, head)
                # the indexes behind the last chunk of a file that was cut may be cut, too
                whole = self.finished or n < len(self._chunks) - 1
                yield content, (self._index(span) if whole else {}) or self._walked(content)
            except Cut as error:
                raise BadBag(self.path, f"damaged, {error}") from None

    def _index(self, chunk: Span) -> dict[int, NDArray[np.int64]]:
        """Where the messages of each channel stand in a chunk, as the records behind it say; empty without them."""
        found: dict[int, NDArray[np.int64]] = {}
        for span in walk(self._data, chunk.end, self.size_bytes):
            if span.opcode != Opcode.MESSAGE_INDEX or span.end - span.body < INDEX.size:
                break
            channel_id, length = INDEX.unpack_from(self._data, span.body)
            entries = np.frombuffer(bytes(self._data[span.body + INDEX.size : span.end]), "<u8")
            if length != 8 * len(entries) or len(entries) % 2:
                raise Cut(span.start, "no message index")
            found[channel_id] = entries[1::2].astype(np.int64)
        return found

    def _walked(self, content: bytes) -> dict[int, NDArray[np.int64]]:
        """The same where a recorder died before it wrote them."""
        found: dict[int, list[int]] = {}
        for at in self._message_offsets(content):
            found.setdefault(MESSAGE.unpack_from(content, at)[2], []).append(at)
        return {channel: np.array(at, np.int64) for channel, at in found.items()}

    def state_before(
        self, at_ns: int, *, topics: Callable[[str], Any] | None = None, skip_damaged: bool = False
    ) -> list[BagMessage]:
        """The latched values in force at a moment, in the order they were recorded: what came before a seek.

        From there backwards, unpacking only chunks that hold a value still looked for.

        Raises:
            BadBag: a chunk is damaged.
        """
        left = {c.id for c in self.channels.values() if c.qos == "LATCHED" and (topics is None or topics(c.topic))}
        found: dict[tuple[int, str], BagMessage] = {}
        for span, head in reversed(self._chunks):
            held = self._chunk_channels.get(span.start, left)
            if head.start_ns >= at_ns or not left & held:
                continue
            wanted = {c.id: c if c.id in left else None for c in self.channels.values()}
            state = LatchedState()
            try:
                for message in self._chunk_messages(inflate(self._data, span, head), None, wanted, {}, 0, at_ns):
                    state.note(message)
            except Cut as error:
                if not skip_damaged:
                    raise BadBag(self.path, f"damaged, {error}") from None
                self.damaged.append(str(error))
            for message in state.messages():
                key = message.channel.metadata.get("key", "")
                found.setdefault((message.channel.id, key_of(key, message.payload)), message)
                if not key:
                    left.discard(message.channel.id)
        return sorted(found.values(), key=lambda m: (m.log_ns, m.channel.id, m.seq))

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
