"""How long the callbacks of the demo cell's core take: sensory_cortex and impact_cortex of one mill on one thread.

    python -P -m tests.callbacks [--seconds 60] [--crash]

The core of vmc1 runs in this process, traced and recorded as in `make run`; recorder, console and the core of vmc2 run
beside it. Wall time holds what the scheduler and other processes do; CPU time of the thread is our own work. What the
garbage collector took within a callback stands beside it. Exit code 1 when a callback's own work exceeded 0.3 ms.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
import tempfile
import time
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bus.executor import Executor
from bus.guard import schedule
from bus.host import Host, Spec
from bus.plan import load
from bus.target import node_class
from bus.testing import Domain
from nodes.sensory_cortex import SensoryCortex
from schemas.machine import Fault, InjectRequest

LONGEST_MS = 0.3
WARM_UP_S = 3.0


@dataclass
class Times:
    """One callback's runs, ms. Arrays, because the garbage collector walks through every list."""

    wall: array[float] = field(default_factory=lambda: array("d"))
    cpu: array[float] = field(default_factory=lambda: array("d"))
    collecting: array[float] = field(default_factory=lambda: array("d"))
    """of that, the garbage collector"""


class Watch:
    """Times every callback of this process."""

    def __init__(self) -> None:
        self.times: dict[str, Times] = defaultdict(Times)
        self.collections: dict[int, list[float]] = defaultdict(list)
        """ms by generation"""
        self._collected_ns = 0
        self._began_ns = 0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        invoke, call_back = Host.invoke, Host.call_back

        def timed_invoke(host: Host, kind: Any, name: str, *more: Any, **named: Any) -> Any:
            with self._timed(f"{host.name.rpartition('/')[2]} {name.partition(' ')[0]}"):
                return invoke(host, kind, name, *more, **named)

        def timed_call_back(host: Host, function: Any, message: Any, now_mono_ns: int) -> None:
            with self._timed(f"{host.name.rpartition('/')[2]} {function.__name__}"):
                call_back(host, function, message, now_mono_ns)

        own = {"invoke": timed_invoke, "call_back": timed_call_back}
        for name, method in own.items():
            setattr(Host, name, method)
        gc.callbacks.append(self._collecting)
        try:
            yield
        finally:
            gc.callbacks.remove(self._collecting)
            for name, method in {"invoke": invoke, "call_back": call_back}.items():
                setattr(Host, name, method)

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        collected, wall, cpu = self._collected_ns, time.monotonic_ns(), time.thread_time_ns()
        try:
            yield
        finally:
            cpu, wall = time.thread_time_ns() - cpu, time.monotonic_ns() - wall
            times = self.times[name]
            times.wall.append(wall / 1e6)
            times.cpu.append(cpu / 1e6)
            times.collecting.append((self._collected_ns - collected) / 1e6)

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began_ns = time.thread_time_ns()
        else:
            took_ns = time.thread_time_ns() - self._began_ns
            self._collected_ns += took_ns
            self.collections[info["generation"]].append(took_ns / 1e6)


def core(machine: str) -> list[Spec]:
    """The composed nodes of a machine of the demo cell, with their parameters."""
    (process,) = (p for p in load("cell").processes if p.name == f"{machine}/core")
    return [
        Spec(node_class(n.target), "", n.namespace, {name: g.value for name, g in n.parameters.items()})
        for n in process.nodes
    ]


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def table(times: dict[str, Times]) -> Iterator[str]:
    head = " ".join(f"{name:>6}" for name in ("p50", "p99", "p99.9", "max"))
    yield f"{'ms':<32} {'runs':>7}  {'own work':<28}{'wall time':<28}     gc"
    yield f"{'':<32} {'':>7}  {head} {head} {'max':>6}  own work above {LONGEST_MS} ms"
    for name, t in sorted(times.items(), key=lambda item: -max(item[1].cpu)):
        own = [c - g for c, g in zip(t.cpu, t.collecting, strict=True)]
        cells = [" ".join(f"{percentile(v, p):6.3f}" for p in (50, 99, 99.9, 100)) for v in (own, t.wall)]
        above = sum(v > LONGEST_MS for v in own)
        yield f"{name:<32} {len(t.wall):7}  {cells[0]} {cells[1]} {max(t.collecting):6.3f}  {above}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="callbacks", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--crash", action="store_true", help="with a crash in the middle, which is what counts")
    given = parser.parse_args()
    sys.stdout.write(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before\n")
    watch = Watch()
    with Domain("callbacks") as domain, tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        stack.enter_context(domain.process("nodes.recorder", "-p", f'directory="{folder}"', "-p", "vibration=true"))
        other = ["nodes.sensory_cortex", "--namespace", "vmc2", "+", "nodes.impact_cortex", "--namespace", "vmc2"]
        stack.enter_context(domain.process(*other, "-p", 'mode="STOP"'))
        stack.enter_context(domain.process("nodes.console"))
        sys.stdout.write(f"scheduled {schedule(10, 0, []) or 'as usual'}\n")
        with Executor(core("vmc1"), domain=domain.name) as executor:
            executor.spin(lambda: False, WARM_UP_S)
            with watch.watching():
                executor.spin(lambda: False, given.seconds / 2)
                if given.crash:
                    hal = executor.hosts[0]
                    assert isinstance(hal.node, SensoryCortex)
                    hal.invoke(None, "inject", hal.node.inject, (InjectRequest(fault=Fault.CRASH),))
                executor.spin(lambda: False, given.seconds / 2)
    for line in table(watch.times):
        sys.stdout.write(line + "\n")
    for generation, took in sorted(watch.collections.items()):
        sys.stdout.write(f"garbage of generation {generation}: {len(took)} times, longest {max(took):.3f} ms\n")
    own = max(c - g for t in watch.times.values() for c, g in zip(t.cpu, t.collecting, strict=True))
    return 1 if own > LONGEST_MS else 0


if __name__ == "__main__":
    sys.exit(main())
