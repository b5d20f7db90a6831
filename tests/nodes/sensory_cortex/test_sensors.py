import dataclasses
import itertools
import math
import re
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Sheet:
    """A preset as the requirement has it; the lag without what delay and refresh add."""

    name: str
    quantity: str
    rate_hz: float
    refreshed_hz: float
    lag_s: float
    step: float
    noise: float
    delay_s: float
    jitter_s: float


SHEETS = (
    Sheet("accelerometer", "acceleration", 10_000, 10_000, 53e-6, 0.015, 0.35, 0.0, 0.0),
    Sheet("drive_torque", "load", 1000, 1000, 0.0012, 0.02, 0.35, 0.001, 0.001),
    Sheet("load_meter", "load", 1000, 10, 0.1, 1.0, 0.3, 0.0, 0.008),
)
each_sheet = pytest.mark.parametrize("sheet", SHEETS, ids=lambda s: str(s.name))


def readings(sheet: Sheet, values: np.ndarray, seed: int = 1, **without: float) -> np.ndarray:
    """What the preset tells of these values; `without` switches stages of it off."""
    chain = dataclasses.replace(sensors.preset(sheet.name, sheet.quantity), **without)
    assert chain.rate_hz == sheet.rate_hz
    if sheet.quantity == "acceleration":
        return BlockReading(chain, 1, np.random.default_rng(seed))(values.astype(float).reshape(-1, 1))[:, 0]
    read = reading(chain, seed)
    return np.array([read(v) for v in values.tolist()])


def test_the_table_has_every_preset() -> None:
    assert {s.name for s in SHEETS} == set(sensors.PRESETS)


@each_sheet
def test_a_preset_is_read_in_whole_steps(sheet: Sheet) -> None:
    shown = readings(sheet, np.linspace(0.0, 80.0, 5000)) / sheet.step
    assert np.abs(shown - np.rint(shown)).max() < 1e-6
    assert np.gcd.reduce(np.rint(shown).astype(int)) == 1


@each_sheet
def test_a_preset_is_refreshed_at_its_rate(sheet: Sheet) -> None:
    ramp = np.arange(30_000) * 10.0  # every refresh shows another value
    changes = np.flatnonzero(np.diff(readings(sheet, ramp, noise=0.0, limit=math.inf)))
    # a delay that jitters by a sample shows one value twice and jumps over the next
    assert len(changes) / (len(ramp) / sheet.rate_hz) == pytest.approx(sheet.refreshed_hz, rel=0.4)
    held = np.diff(changes)
    if sheet.refreshed_hz < sheet.rate_hz:
        period = sheet.rate_hz / sheet.refreshed_hz
        jitter = sheet.jitter_s * sheet.rate_hz / 2
        assert held.mean() == pytest.approx(period, rel=0.02)
        assert period - jitter - 1 <= held.min() < held.max() <= period + jitter + 1


@each_sheet
def test_a_preset_lags_as_its_sheet_says(sheet: Sheet) -> None:
    """The mean response to a step that comes at any phase of the refresh: its area is the sum of all lags."""
    before, after = 500, 1500
    step = np.concatenate((np.zeros(before), np.full(after, 100.0)))
    responses = []
    for seed in range(200):
        early = seed * 7 % 100
        responses.append(readings(sheet, step[early:], seed, noise=0.0, step=0.0)[before - early :])
    missing_s = float((100.0 - np.mean(responses, axis=0)).sum()) / 100.0 / sheet.rate_hz
    refresh_s = 1 / sheet.refreshed_hz if sheet.refreshed_hz < sheet.rate_hz else 0.0
    # a first-order low-pass in samples is up to one of them quicker than in continuous time
    expected_s = sheet.lag_s + (sheet.delay_s + sheet.jitter_s / 2 if not refresh_s else refresh_s / 2)
    assert missing_s == pytest.approx(expected_s, rel=0.05, abs=1 / sheet.rate_hz)


@each_sheet
def test_a_preset_scatters_by_its_sheet_with_tails_heavier_than_a_normals(sheet: Sheet) -> None:
    period = round(sheet.rate_hz / sheet.refreshed_hz)
    # creeps over ten steps, so that rounding errs evenly to both sides
    creep = np.linspace(50.0, 50.0 + 10 * sheet.step, 50_000 * period)
    shown = (readings(sheet, creep, jitter_s=0.0) - creep)[period::period]
    assert shown.mean() == pytest.approx(0.0, abs=0.03)
    assert shown.std() == pytest.approx(math.hypot(sheet.noise, sheet.step / math.sqrt(12)), rel=0.1)
    far = 5.0 * sheet.noise + sheet.step / 2
    assert (np.abs(shown) > far).mean() > 3e-4  # of a normal, less than one in a million is so far away
    assert np.abs(shown).max() < 300 * sheet.noise


def test_delay_jitter_of_a_preset_shows_in_samples() -> None:
    for sheet in SHEETS[1:2]:
        shown = readings(sheet, np.arange(3000.0), noise=0.0, lag_s=0.0, step=0.0)
        assert {round(i - v) for i, v in enumerate(shown.tolist()) if i > 10} == {1, 2}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("load_metr", "no sensor preset 'load_metr'; did you mean 'load_meter'?"),
        ("accelerometer", "measures acceleration, not load"),
        ("", "there is drive_torque, load_meter"),
    ],
)
def test_a_preset_that_is_none_is_refused_with_what_there_is(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        sensors.preset(name, "load")
