"""Acceleration at the spindle nose: run-out, tooth passing with harmonics, chatter, and the ring of a blow.

Made a block at a time from a few numbers per block; the phase follows the spindle's angle, so that lines stay lines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHATTER_HZ = 1350.0
BEARING_PER_TURN = 7.2
"""balls that pass a spot of the inner ring in one turn: where a damaged bearing is heard"""
BEARING_M_S2 = 6.0
RING_HZ = 780.0
RING_S = 0.006

POINTS = 8192
PER_RAD = POINTS / (2.0 * math.pi)
_TURN = 2.0 * math.pi * np.arange(POINTS) / POINTS
_TOOTH = np.sin(_TURN) + 0.5 * np.sin(2 * _TURN) + 0.25 * np.sin(3 * _TURN) + 0.12 * np.sin(4 * _TURN)
"""the ripple of a tooth, with its harmonics; looking it up is cheaper than four sines a sample"""
_RUN_OUT = np.sin(_TURN)
_UNEVEN = 0.02 * (1.0 + 0.2 * np.sin(_TURN + 0.7))
"""m/s² per newton: the teeth of a tool that runs out do not cut alike"""
DIRECTION: NDArray[np.float64] = np.array([1.0, 0.8, 0.3])
"""how strongly x, y and z feel it"""


def turning(
    turned: NDArray[np.float64],
    speed_rpm: float | NDArray[np.float64],
    teeth: int,
    force_n: float | NDArray[np.float64],
    bearing: float = 0.0,
) -> NDArray[np.float64]:
    """What a spindle shakes with that has turned so far (in POINTS a turn, from 0 on), m/s²; `turned` is used up.

    Speed and mean force are numbers, or arrays that broadcast to the shape of `turned`.
    """
    at = turned.astype(np.int64) % POINTS
    wave: NDArray[np.float64] = _RUN_OUT[at]
    wave *= 0.8 * (speed_rpm / 10_000.0) ** 2
    if bearing > 0.0:
        hit = (turned * BEARING_PER_TURN).astype(np.int64) % POINTS
        wave += BEARING_M_S2 * bearing * _RUN_OUT[hit]
    if np.any(np.greater(force_n, 0.0)):
        turned *= teeth
        ripple = _TOOTH[turned.astype(np.int64) % POINTS]
        ripple *= _UNEVEN[at]
        ripple *= force_n
        wave += ripple
    return wave


def most(speed_rpm: float, force_n: float) -> float:
    """What `turning` of a sound bearing stays below at this speed and mean force, m/s²."""
    return float(0.8 * (speed_rpm / 10_000.0) ** 2 + np.abs(_TOOTH).max() * np.abs(_UNEVEN).max() * force_n)


@dataclass(slots=True)
class Excitation:
    """What shakes the machine during one block."""

    angle_from_rad: float
    angle_to_rad: float
    teeth: int
    force_n: float
    """mean force at the edge"""
    speed_rpm: float
    chatter: float = 0.0
    """0 none, 1 fully grown"""
    bearing: float = 0.0
    """0 sound, 1 failing"""
    blow: float = 0.0
    """m/s² of a blow within the block, 0 none"""
    blow_at: int = 0
    """sample of the blow"""


class Vibration:
    """Turns excitation into blocks of three channels."""

    def __init__(self, samples: int = 100, rate_hz: float = 10_000.0) -> None:
        self.samples = samples
        self._steps = (np.arange(samples) + 1.0) / samples
        self._time_s = np.arange(samples) / rate_hz
        self._block_s = samples / rate_hz
        self._chatter_rad = 0.0
        self._ring = 0.0
        self._ring_rad = 0.0

    def block(self, e: Excitation) -> NDArray[np.float64]:
        """Acceleration in m/s² [samples, 3]."""
        wave = np.zeros(self.samples)
        if e.speed_rpm > 0.0:
            turned = self._steps * ((e.angle_to_rad - e.angle_from_rad) * PER_RAD)
            turned += e.angle_from_rad % (2.0 * math.pi) * PER_RAD
            wave = turning(turned, e.speed_rpm, e.teeth, e.force_n, e.bearing)
        if e.chatter > 0.0:
            phase = self._chatter_rad + 2.0 * math.pi * CHATTER_HZ * self._time_s
            wave += 60.0 * e.chatter * np.sin(phase) * (1.0 + 0.15 * np.sin(0.21 * phase))
        self._chatter_rad = (self._chatter_rad + 2.0 * math.pi * CHATTER_HZ * self._block_s) % (200.0 * math.pi)
        if e.blow or self._ring > 0.05:
            self._add_ring(wave, e)
        return np.outer(wave, DIRECTION)

    def _add_ring(self, wave: NDArray[np.float64], e: Excitation) -> None:
        if self._ring > 0.05:
            wave += (
                self._ring
                * np.exp(-self._time_s / RING_S)
                * np.sin(self._ring_rad + 2.0 * math.pi * RING_HZ * self._time_s)
            )
            self._ring *= math.exp(-self._block_s / RING_S)
            self._ring_rad += 2.0 * math.pi * RING_HZ * self._block_s
        if e.blow:
            since = self._time_s[: self.samples - e.blow_at]
            wave[e.blow_at :] += e.blow * np.exp(-since / RING_S) * np.sin(2.0 * math.pi * RING_HZ * since)
            rest_s = self._block_s - self._time_s[e.blow_at]
            self._ring = e.blow * math.exp(-rest_s / RING_S)
            self._ring_rad = 2.0 * math.pi * RING_HZ * rest_s
