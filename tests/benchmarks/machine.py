"""What the figures were measured on, and whether anybody else was using it meanwhile."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata

import zmq

QUIET_CORES = 0.1
"""what others may use before a row counts as disturbed"""


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

    @property
    def disturbed(self) -> bool:
        return self.others_cores > QUIET_CORES

    def plain(self) -> dict[str, float | bool]:
        return {**asdict(self), "disturbed": self.disturbed}


@contextlib.contextmanager
def watched() -> Iterator[Quiet]:
    """Fills in the rest when the block ends; its processes must have ended by then, else they count as others'."""
    quiet = Quiet(os.getloadavg()[0])
    busy_s, own_s, start_s = _busy_s(), _own_s(), os.times().elapsed
    yield quiet
    quiet.load_after = os.getloadavg()[0]
    quiet.seconds = os.times().elapsed - start_s
    quiet.others_cores = max(0.0, (_busy_s() - busy_s - _own_s() + own_s) / max(quiet.seconds, 0.01))


def _busy_s() -> float:
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system
