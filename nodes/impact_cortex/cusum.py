"""CUSUMs: of the load against its own recent mean (Residual), and of what a model leaves over (Cusum).

Both forms as in detectors.py: one value at a time, and whole arrays.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from nodes.impact_cortex.fixed import SCALE, Bools, Floats, fixed, fixed_block, runs

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

    def copy(self) -> ResidualState:
        return ResidualState(self.below, self.rows, self.window.copy(), self.total, self.cusum, self.lost)

    def clear(self) -> None:
        self.rows = self.total = self.cusum = 0
        self.window.clear()


@dataclass(frozen=True, slots=True)
class Residual:
    """One-sided CUSUM of the net load against its own recent mean: finds a lasting rise that no limit catches yet.

    The reading is the measured load less idle. One below `air` says nothing of the cut, and leaves all as it is;
    `air_rows` of them are the end of the cut. A cut that begins is skipped for `settle` readings, then fills the mean
    over `window` readings, and only then is judged: entering the material raises nothing. From there

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
    _fires: int = field(init=False, repr=False, compare=False)
    """threshold and drift as the CUSUM counts: in steps · window"""
    _drift: int = field(init=False, repr=False, compare=False)
    _calm: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.window < 1 or self.air_rows < 1 or self.settle < 0 or self.drift < 0 or self.threshold < 0:
            raise ValueError(f"window and air_rows must be >= 1, settle, drift and threshold >= 0: {self}")
        object.__setattr__(self, "_fires", self.window * fixed(self.threshold))
        object.__setattr__(self, "_drift", self.window * fixed(self.drift))
        object.__setattr__(self, "_calm", math.nextafter(self.air, -math.inf))

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
            if state.below >= 0:
                state.below += 1
                if state.below >= self.air_rows:
                    state.clear()
                    state.below = -1
            return state.cusum > self._fires
        state.below = 0
        if state.rows < self.settle:
            state.rows += 1
            return False
        q = fixed(value)
        window = state.window
        if len(window) < self.window:
            window.append(q)
            state.total += q
            return False
        c = state.cusum + self.window * q - self._drift - state.total
        state.cusum = c = c if c > 0 else 0
        state.total += q - window.popleft()
        window.append(q)
        return c > self._fires

    def calm(self, state: ResidualState) -> float:
        return math.nan if state.below >= 0 else self._calm

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
        for first, end, in_air in runs(air):
            if in_air:
                state.clear()
                state.below = -1
                continue
            fired[first:end] = self._cut_block(state, values[first:end], ~below[first:end])
            last = int(last_cut[end - 1])
            state.below = end - 1 - last if last >= 0 else end + carried
        return fired

    def _cut_block(self, state: ResidualState, values: Floats, cuts: Bools) -> Bools:
        """Readings of one cut; those that are none (not `cuts`) are told what was told before them."""
        told = np.concatenate(([state.cusum > self._fires], self._cutting(state, values[cuts])))
        return told[np.cumsum(cuts)]

    def _cutting(self, state: ResidualState, values: Floats) -> Bools:
        fired = np.zeros(len(values), dtype=np.bool_)
        skipped = min(self.settle - state.rows, len(values))
        state.rows += skipped
        q = fixed_block(values[skipped:])
        held = len(state.window)
        all_q = np.concatenate((np.array(state.window, dtype=np.int64), q))
        if len(all_q) > self.window:
            sums = np.concatenate(([0], np.cumsum(all_q)))
            judged = all_q[self.window :]
            before = sums[self.window : -1] - sums[: -1 - self.window]
            walk = np.cumsum(self.window * judged - self._drift - before) + state.cusum
            c = walk - np.minimum(np.minimum.accumulate(walk), 0)
            fired[skipped + self.window - held :] = c > self._fires
            state.cusum = int(c[-1])
        kept = all_q[-self.window :].tolist()
        state.window.clear()
        state.window.extend(kept)
        state.total = sum(kept)
        return fired

    def follow_block(self, state: ResidualState, values: Floats) -> None:
        self.follow(state, 0.0)


# --- CUSUM against a model --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class CusumState:
    cusum: int = 0
    lost: int = 0

    def copy(self) -> CusumState:
        return CusumState(self.cusum, self.lost)


@dataclass(frozen=True, slots=True)
class Cusum:
    """One-sided CUSUM of a residual that already is what the model leaves over, less what is taken as normal.

        c = max(0, c + reading),   fires while c > threshold.

    Raises:
        ValueError: a negative threshold.
    """

    threshold: float
    """sum over readings: percent · readings"""
    _fires: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.threshold < 0:
            raise ValueError(f"threshold must be >= 0: {self}")
        object.__setattr__(self, "_fires", fixed(self.threshold))

    def start(self) -> CusumState:
        return CusumState()

    def reading(self, state: CusumState, value: float) -> float:
        return value

    def bound(self, state: CusumState) -> float:
        """The reading from which on the CUSUM grows."""
        return 0.0

    def level(self, state: CusumState) -> float:
        """The CUSUM in units of the threshold."""
        return state.cusum / SCALE

    def judge(self, state: CusumState, value: float) -> bool:
        c = state.cusum + fixed(value)
        state.cusum = c = c if c > 0 else 0
        return c > self._fires

    def calm(self, state: CusumState) -> float:
        return math.nan if state.cusum else 0.0

    def follow(self, state: CusumState, value: float) -> None:
        state.cusum = 0

    def judge_block(self, state: CusumState, values: Floats) -> Bools:
        walk = np.cumsum(fixed_block(values)) + state.cusum
        c = walk - np.minimum(np.minimum.accumulate(walk), 0)
        if len(c):
            state.cusum = int(c[-1])
        fired: Bools = c > self._fires
        return fired

    def follow_block(self, state: CusumState, values: Floats) -> None:
        state.cusum = 0
