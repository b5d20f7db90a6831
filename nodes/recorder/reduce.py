"""Raw signals while the machine does not cut: their range ten times a second instead of every row. Pure."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from schemas.base import Samples
from schemas.codec import DecodeError, codec
from schemas.machine import ReducedBlock, SignalBlock

PERIOD_NS = 100_000_000


class Reducer:
    """Collects the blocks of one topic, per source, and gives their range every 100 ms of their own time."""

    def __init__(self) -> None:
        self._held: dict[str, list[SignalBlock]] = {}

    def add(self, payload: bytes) -> list[ReducedBlock]:
        """Take a SignalBlock; what is complete by it. A payload that is none is passed over."""
        try:
            block = codec(SignalBlock).decode(payload)
        except DecodeError:
            return []
        held = self._held.setdefault(block.source, [])
        done = []
        if held and (
            block.stamp_ns - held[0].stamp_ns >= PERIOD_NS
            or block.stamp_ns < held[0].stamp_ns
            or block.data.array.shape[1:] != held[0].data.array.shape[1:]
        ):
            done.append(reduced(held))
            held.clear()
        held.append(block)
        return done

    def rest(self) -> list[ReducedBlock]:
        """What is not complete, now that raw signals are kept again."""
        done = [reduced(held) for held in self._held.values() if held]
        self._held.clear()
        return done


def reduced(blocks: list[SignalBlock]) -> ReducedBlock:
    """The range of consecutive blocks of one source."""
    rows: NDArray[np.float32] = np.concatenate([np.atleast_2d(b.data.array) for b in blocks]).astype("<f4")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without a reading stays NaN
        if len(rows):
            ranges = np.stack([np.nanmin(rows, axis=0), np.nanmax(rows, axis=0), np.nanmean(rows, axis=0)])
        else:
            ranges = np.full((3, rows.shape[1]), np.nan)
    last = blocks[-1]
    ends_ns = last.stamp_ns + len(last.data.array) * last.period_ns
    return ReducedBlock(
        stamp_ns=blocks[0].stamp_ns,
        period_ns=ends_ns - blocks[0].stamp_ns,
        source=last.source,
        rows=len(rows),
        data=Samples(ranges.astype("<f4")),
    )
