"""How sure a share or a rate is that was counted. Sans-IO."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

CONFIDENCE = 0.95


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for a, b > 0.

    By its continued fraction, evaluated as Lentz does (Abramowitz and Stegun 26.5.8; Numerical Recipes, 6.4).
    """
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    if x > (a + 1.0) / (a + b + 2.0):  # where the fraction converges slowly
        return 1.0 - incomplete_beta(1.0 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1.0 / max(1.0 - (a + b) * x / (a + 1.0), tiny)
    value = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + term * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + term / (c if abs(c) > tiny else tiny)
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return front * value / a


def _bisected(low: float, high: float, above: Callable[[float], bool]) -> float:
    """Where a monotone question turns to yes."""
    for _ in range(200):
        middle = 0.5 * (low + high)
        if above(middle):
            high = middle
        else:
            low = middle
    return 0.5 * (low + high)


def beta_quantile(p: float, a: float, b: float) -> float:
    """The x at which I_x(a, b) is p."""
    return _bisected(0.0, 1.0, lambda x: incomplete_beta(x, a, b) >= p)


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `trials`, and the interval that holds the true share (Clopper and Pearson 1934, two-sided)."""

    hits: int
    trials: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.hits / self.trials if self.trials else math.nan


def share(hits: int, trials: int, confidence: float = CONFIDENCE) -> Share:
    """The exact interval of a share; from 0 to 1 where nothing was tried.

    Raises:
        ValueError: not 0 <= hits <= trials.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} of {trials} is no share")
    tail = (1.0 - confidence) / 2.0
    low = beta_quantile(tail, hits, trials - hits + 1) if hits else 0.0
    high = beta_quantile(1.0 - tail, hits + 1, trials - hits) if hits < trials else 1.0
    return Share(hits, trials, low, high)


def quantile(values: list[float], p: float) -> float:
    """The value that a share `p` of them does not exceed; NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(p * len(ordered)) - 1))] if ordered else math.nan
