"""The detectors that judge a signal: Limit, Deviation, and those of the files beside. Values in, verdict out.

Each has two forms that give the same answer: `step`, one value at a time, for the live machine, and `block`, whole
arrays, for backtests and for fast sources. To make them equal to the last bit, sums run in integers of 1/1024 unit.

A value is judged while it is `armed` (the gate of its task is open) and known. NaN is no reading: it is neither within
limits nor beyond them, so it leaves the detector as it is and counts in `state.lost`, which the node turns into
DEGRADED protection. What is not armed is only followed, so that nothing of it counts once the gate opens.

`calm(state)` is the reading up to which, after `state`, a detector answers no and stays as it is, judged or followed;
NaN where there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nodes.impact_cortex.chatter import Chatter, ChatterState
from nodes.impact_cortex.cusum import Cusum, CusumState, Residual, ResidualState
from nodes.impact_cortex.fixed import SCALE, Bools, Floats, Ints, fixed, fixed_block, k_of_n_block, runs
from nodes.impact_cortex.stuck import Stuck, StuckState
from nodes.impact_cortex.tunnel import Tunnel, TunnelState

# --- k of n -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class LimitState:
    over: int = 0
    """bit i: the reading i steps ago was above the limit"""
    lost: int = 0
    """readings missing in a row"""

    def copy(self) -> LimitState:
        return LimitState(self.over, self.lost)


@dataclass(frozen=True, slots=True)
class Limit:
    """Fires while at least `k` of the last `n` readings are above `limit`: one wild reading is no crash.

    Raises:
        ValueError: not 1 <= k <= n.
    """

    limit: float
    k: int
    n: int
    _mask: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n:
            raise ValueError(f"k of n needs 1 <= k <= n, not k={self.k}, n={self.n}")
        object.__setattr__(self, "_mask", (1 << self.n) - 1)

    def start(self) -> LimitState:
        return LimitState()

    def reading(self, state: LimitState, value: float) -> float:
        return value

    def bound(self, state: LimitState) -> float:
        return self.limit

    def judge(self, state: LimitState, value: float) -> bool:
        over = state.over = ((state.over << 1) | (value > self.limit)) & self._mask
        return over.bit_count() >= self.k

    def calm(self, state: LimitState) -> float:
        return math.nan if state.over else self.limit

    def follow(self, state: LimitState, value: float) -> None:
        state.over = 0

    def judge_block(self, state: LimitState, values: Floats) -> Bools:
        fired, state.over = k_of_n_block(state.over, values > self.limit, self.k, self.n)
        return fired

    def follow_block(self, state: LimitState, values: Floats) -> None:
        state.over = 0


# --- deviation from the resting value ---------------------------------------------------------------------------------


@dataclass(slots=True)
class DeviationState:
    over: int = 0
    lost: int = 0
    mean: int | None = None
    """sum of the last full bucket; None before the first"""
    total: int = 0
    rows: int = 0

    def copy(self) -> DeviationState:
        return DeviationState(self.over, self.lost, self.mean, self.total, self.rows)


@dataclass(frozen=True, slots=True)
class Deviation:
    """k of n on the distance from the mean of the bucket of readings before: an accelerometer also shows gravity.

    Nothing is judged before the first bucket is full.

    Raises:
        ValueError: not 1 <= k <= n, or a bucket below one reading.
    """

    limit: float
    k: int
    n: int
    bucket: int
    _mask: int = field(init=False, repr=False, compare=False)
    _far: int = field(init=False, repr=False, compare=False)
    """the limit, times the bucket's readings"""

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n or self.bucket < 1:
            raise ValueError(f"needs 1 <= k <= n and bucket >= 1, not {self}")
        object.__setattr__(self, "_mask", (1 << self.n) - 1)
        object.__setattr__(self, "_far", self.bucket * fixed(self.limit))

    def start(self) -> DeviationState:
        return DeviationState()

    def rest(self, state: DeviationState) -> float:
        """The resting value; NaN while that is not known."""
        return float("nan") if state.mean is None else state.mean / (self.bucket * SCALE)

    def reading(self, state: DeviationState, value: float) -> float:
        """How far `value` is from the resting value."""
        return abs(value - self.rest(state))

    def bound(self, state: DeviationState) -> float:
        return self.limit

    def judge(self, state: DeviationState, value: float) -> bool:
        fired = False
        if state.mean is not None:
            far = abs(fixed(value) * self.bucket - state.mean) > self._far
            state.over = ((state.over << 1) | far) & self._mask
            fired = state.over.bit_count() >= self.k
        self.fill(state, 1, fixed(value))
        return fired

    def calm(self, state: DeviationState) -> float:
        return math.nan  # every reading counts for the mean

    def follow(self, state: DeviationState, value: float) -> None:
        state.over = 0
        self.fill(state, 1, fixed(value))

    def rests(self, state: DeviationState, rows: int, least: float, most: float) -> bool:
        """Whether so many readings, none below `least` or above `most`, only go into the bucket: none is far."""
        if state.over or state.rows + rows > self.bucket:
            return False
        mean, bucket = state.mean, self.bucket
        return mean is None or (fixed(most) * bucket - mean <= self._far and mean - fixed(least) * bucket <= self._far)

    def fill(self, state: DeviationState, rows: int, total: int) -> None:
        """Take so many readings that rest; `total`: their sum in steps."""
        state.total += total
        state.rows += rows
        if state.rows == self.bucket:
            state.mean, state.total, state.rows = state.total, 0, 0

    def judge_block(self, state: DeviationState, values: Floats) -> Bools:
        q = fixed_block(values)
        far = np.zeros(len(q), dtype=np.bool_)
        before = state.mean
        lead, whole, means = self._fill_block(state, q)

        def mark(first: int, end: int, mean: int) -> None:
            far[first:end] = np.abs(q[first:end] * self.bucket - mean) > self._far

        judged = lead
        if before is not None:
            judged = 0
            mark(0, lead, before)
        if len(whole):
            held_against = np.array(means[:-1], dtype=np.int64)
            most = np.maximum(
                whole.max(axis=1) * self.bucket - held_against, held_against - whole.min(axis=1) * self.bucket
            )
            for n in np.flatnonzero(most > self._far).tolist():  # in the others no reading is far
                mark(lead + n * self.bucket, lead + (n + 1) * self.bucket, means[n])
        if means:
            mark(lead + whole.size, len(q), means[-1])
        fired = np.zeros(len(q), dtype=np.bool_)
        fired[judged:], state.over = k_of_n_block(state.over, far[judged:], self.k, self.n)
        return fired

    def follow_block(self, state: DeviationState, values: Floats) -> None:
        state.over = 0
        self._fill_block(state, fixed_block(values))

    def _fill_block(self, state: DeviationState, q: Ints) -> tuple[int, Ints, list[int]]:
        """Fill buckets: how many readings went into the open one, the whole ones behind it, and the mean of each.

        The first mean is that of the bucket that was open, which holds for the first whole one, and so on.
        """
        lead = min(len(q), self.bucket - state.rows)
        count = (len(q) - lead) // self.bucket
        whole = q[lead : lead + count * self.bucket].reshape(count, self.bucket)
        state.total += int(q[:lead].sum())
        state.rows += lead
        if state.rows < self.bucket:
            return lead, whole, []
        means = [state.total, *whole.sum(axis=1).tolist()]
        rest = q[lead + whole.size :]
        state.mean, state.total, state.rows = means[-1], int(rest.sum()), len(rest)
        return lead, whole, means


