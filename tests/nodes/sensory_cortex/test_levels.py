"""What the rows of a source come to, ten times a second."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from nodes.sensory_cortex.levels import MOST_BLOCKS, Levels, summary
from schemas.base import Samples
from schemas.machine import SignalBlock


def block(source: str, first_row: int, *rows: tuple[float, ...]) -> SignalBlock:
    data = Samples(np.array(rows, dtype=np.float32))
    return SignalBlock(stamp_ns=first_row * 1000, period_ns=1000, source=source, first_row=first_row, data=data)


def test_each_source_says_newest_least_greatest_mean_and_deviation_once() -> None:
    levels = Levels()
    levels.add(block("drive", 0, (1.0, 10.0), (3.0, 10.0)))
    levels.add(block("accel", 0, (7.0,)))
    levels.add(block("drive", 2, (2.0, 10.0)))
    drive, accel = levels.take()
    assert (drive.source, drive.rows, drive.stamp_ns) == ("drive", 3, 2000)
    assert drive.data.array == pytest.approx(
        np.array([[2, 10], [1, 10], [3, 10], [2, 10], [np.std([1, 3, 2]), 0]], np.float32)
    )
    assert (accel.source, accel.rows) == ("accel", 1)
    assert list(levels.take()) == []


def test_what_came_before_the_columns_changed_does_not_count() -> None:
    levels = Levels()
    levels.add(block("drive", 0, (100.0,)))
    levels.add(block("drive", 1, (1.0, 2.0)))
    (said,) = levels.take()
    assert said.rows == 1
    assert said.data.array.shape == (5, 2)


def test_a_flood_is_bounded_to_the_newest() -> None:
    levels = Levels()
    for n in range(MOST_BLOCKS + 50):
        levels.add(block("drive", n, (float(n),)))
    (said,) = levels.take()
    assert said.rows == MOST_BLOCKS
    assert said.data.array[:3, 0].tolist() == [MOST_BLOCKS + 49, 50, MOST_BLOCKS + 49]


def test_rows_without_a_shape_say_nothing() -> None:
    levels = Levels()
    levels.add(SignalBlock(stamp_ns=0, period_ns=1, source="x", first_row=0, data=Samples(np.zeros(3, np.float32))))
    levels.add(SignalBlock(stamp_ns=0, period_ns=1, source="y", first_row=0, data=Samples(np.zeros((0, 3)))))
    assert list(levels.take()) == []


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(-1e6, 1e6, width=32) | st.just(np.nan),
    )
)
def test_no_reading_is_left_out(data: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    found = summary(data)
    for column, told in zip(data.T, found.T, strict=True):
        known = column[~np.isnan(column)].astype(np.float64)
        np.testing.assert_array_equal(told[0], column[-1])
        if not len(known):
            assert np.isnan(told[1:]).all()
            continue
        wanted = [known.min(), known.max(), known.mean(), known.std()]
        np.testing.assert_allclose(told[1:], wanted, rtol=1e-4, atol=1.0 if np.abs(known).max() > 1e4 else 0.01)
