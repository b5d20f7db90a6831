"""The procedures that judge a signal: Limit, Residual, Deviation. Values in, verdict out; no clock, no message.

Each has two forms that give the same answer: `step`, one value at a time, for the live machine, and `block`, whole
arrays, for backtests and for fast sources. To make them equal to the last bit, sums run in integers of 1/1024 unit.

A value is judged while it is `armed` (the gate of its task is open) and known. NaN is no reading: it is neither within
limits nor beyond them, so it leaves the detector as it is and counts in `state.lost`, which the node turns into
DEGRADED protection. What is not armed is only followed, so that nothing of it counts once the gate opens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

SCALE = 1024
"""integer steps per unit of the signal"""
CLIP = 1e6
"""readings beyond this count as this, so that no sum leaves 64 bits; a limit still sees the reading itself"""


def _fixed(value: float) -> int:
    return round((CLIP if value > CLIP else -CLIP if value < -CLIP else value) * SCALE)


def _fixed_block(values: Floats) -> Ints:
    # two ufuncs: np.clip's wrapper costs more than the work on a block of 100
    fixed: Ints = np.rint(np.minimum(np.maximum(values, -CLIP), CLIP) * SCALE).astype(np.int64)
    return fixed


# --- k of n -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class LimitState:
    over: int = 0
    """bit i: the reading i steps ago was above the limit"""
    lost: int = 0
    """readings missing in a row"""


@dataclass(frozen=True, slots=True)
class Limit:
    """Fires while at least `k` of the last `n` readings are above `limit`: one wild reading is no crash.

    Raises:
        ValueError: not 1 <= k <= n.
    """

    limit: float
    k: int
    n: int

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n:
            raise ValueError(f"k of n needs 1 <= k <= n, not k={self.k}, n={self.n}")

    def start(self) -> LimitState:
        return LimitState()

    def reading(self, state: LimitState, value: float) -> float:
        return value

    def bound(self, state: LimitState) -> float:
        return self.limit

    def judge(self, state: LimitState, value: float) -> bool:
        over = state.over = ((state.over << 1) | (value > self.limit)) & ((1 << self.n) - 1)
        return over.bit_count() >= self.k

    def follow(self, state: LimitState, value: float) -> None:
        state.over = 0

    def judge_block(self, state: LimitState, values: Floats) -> Bools:
        return _k_of_n(self, state, values > self.limit)

    def follow_block(self, state: LimitState, values: Floats) -> None:
        state.over = 0


def _k_of_n(rule: Limit | Deviation, state: LimitState | DeviationState, over: Bools) -> Bools:
    """`judge` for readings already compared: the count in each window of n is a difference of running sums."""
    if not state.over and not over.any():
        return over  # the ordinary case: nothing is above, nothing was
    n = rule.n
    past = np.unpackbits(np.frombuffer(state.over.to_bytes(n // 8 + 1, "big"), dtype=np.uint8))[-n:]
    bits = np.concatenate((past, over.view(np.uint8)))
    sums = np.cumsum(bits, dtype=np.int64)
    recent = bits[-n:]
    state.over = int.from_bytes(np.packbits(recent).tobytes(), "big") >> (-n % 8)
    fired: Bools = sums[n:] - sums[: len(over)] >= rule.k
    return fired


# --- residual CUSUM ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ResidualState:
    below: int = -1
    """readings in a row that were no cutting; -1: none yet seen, which is air too"""
    rows: int = 0
    """readings since the cut began, as far as they are skipped"""
    window: deque[int] = field(default_factory=deque)
    total: int = 0
    """sum of the window"""
    cusum: int = 0
    """in steps · window"""
    lost: int = 0

    def clear(self) -> None:
        self.rows = self.total = self.cusum = 0
        self.window.clear()


@dataclass(frozen=True, slots=True)
class Residual:
    """One-sided CUSUM of the net load against its own recent mean: finds a lasting rise that no limit catches yet.

    The reading is the measured load less idle (and less a model, where one is known). While it is below `air` for
    `air_rows` readings the tool cuts air; a cut that begins is skipped for `settle` readings, then fills the mean over
    `window` readings, and only then is judged: entering the material raises nothing. From there

        c = max(0, c + reading - mean(window readings before) - drift),   fires while c > threshold.

    Raises:
        ValueError: a window or air_rows below one reading, a negative settle, drift or threshold.
    """

    air: float
    drift: float
    threshold: float
    """sum over readings: percent · readings"""
    window: int
    settle: int = 0
    air_rows: int = 5

    def __post_init__(self) -> None:
        if self.window < 1 or self.air_rows < 1 or self.settle < 0 or self.drift < 0 or self.threshold < 0:
            raise ValueError(f"window and air_rows must be >= 1, settle, drift and threshold >= 0: {self}")

    def start(self) -> ResidualState:
        return ResidualState()

    def reading(self, state: ResidualState, value: float) -> float:
        return value

    def bound(self, state: ResidualState) -> float:
        """The reading from which on the CUSUM grows; NaN while there is no reference."""
        return self.reference(state) + self.drift

    def reference(self, state: ResidualState) -> float:
        """The mean that readings are held against; NaN while there is none."""
        full = len(state.window) == self.window
        return state.total / (self.window * SCALE) if full else float("nan")

    def level(self, state: ResidualState) -> float:
        """The CUSUM in units of the threshold."""
        return state.cusum / (self.window * SCALE)

    def judge(self, state: ResidualState, value: float) -> bool:
        if value < self.air:
            if state.below < 0:
                return False
            state.below += 1
            if state.below >= self.air_rows:
                state.clear()
                state.below = -1
                return False
        else:
            state.below = 0
        if state.rows < self.settle:
            state.rows += 1
            return False
        q = _fixed(value)
        window = state.window
        if len(window) < self.window:
            window.append(q)
            state.total += q
            return False
        c = state.cusum + self.window * (q - _fixed(self.drift)) - state.total
        state.cusum = c = c if c > 0 else 0
        state.total += q - window.popleft()
        window.append(q)
        return c > self.window * _fixed(self.threshold)

    def follow(self, state: ResidualState, value: float) -> None:
        if state.below >= 0:
            state.clear()
            state.below = -1

    def judge_block(self, state: ResidualState, values: Floats) -> Bools:
        fired = np.zeros(len(values), dtype=np.bool_)
        below = values < self.air
        at = np.arange(len(values))
        last_cut = np.maximum.accumulate(np.where(below, -1, at))
        carried = self.air_rows if state.below < 0 else state.below
        air = below & (np.where(last_cut < 0, at + 1 + carried, at - last_cut) >= self.air_rows)
        for first, end, in_air in _runs(air):
            if in_air:
                state.clear()
                state.below = -1
                continue
            fired[first:end] = self._cut_block(state, values[first:end])
            last = int(last_cut[end - 1])
            state.below = end - 1 - last if last >= 0 else end + carried
        return fired

    def _cut_block(self, state: ResidualState, values: Floats) -> Bools:
        """Readings of one cut, air already taken out."""
        fired = np.zeros(len(values), dtype=np.bool_)
        skipped = min(self.settle - state.rows, len(values))
        state.rows += skipped
        q = _fixed_block(values[skipped:])
        held = len(state.window)
        all_q = np.concatenate((np.array(state.window, dtype=np.int64), q))
        if len(all_q) > self.window:
            sums = np.concatenate(([0], np.cumsum(all_q)))
            judged = all_q[self.window :]
            before = sums[self.window : -1] - sums[: -1 - self.window]
            walk = np.cumsum(self.window * (judged - _fixed(self.drift)) - before) + state.cusum
            c = walk - np.minimum(np.minimum.accumulate(walk), 0)
            fired[skipped + self.window - held :] = c > self.window * _fixed(self.threshold)
            state.cusum = int(c[-1])
        kept = all_q[-self.window :].tolist()
        state.window.clear()
        state.window.extend(kept)
        state.total = sum(kept)
        return fired

    def follow_block(self, state: ResidualState, values: Floats) -> None:
        self.follow(state, 0.0)


# --- deviation from the resting value ---------------------------------------------------------------------------------


@dataclass(slots=True)
class DeviationState:
    over: int = 0
    lost: int = 0
    mean: int | None = None
    """sum of the last full bucket; None before the first"""
    total: int = 0
    rows: int = 0


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

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n or self.bucket < 1:
            raise ValueError(f"needs 1 <= k <= n and bucket >= 1, not {self}")

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
            far = abs(_fixed(value) * self.bucket - state.mean) > self.bucket * _fixed(self.limit)
            state.over = ((state.over << 1) | far) & ((1 << self.n) - 1)
            fired = state.over.bit_count() >= self.k
        self._fill(state, value)
        return fired

    def follow(self, state: DeviationState, value: float) -> None:
        state.over = 0
        self._fill(state, value)

    def _fill(self, state: DeviationState, value: float) -> None:
        state.total += _fixed(value)
        state.rows += 1
        if state.rows == self.bucket:
            state.mean, state.total, state.rows = state.total, 0, 0

    def judge_block(self, state: DeviationState, values: Floats) -> Bools:
        fired = np.zeros(len(values), dtype=np.bool_)
        q = _fixed_block(values)
        first = 0
        while first < len(q):
            part = q[first : first + self.bucket - state.rows]
            if state.mean is not None:
                far: Any = np.abs(part * self.bucket - state.mean) > self.bucket * _fixed(self.limit)
                fired[first : first + len(part)] = _k_of_n(self, state, far)
            self._fill_block(state, part)
            first += len(part)
        return fired

    def follow_block(self, state: DeviationState, values: Floats) -> None:
        state.over = 0
        q = _fixed_block(values)
        first = 0
        while first < len(q):
            part = q[first : first + self.bucket - state.rows]
            self._fill_block(state, part)
            first += len(part)

    def _fill_block(self, state: DeviationState, part: Ints) -> None:
        state.total += int(part.sum())
        state.rows += len(part)
        if state.rows == self.bucket:
            state.mean, state.total, state.rows = state.total, 0, 0


# --- the two forms ----------------------------------------------------------------------------------------------------

Detector = Limit | Residual | Deviation
State = LimitState | ResidualState | DeviationState


def snapshot(state: Any) -> Any:
    """The state as it is now, for itself."""
    kept = copy(state)
    if isinstance(kept, ResidualState):
        kept.window = kept.window.copy()
    return kept


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


def block(detector: Detector, state: Any, values: Floats, armed: Bools | bool) -> Bools:
    """`step` for every value in turn; `armed` may be one answer for all of them."""
    if isinstance(armed, bool) and len(values) and (total := values.sum()) == total:  # a NaN would show in the sum
        state.lost = 0
        if armed:
            return detector.judge_block(state, values)
        detector.follow_block(state, values)
        return np.zeros(len(values), dtype=np.bool_)
    known = ~np.isnan(values)
    readings = values[known]
    hits = np.zeros(len(readings), dtype=np.bool_)
    gate = np.full(len(values), armed) if isinstance(armed, bool) else armed
    for first, end, is_armed in _runs(gate[known]):
        if is_armed:
            hits[first:end] = detector.judge_block(state, readings[first:end])
        else:
            detector.follow_block(state, readings[first:end])
    fired = np.zeros(len(values), dtype=np.bool_)
    fired[known] = hits
    state.lost = int(len(values) - 1 - np.flatnonzero(known)[-1]) if len(readings) else state.lost + len(values)
    return fired


def _runs(flags: Bools) -> Iterator[tuple[int, int, bool]]:
    """`(first, end, flag)` of every stretch of equal flags."""
    if not len(flags):
        return
    edges = [0, *(np.flatnonzero(flags[1:] != flags[:-1]) + 1).tolist(), len(flags)]
    for first, end in pairwise(edges):
        yield first, end, bool(flags[first])
