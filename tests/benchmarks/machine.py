"""What the figures were measured on, and whether anybody else was using it meanwhile."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata

import zmq

QUIET_CORES = 0.1
"""what others may use before a row counts as disturbed"""
LOOKS = 25
"""at each CPU, before and after a row, LOOK_EVERY_S apart"""
LOOK_EVERY_S = 0.02
SLOW = 1.4
"""times the quickest look, in the thread's own CPU time: what runs beside it here does not make it longer"""
UNEVEN_PCT = 10.0
"""of the looks that may be slow before a row counts as measured on an uneven computer"""


def facts() -> dict[str, str | int]:
    """What a figure depends on."""
    with open("/proc/cpuinfo") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    peers = {}
    for name in ("eclipse-zenoh", "redis", "hiredis"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            peers[name] = metadata.version(name)
    if server := shutil.which("redis-server"):
        said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
        peers["redis-server"] = said.partition("v=")[2].partition(" ")[0]
    return {
        # one built without profile-guided optimisation is a quarter slower than that of Debian: who made it counts
        "python": f"{platform.python_version()} ({os.path.realpath(sys.executable)})",
        "cores": os.cpu_count() or 0,
        "processor": models[0] if models else platform.machine(),
        "kernel": platform.release(),
        "pyzmq": zmq.pyzmq_version(),
        "libzmq": zmq.zmq_version(),
        **peers,
    }


@dataclass
class Quiet:
    """The computer while a row was measured."""

    load_before: float
    load_after: float = 0.0
    seconds: float = 0.0
    others_cores: float = 0.0
    """CPU that went to processes which are none of the benchmark's, in cores; hypervisor's steal included"""
    slow_pct: float = 0.0
    """of the looks at a loop of fixed length, just before and after, those that took SLOW times the quickest"""
    slow_by: float = 1.0
    """how many times as long as the quickest they took, in the middle"""

    @property
    def disturbed(self) -> bool:
        return self.others_cores > QUIET_CORES

    @property
    def uneven(self) -> bool:
        return self.slow_pct > UNEVEN_PCT

    def plain(self) -> dict[str, float | bool]:
        return {**asdict(self), "disturbed": self.disturbed, "uneven": self.uneven}

    def judge(self, looks_us: Sequence[float]) -> None:
        """Tell slow looks from the others."""
        slow = [look for look in looks_us if look > SLOW * min(looks_us)]
        self.slow_pct = 100.0 * len(slow) / len(looks_us)
        self.slow_by = statistics.median(slow) / min(looks_us) if slow else 1.0

    def remarks(self) -> list[str]:
        """What a reader of the row must know."""
        said = []
        if self.disturbed:
            said.append(f"others used {self.others_cores:.2f} cores meanwhile: times are too high, ratios too wide")
        if self.uneven:
            said.append(
                f"one loop took {self.slow_by:.1f} times the CPU time in {self.slow_pct:.0f} % of looks before and "
                "after: figures with a unit depend on when"
            )
        return said


@contextlib.contextmanager
def watched() -> Iterator[Quiet]:
    """Fills in the rest when the block ends; its processes must have ended by then, else they count as others'."""
    quiet = Quiet(os.getloadavg()[0])
    looks_us = _looks_us()
    busy_s, own_s, start_s = _busy_s(), _own_s(), os.times().elapsed
    yield quiet
    quiet.load_after = os.getloadavg()[0]
    quiet.seconds = os.times().elapsed - start_s
    quiet.others_cores = max(0.0, (_busy_s() - busy_s - _own_s() + own_s) / max(quiet.seconds, 0.01))
    quiet.judge(looks_us + _looks_us())


def _looks_us() -> list[float]:
    """How long a loop of fixed length takes, by the thread's own clock, at each CPU in turn."""
    usable = os.sched_getaffinity(0)
    found = []
    try:
        for _ in range(LOOKS):
            for cpu in usable:
                os.sched_setaffinity(0, {cpu})
                start_ns = time.thread_time_ns()
                for _ in range(10_000):
                    pass
                found.append((time.thread_time_ns() - start_ns) / 1000)
            time.sleep(LOOK_EVERY_S)  # a look is a sample of what changes within tenths of a second
    finally:
        os.sched_setaffinity(0, usable)
    return found


def _busy_s() -> float:
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system
