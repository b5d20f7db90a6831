"""The way from the node's thread to the web server's: bounded, and what found no room is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bus.context import Raw

if TYPE_CHECKING:
    from bus.entry import Entry
    from web.hub import Hub

WAITING_MAX = 50
"""batches that the web server has not taken: a second; from then on signals are left out"""
KEPT_MAX = 20_000
"""messages other than signals that wait on; from then on they are left out too"""

BUSY = b"busy"
"""in the place of a payload: why the numbers are missing"""


class Crossing:
    """Carries batches into the loop of the web server, in order.

    While the loop has no time, only what states and events say is kept: a signal that is a second old helps nobody.
    Until a loop is attached the same is true.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._raws: list[Raw] = []
        self._missed: dict[tuple[str, int], tuple[Raw, int]] = {}
        self._waiting = 0
        self._scheduled = False
        self.busy = 0
        """messages left out since the start"""

    def attach(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """The loop that the hub lives on; None when it ends."""
        with self._lock:
            self._loop = loop
            self._scheduled = False

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        """Run a function on the hub's thread, when there is one."""
        with self._lock:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(function, *args)

    def entries(self, entries: Mapping[str, Entry]) -> None:
        self.call(self._hub.learn_entries, entries)

    def put(self, raws: Sequence[Raw]) -> None:
        """From the node's thread: what came from the bus."""
        with self._lock:
            self._waiting += 1
            if self._waiting <= WAITING_MAX:
                self._raws.extend(raws)
            else:
                for raw in raws:
                    if raw.qos == "SENSOR" or len(self._raws) >= KEPT_MAX:
                        self._miss(raw)
                    else:
                        self._raws.append(raw)
            if not self._scheduled and self._loop is not None and not self._loop.is_closed():
                self._scheduled = True
                self._loop.call_soon_threadsafe(self._hand_over)

    def _miss(self, raw: Raw) -> None:
        key = (raw.topic, raw.publisher_id)
        first = self._missed[key][1] if key in self._missed else raw.lost_first or raw.seq
        self._missed[key] = (raw, first)
        self.busy += 1

    def _hand_over(self) -> None:
        with self._lock:
            self._scheduled = False
            raws, self._raws = self._raws, []
            missed, self._missed = self._missed, {}
            self._waiting = 0
        raws += [raw._replace(payload=BUSY, lost_first=first) for raw, first in missed.values()]
        self._hub.take(raws)
