"""A reading that is the same to the last bit for too long is none: a dead sensor that still answers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nodes.impact_cortex.fixed import Bools, Floats


@dataclass(slots=True)
class StuckState:
    value: float = math.nan
    same: int = 0
    """readings in a row that are `value`, behind the first"""
    lost: int = 0

    def copy(self) -> StuckState:
        return StuckState(self.value, self.same, self.lost)


@dataclass(frozen=True, slots=True)
class Stuck:
    """Fires while the last `rows` readings above `idle` are one and the same: a drive at rest may well show zero.

    Raises:
        ValueError: fewer than two rows.
    """

    rows: int
    period_s: float = 1.0
    idle: float = 0.0

    def __post_init__(self) -> None:
        if self.rows < 2:
            raise ValueError(f"it takes two readings to repeat one: {self}")

    def start(self) -> StuckState:
        return StuckState()

    def reading(self, state: StuckState, value: float) -> float:
        """How long it has been the same, s."""
        return (state.same + 1) * self.period_s

    def bound(self, state: StuckState) -> float:
        return self.rows * self.period_s

    def judge(self, state: StuckState, value: float) -> bool:
        if value != state.value or value <= self.idle:
            state.value, state.same = value, 0
            return False
        state.same += 1
        return state.same + 1 >= self.rows

    def calm(self, state: StuckState) -> float:
        return math.nan  # every reading counts

    def follow(self, state: StuckState, value: float) -> None:
        state.value, state.same = value, 0

    def judge_block(self, state: StuckState, values: Floats) -> Bools:
        if not len(values):
            return np.zeros(0, dtype=np.bool_)
        at = np.arange(len(values))
        other = np.concatenate(([values[0] != state.value], values[1:] != values[:-1])) | (values <= self.idle)
        began = np.maximum.accumulate(np.where(other, at, -1 - state.same))
        same = at - began
        state.value, state.same = float(values[-1]), int(same[-1])
        fired: Bools = same + 1 >= self.rows
        return fired

    def follow_block(self, state: StuckState, values: Floats) -> None:
        if len(values):
            state.value, state.same = float(values[-1]), 0
