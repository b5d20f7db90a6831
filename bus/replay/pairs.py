"""What belongs together in two lists of decisions, and in which values two messages differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from bus.replay.decisions import Decision
from schemas.base import Message, Samples
from schemas.grammar import fields

TOLERANCE = 1e-6
"""relative: what another CPU's rounding may change; on the same machine the bytes are equal anyway"""

Key = tuple[str, str]
"""message, call or reply; full name"""
Pair = tuple[Decision | None, Decision | None]


class Leaf(NamedTuple):
    """A value in which two messages differ."""

    path: str
    was: Any
    now: Any
    unit: str | None


def by_topic(made: Iterable[Decision]) -> dict[Key, list[Decision]]:
    """In order of time, what was published, asked and answered under each name."""
    sorted_out: dict[Key, list[Decision]] = {}
    for d in made:
        sorted_out.setdefault((d.what, d.topic), []).append(d)
    return sorted_out


def pairs(before: list[Decision], after: list[Decision]) -> Iterator[Pair]:
    """What came out of the same callback belongs together; without common times, what came in the same place."""
    common = len({d.stamp_ns for d in before} & {d.stamp_ns for d in after})
    if 2 * common < min(len(before), len(after)):
        yield from zip_longest(before, after)
        return
    yield from pairs_by_time(before, after)


def pairs_by_time(before: list[Decision], after: list[Decision]) -> Iterator[Pair]:
    """What came out of the same callback belongs together, whatever else there is."""
    i = j = 0
    while i < len(before) and j < len(after):
        old, new = before[i], after[j]
        if old.stamp_ns <= new.stamp_ns:
            i += 1
        if new.stamp_ns <= old.stamp_ns:
            j += 1
        yield (old if old.stamp_ns <= new.stamp_ns else None), (new if new.stamp_ns <= old.stamp_ns else None)
    for old in before[i:]:
        yield old, None
    for new in after[j:]:
        yield None, new


def leaves(was: Message, now: Message, tolerance: float = TOLERANCE, path: str = "") -> Iterator[Leaf]:
    """Every value that differs, Measured ones left out, floats with a relative tolerance."""
    for f in fields(type(was)):
        if not f.measured:
            yield from _values(was.__dict__[f.name], now.__dict__[f.name], f"{path}{f.name}", f.unit, tolerance)


def _values(was: Any, now: Any, path: str, unit: str | None, tolerance: float) -> Iterator[Leaf]:
    if isinstance(was, Message) and isinstance(now, Message):
        yield from leaves(was, now, tolerance, f"{path}.")
    elif isinstance(was, Samples) and isinstance(now, Samples):
        a, b = was.array, now.array
        if a.shape != b.shape or a.dtype != b.dtype or apart(was, now, tolerance).any():
            yield Leaf(path, was, now, unit)
    elif isinstance(was, tuple) and isinstance(now, tuple) and len(was) == len(now):
        for i, (one, other) in enumerate(zip(was, now, strict=True)):
            yield from _values(one, other, f"{path}[{i}]", unit, tolerance)
    elif isinstance(was, float) and isinstance(now, float):
        if not (math.isclose(was, now, rel_tol=tolerance) or (math.isnan(was) and math.isnan(now))):
            yield Leaf(path, was, now, unit)
    elif was != now:
        yield Leaf(path, was, now, unit)


def apart(was: Samples, now: Samples, tolerance: float) -> Any:
    """Which values of two arrays of one shape differ."""
    return ~np.isclose(was.array, now.array, rtol=tolerance, atol=0, equal_nan=True)
