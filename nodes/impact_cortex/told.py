"""What one task said of every row of a block: the form in which arrays are judged, live and in a backtest."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nodes.impact_cortex.detectors import block
from nodes.impact_cortex.fixed import Bools, Floats, Ints
from nodes.impact_cortex.watch import Watch


class Told(NamedTuple):
    """A task's word on the rows of a block."""

    watch: Watch
    values: Floats
    """as it judges them"""
    armed: Bools | bool
    """which rows it judged"""
    fired: Bools
    before: Any
    """its detector's state before the block"""
    was: bool
    """it fired before the block"""

    def value(self, row: int) -> tuple[float, float]:
        """The reading of this row and what it was held against, which is known up to this row only."""
        w, state = self.watch, self.before.copy()
        armed = self.armed if isinstance(self.armed, bool) else self.armed[: row + 1]
        block(w.detector, state, self.values[: row + 1], armed)
        return w.shown(state, float(self.values[row]))

    def decisive(self) -> Ints:
        """The rows that say whether it fires from then on: a missing reading says nothing."""
        known = self.values == self.values
        if self.watch.task.how.lasting:
            known &= self.armed
        return np.flatnonzero(known)

    def held(self) -> Bools:
        """The rows with a reading at which it fired; of one that lasts, those too of which nothing was judged since."""
        if not self.watch.task.how.lasting:
            return self.fired
        at = self.decisive()
        last = np.searchsorted(at, np.arange(len(self.fired)), side="right") - 1
        held: Bools = np.concatenate((self.fired[at], [self.was]))[last] & (self.values == self.values)
        return held

    def after(self) -> bool:
        """Whether it fires after the block."""
        at = self.decisive()
        return bool(self.fired[at[-1]]) if len(at) else self.was
