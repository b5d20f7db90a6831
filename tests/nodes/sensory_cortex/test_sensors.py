import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.sensory_cortex import sensors
from nodes.sensory_cortex.sensors import BlockReading, Chain, Reading


def reading(chain: Chain, seed: int = 1) -> Reading:
    rng = np.random.default_rng(seed)
    return Reading(chain, sensors.heavy_tailed(rng, chain.tail), sensors.evenly(rng))


def test_a_chain_without_stages_is_the_quantity_itself() -> None:
    read = reading(Chain(1000.0))
    assert [read(v) for v in (1.0, -2.5, 7.25)] == [1.0, -2.5, 7.25]


def test_low_pass_reaches_63_percent_of_a_step_after_its_lag() -> None:
    read = reading(Chain(1000.0, lag_s=0.1))
    read(0.0)
    values = [read(100.0) for _ in range(300)]
    assert values[99] == pytest.approx(100.0 * (1 - math.exp(-1)), abs=0.5)


def test_the_load_meter_lags_100_ms_shows_whole_percents_and_changes_ten_times_a_second() -> None:
    read = reading(sensors.LOAD_METER)
    values = [read(20.0) for _ in range(1000)] + [read(80.0) for _ in range(5000)]
    assert all(v == round(v) for v in values)
    changes = [i for i, (a, b) in enumerate(itertools.pairwise(values)) if a != b and i > 1000]
    assert min(b - a for a, b in itertools.pairwise(changes)) >= 90
    reached = next(i for i, v in enumerate(values) if v >= 20.0 + 0.63 * 60.0) - 1000
    assert 60 <= reached <= 220  # 100 ms of low-pass, and up to one refresh
    assert values[-1] == pytest.approx(80.0, abs=2.0)


def test_hold_refreshes_at_the_rate_of_the_sheet() -> None:
    read = reading(Chain(1000.0, update_s=0.01))
    assert [read(float(i)) for i in range(100)] == [float(i // 10 * 10) for i in range(100)]


@given(st.floats(-1000.0, 1000.0), st.sampled_from((0.01, 0.5, 1.0, 7.0)))
def test_quantisation_is_at_most_half_a_step_off(value: float, step: float) -> None:
    shown = reading(Chain(1000.0, step=step))(value)
    assert abs(shown - value) <= step / 2 + 1e-9
    assert shown / step == pytest.approx(round(shown / step), abs=1e-6)


def test_delay_and_jitter_show_what_was_one_to_three_samples_ago() -> None:
    read = reading(Chain(1000.0, delay_s=0.001, jitter_s=0.002))
    shown = [read(float(i)) for i in range(1000)]
    assert {i - int(v) for i, v in enumerate(shown) if i > 10} == {1, 2, 3}


def test_noise_has_the_sheets_deviation_and_heavier_tails_than_a_normal() -> None:
    read = reading(Chain(1000.0, noise=2.0, tail=4.0))
    values = np.array([read(0.0) for _ in range(50_000)])
    assert values.std() == pytest.approx(2.0, rel=0.1)
    assert (np.abs(values) > 8.0).mean() > 20 * 6.3e-5  # a normal has 6.3e-5 beyond four deviations


def test_the_range_ends() -> None:
    read = reading(Chain(1000.0, limit=5.0))
    assert (read(9.0), read(-9.0)) == (5.0, -5.0)


def test_a_block_is_low_passed_like_its_samples_one_by_one() -> None:
    chain = Chain(10_000.0, lag_s=0.0001)
    block = BlockReading(chain, 2, np.random.default_rng(1))
    truth = np.random.default_rng(2).normal(size=(300, 2))
    joined = np.concatenate([block(truth[i : i + 100].copy()) for i in (0, 100, 200)])
    gain = 1 - math.exp(-1.0 / (chain.rate_hz * chain.lag_s))
    y = np.zeros(2)
    for i in range(300):
        y = y + gain * (truth[i] - y)
        assert joined[i] == pytest.approx(y, abs=1e-9)


def test_the_accelerometer_clips_at_50_g_and_reads_in_whole_steps() -> None:
    block = BlockReading(sensors.ACCELEROMETER, 3, np.random.default_rng(1))
    assert block(np.full((100, 3), 2000.0)).max() == 490.0
    quiet = block(np.zeros((100, 3)))[50:]
    assert np.abs(quiet / 0.015 - np.rint(quiet / 0.015)).max() < 1e-6