# --- the two forms ----------------------------------------------------------------------------------------------------

Detector = Limit | Residual | Cusum | Deviation | Stuck | Chatter | Tunnel
State = LimitState | ResidualState | CusumState | DeviationState | StuckState | ChatterState | TunnelState


def step(detector: Detector, state: Any, value: float, armed: bool) -> bool:
    """Whether `value` makes the detector fire."""
    if value != value:
        state.lost += 1
        return False
    state.lost = 0
    if armed:
        return detector.judge(state, value)
    detector.follow(state, value)
    return False


def block(detector: Detector, state: Any, values: Floats, armed: Bools | bool, whole: bool = False) -> Bools:
    """`step` for every value in turn; `armed` may be one answer for all of them. `whole`: no reading is missing."""
    # a NaN would be the least
    if isinstance(armed, bool) and len(values) and (whole or (least := values.min()) == least):
        state.lost = 0
        if armed:
            return detector.judge_block(state, values)
        detector.follow_block(state, values)
        return np.zeros(len(values), dtype=np.bool_)
    known = ~np.isnan(values)
    readings = values[known]
    hits = np.zeros(len(readings), dtype=np.bool_)
    gate = np.full(len(values), armed) if isinstance(armed, bool) else armed
    for first, end, is_armed in runs(gate[known]):
        if is_armed:
            hits[first:end] = detector.judge_block(state, readings[first:end])
        else:
            detector.follow_block(state, readings[first:end])
    fired = np.zeros(len(values), dtype=np.bool_)
    fired[known] = hits
    state.lost = int(len(values) - 1 - np.flatnonzero(known)[-1]) if len(readings) else state.lost + len(values)
    return fired
