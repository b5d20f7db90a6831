"""The non-synchronous energy ratio, by signals whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.impact_cortex.chatter import Chatter, non_synchronous
from nodes.impact_cortex.detectors import block
from nodes.sensory_cortex.vibration import CHATTER_HZ, Excitation, Vibration

RATE_HZ = 10_000.0
ROWS = 1000
TIME_S = np.arange(ROWS) / RATE_HZ


def ratio(wave: np.ndarray[tuple[int], np.dtype[np.float64]], speed_rpm: float = 9549.0, teeth: int = 3) -> float:
    return non_synchronous(wave, 1 / RATE_HZ, speed_rpm, teeth, floor=1.0)


def sine(frequency_hz: float, amplitude: float = 20.0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return amplitude * np.sin(2 * math.pi * frequency_hz * TIME_S)


@given(st.integers(1, 20), st.floats(5_000, 24_000))
def test_any_multiple_of_the_turn_is_sound(multiple: int, speed_rpm: float) -> None:
    if multiple * speed_rpm / 60 < RATE_HZ / 2 - 50:
        assert ratio(sine(multiple * speed_rpm / 60), speed_rpm) < 0.02


def test_a_frequency_between_the_multiples_is_chatter_and_its_share_is_told() -> None:
    turn_hz = 9549.0 / 60
    assert ratio(sine(8.5 * turn_hz)) > 0.98
    # equal energy: half
    assert ratio(sine(8.5 * turn_hz) + sine(3 * turn_hz)) == pytest.approx(0.5, abs=0.05)
    assert ratio(sine(8.5 * turn_hz, 10.0) + sine(3 * turn_hz)) == pytest.approx(0.2, abs=0.05)


def test_what_cannot_be_told_is_not_said() -> None:
    assert math.isnan(ratio(sine(1350.0, 0.5))), "hardly any vibration"
    assert math.isnan(ratio(sine(1350.0), math.nan))
    assert math.isnan(ratio(sine(1350.0), 0.0))
    assert math.isnan(ratio(sine(1350.0), 300.0, 1)), "multiples 5 Hz apart leave nothing between"
    assert ratio(sine(1350.0), 900.0, 12) > 0.9, "turns 15 Hz apart do not, teeth 180 Hz apart do"


def test_gravity_and_infinities_are_no_chatter() -> None:
    assert ratio(sine(3 * 9549.0 / 60) + 9.81) < 0.02
    wild = sine(1350.0)
    wild[3], wild[7] = math.inf, -math.inf
    assert 0.0 <= ratio(wild) <= 1.0


def simulated(
    chatter: float, blocks: int = 40, speed_rpm: float = 9549.0
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    made, per_block = Vibration(), speed_rpm / 60 * 2 * math.pi * 0.01
    waves = [
        made.block(Excitation(n * per_block, (n + 1) * per_block, 3, 400.0, speed_rpm, chatter)) for n in range(blocks)
    ]
    return np.concatenate(waves)[:, 0]


def test_the_simulated_mill_chatters_when_it_does_and_not_otherwise() -> None:
    assert CHATTER_HZ % (9549.0 / 60) > 20
    detector = Chatter(0.4, ROWS, 1 / RATE_HZ, floor=5.0)
    for chatter, expected in ((0.0, False), (1.0, True)):
        state = detector.start()
        state.turn(9549.0, 3)
        assert bool(block(detector, state, simulated(chatter), True).any()) is expected


def test_a_spectrum_over_two_speeds_is_thrown_away() -> None:
    detector = Chatter(0.4, ROWS, 1 / RATE_HZ, floor=5.0, windows=1)
    state = detector.start()
    state.turn(9549.0, 3)
    block(detector, state, simulated(1.0)[: ROWS - 1], True)
    state.turn(9600.0, 3)
    assert state.held == ROWS - 1, "half a percent is the same speed"
    state.turn(12_000.0, 3)
    assert state.held == 0


def test_a_spectrum_of_a_few_readings_is_none() -> None:
    with pytest.raises(ValueError, match="16 readings"):
        Chatter(0.4, 8, 0.001, 1.0)


def test_readings_that_complete_no_spectrum_are_only_taken() -> None:
    detector = Chatter(0.4, 100, 0.001, floor=0.0)
    one, other = detector.start(), detector.start()
    for state in (one, other):
        state.turn(9549.0, 3)
    wave = sine(1350.0)[:99]
    assert detector.only_fills(one, wave[:60])
    assert detector.only_fills(one, wave[60:])
    block(detector, other, wave, True)
    assert one == other
    assert not detector.only_fills(one, wave[:1])
    assert one == other, "nothing is done"
