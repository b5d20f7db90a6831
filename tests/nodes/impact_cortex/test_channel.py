"""One source's tasks: blocks of any size give the same answer as single rows, whatever gate and model do meanwhile."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.impact_cortex.channel import BY_SAMPLE, Channel
from nodes.impact_cortex.tasks import Doing, Settings, default_tasks
from schemas.base import Samples
from schemas.machine import SignalBlock
from tests.nodes.impact_cortex.rig import DRIVE, MS, T0

SETTINGS = Settings(
    cusum_window_s=0.03,
    cusum_settle_s=0.01,
    model_settle_s=0.02,
    wear_threshold_pct_s=0.2,
    breakage_threshold_pct_s=0.1,
)


def block(first_row: int, rows: np.ndarray[Any, Any]) -> SignalBlock:
    return SignalBlock(
        stamp_ns=T0 + first_row * MS, period_ns=MS, source="drive", first_row=first_row, data=Samples(rows)
    )


def rows_of(loads: list[float]) -> np.ndarray[Any, Any]:
    data = np.full((len(loads), len(DRIVE)), 12.0, dtype=np.float32)
    data[:, 1] = loads
    return data


def idle(channel: Channel, rows: int) -> None:
    channel.set_gate(Doing(idling=True))
    for row in range(rows):
        channel.feed(block(row, rows_of([6.0])))


def judged(loads: list[tuple[list[float], bool, float]], size: int) -> tuple[list[tuple[int, str]], list[Any]]:
    """(row, task) of every hit, and the state of every watch at the end; stretches of (loads, gate, model)."""
    channel = Channel("drive", DRIVE, SETTINGS, default_tasks(SETTINGS))
    idle(channel, 400)
    hits: list[tuple[int, str]] = []
    row = 400
    for stretch, gate, model in loads:
        channel.set_gate(Doing(gate, model_pct=model, speed_rpm=12.0))
        data = rows_of(stretch)
        for first in range(0, len(data), size):
            hits += [(row + h.row, h.watch.task.name) for h in channel.feed(block(row, data[first : first + size]))]
            row += len(data[first : first + size])
    return hits, [(w.task.name, w.state, w.fired, w.settle_left) for w in channel.watches]


def test_a_signalling_nan_is_no_reading() -> None:
    """As bits of another machine's memory may be; numpy warns of it when it is converted."""
    data = rows_of([6.0] * (4 * BY_SAMPLE))
    data.view(np.uint32)[:, 1] = 0x7F800001
    channel = Channel("drive", DRIVE, SETTINGS, default_tasks(SETTINGS))
    assert channel.feed(block(0, data)) == []
    assert channel.tell(data, MS) == []


levels = st.sampled_from([6.0, 7.0, 26.0, 27.5, 33.0, 40.0, 120.0, 200.0, math.nan])
stretches = st.lists(
    st.tuples(
        st.lists(st.tuples(levels, st.integers(1, 40)), min_size=1, max_size=5).map(
            lambda pieces: [value for value, n in pieces for _ in range(n)]
        ),
        st.booleans(),
        st.sampled_from([math.nan, 3.0, 20.0, 12.0]),
    ),
    max_size=5,
)


@given(stretches)
def test_blocks_of_any_size_are_judged_like_single_rows(loads: list[tuple[list[float], bool, float]]) -> None:
    one_by_one, watches = judged(loads, 1)
    few, watches_few = judged(loads, BY_SAMPLE)
    many, watches_many = judged(loads, 1000)
    assert few == one_by_one
    assert watches == watches_few
    # a block tells of each task once; what went and came again within it is told by its end
    assert watches_many == watches
    assert set(many) <= set(one_by_one)


def channel(model: float, gate: bool = True) -> Channel:
    made = Channel("drive", DRIVE, Settings(), default_tasks(Settings()))
    idle(made, 600)
    made.set_gate(Doing(gate, model_pct=model, speed_rpm=12.0))
    return made


def tasks(made: Channel, loads: list[float]) -> list[str]:
    return [h.watch.task.name for i, v in enumerate(loads) for h in made.feed(block(600 + i, rows_of([v])))]


def test_half_of_the_models_load_is_a_broken_tool_and_a_sixth_more_a_worn_one() -> None:
    assert tasks(channel(20.0), [26.0] * 2000) == []
    assert tasks(channel(20.0), [26.0] * 700 + [6.0] * 100) == ["tool_broken"]
    assert tasks(channel(20.0), [26.0] * 700 + [32.0] * 600) == ["tool_worn"]


@pytest.mark.parametrize("model", [math.nan, 0.0, 5.9])
def test_without_a_model_or_for_hardly_any_load_nothing_is_held_against_it(model: float) -> None:
    made = channel(model)
    assert tasks(made, [26.0] * 700 + [6.0] * 600 + [34.0] * 200) == []
    assert {w.task.name for w in made.watches if w.resting} == {"tool_broken", "tool_worn"}
    assert not any(w.lost for w in made.watches)


def test_after_a_release_what_was_read_before_it_does_not_count() -> None:
    made = channel(20.0)
    assert tasks(made, [170.0] * 5) == ["load_hard"]
    for w in made.watches:
        w.release()
    made.settle()
    assert tasks(made, [6.0, 170.0, 170.0]) == []
    assert tasks(made, [170.0]) == ["load_hard"]


def test_another_cut_is_held_against_its_own_model_after_it_has_settled() -> None:
    made = channel(20.0)
    assert tasks(made, [26.0] * 700) == []
    made.set_gate(Doing(True, model_pct=12.0))
    assert tasks(made, [26.0] * 499) == []  # the meter still shows the cut before
    assert tasks(made, [18.0] * 700) == []
    assert tasks(made, [26.0] * 300) == ["tool_worn"]


def test_a_tool_that_enters_slowly_is_not_taken_for_a_broken_one_and_a_broken_one_is_told_after_it() -> None:
    made = channel(20.0)
    made.set_gate(Doing(True, model_pct=20.0, cut=1, enters_s=1.2))
    assert tasks(made, [6.0] * 1200) == []
    assert tasks(made, [6.0] * 200) == ["tool_broken"]


def test_another_cut_that_needs_the_same_load_is_entered_first() -> None:
    made = channel(20.0)
    assert tasks(made, [26.0] * 700) == []
    made.set_gate(Doing(True, model_pct=20.0, cut=1, enters_s=0.3))
    assert tasks(made, [6.0] * 300 + [26.0] * 700) == []
    made.set_gate(Doing(True, model_pct=20.0, cut=1, enters_s=0.3))  # another block of the same cut
    assert tasks(made, [6.0] * 300) == ["tool_broken"]


def test_idle_is_learned_only_when_a_lagging_meter_has_come_down() -> None:
    made = channel(20.0)
    made.set_gate(Doing(idling=True))
    assert tasks(made, [26.0] * 240) == []
    assert made.idle_pct == pytest.approx(6.0, abs=0.5)


def test_the_hit_tells_the_reading_and_what_it_was_held_against() -> None:
    made = channel(20.0)
    made.feed(block(600, rows_of([26.0] * 700)))
    (hit,) = made.feed(block(1300, rows_of([6.0] * 100)))
    assert hit.watch.task.name == "tool_broken"
    assert hit.value == pytest.approx(6.0, abs=0.01)
    assert hit.limit == pytest.approx(made.idle_pct + 10.0)
