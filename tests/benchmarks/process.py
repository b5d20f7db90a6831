"""A role's process, as the benchmarks drive it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

import psutil

NODES = "tests.benchmarks.roles"
PEERS = "tests.benchmarks.peers"
AWAKE_S = 0.05
"""after `wake`: what a node has missed, such as its beat, it does now and not during the burst"""


class Role:
    """Starts `python -m MODULE ROLE ...`; `go()` sends a line and waits for the answer."""

    def __init__(self, *arguments: str, module: str = NODES) -> None:
        command = [sys.executable, "-P", "-m", module, *arguments]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._child.pid
        self.ready = self._read()

    def go(self) -> dict[str, Any]:
        self.start()
        return self._read()

    def start(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write("go\n")
        self._child.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._child.args!r} ended with {self._child.wait(10)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def pss_mb(self) -> float:
        return float(psutil.Process(self.pid).memory_full_info().pss) / 1e6

    def rest(self) -> None:
        """Stand still until `wake`: whoever is not measured must not tick beside whoever is."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        assert self._child.stdin is not None
        if self._child.poll() is None:
            self.wake()
        self._child.stdin.close()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(5)
        if self._child.stdout is not None:
            self._child.stdout.close()

    def __enter__(self) -> Role:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def wake(roles: Iterable[Role]) -> None:
    """All of them, and give them time to find their feet."""
    for role in roles:
        role.wake()
    time.sleep(AWAKE_S)


def rest(roles: Iterable[Role]) -> None:
    for role in roles:
        role.rest()


def cpu_s(pid: int) -> float:
    """CPU of all threads of a living process, to the nanosecond, as the kernel's clock of that process counts it.

    clock_getcpuclockid(3) makes the clock's number like this; /proc counts in ticks of 10 ms.
    """
    return time.clock_gettime((~pid << 3) | 2)
