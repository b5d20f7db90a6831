"""What the log of a DURABLE topic costs: publish() beside that of an EVENT topic, and reading it again."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

from bus.host import Spec
from bus.node import Node, parameter, publisher, subscription
from bus.testing import Domain
from schemas.base import DURABLE, EVENT, Topic
from tests.benchmarks.measure import Row, interval, pairs, percentile
from tests.benchmarks.messages import Twenty, twenty

LOGGED = Topic("bench/logged", Twenty, DURABLE)
SENT = Topic("bench/sent", Twenty, EVENT)
BURST = 2000


class Writer(Node):
    """Publishes the same message on both."""

    logged = publisher(LOGGED)
    sent = publisher(SENT)

    def burst(self, which: str) -> dict[str, Any]:
        """Wall and CPU time of each publish()."""
        out = getattr(self, which)
        wall_us = []
        cpu_ns = time.thread_time_ns()
        for n in range(BURST):
            message = twenty(n, 0, 0)
            start_ns = time.perf_counter_ns()
            out.publish(message)
            wall_us.append((time.perf_counter_ns() - start_ns) / 1e3)
        made_ns = time.thread_time_ns()
        for n in range(BURST):
            twenty(n, 0, 0)
        making_ns = time.thread_time_ns() - made_ns
        return {"wall_us": wall_us, "cpu_us": (made_ns - cpu_ns - making_ns) / BURST / 1e3}


class Listener(Node):
    """Takes both, so that both are sent."""

    @subscription(SENT)
    def on_sent(self, message: Twenty) -> None: ...

    @subscription(LOGGED, cursor=None)
    def on_logged(self, message: Twenty) -> None: ...


class Reader(Node):
    """Reads the log from its beginning."""

    wanted = parameter(0)

    def on_configure(self) -> None:
        self.count = 0
        self.done = threading.Event()

    @subscription(LOGGED)
    def on_logged(self, message: Twenty) -> None:
        self.count += 1
        if self.count >= self.wanted:
            self.done.set()


def durable(domain: Domain, count: int) -> list[Row]:
    """publish() with the log and without, and events a second read from the log by another process's node."""
    with domain.running(Spec(Writer, "writer")) as writer, domain.process("tests.benchmarks.durable:Listener"):
        host: Any = writer.hosts[0]

        def burst(which: str) -> Any:
            return host.submit(host.node.burst, which).result(60)

        logged, sent = pairs(count, lambda: burst("logged"), lambda: burst("sent"))
        rows = []
        for name, results in (("DURABLE", logged), ("EVENT", sent)):
            medians = interval([percentile(r["wall_us"], 50) for r in results])
            also = {
                "p99_us": interval([percentile(r["wall_us"], 99) for r in results]).median,
                "max_us": max(max(r["wall_us"]) for r in results),
                "cpu_us": interval([r["cpu_us"] for r in results]).median,
            }
            rows.append(Row(f"publish(), {name}", "p50", medians, math.nan, unit="us", also=also))
        rates = [_read(domain, n, count * BURST) for n in range(max(1, count // 5))]
    rows.append(Row("reading a log", "events handled a second", interval(rates), math.nan, at_least=True))
    return rows


def _read(domain: Domain, n: int, events: int) -> float:
    """By a node of another thread, whose cursor is written after each."""
    start_ns = time.perf_counter_ns()
    with domain.running(Spec(Reader, f"reader{n}", parameters={"wanted": events})) as reader:
        node: Any = reader.hosts[0].node
        node.done.wait(60)
        assert node.count >= events
    return events / (time.perf_counter_ns() - start_ns) * 1e9
