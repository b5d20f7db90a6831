"""What is gathered of reference runs, as a message and back."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.impact_cortex.taught import MOST_STRETCHES, STRETCH, BadTunnel, Lesson, Pool, Taught
from schemas.base import Samples
from schemas.codec import codec
from schemas.impact import Tunnel


def told(pool: Pool, runs: int = 1) -> Tunnel:
    return Tunnel(
        tunnel_id="t/s/O1", stamp_ns=1, task="t", signal="s", unit="%", program="O1", version=1, runs=runs,
        override_pct=100.0, step_s=0.05, taught_by="maria", reason="new part", stretches=pool.stretches(),
        band=pool.band(),
    )  # fmt: skip


def taught(pool: Pool) -> Taught:
    return Taught.read(codec(Tunnel).decode(codec(Tunnel).encode(told(pool))))


readings = st.lists(
    st.one_of(st.floats(-1e7, 1e7, width=32), st.sampled_from([math.inf, -math.inf])), min_size=1, max_size=300
)


@given(readings, st.integers(1, 20), st.lists(st.integers(0, 300), max_size=4))
def test_gathered_one_by_one_or_in_blocks_it_is_the_same(values: list[float], rows: int, cuts: list[int]) -> None:
    one, many = Pool(), Pool()
    bins, blocks = one.bins((1, 10)), many.bins((1, 10))
    for n, value in enumerate(values):
        bins.add(n // rows, value)
    borders = sorted({0, len(values), *(min(c, len(values)) for c in cuts)})
    for first, end in pairwise(borders):
        blocks.add_block(np.arange(first, end, dtype=np.int64) // rows, np.array(values[first:end]))
    for pool in (one, many):
        pool.take()
    assert (one.stretches(), one.band()) == (many.stretches(), many.band())


def test_the_band_is_least_mean_and_most_over_the_runs_that_were_taken() -> None:
    pool = Pool()
    for run, kept in (((10.0, 20.0), True), ((0.0, 99.0), False), ((12.0, 30.0), True)):
        bins = pool.bins((1, 10))
        for value in run:
            bins.add(0, value)
        pool.bins((2, 20)).add(STRETCH, run[0])
        (pool.take if kept else pool.drop)()
    found = taught(pool)
    assert np.frombuffer(pool.stretches(), dtype="<i4").tolist() == [1, 10, 2, 20, 2, 20]
    first = found.band(1, 10, 0.0)
    assert first is not None
    assert (first.lows[0], first.highs[0]) == (10.0, 30.0)
    wider = found.band(1, 10, 10.0)
    assert wider is not None
    assert [wider.lows[0], wider.highs[0]] == pytest.approx([8.2, 31.8])  # the mean is 18
    second = found.band(2, 20, 0.0)
    assert second is not None
    assert len(second.lows) == 2 * STRETCH
    assert (second.lows[STRETCH], second.highs[STRETCH]) == (10.0, 12.0)
    assert math.isnan(second.lows[0])
    assert found.band(1, 20, 0.0) is None


def test_a_program_that_is_too_long_is_taught_as_far_as_there_is_room() -> None:
    pool = Pool()
    bins = pool.bins((1, 10))
    bins.add(10**9, 5.0)
    assert pool.full
    bins.add(3, 7.0)
    pool.bins((1, 20)).add(0, 5.0)
    pool.take()
    assert len(pool.stretches()) == 8 * MOST_STRETCHES
    band = taught(pool).band(1, 10, 0.0)
    assert band is not None
    assert band.highs[3] == 7.0


def test_nothing_is_a_tunnel_too() -> None:
    assert taught(Pool()).band(1, 10, 0.0) is None


@given(
    st.binary(max_size=64),
    st.lists(st.integers(0, 40), max_size=3),
    st.sampled_from(["<f4", "<f8", "|u1", "<i8"]),
    st.floats(),
    st.integers(-2, 5),
)
def test_any_message_is_a_tunnel_or_refused(
    stretches: bytes, shape: list[int], dtype: str, step_s: float, runs: int
) -> None:
    band = Samples(np.ones(shape, dtype=dtype))
    message = told(Pool()).model_copy(update={"stretches": stretches, "band": band, "step_s": step_s, "runs": runs})
    try:
        found = Taught.read(message)
    except BadTunnel:
        return
    for n in range(0, len(stretches), 8):
        tool, block = np.frombuffer(stretches[n : n + 8], dtype="<i4").tolist()
        assert found.band(tool, block, 10.0) is not None


def lesson(runs: int = 2) -> Lesson:
    return Lesson("O1", frozenset({"t"}), runs, "maria", "new part")


def gather(one: Lesson, value: float) -> bool:
    bins = one.bins("t", "s", (1, 10), 0.05)
    if bins is not None:
        bins.add(0, value)
    return bins is not None


def test_a_lesson_takes_whole_runs_of_its_program() -> None:
    one = lesson()
    assert not gather(one, 1.0), "it waits for the start of the program"
    assert one.end() == ""
    one.begin("WARMUP")
    assert not gather(one, 1.0)
    one.begin("O1")
    assert gather(one, 2.0)
    assert one.bins("other", "s", (1, 10), 0.05) is None
    assert one.end() == ""
    assert one.text == "learns O1: 1 of 2 runs"
    one.begin("O1")
    assert gather(one, 3.0)
    one.spoil("it was held")
    one.spoil("again")
    assert not gather(one, 99.0)
    assert one.end() == "it was held"
    one.begin("O1")
    assert gather(one, 4.0)
    one.begin("O1")  # the one before never came to its end
    assert gather(one, 5.0)
    assert one.end() == ""
    assert one.learned
    ((task, signal, pool),) = one.pools()
    assert (task, signal) == ("t", "s")
    assert pool.band().array[0].tolist() == [2.0, 3.5, 5.0]


def test_the_first_run_that_counts_says_the_override() -> None:
    one = lesson()
    one.begin("O1")
    assert one.override(80.0) == 80.0
    one.spoil("it was held")
    one.end()
    one.begin("O1")
    assert one.override(100.0) == 100.0
    one.end()
    one.begin("O1")
    assert one.override(90.0) == 100.0
