"""What both forms of a detector count with: readings as whole numbers of 1/1024 unit, so that sums agree to the last
bit, one by one or a block at a time; k of n; stretches of a gate.
"""

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


def k_of_n_block(before: int, over: Bools, k: int, n: int) -> tuple[Bools, int]:
    """Where at least k of the last n readings were `over`, and the last n as bits, the newest the lowest.

    `before` are the bits of the readings before: the count in each window of n is a difference of running sums.
    """
    if not before and not np.count_nonzero(over):
        return over, 0  # the ordinary case: nothing is above, nothing was
    past = np.unpackbits(np.frombuffer(before.to_bytes(n // 8 + 1, "big"), dtype=np.uint8))[-n:]
    bits = np.concatenate((past, over.view(np.uint8)))
    sums = np.cumsum(bits, dtype=np.int64)
    recent = bits[-n:]
    fired: Bools = sums[n:] - sums[: len(over)] >= k
    return fired, int.from_bytes(np.packbits(recent).tobytes(), "big") >> (-n % 8)
