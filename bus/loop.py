"""One round of a process: what has come goes into queues, what is due runs, then callbacks have their turn.

Every round drains all sockets into bounded queues before it dispatches, so a slow reader gets the newest. Dispatch is a
queue, never nested: whatever a callback causes runs after it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bus.host import Host
    from bus.timers import Timers
    from bus.transport import Transport

LOOK_EVERY_NS = 300_000
"""how long callbacks run before the sockets are looked at again"""
LOOK_WITHIN_NS = 100_000_000
"""the same for a process that was stopped, or took in for long: beats and signals must not wait for an empty queue"""
_monotonic_ns = time.monotonic_ns


class Loop:
    """What a round needs, close together: at 1 kHz the memory that a wake-up touches has gone cold since the last."""

    __slots__ = (
        "_ended_ns", "hosts", "polled", "ready", "rest_ns", "rest_until_ns", "stopping", "timers", "transport",
    )  # fmt: skip

    def __init__(self, transport: Transport, timers: Timers, hosts: Sequence[Host]) -> None:
        self.transport = transport
        self.timers = timers
        self.hosts = hosts
        self.ready: deque[Any] = deque()
        """whose turn it is, as often as it has something to do"""
        self.polled: list[Callable[[], None]] = []
        """called in every round before callbacks"""
        self.stopping = False
        self.rest_ns = 0
        """how long what is published may lie on the way while taps wait to hand over; 0: it wakes the process"""
        self.rest_until_ns = 0
        """when the newest of those taps hands over"""
        self._ended_ns = _monotonic_ns()

    def round(self, *, dispatch: bool = True, until_ns: int | None = None) -> None:
        """Sockets into queues, timers that are due, then callbacks until it is time to look at the sockets again."""
        ready = self.ready
        ready_before = dispatch and bool(ready)
        if ready_before:
            self.transport.look()
        else:
            next_ns = self.timers.next_ns()
            if until_ns is not None:
                next_ns = until_ns if next_ns is None else min(next_ns, until_ns)
            if dispatch and self.rest_ns and self.rest_until_ns > self._ended_ns and next_ns is not None:
                self.transport.rest(min(next_ns, self._ended_ns + self.rest_ns))
            else:
                self.transport.wait(next_ns)
        now_ns = self.timers.run_due()
        if not dispatch:
            return
        for take in self.polled:
            take()
        for host in self.hosts:
            if host.submitted:
                host.run_submitted()
        # callbacks get at least as long as the look took: who only ever takes in gets nothing done
        took_ns = now_ns - self._ended_ns if ready_before else 0
        look_again_ns = now_ns + min(max(LOOK_EVERY_NS, took_ns), LOOK_WITHIN_NS)
        while ready:
            entry = ready.popleft()
            entry.run(now_ns)
            start_ns, now_ns = now_ns, _monotonic_ns()
            if now_ns - start_ns > entry.host.callback_max_ns:
                entry.host.took(entry.what, now_ns - start_ns)
            if now_ns > look_again_ns or self.stopping:
                break
        self._ended_ns = now_ns
