"""A tunnel: a reading against what it was at this point of this block in the reference runs. Both forms, see detectors.

Time in a block is counted in steps of so many readings. Of each step the band says the least and the most that was
seen; see taught.py for where it comes from. While nothing was taught of a block, the detector answers no.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from nodes.impact_cortex.fixed import Bools, Floats, Ints, k_of_n_block


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """What the readings of a block were, by step; NaN where there were none. Margins are included."""

    least: Floats
    most: Floats
    lows: list[float] = field(init=False)
    """the same, for one reading at a time"""
    highs: list[float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lows", self.least.tolist())
        object.__setattr__(self, "highs", self.most.tolist())


class Learns(Protocol):
    """Takes readings of a block while it is taught."""

    def add(self, step: int, value: float) -> None: ...
    def add_block(self, steps: Ints, values: Floats) -> None: ...


@dataclass(slots=True)
class TunnelState:
    band: Band | None = None
    bins: Learns | None = None
    """of the block that is being taught"""
    began_ns: int = 0
    """when the pass through the block began"""
    at: int = 0
    """readings since then; below 0 are those of the block before"""
    over: int = 0
    """bit i: the reading i steps ago was outside"""
    outside: float = math.nan
    """how far the last reading was outside of the band; 0 within, NaN where there is none"""
    lost: int = 0

    def copy(self) -> TunnelState:
        # to judge a stretch once more, not to learn it twice
        return TunnelState(self.band, None, self.began_ns, self.at, self.over, self.outside, self.lost)

    def enter(self, band: Band | None, bins: Learns | None, began_ns: int) -> None:
        """Another block, or another pass through it, or another band, from the next reading on."""
        if band is not self.band or began_ns != self.began_ns:
            self.over, self.outside = 0, math.nan
        self.band, self.bins, self.began_ns = band, bins, began_ns

    @property
    def rests(self) -> bool:
        return self.band is None and self.bins is None


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Fires while at least `k` of the last `n` readings are farther than `limit` outside of the band.

    Raises:
        ValueError: not 1 <= k <= n, a negative limit, or a step below one reading.
    """

    limit: float
    k: int
    n: int
    rows: int
    """readings of a step"""
    period_s: float = 0.001
    """of the readings"""
    _mask: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n or self.rows < 1 or not self.limit >= 0:
            raise ValueError(f"needs 1 <= k <= n, rows >= 1 and limit >= 0: {self}")
        object.__setattr__(self, "_mask", (1 << self.n) - 1)

    @property
    def step_s(self) -> float:
        return self.rows * self.period_s

    def start(self) -> TunnelState:
        return TunnelState()

    def reading(self, state: TunnelState, value: float) -> float:
        """How far outside the last reading was."""
        return state.outside

    def bound(self, state: TunnelState) -> float:
        return self.limit

    def calm(self, state: TunnelState) -> float:
        return math.inf if state.rests else math.nan

    def judge(self, state: TunnelState, value: float) -> bool:
        if state.band is None and state.bins is None:
            return False
        step = state.at // self.rows
        state.at += 1
        if state.bins is not None and step >= 0:
            state.bins.add(step, value)
        band, far = state.band, False
        state.outside = math.nan
        if band is not None and 0 <= step < len(band.lows):
            low, high = band.lows[step], band.highs[step]
            far = value > high + self.limit or value < low - self.limit
            state.outside = _outside(low, high, value)
        over = state.over = ((state.over << 1) | far) & self._mask
        return over.bit_count() >= self.k

    def follow(self, state: TunnelState, value: float) -> None:
        if not state.rests:
            state.at += 1
            state.over, state.outside = 0, math.nan

    def judge_block(self, state: TunnelState, values: Floats) -> Bools:
        none: Bools = np.zeros(len(values), dtype=np.bool_)
        if state.rests or not len(values):
            return none
        steps: Ints = (np.arange(state.at, state.at + len(values), dtype=np.int64)) // self.rows
        state.at += len(values)
        if state.bins is not None:
            within = steps >= 0
            state.bins.add_block(steps[within], values[within])
        band, far = state.band, none
        state.outside = math.nan
        if band is not None:
            known = (steps >= 0) & (steps < len(band.lows))
            at, seen = steps[known], values[known]
            far = none.copy()
            far[known] = (seen > band.most[at] + self.limit) | (seen < band.least[at] - self.limit)
            if known[-1]:
                last = int(steps[-1])
                state.outside = _outside(band.lows[last], band.highs[last], float(values[-1]))
        fired, state.over = k_of_n_block(state.over, far, self.k, self.n)
        return fired

    def follow_block(self, state: TunnelState, values: Floats) -> None:
        if not state.rests and len(values):
            state.at += len(values)
            state.over, state.outside = 0, math.nan


def _outside(low: float, high: float, value: float) -> float:
    """NaN where nothing was seen in the step."""
    if low != low or high != high:
        return math.nan
    return max(value - high, low - value, 0.0)


@np.errstate(invalid="ignore", over="ignore")  # what is not finite is no limit
def band_of(least: Any, mean: Any, most: Any, margin_pct: float) -> Band:
    """A band from what was seen in each step: with the steps beside it, since no two runs take the same time.

    Args:
        margin_pct: of the mean, to either side.
    """
    margin = np.abs(mean) * (margin_pct / 100.0)
    low, high = least - margin, most + margin
    beside_low, beside_high = low.copy(), high.copy()
    for to, by in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        beside_low[to] = np.fmin(beside_low[to], low[by])
        beside_high[to] = np.fmax(beside_high[to], high[by])
    return Band(beside_low, beside_high)
