"""Who else used the computer while a row was measured, and whether the computer itself was even, is told beside it."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.machine import SLOW, Quiet, watched


def test_what_is_measured_here_is_told_and_leaves_the_cpus_as_they_were() -> None:
    usable = os.sched_getaffinity(0)
    with watched() as quiet:
        before = quiet.plain()
    assert os.sched_getaffinity(0) == usable
    assert before["slow_by"] == 1.0
    assert quiet.slow_by == 1.0 if quiet.slow_pct == 0.0 else quiet.slow_by > SLOW


@given(st.lists(st.floats(1.0, SLOW), min_size=1), st.lists(st.floats(1.5, 9.0)))
def test_slow_looks_are_told_from_the_others(even: list[float], slow: list[float]) -> None:
    quiet = Quiet(0.0)
    quiet.judge([1.0, *even, *slow])
    assert quiet.slow_pct == 100.0 * len(slow) / (1 + len(even) + len(slow))
    assert (quiet.slow_by > 1.0) is bool(slow)


def test_a_calm_computer_needs_no_remark_and_each_trouble_has_one() -> None:
    assert Quiet(0.0, others_cores=0.05, slow_pct=4.0, slow_by=1.9).remarks() == []
    (others,) = Quiet(0.0, others_cores=0.5).remarks()
    assert others.startswith("others used 0.50 cores")
    (uneven,) = Quiet(0.0, slow_pct=45.0, slow_by=2.1).remarks()
    assert uneven.startswith("one loop took 2.1 times the CPU time in 45 % of looks")
