"""What lies between a quantity and the number that is read: delay, low-pass, noise, update rate, quantisation, range.

A `Chain` is the data sheet. `Reading` is one signal read sample by sample (plain floats: at 1 kHz numpy would cost more
than it saves); `BlockReading` is several channels read a block at a time, for 10 kHz.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Chain:
    """A sensor's data sheet. Zero switches a stage off."""

    rate_hz: float
    """how often it is read"""
    lag_s: float = 0.0
    """time constant of the first-order low-pass"""
    update_s: float = 0.0
    """the value is refreshed only this often, and held in between"""
    step: float = 0.0
    """quantisation, in the signal's unit"""
    noise: float = 0.0
    """standard deviation, in the signal's unit"""
    tail: float = 4.0
    """degrees of freedom of Student's t: small is heavy-tailed; must be above 2"""
    delay_s: float = 0.0
    jitter_s: float = 0.0
    """the delay (or, where there is one, the refresh) is late by up to this much, evenly spread"""
    limit: float = math.inf
    """the range ends at plus and minus this"""


ACCELEROMETER = Chain(10_000.0, lag_s=1 / (2 * math.pi * 3000), step=0.015, noise=0.35, limit=490.0)
"""±50 g, 16 bit, 3 kHz"""
DRIVE_TORQUE = Chain(1000.0, lag_s=0.0012, step=0.02, noise=0.35, delay_s=0.001, jitter_s=0.001)
"""the drive's own torque value, percent of rated"""
SPINDLE_TORQUE = Chain(1000.0, lag_s=0.0012, step=0.002, noise=0.03, delay_s=0.001, jitter_s=0.001)
LOAD_METER = Chain(1000.0, lag_s=0.1, update_s=0.1, step=1.0, noise=0.3, jitter_s=0.008)
"""what the control shows as spindle load: 100 ms behind, whole percents, ten times a second"""
DRIVE_SPEED = Chain(1000.0, lag_s=0.001, step=0.1, noise=0.8)
AXIS_LOAD = Chain(1000.0, lag_s=0.002, step=0.05, noise=0.25, delay_s=0.001, jitter_s=0.001)
ENCODER = Chain(1000.0, step=0.0005)
FEED = Chain(1000.0, lag_s=0.001, step=0.1)
COOLANT_PROBE = Chain(1.0, lag_s=3.0, step=0.001, noise=0.002)

PRESETS: Mapping[str, tuple[str, Chain]] = MappingProxyType(
    {
        "accelerometer": ("acceleration", ACCELEROMETER),
        "drive_torque": ("load", DRIVE_TORQUE),
        "load_meter": ("load", LOAD_METER),
    }
)
"""by the name a site file gives them: what it measures, and how well"""


def preset(name: str, quantity: str) -> Chain:
    """The data sheet of that name.

    Raises:
        ValueError: there is none, or it measures something else; the text says what there is.
    """
    of, chain = PRESETS.get(name, ("", None))
    if chain is not None and of == quantity:
        return chain
    fitting = [n for n, (measures, _) in PRESETS.items() if measures == quantity]
    near = difflib.get_close_matches(name, fitting, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(fitting)}"
    if of:
        raise ValueError(f"preset {name!r} measures {of}, not {quantity}; {hint}")
    raise ValueError(f"no sensor preset {name!r}; {hint}")


def heavy_tailed(rng: np.random.Generator, tail: float, batch: int = 1024) -> Iterator[float]:
    """An endless stream of Student's t numbers with standard deviation 1, made in batches."""
    scale = 1.0 / math.sqrt(tail / (tail - 2.0))
    while True:
        yield from (rng.standard_t(tail, batch) * scale).tolist()


def evenly(rng: np.random.Generator, batch: int = 1024) -> Iterator[float]:
    """An endless stream of numbers in 0..1, made in batches."""
    while True:
        yield from rng.random(batch).tolist()


