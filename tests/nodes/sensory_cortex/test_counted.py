"""Frames by their counter: every order in which a network can bring them, against a model."""

from __future__ import annotations

import itertools
import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nodes.sensory_cortex.counted import HELD_MOST, HOLD_NS, LATE_MOST, Counted, Counter
from nodes.sensory_cortex.frames import Frame

MS = 1_000_000


def frame(counter: int, rows: int = 10, channels: int = 1, period_ns: int = MS) -> Frame:
    data = np.arange(counter, counter + rows, dtype=np.float32).reshape(-1, 1).repeat(channels, 1)
    return Frame(counter, period_ns, 1000 * MS + counter * period_ns, data)


def pushed(counter: Counter, frames: list[Frame], step_ns: int = MS) -> list[Counted]:
    return [c for n, f in enumerate(frames) for c in counter.push(f, n * step_ns)]


def values(placed: list[Counted]) -> list[float]:
    return [float(v) for c in placed for v in c.frame.data[:, 0]]


@given(st.integers(0, 2**32), st.integers(0, 2**30))
def test_reordered_and_doubled_frames_come_once_and_in_order(seed: int, start: int) -> None:
    rng = random.Random(seed)
    frames = [frame(start % 100_000 + n * 10) for n in range(40)]
    shaken = sorted(range(40), key=lambda n: n + rng.uniform(0, 3))
    shaken.remove(0)
    order = [0, *itertools.chain.from_iterable([n] * rng.choice((1, 1, 2)) for n in shaken)]
    counter = Counter(ordered=False)
    placed = pushed(counter, [frames[n] for n in order], MS // 2)
    placed += counter.give_up()
    assert values(placed) == [float(start % 100_000 + n) for n in range(400)]
    assert [c.first_row for c in placed] == [n * 10 for n in range(40)]
    assert counter.doubled_rows == (len(order) - 40) * 10
    assert {c.session for c in placed} == {0}


def test_a_gap_is_waited_for_and_then_left_open() -> None:
    counter = Counter(ordered=False)
    assert len(pushed(counter, [frame(0), frame(20)])) == 1
    assert list(counter.overdue(MS + HOLD_NS - 1)) == []
    (late,) = counter.overdue(MS + HOLD_NS)
    assert (late.first_row, late.arrival_ns) == (20, MS)
    assert list(counter.push(frame(10), 30 * MS)) == []
    assert counter.doubled_rows == 10
    placed = pushed(counter, [frame(40 + n * 10) for n in range(HELD_MOST + 1)], 1)
    assert [c.first_row for c in placed] == [40 + n * 10 for n in range(HELD_MOST + 1)]


def test_over_an_ordered_line_a_gap_is_told_at_once() -> None:
    counter = Counter(ordered=True)
    assert [c.first_row for c in pushed(counter, [frame(500), frame(510), frame(600)])] == [0, 10, 100]


def test_overlapping_frames_are_cut_to_what_is_new() -> None:
    counter = Counter(ordered=True)
    placed = pushed(counter, [frame(0), frame(5), frame(15, 20), frame(20, 5)])
    assert values(placed) == [float(n) for n in range(35)]
    assert counter.doubled_rows == 10
    assert placed[1].frame.stamp_ns == 1000 * MS + 10 * MS


def test_a_device_that_starts_anew_begins_a_session_and_its_rows_go_on() -> None:
    counter = Counter(ordered=True)
    pushed(counter, [frame(1000)])
    counter.connected()
    (placed,) = counter.push(frame(3), 5)
    assert (placed.session, placed.first_row) == (1, 10)
    (placed,) = counter.push(frame(13), 6)
    assert (placed.session, placed.first_row) == (1, 20)


def test_a_reconnect_to_a_device_that_went_on_counting_shows_the_gap() -> None:
    counter = Counter(ordered=True)
    pushed(counter, [frame(0)])
    counter.connected()
    (placed,) = counter.push(frame(5000), 5)
    assert (placed.session, placed.first_row) == (0, 5000)


def test_without_a_connection_a_restart_shows_in_the_counter() -> None:
    far = Counter(ordered=False)
    pushed(far, [frame(100_000)])
    assert [c.session for c in far.push(frame(0), 1)] == [1]
    near = Counter(ordered=False)
    pushed(near, [frame(2000)])
    late = pushed(near, [frame(n * 10) for n in range(LATE_MOST + 5)])
    assert {c.session for c in late} == {1}
    assert near.doubled_rows == LATE_MOST * 10
    ahead = Counter(ordered=False)
    pushed(ahead, [frame(0)])
    assert [(c.session, c.first_row) for c in ahead.push(frame(10**10), 1)] == [(1, 10)]


def test_another_width_or_rate_is_another_session() -> None:
    counter = Counter(ordered=False)
    placed = pushed(counter, [frame(0), frame(10, channels=2), frame(20, channels=2, period_ns=2 * MS)])
    assert [(c.session, c.first_row) for c in placed] == [(0, 0), (1, 10), (2, 20)]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 30), st.booleans()), max_size=80), st.booleans())
def test_rows_never_go_back_whatever_comes(steps: list[tuple[int, int, bool]], ordered: bool) -> None:
    counter = Counter(ordered=ordered)
    placed: list[Counted] = []
    for n, (at, rows, again) in enumerate(steps):
        if again:
            counter.connected()
        placed += counter.push(frame(at, rows), n * 5 * MS)
        assert len(counter._held) <= HELD_MOST + 1
    placed += counter.give_up()
    row = 0
    for c in placed:
        assert c.first_row >= row
        assert len(c.frame.data)
        row = c.first_row + len(c.frame.data)
