"""The way from the node's thread to the web server's: bounded, in order, and what found no room is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

from bus.context import Raw

WAITING_MAX = 50
"""batches that the web server has not taken: a second; from then on signals are left out"""
KEPT_MAX = 20_000
"""messages other than signals, and calls, that wait on; from then on they are left out too"""
BUSY = b"busy"
"""in the place of a payload: why the numbers are missing"""

Call = tuple[Callable[..., Any], tuple[Any, ...]]


class Crossing:
    """Carries batches and calls into the loop of the web server; they wait until there is one.

    While the loop has no time, only what states and events say is kept: a signal that is a second old helps nobody.

    Args:
        take: is called on the loop's thread with what came from the bus.
    """

    def __init__(self, take: Callable[[list[Raw]], None]) -> None:
        self._take = take
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._raws: list[Raw] = []
        self._missed: dict[tuple[str, int], tuple[Raw, int]] = {}
        self._waiting = 0
        self._scheduled = False
        self.busy = 0
        """messages and calls left out since the start"""

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """The loop that takes what comes; None when it ends."""
        with self._lock:
            self._loop = loop
            self._scheduled = False
            self._schedule()

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        """From the node's thread: run a function on the loop's, ahead of the batches that wait."""
        with self._lock:
            if len(self._calls) >= KEPT_MAX:
                self.busy += 1
            else:
                self._calls.append((function, args))
            self._schedule()

    def put(self, raws: Sequence[Raw]) -> None:
        """From the node's thread: what came from the bus."""
        with self._lock:
            self._waiting += 1
            for raw in raws if self._waiting > WAITING_MAX else ():
                if raw.qos == "SENSOR" or len(self._raws) >= KEPT_MAX:
                    self._miss(raw)
                else:
                    self._raws.append(raw)
            if self._waiting <= WAITING_MAX:
                self._raws.extend(raws)
            self._schedule()

    def _miss(self, raw: Raw) -> None:
        key = (raw.topic, raw.publisher_id)
        first = self._missed[key][1] if key in self._missed else raw.lost_first or raw.seq
        self._missed[key] = (raw, first)
        self.busy += 1

    def _schedule(self) -> None:
        if not self._scheduled and self._loop is not None and not self._loop.is_closed():
            self._scheduled = True
            self._loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        with self._lock:
            self._scheduled = False
            calls, self._calls = self._calls, []
            raws, self._raws = self._raws, []
            missed, self._missed = self._missed, {}
            self._waiting = 0
        for function, args in calls:
            function(*args)
        raws += [raw._replace(payload=BUSY, lost_first=first) for raw, first in missed.values()]
        if raws:
            self._take(raws)