class Reading:
    """One signal as its sensor tells it; call it once per sample with the true value.

    The two streams may be shared by all readings of a machine: refilling one of them is the only slow step.
    """

    __slots__ = (
        "_at",
        "_delay",
        "_draw",
        "_even",
        "_gain",
        "_jitter",
        "_line",
        "_low",
        "_noise",
        "_period",
        "_shown",
        "_step",
        "_wait",
        "chain",
    )

    def __init__(self, chain: Chain, draw: Iterator[float], even: Iterator[float]) -> None:
        self.chain = chain
        self._draw = draw
        self._even = even
        self._gain = 1.0 if chain.lag_s == 0.0 else 1.0 - math.exp(-1.0 / (chain.rate_hz * chain.lag_s))
        self._noise = chain.noise
        self._step = chain.step
        self._period = round(chain.update_s * chain.rate_hz)
        self._jitter = chain.jitter_s * chain.rate_hz
        self._delay = chain.delay_s * chain.rate_hz
        deepest = 0 if self._period else math.ceil(self._delay + self._jitter)
        self._line: list[float] = [math.nan] * (deepest + 1) if deepest else []
        self._at = 0
        self._low = math.nan
        self._shown = math.nan
        self._wait = 0

    def __call__(self, value: float) -> float:
        line = self._line
        if line:
            size = len(line)
            at = self._at
            line[at] = value
            self._at = at + 1 if at + 1 < size else 0
            value = line[at - int(self._delay + self._jitter * next(self._even) + 0.5)]
            if value != value:  # the delay line is still filling
                value = line[at]
        low = self._low
        low = value if low != low else low + self._gain * (value - low)
        self._low = low
        if self._period:
            if self._wait > 0:
                self._wait -= 1
                return self._shown
            self._wait = self._period - 1 + int(self._jitter * (next(self._even) - 0.5))
        shown = low
        if self._noise:
            shown += self._noise * next(self._draw)
        step = self._step
        if step:
            shown = math.floor(shown / step + 0.5) * step
        limit = self.chain.limit
        if shown > limit:
            shown = limit
        elif shown < -limit:
            shown = -limit
        self._shown = shown
        return shown


def low_passed(values: Floats, memory: float, last: Floats | float) -> Floats:
    """y = memory · y before + (1 - memory) · value, down the first axis; `values` is used up. `last`: the y before."""
    y, a = values, memory
    # first-order recursion by doubling: (1 + a·z⁻¹)(1 + a²·z⁻²)(1 + a⁴·z⁻⁴)... = 1 / (1 - a·z⁻¹)
    y *= 1.0 - a
    y[:1] += a * last
    reach, power = 1, a
    while reach < len(y) and power > 1e-12:
        y[reach:] += power * y[:-reach]
        reach, power = 2 * reach, power * power
    return y


class BlockReading:
    """Several channels with one data sheet, read a block of samples at a time: low-pass, noise, quantisation, range."""

    def __init__(self, chain: Chain, channels: int, rng: np.random.Generator) -> None:
        self._chain = chain
        self._rng = rng
        self._last: Floats = np.zeros((1, channels))
        self._memory = 0.0 if chain.lag_s == 0.0 else math.exp(-1.0 / (chain.rate_hz * chain.lag_s))
        self._scale = chain.noise / math.sqrt(chain.tail / (chain.tail - 2.0))

    def __call__(self, values: Floats) -> Floats:
        """The readings of `values` [samples, channels]; `values` is used up."""
        chain, a = self._chain, self._memory
        y = values
        if a:
            y = low_passed(y, a, self._last)
            self._last = y[-1:].copy()
        if self._scale:
            y += self._scale * self._rng.standard_t(chain.tail, y.shape)
        if chain.step:
            y /= chain.step
            np.rint(y, out=y)
            y *= chain.step
        if chain.limit < math.inf:
            np.minimum(y, chain.limit, out=y)
            np.maximum(y, -chain.limit, out=y)
        return y
