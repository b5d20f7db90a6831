"""The black box's memory: the last seconds of everything, bounded in time and in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from bus.bag.latched import key_of
from bus.node import Raw
from nodes.recorder.stream import Stream

OVERHEAD_BYTES = 400
"""what a message in memory takes beside its payload"""

Held = tuple[Stream, Raw]


class Ring:
    """Messages of the last `seconds`, at most `max_bytes` of them; the oldest make room.

    They come and go by the batch, because a message must cost next to nothing here: `newest` is appended to, and
    `close` says that the batch is complete.
    """

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size_bytes = 0
        """of closed batches"""
        self.short = False
        """bytes, not seconds, set the bound: it reaches back less far than asked"""
        self.newest: list[Held] = []
        """the batch that is being taken; always the same list"""
        self._reach_ns = int(seconds * 1e9)
        self._batches: deque[list[Held]] = deque()
        self._before: dict[tuple[int, str], Held] = {}

    def close(self, now_ns: int, *, exact: bool = False) -> None:
        """The batch is complete: let go what is too old, or too much; `exact`: to the message."""
        if self.newest:
            self.size_bytes += _size(self.newest)
            self._batches.append(self.newest.copy())
            self.newest.clear()
        oldest_ns = now_ns - self._reach_ns
        batches = self._batches
        while batches:
            first = batches[0]
            over = self.size_bytes > self.max_bytes
            if first[-1][1].received_ns >= oldest_ns and not (over and len(batches) > 1):
                break
            self.short = over
            self._let_go(batches.popleft())
        if batches and (exact or self.size_bytes > self.max_bytes):
            self._trim(batches[0], oldest_ns)

    def _trim(self, first: list[Held], oldest_ns: int) -> None:
        going, size = 0, self.size_bytes
        for _, raw in first:
            over = size > self.max_bytes
            if raw.received_ns >= oldest_ns and not over:
                break
            self.short = over
            size -= len(raw.payload) + OVERHEAD_BYTES
            going += 1
        self._let_go(first[:going])
        del first[:going]
        if not first:
            self._batches.popleft()

    def _let_go(self, batch: list[Held]) -> None:
        self.size_bytes -= _size(batch)
        for stream, raw in batch:
            if stream.latched:
                self._before[stream.index, key_of(stream.key, raw.payload)] = (stream, raw)

    def before(self) -> list[Held]:
        """The state in force when the ring begins."""
        return sorted(self._before.values(), key=lambda pair: (pair[1].received_ns, pair[0].index, pair[1].seq))

    def __iter__(self) -> Iterator[Held]:
        for batch in self._batches:
            yield from batch
        yield from self.newest


def _size(batch: list[Held]) -> int:
    return sum([len(raw.payload) for _, raw in batch]) + OVERHEAD_BYTES * len(batch)
