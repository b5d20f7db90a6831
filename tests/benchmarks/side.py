"""One side of a comparison: a publisher and its subscribers, measured in bursts and standing still in between."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tests.benchmarks.measure import Row, interval, pairs, percentile, ratio
from tests.benchmarks.peers import REDIS_SERVER
from tests.benchmarks.process import PEERS, Role, cpu_s, rest, wake

Burst = dict[str, float]
Open = Callable[[], AbstractContextManager["Side"]]
SETTLED_WITHIN_S = 20.0
LATE_S = 5.0
PAIRS_PER_START = 5
"""so that an interval also holds what differs from one start of the processes to the next"""


class Side:
    """Runs bursts.

    Args:
        broker: pid of a process that stands in between; what it uses counts.
    """

    def __init__(self, publisher: Role, subscribers: Sequence[Role], broker: int | None = None) -> None:
        self._publisher = publisher
        self._subscribers = subscribers
        self._broker = broker
        self._roles = [*subscribers, publisher]

    def settle(self) -> None:
        """Send until a burst arrives whole: everybody has met, caches are warm. Then stand still."""
        deadline_s = time.monotonic() + SETTLED_WITHIN_S
        while not (seen := self._measure())["received"] or seen["gaps"]:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"messages still lost after {SETTLED_WITHIN_S:g} s: {seen}")
        rest(self._roles)

    def burst(self) -> Burst:
        """One burst; delays of all subscribers together, CPU in us per message published."""
        wake(self._roles)
        try:
            return self._measure()
        finally:
            rest(self._roles)

    def _measure(self) -> Burst:
        before = self._cpu()
        messages = self._publisher.go()["sent"]
        time.sleep(0.05)  # what is on its way arrives
        after = self._cpu()
        got = [s.go() for s in self._subscribers]
        deadline_s = time.monotonic() + LATE_S
        while sum(g["received"] for g in got) < messages * len(self._subscribers) and time.monotonic() < deadline_s:
            time.sleep(0.05)  # the computer is busy, or messages are lost
            got += [s.go() for s in self._subscribers]
        delays = [d for g in got for d in g["delays_us"]]
        publisher, subscribers, broker = ((b - a) / messages * 1e6 for a, b in zip(before, after, strict=True))
        return {
            "p50": percentile(delays, 50),
            "p99": percentile(delays, 99),
            "cpu": publisher + subscribers + broker,
            "publisher cpu": publisher,
            "subscriber cpu": subscribers / len(self._subscribers),
            "publisher PSS": self._publisher.pss_mb(),
            "subscriber PSS": self._subscribers[0].pss_mb(),
            "received": sum(g["received"] for g in got),
            "gaps": sum(g["gaps"] for g in got),
        }

    def _cpu(self) -> tuple[float, float, float]:
        broker = cpu_s(self._broker) if self._broker is not None else 0.0
        return self._publisher.cpu_s(), sum(s.cpu_s() for s in self._subscribers), broker


@contextlib.contextmanager
def ours(publisher: str, subscriber: str, subscribers: int = 1) -> Iterator[Side]:
    """Two kinds of our nodes, as processes."""
    with contextlib.ExitStack() as stack:
        p = stack.enter_context(Role(publisher))
        side = Side(p, [stack.enter_context(Role(subscriber)) for _ in range(subscribers)])
        side.settle()
        yield side


@contextlib.contextmanager
def peer(
    name: str, folder: Path, size: int = 200, burst: int = 1000, period_s: float = 0.001, subscribers: int = 1
) -> Iterator[Side]:
    """One of tests.benchmarks.peers; its sockets and files are in `folder`."""
    with contextlib.ExitStack() as stack:
        path = str(folder / os.urandom(4).hex())
        broker = stack.enter_context(_redis_server(path, folder)) if name == "redis" else None
        numbers = (str(size), str(burst), str(period_s))
        p = stack.enter_context(Role(name, "pub", path, *numbers, module=PEERS))
        rs = [stack.enter_context(Role(name, "sub", path, *numbers, module=PEERS)) for _ in range(subscribers)]
        side = Side(p, rs, broker)
        side.settle()
        yield side


@contextlib.contextmanager
def _redis_server(path: str, folder: Path) -> Iterator[int]:
    """A server of our own, listening; its pid."""
    log = folder / "redis.log"
    command = [*REDIS_SERVER, "--unixsocket", path, "--dir", str(folder), "--logfile", str(log)]
    with subprocess.Popen(command) as server:
        try:
            deadline_s = time.monotonic() + SETTLED_WITHIN_S
            while not os.path.exists(path):
                if server.poll() is not None or time.monotonic() > deadline_s:
                    raise RuntimeError(f"redis-server did not start: {log.read_text()}")
                time.sleep(0.01)
            yield server.pid
        finally:
            server.terminate()


def against(
    name: str, us: Open, them: Open, count: int, bars: Mapping[str, float], peer_name: str = "raw"
) -> list[Row]:
    """`count` pairs, from new processes every few: rows of the figures in `bars`, as ratios to the peer."""
    a: list[Burst] = []
    b: list[Burst] = []
    for first in range(0, count, PAIRS_PER_START):
        with us() as mine, them() as other:
            some = pairs(min(PAIRS_PER_START, count - first), mine.burst, other.burst)
        a += some[0]
        b += some[1]
    rows = []
    for figure, bar in bars.items():
        mine_, other_ = ([burst[figure] for burst in side] for side in (a, b))
        unit = "MB" if figure.endswith("PSS") else "us"
        also = {f"ours {unit}": interval(mine_).median, f"{peer_name} {unit}": interval(other_).median}
        if gaps := sum(burst["gaps"] for burst in a):
            also["gaps"] = gaps
        rows.append(Row(name, f"{figure} / {peer_name}", ratio(mine_, other_), bar, also=also))
    return rows
