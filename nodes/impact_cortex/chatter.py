"""Chatter: vibration whose energy lies between the multiples of spindle and tooth frequency.

A sound cut is driven by its teeth: everything it shakes with is a multiple of the spindle's turn. Chatter is driven by
the machine's own frequency, which is none (Altintas, Manufacturing Automation, chapter 4; Schmitz and Smith, Machining
Dynamics, chapter 4). The share of energy that is no multiple is the non-synchronous energy ratio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nodes.impact_cortex.fixed import CLIP, Bools, Floats

SIDE_BINS = 2
"""a line of a windowed spectrum is so wide to either side (Hann)"""
APART_BINS = 4 * SIDE_BINS
"""multiples that lie closer leave nothing between them that could be told"""
SAME_SPEED = 0.01
SURELY = 0.99
"""of the floor: below it no rounding matters"""


@dataclass(slots=True, eq=False)
class ChatterState:
    readings: Floats
    """of the spectrum that is being filled"""
    held: int = 0
    """how many"""
    over: int = 0
    """spectra in a row above the limit"""
    ratio: float = math.nan
    """of the last spectrum"""
    lost: int = 0
    speed_rpm: float = math.nan
    teeth: int = 0

    def copy(self) -> ChatterState:
        # the readings are shared: what is held of them is never written again, a full spectrum begins another array
        return ChatterState(self.readings, self.held, self.over, self.ratio, self.lost, self.speed_rpm, self.teeth)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ChatterState):
            return NotImplemented
        same = all(
            a == b or (a != a and b != b)
            for name in ("held", "over", "ratio", "lost", "speed_rpm", "teeth")
            for a, b in [(getattr(self, name), getattr(other, name))]
        )
        return same and np.array_equal(self.readings[: self.held], other.readings[: other.held])

    __hash__ = None  # type: ignore[assignment] # a state changes

    def turn(self, speed_rpm: float, teeth: int) -> None:
        """The spindle's commanded speed from now on; a spectrum over two speeds is thrown away."""
        if not abs(speed_rpm - self.speed_rpm) <= SAME_SPEED * abs(speed_rpm) or teeth != self.teeth:
            self.readings, self.held, self.over = np.empty_like(self.readings), 0, 0
        self.speed_rpm, self.teeth = speed_rpm, teeth


@dataclass(frozen=True, slots=True)
class Chatter:
    """Fires while the ratio of the last `windows` spectra of `rows` readings each is above `limit`, 0 to 1.

    Raises:
        ValueError: a spectrum of fewer than 16 readings, or none.
    """

    limit: float
    rows: int
    period_s: float
    floor: float
    """root mean square of what remains of a spectrum without its mean, below which nothing is said"""
    windows: int = 2

    def __post_init__(self) -> None:
        if self.rows < 16 or self.windows < 1:
            raise ValueError(f"a spectrum needs 16 readings, and one must count: {self}")

    def start(self) -> ChatterState:
        return ChatterState(np.empty(self.rows))

    def reading(self, state: ChatterState, value: float) -> float:
        return state.ratio

    def bound(self, state: ChatterState) -> float:
        return self.limit

    def calm(self, state: ChatterState) -> float:
        return math.nan

    def judge(self, state: ChatterState, value: float) -> bool:
        state.readings[state.held] = value
        state.held += 1
        if state.held == self.rows:
            self._weigh(state)
        return state.over >= self.windows

    def follow(self, state: ChatterState, value: float) -> None:
        if state.held:
            state.readings, state.held = np.empty(self.rows), 0
        state.over, state.ratio = 0, math.nan

    def only_fills(self, state: ChatterState, values: Floats) -> bool:
        """Take readings that do not complete a spectrum: nothing can come of them. False, and nothing done, else."""
        end = state.held + len(values)
        if end >= self.rows:
            return False
        state.readings[state.held : end] = values
        state.held = end
        return True

    def judge_block(self, state: ChatterState, values: Floats) -> Bools:
        fired = np.zeros(len(values), dtype=np.bool_)
        first = 0
        still = self._still(state, values)
        while first < len(values):
            end = min(len(values), first + self.rows - state.held)
            fired[first:end] = state.over >= self.windows
            if first in still:  # a whole spectrum of which nothing is said
                state.over, state.ratio = 0, math.nan
                fired[end - 1] = False
                first = end
                continue
            state.readings[state.held : state.held + end - first] = values[first:end]
            state.held += end - first
            if state.held == self.rows:
                self._weigh(state)
                fired[end - 1] = state.over >= self.windows
            first = end
        return fired

    def _still(self, state: ChatterState, values: Floats) -> set[int]:
        """Where whole spectra begin that are surely below the floor: most are, and need not be weighed."""
        first = self.rows - state.held if state.held else 0
        count = (len(values) - first) // self.rows
        if count < 1:
            return set()
        whole = values[first : first + count * self.rows].reshape(count, self.rows)
        moved = whole - whole.mean(axis=1, keepdims=True)
        power = np.einsum("ij,ij->i", moved, moved) / self.rows
        most = np.maximum(whole.max(axis=1), -whole.min(axis=1))
        quiet = (power < (SURELY * self.floor) ** 2) & (most < CLIP)
        return {first + n * self.rows for n in np.flatnonzero(quiet).tolist()}

    def follow_block(self, state: ChatterState, values: Floats) -> None:
        self.follow(state, 0.0)

    def _weigh(self, state: ChatterState) -> None:
        state.ratio = non_synchronous(state.readings, self.period_s, state.speed_rpm, state.teeth, self.floor)
        state.readings, state.held = np.empty(self.rows), 0
        state.over = state.over + 1 if state.ratio > self.limit else 0


def non_synchronous(
    readings: NDArray[np.float64], period_s: float, speed_rpm: float, teeth: int, floor: float
) -> float:
    """The share, 0 to 1, of energy that is no multiple of the spindle's turn, or of the teeth's where turns lie close.

    NaN where it cannot be told: hardly any vibration, no speed, or multiples closer than a spectrum's lines are wide.
    """
    rows = len(readings)
    readings = np.clip(readings, -CLIP, CLIP)
    moved = readings - readings.mean()
    if not math.sqrt(float(np.dot(moved, moved)) / rows) >= floor:
        return math.nan
    bin_hz = 1.0 / (rows * period_s)
    turn_hz = abs(speed_rpm) / 60.0
    lines_hz = turn_hz if turn_hz >= APART_BINS * bin_hz else turn_hz * teeth
    if not lines_hz >= APART_BINS * bin_hz:
        return math.nan
    spectrum = np.fft.rfft(moved * _hann(rows))[SIDE_BINS + 1 :]  # below it is what is left of the mean
    energy = spectrum.real**2 + spectrum.imag**2
    total = float(energy.sum())
    return float(np.dot(energy, _between(len(energy), lines_hz / bin_hz))) / total if total > 0 else math.nan


@lru_cache(64)
def _between(lines: int, every: float) -> NDArray[np.float64]:
    """1 for the lines that are no multiple of `every` lines, the first of them behind what the mean leaves."""
    bins = np.arange(lines) + SIDE_BINS + 1
    away: NDArray[np.bool_] = np.abs(bins - np.rint(bins / every) * every) > SIDE_BINS
    return away.astype(np.float64)


@lru_cache(8)
def _hann(rows: int) -> NDArray[np.float64]:
    window: NDArray[np.float64] = np.hanning(rows)
    return window
