"""What is taught of a program: gathered over its reference runs, carried as a message, looked up block by block.

Readings of a block are gathered in stretches of steps, handed out one after the other from arrays of a fixed size. So
one reading costs three numbers, a whole run is taken over (or thrown away) by a few operations on whole arrays, and the
message is those arrays as they are: nothing here grows with a run, or holds a callback up at its end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from nodes.impact_cortex.fixed import SCALE, Floats, Ints, fixed, fixed_block
from nodes.impact_cortex.tunnel import Band, band_of
from schemas.base import Samples
from schemas.impact import Tunnel

STRETCH = 16
"""steps"""
MOST_STRETCHES = 1000
"""of a signal in one program: 13 minutes of cutting in steps of 50 ms. More takes longer than 0.3 ms to send"""
MOST_RUNS = 100
Block = tuple[int, int]
"""tool and block number"""


class BadTunnel(ValueError):
    """A message that is no tunnel; says why."""


# --- gathering --------------------------------------------------------------------------------------------------------


class Pool:
    """What one signal was, by block and step: in the run that is on, and in those before it."""

    def __init__(self, step_s: float = 0.05) -> None:
        size = STRETCH * MOST_STRETCHES
        self.step_s = step_s
        self.full = False
        """there was no room for some of it"""
        self._used = 0
        """stretches that are handed out"""
        self._whose = np.zeros((MOST_STRETCHES, 2), dtype="<i4")
        self._stretches: dict[Block, list[int]] = {}
        self.least, self._least = np.full(size, np.nan), np.full(size, np.nan)
        """of the run that is on, and of all before it; NaN where there is none"""
        self.most, self._most = np.full(size, np.nan), np.full(size, np.nan)
        self.total, self._total = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
        self.count, self._count = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)

    def bins(self, block: Block) -> Bins:
        return Bins(self, block, self._stretches.setdefault(block, []))

    def stretch(self, block: Block) -> int:
        """The first step of one more stretch of a block; -1 when there is no room."""
        if self._used >= MOST_STRETCHES:
            self.full = True
            return -1
        self._whose[self._used] = block
        self._used += 1
        return STRETCH * (self._used - 1)

    def take(self) -> None:
        """The run that is on is a reference."""
        used = slice(0, STRETCH * self._used)
        np.fmin(self._least[used], self.least[used], out=self._least[used])
        np.fmax(self._most[used], self.most[used], out=self._most[used])
        self._total[used] += self.total[used]
        self._count[used] += self.count[used]
        self.drop()

    def drop(self) -> None:
        """The run that is on, or was, counts no more."""
        used = slice(0, STRETCH * self._used)
        self.least[used] = self.most[used] = np.nan
        self.total[used] = self.count[used] = 0

    def stretches(self) -> bytes:
        return self._whose[: self._used].tobytes()

    def band(self) -> Samples:
        """Of all runs that were taken."""
        used = slice(0, STRETCH * self._used)
        band = np.empty((STRETCH * self._used, 3), dtype=np.float32)
        with np.errstate(invalid="ignore", over="ignore"):  # nothing by nothing is NaN
            band[:, 0], band[:, 2] = self._least[used], self._most[used]
            band[:, 1] = self._total[used] / (self._count[used] * float(SCALE))
        band += np.float32(0.0)  # of two zeros the sign hangs on which form compared them
        return Samples.take(band)


class Bins:
    """The readings of a pass through one block."""

    __slots__ = ("_block", "_pool", "_starts")

    def __init__(self, pool: Pool, block: Block, starts: list[int]) -> None:
        self._pool = pool
        self._block = block
        self._starts = starts

    def _at(self, step: int) -> int:
        """Where a step is kept; -1 when there is no room for it."""
        n, within = divmod(step, STRETCH)
        while len(self._starts) <= n:
            start = self._pool.stretch(self._block)
            if start < 0:
                return -1
            self._starts.append(start)
        return self._starts[n] + within

    def add(self, step: int, value: float) -> None:
        """A reading; one that is infinite is no reference."""
        if not math.isfinite(value) or (at := self._at(step)) < 0:
            return
        pool = self._pool
        if not value >= pool.least[at]:
            pool.least[at] = value
        if not value <= pool.most[at]:
            pool.most[at] = value
        pool.total[at] += fixed(value)
        pool.count[at] += 1

    def add_block(self, steps: Ints, values: Floats) -> None:
        """The same for readings with rising steps."""
        known = np.isfinite(values)
        steps, values = steps[known], values[known]
        if not len(steps):
            return
        pool = self._pool
        edges = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
        for first, end in pairwise(edges):
            at = self._at(int(steps[first]))
            if at < 0:
                return
            part = values[first:end]
            pool.least[at] = np.fmin(pool.least[at], part.min())
            pool.most[at] = np.fmax(pool.most[at], part.max())
            pool.total[at] += fixed_block(part).sum()
            pool.count[at] += len(part)


# --- the message ------------------------------------------------------------------------------------------------------


def same_step(a: float, b: float) -> bool:
    return abs(a - b) <= 0.01 * b


def tunnel_id(task: str, signal: str, program: str) -> str:
    return f"{task}/{signal}/{program}"


@dataclass(slots=True)
class Taught:
    """A tunnel as it is used."""

    program: str
    version: int
    runs: int
    override_pct: float
    step_s: float
    _band: Floats
    _whose: Ints
    """by stretch, tool and block number in one"""
    _bands: dict[tuple[Block, float], Band] = field(default_factory=dict)

    @classmethod
    def read(cls, message: Tunnel) -> Taught:
        """Raises BadTunnel."""
        if len(message.stretches) % 8 or len(message.stretches) > 8 * MOST_STRETCHES:
            raise BadTunnel(f"{len(message.stretches)} bytes of stretches, of 8 each and {MOST_STRETCHES} at most")
        stretches, band = np.frombuffer(message.stretches, dtype="<i4").reshape(-1, 2), message.band.array
        if band.shape != (STRETCH * len(stretches), 3):
            raise BadTunnel(f"a band {message.band!r} of {len(stretches)} stretches")
        if not message.step_s > 0 or message.runs < 0:
            raise BadTunnel(f"steps of {message.step_s} s from {message.runs} runs")
        runs, override_pct = message.runs, message.override_pct
        whose = _number(stretches[:, 0].astype(np.int64), stretches[:, 1])
        return cls(message.program, message.version, runs, override_pct, message.step_s, band, whose)

    def band(self, tool: int, block: int, margin_pct: float) -> Band | None:
        """Of a block, with margins; None where nothing was taught of it."""
        key = ((tool, block), margin_pct)
        known = self._bands.get(key)
        if known is None:
            stretches = np.flatnonzero(self._whose == _number(tool, block))
            if not len(stretches):
                return None
            rows = self._band.reshape(-1, STRETCH, 3)[stretches].reshape(-1, 3).astype(np.float64)
            known = self._bands[key] = band_of(rows[:, 0], rows[:, 1], rows[:, 2], margin_pct)
        return known


def _number(tool: Any, block: Any) -> Any:
    """Tool and block in one number."""
    return (tool << 32) + block


# --- the lesson -------------------------------------------------------------------------------------------------------


class Lesson:
    """Reference runs of one program, for some tasks; only whole runs count, from the start of the program to its end.

    Args:
        tasks: the names of the tasks that are taught.
    """

    def __init__(self, program: str, tasks: frozenset[str], runs: int, taught_by: str, reason: str) -> None:
        self.program = program
        self.tasks = tasks
        self.runs = runs
        self.done = 0
        self.taught_by = taught_by
        self.reason = reason
        self.override_pct = math.nan
        """of the feed in the runs so far; NaN before the first block, and where the control does not say"""
        self.spoiled = ""
        """why the run that is on is no reference"""
        self._running = False
        self._has_override = False
        self._pools: dict[tuple[str, str], Pool] = {}

    def begin(self, program: str) -> None:
        """A run of this program begins."""
        self._drop()
        self._running = program == self.program

    def spoil(self, why: str) -> None:
        """The run that is on is no reference."""
        if self._running and not self.spoiled:
            self.spoiled = why

    def end(self) -> str:
        """The run is over; why it does not count, where it does not."""
        if not self._running:
            return ""
        why = self.spoiled
        if not why:
            for pool in self._pools.values():
                pool.take()
            self.done += 1
        self._drop()
        return why

    def _drop(self) -> None:
        self._running, self.spoiled = False, ""
        for pool in self._pools.values():
            pool.drop()
        if not self.done:
            self._has_override = False

    @property
    def learned(self) -> bool:
        return self.done >= self.runs

    @property
    def text(self) -> str:
        return f"learns {self.program}: {self.done} of {self.runs} runs"

    def override(self, override_pct: float) -> float:
        """The override of these runs: the first block of the first one says it."""
        if not self._has_override:
            self.override_pct, self._has_override = override_pct, True
        return self.override_pct

    def bins(self, task: str, signal: str, block: Block, step_s: float) -> Bins | None:
        """Where a pass through a block is gathered; None while no run is on that may count."""
        if not self._running or self.spoiled or task not in self.tasks:
            return None
        pool = self._pools.get((task, signal))
        if pool is None:
            pool = self._pools[task, signal] = Pool(step_s)
        if not same_step(pool.step_s, step_s):
            self.spoil(f"{signal} comes at another pace, or {task} counts in other steps")
            return None
        return pool.bins(block)

    def pools(self) -> Iterator[tuple[str, str, Pool]]:
        """(task, signal, what was gathered)."""
        for (task, signal), pool in self._pools.items():
            yield task, signal, pool
