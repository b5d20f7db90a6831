"""Ratios to trust on a noisy machine: interleaved pairs, medians, a bootstrap interval, an A/A row beside. Sans-IO."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Interval:
    """A median with the 90 % bootstrap interval of the median; a single measurement has three times the same."""

    median: float
    low: float
    high: float

    @classmethod
    def single(cls, value: float) -> Interval:
        return cls(value, value, value)

    def __str__(self) -> str:
        if self.low == self.high:
            return short(self.median)
        return f"{short(self.median)} [{short(self.low)}, {short(self.high)}]"


def short(value: float) -> str:
    """Three digits, or all of them where there are more before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def interval(values: Sequence[float], resamples: int = 2000) -> Interval:
    """Median and its 90 % interval by resampling; the generator is seeded, so a table can be made again."""
    return _bootstrap(values, statistics.median, resamples)


def pooled(bursts: Sequence[Sequence[float]], p: float, resamples: int = 200) -> Interval:
    """A percentile of all bursts together. What is resampled is bursts: what happens in one is no independent draw."""
    ordered = [sorted(b) for b in bursts]
    return _bootstrap(ordered, lambda some: percentile([v for b in some for v in b], p), resamples)


def _bootstrap(values: Sequence[Any], statistic: Callable[[Sequence[Any]], float], resamples: int) -> Interval:
    if not values:
        return Interval.single(math.nan)
    rng = random.Random(0)
    found = sorted(statistic(rng.choices(values, k=len(values))) for _ in range(resamples))
    return Interval(statistic(values), found[resamples // 20], found[-1 - resamples // 20])


def ratio(ours: Sequence[float], peer: Sequence[float]) -> Interval:
    """The interval of the ratios pair by pair."""
    return interval([a / b for a, b in zip(ours, peer, strict=True)])


def pairs(count: int, ours: Callable[[], Any], peer: Callable[[], Any]) -> tuple[list[Any], list[Any]]:
    """Run both in turn, `count` times; who goes first alternates."""
    a: list[Any] = []
    b: list[Any] = []
    for i in range(count):
        for side in ("ab", "ba")[i % 2]:
            (a if side == "a" else b).append((ours if side == "a" else peer)())
    return a, b


def percentile(values: Sequence[float], p: float) -> float:
    """The value below which `p` per cent lie; NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))] if ordered else math.nan


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured, against which bar, and whether the bar holds."""

    name: str
    figure: str
    """what the bar is on, such as `p50 / raw`"""
    value: Interval
    bar: float = math.nan
    """on the interval's unfavourable end; NaN for a row that is only shown"""
    at_least: bool = False
    unit: str = ""
    also: dict[str, float] = field(default_factory=dict)
    missing: str = ""
    """the command that installs what the row needs, where it could not be measured"""

    @property
    def holds(self) -> bool | None:
        if math.isnan(self.bar):
            return None
        return self.value.low >= self.bar if self.at_least else self.value.high <= self.bar
