"""Replay of a part of a bag: what a node decides there is what it decided, though its past is not replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.bag import BagReader
from bus.bag.cut import cut
from bus.node import subscription, timer
from bus.replay import NotReplayable, Window, differences, replay
from bus.replay.window import REACH_S, WARM_UP_S, warm_up_s
from bus.trace import Kind, records
from schemas.codec import codec
from schemas.impact import Reaction
from schemas.system import TraceBlock
from tests.bus.replay import toys
from tests.bus.replay.tapes import record, rewrite
from tests.bus.replay.toys import Judge, Trend


@pytest.fixture(scope="module")
def long_tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 4 s of a saw and its judge."""
    return record(tmp_path_factory.mktemp("tape") / "saw.mcap", verdicts=100)


@pytest.fixture(scope="module")
def late(long_tape: Path) -> Window:
    """The last second, well after the node's beginning."""
    with BagReader(long_tape) as bag:
        seconds = (bag.end_ns - bag.start_ns) / 1e9
    return Window(seconds - 1.0, seconds - 0.2, warm_up_s=1.5)


def test_a_window_that_the_warm_up_joins_to_the_beginning_is_exact(long_tape: Path) -> None:
    whole, part = replay(Judge, long_tape), replay(Judge, long_tape, window=Window(0.5, 1.0))
    assert (part.notes, part.problems) == ([], [])
    assert differences(part.recorded, part) == []
    end_ns = part.made[-1].stamp_ns
    assert part.made == [d for d in whole.made if d.stamp_ns <= end_ns][: len(part.made)]
    assert 0 < part.callbacks < whole.callbacks
    told = differences(part.recorded, replay(Judge, long_tape, window=Window(0.5, 1.0), limit_pct=120.0))
    seconds = [float(line.split("  ")[1].split()[0]) for line in told]
    assert seconds == sorted(seconds)
    assert 0.5 <= seconds[0] <= seconds[-1] < 1.0


def test_in_mid_run_only_what_the_past_decides_is_left_out(long_tape: Path, late: Window) -> None:
    result = replay(Judge, long_tape, window=late)
    # chance goes on from where nobody knows; everything else is as recorded, ids and answers of calls too
    assert differences(result.recorded, result) == []
    (problem,) = result.problems
    assert problem.startswith("mill1 toy/verdict: chance: not as recorded from the first one on")
    assert "in the middle of the node's run" in result.notes[0]
    assert result.notes[1:] == [
        "mill1 toy/trend: depends on what was before, so not compared: mean_pct",
        "mill1 toy/verdict: depends on what was before, so not compared: chance",
    ]


def test_in_mid_run_another_limit_shows_what_it_would_have_cost(long_tape: Path, late: Window) -> None:
    result = replay(Judge, long_tape, window=late, limit_pct=120.0)
    lost = [line for line in differences(result.recorded, result) if line.startswith("mill1 toy/verdict")]
    verdicts = [
        d
        for d in result.recorded.made
        if d.topic == "mill1/toy/verdict" and result.known is not None and d.stamp_ns >= result.known.from_ns
    ]
    assert len(lost) == len(verdicts) > 5
    assert all("STOP -> (nothing)" in line for line in lost)
    assert result.parameters["limit_pct"] == 120.0


def test_a_parameter_set_just_before_the_first_callback_is_in_force(long_tape: Path) -> None:
    with BagReader(long_tape) as bag:
        blocks = [codec(TraceBlock).decode(m.payload) for m in bag.messages() if m.topic == "mill1/judge/trace"]
        set_ns = next(r.now_ns for block in blocks for r in records(block) if r.kind == Kind.PARAMETER)
        set_s = (set_ns - bag.start_ns) / 1e9
    for before_s in (0.02, 0.06, 0.1, 0.14):
        result = replay(Judge, long_tape, window=Window(set_s + 0.5, warm_up_s=0.5 + before_s))
        verdicts = [d for d in result.made if d.topic == "mill1/toy/verdict" and d.stamp_ns > set_ns]
        assert {d.message().reason[-10:] for d in verdicts} == {"above 95 %"}  # type: ignore[attr-defined] # all Verdict


