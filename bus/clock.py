"""Time on the bus: wall time that never steps, and simulated time.

A domain agrees once on an anchor, wall time minus CLOCK_MONOTONIC; every node's `now_ns()` is CLOCK_MONOTONIC plus that
anchor. So two nodes of a host never disagree, and setting the system clock moves nobody's time. What is promised to
people outside (deadlines of services, heartbeats) counts `monotonic_ns()` itself.
"""

from __future__ import annotations

import json
import os
import select
import time
from pathlib import Path
from typing import Any, Protocol

from bus import ofd

RENEW_STEP_NS = 100_000_000
"""an anchor nobody uses is renewed when the system clock has moved away from it by more than this"""

USE = 0
"""the byte of the anchor that is locked by whoever is in the domain"""
_MAX_ANCHOR_BYTES = 4096


class Clock(Protocol):
    """What tells a node the time."""

    def now_ns(self) -> int: ...


class WallClock:
    """Wall time that never steps: CLOCK_MONOTONIC plus the domain's anchor."""

    __slots__ = ("anchor_ns",)

    def __init__(self, anchor_ns: int) -> None:
        self.anchor_ns = anchor_ns

    def now_ns(self) -> int:
        return time.monotonic_ns() + self.anchor_ns

    def step_ns(self) -> int:
        """How far the system clock has moved away from this clock since the domain was anchored."""
        return offset_ns() - self.anchor_ns


class SimClock:
    """The time that /clock says; stands still in between."""

    __slots__ = ("_now_ns",)

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def set(self, now_ns: int) -> bool:
        """Move to `now_ns`; True when that is back in time (a bag loops or seeks), so the node starts over."""
        back = now_ns < self._now_ns
        self._now_ns = now_ns
        return back


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC: the same for all processes of a host, never set, stands still in suspend."""
    return time.monotonic_ns()


def offset_ns() -> int:
    """Wall time minus CLOCK_MONOTONIC at this moment: of five readings the one least disturbed."""
    best, width = 0, 1 << 62
    for _ in range(5):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if after - before < width:
            width = after - before
            best = wall - (before + after) // 2
    return best


def boot_id() -> str:
    """The kernel's id of this boot: an anchor of an earlier one means nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def anchor(path: Path, mode: int = 0o600, deadline_s: float = 2.0) -> tuple[int, ofd.LockFile]:
    """The anchor kept in `path`, and the open file that keeps it in use until its `close`.

    Every user holds a shared lock. Only who gets the exclusive one, being alone, may write: a first anchor, one of an
    earlier boot, or one that the system clock has left by RENEW_STEP_NS. So it cannot change under a running node, and
    a cell started before the clock was set is not wrong until the next reboot. The file is written in place, and
    removed only by who has it alone (bus/register.py): a lock counts when `path` still is the file it was taken on.

    Raises:
        TimeoutError: for `deadline_s` somebody else was writing it.
        FileNotFoundError: its folder is gone.
    """
    ends_ns = time.monotonic_ns() + int(deadline_s * 1e9)
    file = ofd.LockFile(path, mode)
    try:
        while True:
            alone = file.lock(ofd.EXCLUSIVE, USE)
            locked = alone or file.lock(ofd.SHARED, USE)
            if locked and file.is_at(path):
                found = _read(file.fd)
                if alone and (found is None or abs(offset_ns() - found) > RENEW_STEP_NS):
                    found = _write(file.fd)
                if found is not None:
                    file.lock(ofd.SHARED, USE)  # the kernel changes the kind without letting go in between
                    return found, file
                file.lock(ofd.NONE, USE)  # whoever wrote it was killed halfway: be the next to try
            elif locked:  # it was removed between our open and our lock
                file.close()
                file = ofd.LockFile(path, mode)
            if time.monotonic_ns() > ends_ns:
                raise TimeoutError(f"{path}: for {deadline_s:g} s another process has been writing the time anchor")
            select.select([], [], [], 0.001)
    except BaseException:
        file.close()
        raise


def kept_ns(path: Path) -> int | None:
    """The anchor that stands in `path`; None where there is none of this boot."""
    try:
        with path.open("rb") as file:
            return _read(file.fileno())
    except OSError:
        return None


def _read(fd: int) -> int | None:
    try:
        kept: Any = json.loads(os.pread(fd, _MAX_ANCHOR_BYTES, 0))
    except (ValueError, RecursionError):
        return None
    found = kept.get("anchor_ns") if isinstance(kept, dict) and kept.get("boot_id") == boot_id() else None
    # what no frame could carry as a time is no anchor, whoever wrote it
    return found if type(found) is int and abs(found) < 1 << 62 else None


def _write(fd: int) -> int:
    found = offset_ns()
    text = json.dumps({"anchor_ns": found, "boot_id": boot_id(), "written_ns": time.time_ns()}) + "\n"
    os.ftruncate(fd, 0)
    os.pwrite(fd, text.encode(), 0)
    return found
