"""What a process and everything it started costs: CPU and memory, read from /proc once a second by the supervisor."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Usage:
    """Measures one process tree; `measure` gives the load since the call before."""

    cpu_pct: float = 0.0
    pss_bytes: int = 0
    _cpu_s: dict[int, float] = field(default_factory=dict)
    _at_s: float = 0.0

    def measure(self, pid: int) -> None:
        """Percent of one core since the last call, and the memory that would be free without it (PSS)."""
        now = time.monotonic()
        cpu_s = {p: used for p in tree(pid) if (used := _cpu_s(p)) is not None}
        grown = sum(used - self._cpu_s.get(p, 0.0) for p, used in cpu_s.items())
        if self._at_s:
            self.cpu_pct = 100 * grown / max(now - self._at_s, 1e-3)
        self.pss_bytes = sum(_pss_bytes(p) for p in cpu_s)
        self._cpu_s, self._at_s = cpu_s, now


def tree(pid: int) -> list[int]:
    """`pid` and all its descendants."""
    found = [pid]
    for parent in found:
        found += children(parent)
    return found


def children(pid: int) -> list[int]:
    """Children of every thread of `pid`."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += map(int, file.read().split())
    except OSError:
        return found  # it ended meanwhile
    return found


def _cpu_s(pid: int) -> float | None:
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _pss_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:")), 0)
    except OSError:
        return 0  # ended meanwhile, or another user's
