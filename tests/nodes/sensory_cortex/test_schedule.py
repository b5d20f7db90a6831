"""Stamps out of arrivals: delays of every kind on a device's clock that runs wrong, and the truth known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nodes.sensory_cortex.schedule import SECOND_NS, LeastDelay, Schedule

MS = 1_000_000
START = 1_700_000_000 * SECOND_NS


def run(
    seconds: float,
    drift: float = 0.0,
    late_ms: float = 1.0,
    every_ms: float = 10.0,
    seed: int = 1,
    least_ms: float = 0.1,
) -> tuple[Schedule, list[float]]:
    """A device that sends every so often, its clock slow by `drift`, with delays of an exponential distribution; the
    errors of the stamps in ms."""
    rng = np.random.default_rng(seed)
    schedule = Schedule()
    errors = []
    for n in range(round(seconds * 1000 / every_ms)):
        device = round(n * every_ms * MS)
        taken = START + round(device * (1.0 + drift))
        delay = least_ms * MS + rng.exponential(late_ms * MS)
        schedule.heard(device, taken + round(delay))
        errors.append((schedule.stamp_ns(device) - taken) / MS)
    return schedule, errors


@pytest.mark.parametrize("drift", [0.0, 1e-4, -1e-4])
@pytest.mark.parametrize("late_ms", [0.2, 2.0, 20.0])
def test_stamps_are_the_schedule_and_not_the_arrivals(drift: float, late_ms: float) -> None:
    schedule, errors = run(60.0, drift, late_ms)
    settled = errors[2000:]
    # the least delay there is, 0.1 ms, cannot be told from the offset of the clocks; of the rest a hundredth is left
    assert max(abs(error - 0.1) for error in settled) < 0.01 + late_ms / 100
    # of an exponential distribution 99 of 100 are below 4.6 times its mean
    assert schedule.jitter_p99_ms == pytest.approx(4.6 * late_ms, rel=0.4)
    assert schedule.period_ns(SECOND_NS) / SECOND_NS - 1.0 == pytest.approx(drift, abs=3e-6 * max(late_ms, 1.0))


def test_the_stamps_step_by_less_than_the_delays_do() -> None:
    _, errors = run(60.0, late_ms=5.0)
    steps = np.abs(np.diff(errors[2000:]))
    assert steps.max() < 0.05


def test_a_network_that_stood_still_moves_no_stamp() -> None:
    schedule, _ = run(20.0)
    device = 20 * SECOND_NS
    held = [device + n * 10 * MS for n in range(100)]
    for at in held:  # a second's worth comes at once
        schedule.heard(at, START + device + SECOND_NS)
    assert abs(schedule.stamp_ns(held[0]) - START - held[0]) < MS
    assert abs(schedule.stamp_ns(held[-1]) - START - held[-1]) < MS


def test_a_device_whose_clock_stood_still_is_followed_after_two_seconds() -> None:
    schedule, _ = run(20.0)
    for n in range(300):
        device = 20 * SECOND_NS + n * 10 * MS
        schedule.heard(device, START + device + 5 * SECOND_NS)
    assert (schedule.stamp_ns(23 * SECOND_NS) - START) / SECOND_NS == pytest.approx(28.0, abs=0.01)


def test_nothing_is_taken_after_it_came() -> None:
    schedule = Schedule()
    for n, delay in enumerate((50, 40, 3, 9, 2)):
        schedule.heard(n * MS, START + n * MS + delay * MS)
        assert schedule.stamp_ns(n * MS) <= START + n * MS + delay * MS
    assert schedule.stamp_ns(4 * MS) == START + 6 * MS


def test_the_least_delay_is_that_of_thirty_seconds() -> None:
    least = LeastDelay()
    assert math.isnan(least.ms)
    least.heard(5 * MS, 0)
    for second in range(1, 30):
        least.heard(9 * MS, second * SECOND_NS)
        assert least.ms == 5.0
    least.heard(9 * MS, 31 * SECOND_NS)
    assert least.ms == 9.0
    least.heard(-3 * MS, 31 * SECOND_NS)
    assert least.ms == -3.0
