"""Ratios to trust on a noisy machine: interleaved pairs, medians, a bootstrap interval, an A/A row beside."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Interval:
    """A median with the 90 % bootstrap interval of the median."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} [{self.low:.3g}, {self.high:.3g}]"


def interval(values: Sequence[float], resamples: int = 2000) -> Interval:
    """Median and its 90 % interval by resampling; the generator is seeded, so a table can be made again."""
    rng = random.Random(0)
    n = len(values)
    medians = sorted(statistics.median(rng.choices(values, k=n)) for _ in range(resamples))
    return Interval(statistics.median(values), medians[resamples // 20], medians[-resamples // 20])


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
    """what the bar is on, such as `p50 ratio to raw`"""
    value: Interval
    bar: float
    """on the interval's unfavourable end; NaN for a row that is only shown"""
    at_least: bool = False
    unit: str = ""
    also: dict[str, float] = field(default_factory=dict)

    @property
    def holds(self) -> bool | None:
        if math.isnan(self.bar):
            return None
        return self.value.low >= self.bar if self.at_least else self.value.high <= self.bar
