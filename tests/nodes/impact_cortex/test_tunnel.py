"""The detector of a tunnel by example; its two forms are shown equal in test_detectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.impact_cortex.detectors import step
from nodes.impact_cortex.tunnel import Band, Tunnel, TunnelState, band_of

NAN = math.nan
BAND = Band(np.array([10.0, NAN, 30.0]), np.array([20.0, NAN, 40.0]))


def inside(detector: Tunnel, at: int = 0) -> TunnelState:
    state = detector.start()
    state.enter(BAND, None, 1)
    state.at = at
    return state


def fired(detector: Tunnel, state: TunnelState, *values: float) -> list[bool]:
    return [step(detector, state, v, True) for v in values]


def test_a_reading_is_held_against_its_step_and_the_limit_is_how_far_outside() -> None:
    detector = Tunnel(5.0, k=1, n=1, rows=2)
    state = inside(detector)
    assert fired(detector, state, 25.0, 25.01, 999.0, 999.0, 25.0, 24.99) == [False, True, False, False, False, True]
    assert detector.reading(state, 24.99) == pytest.approx(5.01)
    assert detector.bound(state) == 5.0


def test_behind_what_was_taught_and_before_the_block_began_nothing_is_judged() -> None:
    detector = Tunnel(1.0, k=1, n=1, rows=1)
    assert fired(detector, inside(detector, 3), 999.0, -999.0) == [False, False]
    state = inside(detector, -2)
    assert fired(detector, state, 999.0, 999.0, 999.0) == [False, False, True]


def test_it_wants_k_of_n_and_forgets_them_in_another_block() -> None:
    detector = Tunnel(0.0, k=2, n=3, rows=100)
    state = inside(detector)
    assert fired(detector, state, 21.0, 15.0, 21.0, 15.0) == [False, False, True, False]
    assert fired(detector, state, 21.0) == [True]
    state.enter(BAND, None, 2)
    assert fired(detector, state, 21.0) == [False]


def test_without_a_band_it_says_nothing_and_costs_one_comparison() -> None:
    detector = Tunnel(0.0, k=1, n=1, rows=1)
    state = detector.start()
    assert fired(detector, state, 1e9, -1e9) == [False, False]
    assert math.isnan(detector.reading(state, 1.0))
    assert detector.calm(state) == math.inf
    state.enter(BAND, None, 0)
    assert math.isnan(detector.calm(state))


@pytest.mark.parametrize("bad", [(1.0, 0, 3, 1), (1.0, 4, 3, 1), (1.0, 1, 3, 0), (-1.0, 1, 3, 1), (NAN, 1, 3, 1)])
def test_what_cannot_be_is_refused(bad: tuple[float, int, int, int]) -> None:
    with pytest.raises(ValueError, match="needs 1 <= k <= n"):
        Tunnel(*bad)


steps: Any = st.lists(st.tuples(st.floats(-100, 100), st.floats(0, 50), st.floats(0, 50)), min_size=1, max_size=20)


@given(steps, st.floats(0, 50))
def test_what_was_seen_is_inside_a_step_early_or_late(
    seen: list[tuple[float, float, float]], margin_pct: float
) -> None:
    mean = np.array([m for m, _, _ in seen])
    least, most = mean - np.array([d for _, d, _ in seen]), mean + np.array([u for _, _, u in seen])
    band = band_of(least, mean, most, margin_pct)
    for n in range(len(seen)):
        for early in (n - 1, n, n + 1):
            if 0 <= early < len(seen):
                assert band.least[early] <= least[n] <= mean[n] <= most[n] <= band.most[early]
    assert (band.lows, band.highs) == (band.least.tolist(), band.most.tolist())


def test_a_step_that_was_not_seen_takes_what_is_beside_it() -> None:
    band = band_of(np.array([10.0, NAN, NAN, NAN]), np.array([15.0, NAN, NAN, NAN]), np.array([20.0, NAN, NAN, NAN]), 0)
    assert band.lows[:2] == [10.0, 10.0]
    assert math.isnan(band.lows[2])
