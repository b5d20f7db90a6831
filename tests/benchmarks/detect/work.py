"""One part of the benchmark, for a process of the pool: it finds nothing that stands in `__main__`."""

from __future__ import annotations

from tests.benchmarks.detect.closed import Outcome, crashed
from tests.benchmarks.detect.crashes import Kind
from tests.benchmarks.detect.hours import Hour, an_hour
from tests.benchmarks.detect.presets import PRESETS

Task = tuple[str, str, tuple[int, ...]]
"""what, of which preset (or kind and preset), by which seed"""


def run(task: Task, every: int) -> tuple[Task, Hour | Outcome]:
    what, preset, seed = task
    if what == "hour":
        return task, an_hour(seed, every=every)
    return task, crashed(seed, PRESETS[preset], None if what == "crash" else Kind[what])
