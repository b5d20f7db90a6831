"""Each procedure by example, and its two forms shown equal by property."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.impact_cortex.chatter import Chatter, ChatterState
from nodes.impact_cortex.cusum import Cusum, Residual
from nodes.impact_cortex.detectors import Detector, Deviation, Limit, block, step
from nodes.impact_cortex.fixed import fixed_block
from nodes.impact_cortex.stuck import Stuck
from nodes.impact_cortex.tunnel import Band, Tunnel, TunnelState

NAN = math.nan


def fired(detector: Detector, values: list[float], armed: bool = True) -> list[bool]:
    state = detector.start()
    return [step(detector, state, v, armed) for v in values]


def rises(steps: list[tuple[int, float]]) -> list[float]:
    return [value for rows, value in steps for _ in range(rows)]


def test_limit_wants_k_of_n() -> None:
    assert fired(Limit(85, 3, 5), [90, 80, 90, 80, 90, 80, 80]) == [False] * 4 + [True] + [False] * 2


def test_limit_of_one_fires_at_once_and_not_at_the_limit() -> None:
    assert fired(Limit(85, 1, 1), [85.0, 85.001, math.inf]) == [False, True, True]


def test_no_reading_neither_votes_nor_clears() -> None:
    limit = Limit(85, 2, 2)
    state = limit.start()
    assert [step(limit, state, v, True) for v in (90, NAN, NAN, 90)] == [False, False, False, True]
    assert state.lost == 0
    step(limit, state, NAN, True)
    assert state.lost == 1


def test_closed_gate_raises_nothing_and_forgets() -> None:
    limit = Limit(85, 2, 3)
    state = limit.start()
    assert [step(limit, state, 120, armed) for armed in (True, False, True, True)] == [False, False, False, True]


@pytest.mark.parametrize("bad", [(0, 3), (4, 3)])
def test_limit_refuses_k_outside_n(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="k of n"):
        Limit(85, *bad)


RESIDUAL = Residual(air=10, drift=8, threshold=1500, window=200, settle=100, air_rows=5)


def test_residual_finds_a_lasting_rise_below_any_limit() -> None:
    hits = fired(RESIDUAL, rises([(500, 40.0), (300, 75.0)]))
    assert not any(hits[:500])
    assert 60 <= hits.index(True) - 500 <= 80  # 1500 at 27 above the drift, and the mean follows


def test_residual_is_silent_in_air_and_at_re_entry() -> None:
    assert not any(fired(RESIDUAL, rises([(300, 2.0), (400, 60.0), (300, 2.0), (50, 30.0), (400, 60.0)])))


def test_residual_bears_a_slow_rise_and_a_short_spike() -> None:
    slow = [40 + i * 0.01 for i in range(4000)]
    assert not any(fired(RESIDUAL, slow))
    assert not any(fired(RESIDUAL, rises([(500, 40.0), (20, 100.0), (500, 40.0)])))


def test_residual_takes_a_gap_in_one_cut_for_the_same_cut() -> None:
    state = RESIDUAL.start()
    for v in rises([(400, 40.0), (4, 0.0), (10, 40.0)]):
        step(RESIDUAL, state, v, True)
    assert not math.isnan(RESIDUAL.reference(state))


def test_residual_does_not_take_missing_load_into_the_mean() -> None:
    """Recorded at 10 Hz: rows without load within a cut, and what came after them looked like a rise."""
    slow = Residual(air=6, drift=6, threshold=12, window=8, settle=2)
    assert not any(fired(slow, rises([(40, 36.0), (3, 0.0), (40, 37.0), (4, 0.0), (40, 36.0)])))
    assert any(fired(slow, rises([(40, 36.0), (3, 0.0), (40, 50.0)])))


def test_cusum_sums_what_is_beyond_the_model_and_forgets_what_is_below() -> None:
    assert fired(Cusum(10.0), [4.0, 4.0, -20.0, 4.0, 4.0, 4.0, -1.0, -2.0]) == [False] * 5 + [True, True, False]


def test_cusum_refuses_a_negative_threshold() -> None:
    with pytest.raises(ValueError, match="threshold"):
        Cusum(-1.0)


def test_deviation_ignores_gravity() -> None:
    d = Deviation(limit=5, k=2, n=4, bucket=50)
    assert not any(fired(d, [9.81] * 500))
    assert fired(d, [9.81] * 50 + [9.81 + 6, 9.81 - 6])[-2:] == [False, True]


def test_deviation_says_nothing_before_it_knows_rest() -> None:
    assert not any(fired(Deviation(limit=5, k=1, n=1, bucket=50), [0.0, 100.0] * 25))


loads = st.lists(
    st.one_of(
        st.floats(0, 200, width=32), st.sampled_from([NAN, math.inf, -math.inf, 0.0, 40.0, 84.99, 85.0, 85.01, 130.0])
    ),
    max_size=120,
)
gates = st.lists(st.booleans(), min_size=120, max_size=120)
limits = st.integers(1, 12).flatmap(lambda n: st.builds(Limit, st.floats(1, 150), k=st.integers(1, n), n=st.just(n)))
residuals = st.builds(
    Residual,
    air=st.floats(0, 60),
    drift=st.floats(0, 20),
    threshold=st.floats(0, 500),
    window=st.integers(1, 20),
    settle=st.integers(0, 10),
    air_rows=st.integers(1, 6),
)
deviations = st.integers(1, 12).flatmap(
    lambda n: st.builds(Deviation, st.floats(0, 100), k=st.integers(1, n), n=st.just(n), bucket=st.integers(1, 30))
)
cusums = st.builds(Cusum, st.floats(0, 2000))
stucks = st.builds(Stuck, st.integers(2, 8), idle=st.sampled_from([0.0, 40.0]))
chatters = st.builds(
    Chatter,
    st.floats(0, 1),
    rows=st.integers(16, 40),
    period_s=st.just(0.001),
    floor=st.floats(0, 20),
    windows=st.integers(1, 2),
)
tunnels = st.integers(1, 12).flatmap(
    lambda n: st.builds(Tunnel, st.floats(0, 50), k=st.integers(1, n), n=st.just(n), rows=st.integers(1, 30))
)
detectors = st.one_of(limits, residuals, cusums, deviations, stucks, chatters, tunnels)
BAND = Band(np.array([20.0, 30.0, NAN, 80.0, 10.0]), np.array([60.0, 84.99, NAN, 85.0, 10.0]))
pieces = st.lists(st.integers(0, 120), max_size=4)


@given(
    detector=detectors,
    values=loads,
    armed=gates,
    cuts=pieces,
    long_gates=st.booleans(),
)
def test_block_form_equals_sample_form(
    detector: Detector, values: list[float], armed: list[bool], cuts: list[int], long_gates: bool
) -> None:
    if long_gates:  # gates that stay as they are for a while, as a machine's do
        armed = [armed[i // 40] for i in range(120)]
    one, many = detector.start(), detector.start()
    for state in (one, many):
        if isinstance(state, ChatterState):
            state.turn(12_000.0, 2)
        if isinstance(state, TunnelState):
            state.enter(BAND, None, 0)
            state.at = -3
    by_step = [step(detector, one, v, a) for v, a in zip(values, armed, strict=False)]
    by_block: list[bool] = []
    borders = sorted({0, len(values), *(min(c, len(values)) for c in cuts)})
    for first, end in pairwise(borders):
        part, gate = np.array(values[first:end], dtype=np.float64), np.array(armed[first:end], dtype=np.bool_)
        constant = len(set(gate.tolist())) == 1
        by_block += block(detector, many, part, bool(gate[0]) if constant else gate).tolist()
    assert by_block == by_step
    assert many == one


@given(
    detector=deviations,
    values=st.lists(st.floats(0, 200) | st.sampled_from([math.inf, 1e9]), min_size=1),
    cuts=pieces,
    armed=st.booleans(),
)
def test_readings_that_rest_are_judged_as_the_block_judges_them(
    detector: Deviation, values: list[float], cuts: list[int], armed: bool
) -> None:
    one, other = detector.start(), detector.start()
    borders = sorted({0, len(values), *(min(c, len(values)) for c in cuts)})
    for first, end in pairwise(borders):
        part = np.array(values[first:end])
        rests = detector.rests(one, len(part), float(part.min()), float(part.max()))
        by_block = block(detector, other, part, armed)
        if rests:
            detector.fill(one, len(part), int(fixed_block(part).sum()))
            assert one == other
            assert not by_block.any()
        else:
            one = other.copy()


def test_what_is_near_rest_and_within_a_bucket_rests() -> None:
    detector = Deviation(limit=5, k=1, n=1, bucket=50)
    state = detector.start()
    for _ in range(50):
        step(detector, state, 9.81, True)
    assert detector.rests(state, 50, 4.82, 14.8)
    assert not detector.rests(state, 50, 4.8, 14.8)
    assert not detector.rests(state, 50, 4.82, 14.82)
    assert not detector.rests(state, 51, 9.81, 9.81)


def test_infinite_readings_of_both_signs_are_readings() -> None:
    limit = Limit(85, 1, 1)
    assert block(limit, limit.start(), np.array([math.inf, -math.inf]), True).tolist() == [True, False]


@given(detector=st.one_of(residuals, cusums), values=loads)
def test_cusum_is_never_negative_and_no_reading_changes_nothing(
    detector: Residual | Cusum, values: list[float]
) -> None:
    state = detector.start()
    for v in values:
        before = copy.deepcopy(state)
        step(detector, state, v, True)
        assert state.cusum >= 0
        if math.isnan(v):
            before.lost += 1
            assert state == before


@given(detector=detectors, values=loads)
def test_nothing_fires_behind_a_closed_gate(detector: Detector, values: list[float]) -> None:
    assert not any(fired(detector, values, armed=False))


@given(detector=detectors, values=loads, armed=gates, below=st.floats(0, 1e9))
def test_a_calm_reading_changes_nothing(detector: Any, values: list[float], armed: list[bool], below: float) -> None:
    state = detector.start()
    for v, gate in zip(values, armed, strict=False):
        step(detector, state, v, gate)
        state.lost = 0
        calm = detector.calm(state)
        if not math.isnan(calm):
            before = copy.deepcopy(state)
            for reading in (calm, calm - below, -math.inf):
                for judged in (True, False):
                    assert step(detector, state, reading, judged) is False
                    assert state == before


@pytest.mark.parametrize(
    ("detector", "up_to"),
    [(Limit(85, 3, 5), 85.0), (Cusum(10), 0.0), (RESIDUAL, math.nextafter(10, 0)), (Deviation(5, 1, 2, 4), NAN)],
)
def test_what_is_calm_until_a_reading_counts(detector: Any, up_to: float) -> None:
    state = detector.start()
    assert detector.calm(state) == pytest.approx(up_to, rel=0, abs=0, nan_ok=True)
    step(detector, state, 90, True)
    assert math.isnan(detector.calm(state))
