"""When things are due: the bus's own on monotonic time, nodes' timers on an absolute schedule of their clock."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bus.clock import SimClock
from bus.host import Host, Job
from bus.node import Subscription, Timer
from bus.trace import Kind
from schemas import topics
from schemas.codec import DecodeError, codec
from schemas.system import ClockTick

if TYPE_CHECKING:
    from bus.executor import Executor
    from bus.inbox import Item


class Timers:
    """A heap of functions by the monotonic time at which they are due."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self.stopped = False
        """nothing more is run"""

    def _push(self, due_ns: int, function: Callable[[], None]) -> None:
        self._count += 1  # of two that are due at once the older comes first
        heapq.heappush(self._heap, (due_ns, self._count, function))

    def after(self, delay_s: float, function: Callable[[], None]) -> None:
        """Run something of the bus's own (not a node's callback) once, `delay_s` from now."""
        self._push(time.monotonic_ns() + int(delay_s * 1e9), function)

    def every(self, period_s: float, function: Callable[[], None]) -> None:
        """Run something of the bus's own again and again."""

        def again() -> None:
            self.after(period_s, again)
            function()

        self.after(period_s, again)

    def add(self, host: Host, timer: Timer) -> None:
        """A node's timer; missed periods are skipped, the schedule is kept."""
        method, period_ns = getattr(host.node, timer.method), int(timer.period_s * 1e9)
        due_ns = time.monotonic_ns() + period_ns

        def run() -> None:
            nonlocal due_ns
            start_ns = time.monotonic_ns()
            host.invoke(Kind.TIMER, timer.method, method)
            due_ns += period_ns
            now_ns = time.monotonic_ns()
            if now_ns - start_ns > host.callback_max_ns:
                host.took(timer.method, now_ns - start_ns)
            if due_ns <= now_ns:
                due_ns += ((now_ns - due_ns) // period_ns + 1) * period_ns
            self._push(due_ns, run)

        self._push(due_ns, run)

    def next_ns(self) -> int | None:
        """When the next one is due."""
        return self._heap[0][0] if self._heap else None

    def run_due(self) -> int:
        """Run what is due now; the time afterwards. What becomes due meanwhile waits for a look at the sockets."""
        heap, now_ns = self._heap, time.monotonic_ns()
        if not heap or heap[0][0] > now_ns:
            return now_ns
        while heap and heap[0][0] <= now_ns and not self.stopped:
            heapq.heappop(heap)[2]()
        return time.monotonic_ns()


class Follower:
    """Follows /clock. Stands in the place of an inbox, so that time moves before anything that came after it."""

    room = 1

    def __init__(self, executor: Executor, clock: SimClock) -> None:
        self._x = executor
        self._clock = clock
        self._heap: list[tuple[int, int, Host, Timer]] = []
        self._count = 0
        self.host = executor.hosts[0]
        self.subscription = Subscription(topics.CLOCK, "", None, 1, None, None)

    def add(self, host: Host, timer: Timer) -> None:
        """A node's timer, on an absolute schedule of the simulated time."""
        self._push(self._clock.now_ns() + int(timer.period_s * 1e9), host, timer)

    def _push(self, due_ns: int, host: Host, timer: Timer) -> None:
        self._count += 1
        heapq.heappush(self._heap, (due_ns, self._count, host, timer))

    def put(self, item: Item) -> None:
        """A tick: moves the clock, runs the timers that are due; a jump back configures the nodes anew."""
        try:
            tick = codec(ClockTick).decode(item.payload or b"", item.tail)
        except DecodeError as error:
            self.host.warn_once("bad clock", str(error))
            return
        if self._clock.set(tick.now_ns):
            self._heap.clear()
            for host in self._x.hosts:
                host.configure()
                for timer in host.node.interface.timers:
                    self.add(host, timer)
        while self._heap and self._heap[0][0] <= tick.now_ns:
            due_ns, _, host, timer = heapq.heappop(self._heap)
            self._x.loop.ready.append(Job(host, Kind.TIMER, timer.method, getattr(host.node, timer.method)))
            period_ns = int(timer.period_s * 1e9)
            self._push(due_ns + period_ns * ((tick.now_ns - due_ns) // period_ns + 1), host, timer)
