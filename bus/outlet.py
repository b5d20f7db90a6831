"""What a publisher keeps of one topic: its numbering, what may have to be sent again, latched values. Sans-IO."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from bus import frame
from bus.link import REPAIR_MAX
from schemas.base import Message, Topic
from schemas.codec import codec

if TYPE_CHECKING:
    from bus.inbox import Feed

RING_MESSAGES = 4096
RING_BYTES = 8 * 1024 * 1024
LATCHED_KEYS = 1024
REPAIR_BYTES = 256 * 1024

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
        "latched_dropped",
        "prefix",
        "publisher_id",
        "seq",
        "topic",
    )

    def __init__(self, topic: Topic[Any], full_name: str, publisher_id: int) -> None:
        self.topic = topic
        self.full_name = full_name
        self.prefix = frame.prefix(full_name)
        self.publisher_id = publisher_id
        self.seq = 0
        """number of the last message"""
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
            EncodeError: a value cannot travel; the message got no number.
        """
        seq = self.seq + 1
        if self._latched is None and self._ring is None and not self.interest:
            self.seq = seq
            return None
        frames = self._frames(message, seq, mono_ns, wall_ns)
        self.seq = seq
        if self._latched is not None:
            key = "" if self._key is None else str(getattr(message, self._key))
            self._latched[key] = Latched(seq, frames)
            self._latched.move_to_end(key)
            if len(self._latched) > LATCHED_KEYS:
                self._latched.popitem(last=False)
                self.latched_dropped += 1
        elif self._ring is not None:
            self._keep(frames)
        return frames if self.interest else None

    def _frames(self, message: Message, seq: int, mono_ns: int, wall_ns: int) -> Frames:
        payload, tail = self._codec.encode_frames(message)
        if tail is None:
            return frame.pack(self.prefix, self.publisher_id, seq, mono_ns, wall_ns, payload), b""
        return frame.pack(self.prefix, self.publisher_id, seq, mono_ns, wall_ns, payload, frame.SPLIT), tail

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

    def latched(self) -> list[Frames]:
        """The latched values in the order of their numbers."""
        return [v.frames for v in self._latched.values()] if self._latched else []

    def repair(self, first: int, last: int) -> tuple[int, int, list[Frames]]:
        """What is still there of `first`..`last`: (lowest number that is, up to which this is the answer, frames).

        At most REPAIR_MAX numbers and about REPAIR_BYTES at once, whatever was asked: a stranger's question of fifty
        bytes must not be answered with the whole ring. Who lacks the rest asks again.
        """
        last = min(last, first + REPAIR_MAX - 1)
        kept, found = first, deque[tuple[int, Frames]]()
        if self._latched is not None:
            # in order already: a new value of a key moves it to the end
            found.extend((v.seq, v.frames) for v in self._latched.values() if first <= v.seq <= last)
        elif self._ring:
            kept = self._ring[0][0]
            start, stop = max(first, kept) - kept, min(last, self.seq) - kept + 1
            found.extend(self._ring[i] for i in range(start, max(start, stop)))
        else:
            kept = self.seq + 1
        frames: list[Frames] = []
        size = 0
        while found:
            seq, each = found.popleft()
            frames.append(each)
            size += len(each[0]) + len(each[1])
            if size > REPAIR_BYTES and found:
                return kept, seq, frames
        return kept, last, frames
