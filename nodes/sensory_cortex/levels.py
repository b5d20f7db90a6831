"""Ten times a second, what the rows of each source were: for those who do not need every one of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.base import Samples
from schemas.machine import SignalBlock, SignalLevels

LEVELS_S = 0.1
MOST_BLOCKS = 1000
"""of one source that are looked back at: the newest"""


class Levels:
    """The blocks of every source since they were last summed up."""

    def __init__(self) -> None:
        self._blocks: dict[str, deque[SignalBlock]] = {}

    def add(self, block: SignalBlock) -> None:
        kept = self._blocks.get(block.source)
        if kept is None:
            kept = self._blocks[block.source] = deque(maxlen=MOST_BLOCKS)
        kept.append(block)

    def take(self) -> Iterator[SignalLevels]:
        """Of each source that had rows since; what came before its columns changed does not count."""
        for source, blocks in self._blocks.items():
            if not blocks:
                continue
            last = blocks[-1]
            shape = last.data.array.shape
            rows = [b.data.array for b in blocks if b.data.array.ndim == 2 and b.data.array.shape[1:] == shape[1:]]
            blocks.clear()
            if rows and len(data := np.concatenate(rows)):
                newest_ns = last.stamp_ns + (len(rows[-1]) - 1) * last.period_ns
                yield SignalLevels(
                    stamp_ns=newest_ns, source=source, rows=len(data), data=Samples.take(summary(data))
                )  # fmt: skip


def summary(data: NDArray[Any]) -> NDArray[np.float32]:
    """[rows, signals] as [5, signals]: newest, least, greatest, mean and standard deviation of what was read.

    NaN is no reading: the newest row shows it, the others only where there was no reading at all.
    """
    known = ~np.isnan(data)
    with np.errstate(all="ignore"):  # an infinite reading, or none at all
        count = known.sum(axis=0)
        mean = np.where(known, data, 0.0).sum(axis=0, dtype=np.float64) / count
        deviation = np.sqrt(np.where(known, (data - mean) ** 2, 0.0).sum(axis=0) / count)
        least, greatest = np.fmin.reduce(data, axis=0), np.fmax.reduce(data, axis=0)
        return np.stack((data[-1], least, greatest, mean, deviation)).astype(np.float32)
