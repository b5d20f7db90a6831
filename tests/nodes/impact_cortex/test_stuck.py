"""A sensor that repeats itself to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.impact_cortex.detectors import block, step
from nodes.impact_cortex.stuck import Stuck


def fired(detector: Stuck, values: list[float]) -> list[bool]:
    state = detector.start()
    return [step(detector, state, v, True) for v in values]


def test_it_fires_with_the_last_of_so_many_and_stops_with_another() -> None:
    assert fired(Stuck(3), [5.0, 5.0, 5.0, 5.0, 5.1, 5.1]) == [False, False, True, True, False, False]


def test_a_drive_at_rest_may_repeat_its_zero() -> None:
    assert not any(fired(Stuck(3), [0.0] * 50))
    assert not any(fired(Stuck(3, idle=2.0), [2.0] * 50))


def test_it_says_how_long() -> None:
    detector = Stuck(3, period_s=0.1)
    state = detector.start()
    block(detector, state, np.full(5, 7.0), True)
    assert detector.reading(state, 7.0) == pytest.approx(0.5)
    assert detector.bound(state) == pytest.approx(0.3)


def test_one_reading_repeats_nothing() -> None:
    with pytest.raises(ValueError, match="two readings"):
        Stuck(1)
