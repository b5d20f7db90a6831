"""The last seconds of everything, so that a client that was away goes on where it was. Bounded in time and bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping

from web.protocol import Gap
from web.ticks import Tick, cut

KEEP_NS = 60_000_000_000
KEEP_BYTES = 32 * 1024 * 1024
TICK_BYTES = 200
"""what a tick takes beside its payloads, about"""


class History:
    """Ticks, the oldest first."""

    def __init__(self, keep_ns: int = KEEP_NS, keep_bytes: int = KEEP_BYTES) -> None:
        self._ticks: deque[Tick] = deque()
        self._keep_ns = keep_ns
        self._keep_bytes = keep_bytes
        self.nbytes = 0

    def put(self, tick: Tick) -> None:
        self._ticks.append(tick)
        self.nbytes += tick.nbytes + TICK_BYTES
        while self._ticks and (self.nbytes > self._keep_bytes or tick.now_ns - self._ticks[0].now_ns > self._keep_ns):
            self.nbytes -= self._ticks.popleft().nbytes + TICK_BYTES

    def clear(self) -> None:
        self._ticks.clear()
        self.nbytes = 0

    def first_seq(self, numbers: Collection[int]) -> int | None:
        """The oldest sequence number that is kept of feeds that share their numbers; None: nothing is kept."""
        for tick in self._ticks:
            found = [m[1] for m in tick.messages if m[0] in numbers] + [s[1] for s in tick.signals if s[0] in numbers]
            found += [g[1] for g in tick.gaps if g[0] in numbers]
            if found:
                return min(found)
        return None

    def since(self, last_seq: Mapping[int, int]) -> Iterator[Tick]:
        """What came behind these sequence numbers, by feed, tick by tick."""
        for tick in self._ticks:
            part = Tick(tick.now_ns)
            part.messages = [m for m in tick.messages if m[1] > last_seq.get(m[0], m[1])]
            part.signals = [
                left for s in tick.signals if s[0] in last_seq and (left := cut(s, last_seq[s[0]])) is not None
            ]
            part.gaps = [_behind(g, last_seq[g[0]]) for g in tick.gaps if g[2] > last_seq.get(g[0], g[2])]
            if part:
                yield part


def _behind(gap: Gap, last_seq: int) -> Gap:
    n, first, last, why = gap
    return n, max(first, last_seq + 1), last, why
