"""For tests that run nodes in threads: wait for what they bring about, look at what they count."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from bus.executor import Executor


def until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    """Wait for something another thread brings about."""
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.005)):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("it did not happen in time")


def node(executor: Executor, index: int = 0) -> Any:
    return executor.hosts[index].node


def counts(executor: Executor, topic: str) -> dict[str, int]:
    """The counters of everything this process heard on a topic, summed."""
    feeds = [*executor.intake.feeds.values(), *executor.own_feeds.values()]
    kinds = ("received", "lost", "dropped", "expired", "undecodable", "unknown_fields", "repaired")
    return {k: sum(getattr(f.counts, k) for f in feeds if f.topic == topic) for k in kinds}
