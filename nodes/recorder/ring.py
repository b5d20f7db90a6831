"""The black box's memory: the last seconds of everything, bounded in time and in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator

from bus.bag.latched import key_of
from bus.node import Raw
from nodes.recorder.stream import Stream

OVERHEAD_BYTES = 400
"""what a message in memory takes beside its payload"""


class Ring:
    """Messages of the last `seconds`, at most `max_bytes` of them; the oldest make room."""

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self.seconds = seconds
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self.short = False
        """bytes, not seconds, set the bound: it reaches back less far than asked"""
        self._held: deque[tuple[Stream, Raw]] = deque()
        self._before: dict[tuple[int, str], tuple[Stream, Raw]] = {}

    def add(self, stream: Stream, raw: Raw) -> None:
        """Take a message."""
        self._held.append((stream, raw))
        self.size_bytes += len(raw.payload) + OVERHEAD_BYTES
        oldest_ns = raw.received_ns - int(self.seconds * 1e9)
        while self._held:
            first = self._held[0][1]
            over = self.size_bytes > self.max_bytes
            if first.received_ns >= oldest_ns and not over:
                break
            self.short = over
            left, _ = self._held.popleft()
            self.size_bytes -= len(first.payload) + OVERHEAD_BYTES
            if left.latched:
                self._before[left.index, key_of(left.key, first.payload)] = (left, first)

    def before(self) -> list[tuple[Stream, Raw]]:
        """The state in force when the ring begins."""
        return sorted(self._before.values(), key=lambda pair: (pair[1].received_ns, pair[0].index, pair[1].seq))

    def forget(self, indexes: Container[int]) -> None:
        """These publishers are gone: what they said is in force no more."""
        for place in [p for p in self._before if p[0] in indexes]:
            del self._before[place]

    def __iter__(self) -> Iterator[tuple[Stream, Raw]]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)
