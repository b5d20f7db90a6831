"""Sensors that read spans are the sensors that read samples, by the same numbers of chance."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from nodes.sensory_cortex import sensors
from nodes.sensory_cortex.sensors import Chain, Reading
from tests.benchmarks.detect.sensed import Reader, Values, heavy_tailed

CHAINS = {
    "drive torque": sensors.DRIVE_TORQUE,
    "load meter": sensors.LOAD_METER,
    "axis load": sensors.AXIS_LOAD,
    "speed": sensors.DRIVE_SPEED,
    "encoder": sensors.ENCODER,
    "accelerometer": sensors.ACCELEROMETER,
}


class Kept:
    """Numbers drawn by the span, and the same ones one by one."""

    def __init__(self, seed: int, even: bool) -> None:
        self._rng, self._even = np.random.default_rng(seed), even
        self.drawn: list[float] = []

    def __call__(self, shape: tuple[int, ...]) -> Values:
        made = self._rng.random(shape) if self._even else self._rng.standard_normal(shape)
        self.drawn += made.ravel().tolist()
        return made

    def one_by_one(self) -> Iterator[float]:
        yield from self.drawn


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_spans_read_as_samples_do(chain: Chain) -> None:
    rng = np.random.default_rng(2)
    values = 40.0 + np.cumsum(rng.standard_normal(5000))
    draw, even = Kept(3, even=False), Kept(4, even=True)
    reader = Reader(chain, draw, even)
    spans = np.split(values.copy(), [1, 2, 700, 701, 4000])
    mine = np.concatenate([reader(span) for span in spans])
    reading = Reading(chain, draw.one_by_one(), even.one_by_one())
    theirs = np.array([reading(v) for v in values.tolist()])
    # a step of quantisation apart where the last bit of a sum decides
    apart = np.abs(mine - theirs)
    assert apart.max() <= chain.step + 1e-9
    assert np.count_nonzero(apart > 1e-6) <= 2


def test_quick_draws_are_students_t_of_four_degrees_scaled_to_deviation_one() -> None:
    drawn = np.abs(heavy_tailed(np.random.default_rng(1))((1_000_000,)).astype(np.float64))
    for t in (0.5, 1.0, 2.0, 4.0, 8.0):
        # P(|T| > t) of 4 degrees of freedom in closed form
        u = t / math.sqrt(4.0 + t * t)
        beyond = 1.0 - u * (1.5 - 0.5 * u * u)
        expected = 1_000_000 * beyond
        seen = int(np.count_nonzero(drawn > t / math.sqrt(2.0)))
        assert abs(seen - expected) < 5.0 * math.sqrt(expected)


def test_another_tail_is_refused() -> None:
    with pytest.raises(ValueError, match="only 4 degrees"):
        heavy_tailed(np.random.default_rng(1), tail=3.0)
