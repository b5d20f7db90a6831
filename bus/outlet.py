"""What a publisher keeps of one topic: its numbering, what may have to be sent again, latched values.

Sans-IO but for the log of a DURABLE topic and the files of a persisted one, which get a message before it is sent.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from bus import frame
from schemas.base import Message, Topic
from schemas.codec import EncodeError, codec

if TYPE_CHECKING:
    from bus.durable.kept import Kept
    from bus.durable.log import Log
    from bus.inbox import Feed

RING_MESSAGES = 4096
RING_BYTES = 8 * 1024 * 1024
LATCHED_KEYS = 1024
REPAIR_BYTES = 32 * 1024
"""what one repair answers at most, unless one message alone is larger: the publisher's thread is held 0.3 ms"""

Frames = tuple[bytes, bytes | memoryview]
"""(frame, tail); the tail is empty unless the frame is split"""


class Latched(NamedTuple):
    seq: int
    frames: Frames


class Outlet:
    """One topic of one publisher. Encoding is put off until somebody behind a socket wants the message."""

    __slots__ = (
        "_codec",
        "_key",
        "_latched",
        "_ring",
        "_ring_bytes",
        "feed",
        "full_name",
        "interest",
        "kept",
        "latched_dropped",
        "log",
        "prefix",
        "publisher_id",
        "seq",
        "topic",
    )

    def __init__(self, topic: Topic[Any], full_name: str, publisher_id: int, log: Log | None = None) -> None:
        self.topic = topic
        self.full_name = full_name
        self.prefix = frame.prefix(full_name)
        self.publisher_id = publisher_id
        self.log = log
        """of a DURABLE topic; its numbers go on where the last life of this node ended"""
        self.seq = 0 if log is None else log.next_seq - 1
        """number of the last message"""
        self.kept: Kept | None = None
        """of a topic with `persist=True`: its values on the disk"""
        self.interest = False
        """whether anyone in another process subscribes"""
        self.feed: Feed | None = None
        """where subscribers in this process hear it"""
        self.latched_dropped = 0
        self._codec = codec(topic.type)
        self._key = topic.key
        self._ring: deque[tuple[int, Frames]] | None = None
        if topic.qos.repaired and not topic.qos.latched:
            self._ring = deque()
        self._ring_bytes = 0
        self._latched: OrderedDict[str, Latched] | None = OrderedDict() if topic.qos.latched else None

    def publish(self, message: Message, mono_ns: int, wall_ns: int) -> Frames | None:
        """Number and keep a message; the frames to send, or None when nobody elsewhere listens.

        Raises:
            EncodeError: a value cannot travel, or the message is too long to; it got no number.
        """
        seq = self.seq + 1
        if self._latched is None and self._ring is None and not self.interest:
            self.seq = seq
            return None
        frames = self._frames(message, seq, mono_ns, wall_ns)
        self.seq = seq
        if self._latched is not None:
            key = self._latch(message, frames)
            if self.kept is not None:
                self.kept.save(key, frames)
        elif self._ring is not None:
            if self.log is not None:
                self.log.append(seq, wall_ns, *frames)
            self._keep(frames)
        return frames if self.interest else None

    def offer_again(self, message: Message, mono_ns: int, wall_ns: int) -> Frames:
        """Number and keep what an earlier life of the publisher said at `wall_ns`; the frames, marked as stale."""
        frames = self._frames(message, self.seq + 1, mono_ns, wall_ns, frame.STALE)
        self.seq += 1
        self._latch(message, frames)
        return frames

    def _latch(self, message: Message, frames: Frames) -> str:
        """Take the value of a key, and say which it is."""
        assert self._latched is not None
        key = "" if self._key is None else str(getattr(message, self._key))
        self._latched[key] = Latched(self.seq, frames)
        self._latched.move_to_end(key)
        if len(self._latched) > LATCHED_KEYS:
            oldest, _ = self._latched.popitem(last=False)
            self.latched_dropped += 1
            if self.kept is not None:
                self.kept.drop(oldest)
        return key

    def _frames(self, message: Message, seq: int, mono_ns: int, wall_ns: int, flags: int = 0) -> Frames:
        payload, tail = self._codec.encode_frames(message)
        size = len(self.prefix) + frame.HEADER_BYTES + len(payload) + (0 if tail is None else len(tail))
        if size > frame.PUBLISHED_MAX_BYTES:
            # whoever it is sent to ends the connection; from a log or a latched value, again and again
            raise EncodeError(
                f"{self.full_name}: a message of {size} bytes; at most {frame.PUBLISHED_MAX_BYTES} travel"
            )
        if tail is None:
            return frame.pack(self.prefix, self.publisher_id, seq, mono_ns, wall_ns, payload, flags), b""
        return frame.pack(self.prefix, self.publisher_id, seq, mono_ns, wall_ns, payload, flags | frame.SPLIT), tail

    def _keep(self, frames: Frames) -> None:
        assert self._ring is not None
        self._ring.append((self.seq, frames))
        self._ring_bytes += len(frames[0]) + len(frames[1])
        while len(self._ring) > RING_MESSAGES or (self._ring_bytes > RING_BYTES and len(self._ring) > 1):
            _, old = self._ring.popleft()
            self._ring_bytes -= len(old[0]) + len(old[1])

    def withdraw(self, key: str) -> None:
        """Forget the latched value of a key: late joiners will not see it."""
        if self._latched is not None:
            self._latched.pop(key, None)
        if self.kept is not None:
            self.kept.drop(key)

    def latched(self) -> list[Frames]:
        """The latched values in the order of their numbers."""
        return [v.frames for v in self._latched.values()] if self._latched else []

    @property
    def first_kept(self) -> int:
        """The lowest number that can be sent again; `seq + 1` when none can."""
        ring = self._ring[0][0] if self._ring else self.seq + 1
        return ring if self.log is None else min(ring, self.log.first_seq)

    def repair(self, first: int, last: int) -> tuple[int, int, list[Frames]]:
        """What is still there of `first`..`last`: the lowest number that is, the last one answered for, the frames.

        The answer may end before `last`; it ends behind it when what is lost does.

        Raises:
            OSError: the log cannot be read now.
        """
        if self._latched is not None:
            # in order already: a new value of a key moves it to the end
            return _bounded(first, last, [(v.seq, v.frames) for v in self._latched.values() if first <= v.seq <= last])
        kept = self._ring[0][0] if self._ring else self.seq + 1
        if self.log is not None and first < kept:
            logged, run = self.log.read(first, min(last, self.seq), REPAIR_BYTES)
            if run:
                return logged, logged + len(run) - 1, run
            kept = min(kept, logged)
        return self._from_ring(kept, first, last)

    def _from_ring(self, kept: int, first: int, last: int) -> tuple[int, int, list[Frames]]:
        ring = self._ring or deque()
        oldest = ring[0][0] if ring else self.seq + 1
        kept_of = (ring[n - oldest] for n in range(max(first, oldest), min(last, self.seq) + 1))
        return _bounded(kept, max(last, min(kept, self.seq + 1) - 1), kept_of)


def _bounded(kept: int, last: int, there: Iterable[tuple[int, Frames]]) -> tuple[int, int, list[Frames]]:
    """An answer of REPAIR_BYTES: whoever lacks more asks again, and a stranger's question does not get it all."""
    found: list[Frames] = []
    size = 0
    for seq, frames in there:
        size += len(frames[0]) + len(frames[1])
        if found and size > REPAIR_BYTES:
            return kept, seq - 1, found
        found.append(frames)
    return kept, last, found
