"""The sender's clock against ours."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodes.sensory_cortex.arrival import WINDOW_NS, SenderClock

MS = 1_000_000
START = 10**18


def test_distances_are_kept_and_the_least_delay_is_no_delay() -> None:
    clock = SenderClock()
    # a clock four years behind; the second line came 30 ms late, the third at once
    assert clock.ours(0, START) == START
    assert clock.ours(100 * MS, START + 130 * MS) == START + 100 * MS
    assert clock.ours(200 * MS, START + 200 * MS) == START + 200 * MS
    assert clock.offset_ns == START


def test_time_that_goes_back_keeps_the_last_stamp_and_no_stamp_is_now() -> None:
    clock = SenderClock()
    clock.ours(5000 * MS, START)
    assert clock.ours(100 * MS, START + MS) == START
    assert clock.ours(None, START + 2 * MS) == START + 2 * MS
    assert clock.ours(5001 * MS, START + 3 * MS) == START + 2 * MS


def test_a_drifting_clock_is_followed() -> None:
    clock = SenderClock()
    for n in range(200):
        now = START + n * 1000 * MS
        given = clock.ours(n * 1000 * MS - n * MS, now)  # it loses a millisecond a second
    assert now - given <= 2 * WINDOW_NS // 1000 + MS


def test_another_connection_is_measured_anew() -> None:
    clock = SenderClock()
    clock.ours(START + 10**15, START)
    clock.restart()
    assert clock.ours(0, START + MS) == START + MS


@given(st.lists(st.tuples(st.none() | st.integers(-(2**70), 2**70), st.integers(0, 10**12)), max_size=40))
def test_stamps_never_go_back_and_never_lie_ahead(steps: list[tuple[int | None, int]]) -> None:
    clock, now, last = SenderClock(), START, 0
    for stamp, wait in steps:
        now += wait
        given_ = clock.ours(stamp, now)
        assert last <= given_ <= now
        last = given_
