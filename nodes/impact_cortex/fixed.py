"""Readings as whole numbers of 1/1024 unit, so that sums agree to the last bit, one by one or a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

SCALE = 1024
"""integer steps per unit of the signal"""
CLIP = 1e6
"""readings beyond this count as this, so that no sum leaves 64 bits; a limit still sees the reading itself"""


def fixed(value: float) -> int:
    return round((CLIP if value > CLIP else -CLIP if value < -CLIP else value) * SCALE)


def fixed_block(values: Floats) -> Ints:
    # two ufuncs: np.clip's wrapper costs more than the work on a block of 100; in place, since memory costs more still
    scaled = np.maximum(values, -CLIP)
    np.minimum(scaled, CLIP, out=scaled)
    scaled *= SCALE
    whole: Ints = np.rint(scaled, out=scaled).astype(np.int64)
    return whole


def runs(flags: Bools) -> Iterator[tuple[int, int, bool]]:
    """`(first, end, flag)` of every stretch of equal flags."""
    if not len(flags):
        return
    edges = [0, *(np.flatnonzero(flags[1:] != flags[:-1]) + 1).tolist(), len(flags)]
    for first, end in pairwise(edges):
        yield first, end, bool(flags[first])
