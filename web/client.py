"""One client of the hub: what it wants, and the bounded queue of what it is still to be sent. Knows no socket."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from web import protocol
from web.protocol import Subscribe

BATCHES_MAX = 100
"""two seconds of ticks"""
BYTES_MAX = 8 * 1024 * 1024
WORDS_MAX = 20_000
"""what is never dropped: names and answers; a client that leaves so many unread is let go"""
STUCK_S = 30.0
REQUESTS_PER_S = 50.0
REQUESTS_BURST = 100.0


class Overrun(RuntimeError):
    """The client reads nothing: not even what may not be dropped fits any more."""


@dataclass(slots=True, eq=False)
class Client:
    """What the hub knows of a connection."""

    subscriptions: dict[int, Subscribe] = field(default_factory=dict)
    wanted: dict[int, int] = field(default_factory=dict)
    """by feed: rows per bin"""
    named: set[int] = field(default_factory=set)
    """feeds whose names it was sent"""
    resuming: dict[tuple[str, int], int] = field(default_factory=dict)
    """by topic and publisher id: the last number it has of what this hub has not heard yet"""
    dropped: int = 0
    """batches since its start"""
    renewed_ns: int = 0
    """when it was last sent again what a dropped batch may have held"""
    sent_bytes: int = 0
    taken_s: float = 0.0
    """when something was last taken to be sent, by the loop's clock"""
    overrun: bool = False
    _items: deque[tuple[bool, bytes]] = field(default_factory=deque)
    """(may be dropped, bytes)"""
    _batches: int = 0
    _bytes: int = 0
    _untold: int = 0
    """batches dropped that it has not been told of"""
    _not_renewed: int = 0
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _allowance: float = REQUESTS_BURST
    _asked_s: float = 0.0

    @property
    def queued(self) -> int:
        return len(self._items)

    @property
    def behind(self) -> bool:
        """Whether batches were dropped, and what they may have held was not sent again."""
        return self._not_renewed > 0

    def allows(self, now_s: float) -> bool:
        """Whether one more request of it is taken at this moment."""
        self._allowance = min(REQUESTS_BURST, self._allowance + (now_s - self._asked_s) * REQUESTS_PER_S)
        self._asked_s = now_s
        if self._allowance < 1.0:
            return False
        self._allowance -= 1.0
        return True

    def stuck(self, now_s: float) -> bool:
        """Whether something waits, and nothing was taken for long: it reads no more."""
        return bool(self._items) and now_s - self.taken_s > STUCK_S

    def say(self, data: bytes) -> None:
        """Queue what must arrive."""
        if len(self._items) - self._batches >= WORDS_MAX:
            self.overrun = True
            self._ready.set()
            return
        self._put(False, data)

    def put(self, data: bytes) -> None:
        """Queue a batch; the oldest goes when there is no room."""
        self._put(True, data)
        self._batches += 1
        while self._batches > BATCHES_MAX or (self._bytes > BYTES_MAX and self._batches > 1):
            at = next(i for i, (droppable, _) in enumerate(self._items) if droppable)
            self._bytes -= len(self._items[at][1])
            del self._items[at]
            self._batches -= 1
            self._untold += 1
            self._not_renewed += 1
            self.dropped += 1

    def _put(self, droppable: bool, data: bytes) -> None:
        self._items.append((droppable, data))
        self._bytes += len(data)
        self._ready.set()

    def renewed(self, now_ns: int) -> int:
        """How many batches were dropped since what they may have held was last sent again, as it is now."""
        self.renewed_ns = now_ns
        dropped, self._not_renewed = self._not_renewed, 0
        return dropped

    async def next(self) -> bytes:
        """What it is sent next.

        Raises:
            Overrun: it is too far behind to go on.
        """
        while not self._items and not self.overrun:
            self._ready.clear()
            await self._ready.wait()
        self.taken_s = asyncio.get_running_loop().time()
        return self.take()

    def take(self) -> bytes:
        """The oldest that waits; where batches are missing before it, first how many.

        Raises Overrun, and IndexError when there is nothing.
        """
        if self.overrun:
            raise Overrun(f"{WORDS_MAX} messages that may not be dropped wait unread")
        if self._untold and self._items[0][0]:
            untold, self._untold = self._untold, 0
            said = protocol.dropped(untold)
            self.sent_bytes += len(said)
            return said
        droppable, data = self._items.popleft()
        self._bytes -= len(data)
        self._batches -= droppable
        self.sent_bytes += len(data)
        return data


def wanted_rows(subscriptions: dict[int, Subscribe], topic: str) -> int | None:
    """Rows per bin at which a client wants a topic: the finest it asked for; None: it does not want it."""
    rows = [
        protocol.bin_rows(s.window_s)
        for s in subscriptions.values()
        if any(protocol.matches(p, topic) for p in s.topics)
    ]
    return min(rows, default=None)
