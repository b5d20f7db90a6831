"""Sensors read whole passes at once: `Reading` of sensors.py for arrays, by the same data sheets."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nodes.sensory_cortex.sensors import Chain, low_passed

Values = NDArray[Any]
Draw = Callable[[tuple[int, ...]], Values]
"""so many numbers: of Student's t with standard deviation 1, or even ones in 0..1"""


def heavy_tailed(rng: np.random.Generator, tail: float = 4.0) -> Draw:
    """Student's t with standard deviation 1 as sensors.heavy_tailed, in 32 bits and a quarter of the time.

    t = z / sqrt(χ²/tail), and half a χ² of 4 degrees of freedom is the sum of two exponentials.

    Raises:
        ValueError: another tail than 4, which is what every data sheet here has.
    """
    if tail != 4.0:
        raise ValueError(f"tail {tail:g}: only 4 degrees of freedom are drawn quickly")

    def draw(shape: tuple[int, ...]) -> Values:
        z = rng.standard_normal(shape, dtype=np.float32)
        half = rng.standard_exponential(shape, dtype=np.float32)
        half += rng.standard_exponential(shape, dtype=np.float32)
        # t is z / sqrt(half / 2), its standard deviation sqrt(2)
        z /= np.sqrt(half, out=half)
        return z

    return draw


def evenly(rng: np.random.Generator) -> Draw:
    return lambda shape: rng.random(shape, dtype=np.float32)


class Reader:
    """One signal, or several with one data sheet side by side [rows, channels], read a span at a time."""

    def __init__(self, chain: Chain, draw: Draw, even: Draw) -> None:
        self._chain, self._draw, self._even = chain, draw, even
        self._memory = 0.0 if chain.lag_s == 0.0 else math.exp(-1.0 / (chain.rate_hz * chain.lag_s))
        self._period = round(chain.update_s * chain.rate_hz)
        self._jitter = chain.jitter_s * chain.rate_hz
        self._delay = chain.delay_s * chain.rate_hz
        self._deepest = 0 if self._period else math.ceil(self._delay + self._jitter)
        self._line: Values | None = None
        """what is still on its way"""
        self._low: Values | None = None
        self._shown = math.nan
        self._wait = 0

    def __call__(self, values: Values) -> Values:
        """The readings of `values`, which is used up."""
        y = self._delayed(values) if self._deepest else values
        if self._memory:
            y = low_passed(y, self._memory, y[:1].copy() if self._low is None else self._low)
            self._low = y[-1:].copy()
        if self._period:
            return self._refreshed(y)
        return self._shows(y)

    def _delayed(self, values: Values) -> Values:
        deepest = self._deepest
        if self._line is None:  # still filling: a value is shown as it comes
            self._line = np.full(deepest, np.nan)
        line = np.concatenate((self._line, values))
        self._line = line[-deepest:].copy()
        late = (self._delay + self._jitter * self._even(values.shape) + 0.5).astype(np.int64)
        y: Values = line[np.arange(deepest, deepest + len(values)) - late]
        unfilled = np.isnan(y[:deepest])
        y[:deepest][unfilled] = values[:deepest][unfilled]
        return y

    def _refreshed(self, low: Values) -> Values:
        at: list[int] = []
        row = self._wait
        while row < len(low):
            at.append(row)
            row += self._period + int(self._jitter * (float(self._even((1,))[0]) - 0.5))
        fresh = self._shows(low[at])
        shown = np.repeat(np.concatenate(([self._shown], fresh)), np.diff([0, *at, len(low)]))
        self._wait = row - len(low)
        self._shown = float(shown[-1]) if len(shown) else self._shown
        return shown

    def _shows(self, y: Values) -> Values:
        chain = self._chain
        if chain.noise:
            noise = self._draw(y.shape)
            noise *= chain.noise
            y = y + noise if y.dtype != noise.dtype else np.add(y, noise, out=y)
        if chain.step:
            y /= chain.step
            y += 0.5
            np.floor(y, out=y)
            y *= chain.step
        if chain.limit < math.inf:
            np.minimum(y, chain.limit, out=y)
            np.maximum(y, -chain.limit, out=y)
        return y