class Rarer(Judge):
    """Tells the trend at every other tick, and decides as before."""

    @timer(0.02)
    def assess(self) -> None:
        self.ticks = getattr(self, "ticks", 0) + 1
        if self.ticks % 2:
            self.trend.publish(Trend(stamp_ns=self.now_ns(), light=Reaction.NONE, mean_pct=0.0))


def test_a_node_that_does_not_come_into_step_and_decides_otherwise_is_no_reference(
    long_tape: Path, late: Window
) -> None:
    problem = replay(Rarer, long_tape, node="mill1/judge", window=late).problems[-1]
    assert "toy/trend and its decisions are not those recorded, whatever the parameters" in problem


class Lenient(Judge):
    """Never finds a load too high."""

    @subscription(toys.READINGS)
    def on_reading(self, reading: toys.Reading) -> None:
        self.loads.append(reading.load_pct)


def test_a_decision_that_changed_code_no_longer_takes_is_a_difference_and_what_else_it_may_be_is_said(
    long_tape: Path, late: Window
) -> None:
    result = replay(Lenient, long_tape, node="mill1/judge", window=late)
    assert result.problems == []
    assert any("STOP -> (nothing)" in line for line in differences(result.recorded, result))
    assert "a decision that differs comes of changed code or of what was before" in result.notes[-1]


@pytest.mark.parametrize("limit_pct", [None, 120.0])
def test_a_bag_that_begins_in_mid_run_is_treated_alike(
    long_tape: Path, late: Window, tmp_path: Path, limit_pct: float | None
) -> None:
    with BagReader(long_tape) as bag:
        begins_ns = bag.start_ns + round((late.start_s - 1.5) * 1e9)
    box = cut(long_tape, tmp_path / "box.mcap", start_ns=begins_ns).path
    result = replay(Judge, box) if limit_pct is None else replay(Judge, box, limit_pct=limit_pct)
    told = [line for line in differences(result.recorded, result) if "  chance " not in line]
    assert bool(told) is (limit_pct is not None)
    assert all("mean_pct" not in line for line in told)
    assert "in the middle of the node's run" in result.notes[0]


def test_a_window_of_a_node_without_a_trace_begins_with_the_state_in_force(
    long_tape: Path, late: Window, tmp_path: Path
) -> None:
    bare = rewrite(long_tape, tmp_path / "bare.mcap", lambda m: m.type_name != "TraceBlock")
    result = replay(Judge, bare, window=late)
    assert result.order == "canonical"
    texts = [d.message().text for d in result.made if d.topic == "mill1/toy/told"]  # type: ignore[attr-defined] # all Told
    assert "1: line 19 from mill1" in texts


def test_a_window_where_nothing_lies_is_refused(long_tape: Path) -> None:
    with pytest.raises(NotReplayable, match="nothing lies in that window; the bag is "):
        replay(Judge, long_tape, window=Window(1000.0))
    with pytest.raises(ValueError, match="a window from 3 s to 2 s is none"):
        Window(3.0, 2.0)


def test_a_node_that_ended_before_the_window_is_a_problem(long_tape: Path, tmp_path: Path) -> None:
    with BagReader(long_tape) as bag:
        middle_ns = (bag.start_ns + bag.end_ns) // 2
        seconds = (bag.end_ns - bag.start_ns) / 1e9
    early = rewrite(long_tape, tmp_path / "e.mcap", lambda m: m.topic != "mill1/judge/trace" or m.log_ns < middle_ns)
    result = replay(toys.Judge, early, window=Window(seconds - 0.5))
    assert [p for p in result.problems if p.startswith("trace of mill1/judge: no callback at ")]


def test_a_warm_up_that_nobody_gives_reaches_to_the_beginning_or_before_what_was_asked_for() -> None:
    assert warm_up_s(REACH_S, []) == REACH_S, "from the bag's beginning, so that nothing is unknown"
    assert warm_up_s(-1.0, []) == 0.0
    assert warm_up_s(200.0, []) == WARM_UP_S
    assert warm_up_s(200.0, [40.0, 201.0]) == WARM_UP_S, "out of reach, and not before"
    assert warm_up_s(200.0, [40.0, 190.0, 198.0]) == 10.0 + WARM_UP_S
