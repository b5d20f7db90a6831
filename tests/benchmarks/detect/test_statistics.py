from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.detect.statistics import beta_quantile, incomplete_beta, quantile, share


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        # published: Brown, Cai and DasGupta 2001 and the tables of Clopper and Pearson 1934, 95 % two-sided
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (15, 20, 0.5090, 0.9134),
        (4, 20, 0.0573, 0.4366),
        (0, 300, 0.0, 0.01222),
        (1000, 1000, 0.99632, 1.0),
    ],
)
def test_the_interval_is_the_published_one(hits: int, trials: int, low: float, high: float) -> None:
    found = share(hits, trials)
    assert found.low == pytest.approx(low, abs=6e-5)
    assert found.high == pytest.approx(high, abs=6e-5)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_at_its_ends_what_was_counted_has_the_tails_probability(counted: tuple[int, int]) -> None:
    hits, trials = counted

    def at_most(k: int, p: float) -> float:
        return sum(math.comb(trials, i) * p**i * (1 - p) ** (trials - i) for i in range(k + 1))

    found = share(hits, trials)
    assert found.low <= found.value <= found.high
    if hits:
        assert 1.0 - at_most(hits - 1, found.low) == pytest.approx(0.025, rel=1e-6)
    if hits < trials:
        assert at_most(hits, found.high) == pytest.approx(0.025, rel=1e-6)


@given(st.floats(0.0, 1.0), st.integers(1, 400), st.integers(1, 400))
def test_the_incomplete_beta_is_a_binomial_tail(x: float, a: int, b: int) -> None:
    n = a + b - 1
    logs = [
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(x) + (n - i) * math.log1p(-x)
        for i in range(a, n + 1)
        if 0.0 < x < 1.0
    ]
    exact = sum(math.exp(v) for v in logs) if logs else float(x >= 1.0)
    assert incomplete_beta(x, a, b) == pytest.approx(exact, rel=1e-7, abs=1e-12)


def test_the_quantile_of_an_even_share_is_itself() -> None:
    assert beta_quantile(0.3, 1.0, 1.0) == pytest.approx(0.3)


def test_nothing_tried_says_nothing() -> None:
    found = share(0, 0)
    assert (found.low, found.high) == (0.0, 1.0)
    assert math.isnan(found.value)


@pytest.mark.parametrize(("hits", "trials"), [(-1, 3), (4, 3)])
def test_more_hits_than_trials_are_refused(hits: int, trials: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        share(hits, trials)


def test_a_quantile_is_a_value_that_was_there() -> None:
    values = [float(v) for v in range(1, 101)]
    assert (quantile(values, 0.5), quantile(values, 0.99), quantile([3.0], 0.99)) == (50.0, 99.0, 3.0)
    assert math.isnan(quantile([], 0.5))
