"""Living nodes recorded, and run again from their bag."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.bag import BadBag, BagReader
from bus.bag.cut import cut
from bus.node import BadParameter, Node, subscription, timer
from bus.replay import NotReplayable, Wanted, differences, identical, reference, replay, replay_many
from bus.replay.decisions import Decision
from bus.trace import Kind, records
from schemas.base import SENSOR, Topic
from schemas.codec import codec
from schemas.impact import Reaction
from schemas.system import ServiceEvent, TraceBlock
from tests.bus.replay import toys
from tests.bus.replay.tapes import rewrite
from tests.bus.replay.toys import READINGS, Judge, Reading, Saw, Told, Trend, Verdict


def of(made: list[Decision], topic: str) -> list[Decision]:
    return [d for d in made if d.topic == topic]


def verdicts(tape: Path) -> int:
    """How many the tape holds; its last trace block may have been too late for it."""
    found = len(of(reference(tape, Judge, "mill1/judge").made, "mill1/toy/verdict"))
    assert found >= 3
    return found


@pytest.mark.parametrize("cls", [Saw, Judge])
def test_a_replay_gives_the_recorded_bytes_and_gives_them_again(tape: Path, cls: type[Node]) -> None:
    first, second = replay(cls, tape), replay(cls, tape)
    assert first.made
    assert (first.problems, first.notes) == ([], [])
    assert identical(first.recorded, first)
    assert differences(first.recorded, first) == []
    assert first.made == second.made
    assert differences(reference(tape, cls), first) == []


def test_every_kind_of_callback_was_on_the_tape(tape: Path) -> None:
    result = replay(Judge, tape)
    texts = [d.message().text for d in of(result.made, "mill1/toy/told")]  # type: ignore[attr-defined] # all Told
    for start in ("configured with 90", "1: sawing", "stopped: too much at ", "submitted after ", "limit_pct is 95"):
        assert any(t.startswith(start) for t in texts), start
    assert {d.what for d in result.made} == {"message", "call", "reply"}
    assert len({d.payload for d in of(result.made, "mill1/toy/verdict")}) == verdicts(tape)
    assert result.order == "trace"
    assert result.callbacks > 50


def test_a_request_that_came_too_late_is_no_callback(tape: Path) -> None:
    with BagReader(tape) as bag:
        events = [m.payload for m in bag.messages(topics=lambda t: t == "mill1/toy/ask/_event")]
    outcomes = [codec(ServiceEvent).decode(payload).outcome for payload in events]
    assert outcomes == ["OK", "DEADLINE", "OK"]
    assert len([d for d in replay(Judge, tape).made if d.what == "reply"]) == 2


def test_measured_fields_are_zero_in_a_replay_and_no_difference(tape: Path) -> None:
    with BagReader(tape) as bag:
        lived = [codec(Verdict).decode(m.payload) for m in bag.messages(topics=lambda t: t.endswith("verdict"))]
    assert all(v.age_ms > 0 and v.delays[0].arrival_ms > 0 for v in lived)
    replayed = [codec(Verdict).decode(d.payload) for d in of(replay(Judge, tape).made, "mill1/toy/verdict")]
    assert all(v.age_ms == 0 and v.delays[0].arrival_ms == 0 for v in replayed)


def test_another_limit_shows_what_it_would_have_cost(tape: Path) -> None:
    result = replay(Judge, tape, limit_pct=120.0)
    told = differences(result.recorded, result)
    lost = [line for line in told if line.startswith("mill1 toy/verdict")]
    assert len(lost) == verdicts(tape)
    assert "STOP -> (nothing)" in lost[0]
    assert not lost[0].endswith("(after divergence)")
    assert all(line.endswith("(after divergence)") for line in lost[1:])
    assert result.parameters == {"limit_pct": 120.0}
    assert any("limit_pct was set while recorded" in note for note in result.notes)


def test_a_bad_parameter_is_refused(tape: Path) -> None:
    with pytest.raises(BadParameter, match="above 200"):
        replay(Judge, tape, limit_pct=500.0)


def test_calls_that_were_not_recorded_end_at_their_deadline(tape: Path) -> None:
    result = replay(Judge, tape, limit_pct=10.0)
    calls = [d for d in result.made if d.what == "call"]
    assert len(calls) > verdicts(tape)
    told = [d.message().text for d in of(result.made, "mill1/toy/told")]  # type: ignore[attr-defined] # all Told
    assert sum(t.startswith("stopped: too much") for t in told) >= 3


def test_two_nodes_at_once_give_what_each_gives_alone(tape: Path) -> None:
    saw, judge = replay_many([Wanted(Saw), Wanted(Judge)], tape)
    assert saw.made == replay(Saw, tape).made
    assert judge.made == replay(Judge, tape).made


def test_what_a_publisher_said_after_its_trace_ends_is_heard_as_recorded(tape: Path, tmp_path: Path) -> None:
    with BagReader(tape) as bag:
        blocks = [m.seq for m in bag.messages() if m.topic == "mill1/saw/trace"]
    middle = blocks[len(blocks) // 2]
    short = rewrite(tape, tmp_path / "short.mcap", lambda m: m.topic != "mill1/saw/trace" or m.seq < middle)
    saw, judge = replay_many([Wanted(Saw), Wanted(Judge)], short)
    assert saw.callbacks < replay(Saw, tape).callbacks
    assert judge.made == replay(Judge, short).made
    assert judge.notes == []


def test_a_changed_publisher_is_heard_by_the_node_replayed_with_it(tape: Path) -> None:
    saw, judge = replay_many([Wanted(Saw, parameters={"period": 2}), Wanted(Judge)], tape)
    assert differences(saw.recorded, saw)
    assert len(of(judge.made, "mill1/toy/verdict")) > verdicts(tape)


def test_without_its_trace_a_node_runs_in_canonical_order(tape: Path, tmp_path: Path) -> None:
    bag = rewrite(tape, tmp_path / "bare.mcap", lambda m: m.type_name != "TraceBlock")
    first, second = replay(Judge, bag), replay(Judge, bag)
    assert first.order == "canonical"
    assert "no trace in the bag" in first.notes[0]
    assert first.made == second.made
    assert len(of(first.made, "mill1/toy/verdict")) >= verdicts(tape)
    assert len(of(first.made, "mill1/toy/trend")) >= 5


def test_a_trace_that_begins_in_mid_run_starts_from_the_latched_state(tape: Path, tmp_path: Path) -> None:
    with BagReader(tape) as bag:
        first = next(m.seq for m in bag.messages() if m.topic == "mill1/judge/trace")
    cut = rewrite(tape, tmp_path / "cut.mcap", lambda m: m.topic != "mill1/judge/trace" or m.seq > first)
    result = replay(Judge, cut)
    assert "in the middle of the node's run" in result.notes[0]
    assert all("toy/verdict: chance: " in problem for problem in result.problems)
    texts = [d.message().text for d in of(result.made, "mill1/toy/told")]  # type: ignore[attr-defined] # all Told
    assert texts[0].startswith("configured")
    assert texts[1].startswith("1: line")


def test_a_window_of_a_bag_lacks_nothing(tape: Path, tmp_path: Path) -> None:
    with BagReader(tape) as bag:
        middle_ns = (bag.start_ns + bag.end_ns) // 2
    window = cut(tape, tmp_path / "window.mcap", start_ns=middle_ns).path
    result = replay(Judge, window)
    assert all("toy/verdict: chance: " in problem for problem in result.problems)
    assert "in the middle of the node's run" in result.notes[0]
    assert 0 < result.callbacks < replay(Judge, tape).callbacks


def test_a_bag_cut_after_a_parameter_was_set_has_its_value(tape: Path, tmp_path: Path) -> None:
    with BagReader(tape) as bag:
        blocks = [m for m in bag.messages() if m.topic == "mill1/judge/trace"]
    kinds = [[r.kind for r in records(codec(TraceBlock).decode(m.payload))] for m in blocks]
    changed = next(m.seq for m, block in zip(blocks, kinds, strict=True) if Kind.PARAMETER in block)
    cut = rewrite(tape, tmp_path / "cut.mcap", lambda m: m.topic != "mill1/judge/trace" or m.seq > changed)
    assert replay(Judge, cut).parameters == {"limit_pct": 95.0}
    assert replay(Judge, tape).parameters == {"limit_pct": 90.0}


def test_lost_input_is_named(tape: Path, tmp_path: Path) -> None:
    count = 0

    def keep(message: object) -> bool:
        nonlocal count
        if getattr(message, "topic", "") == "mill1/toy/readings":
            count += 1
            return not 10 < count <= 13
        return True

    result = replay(Judge, rewrite(tape, tmp_path / "lost.mcap", keep))
    assert len(result.problems) == 1
    assert "mill1/toy/readings: 3 messages that mill1/judge handled are not in the bag" in result.problems[0]


def test_a_missing_topic_is_named(tape: Path, tmp_path: Path) -> None:
    result = replay(Judge, rewrite(tape, tmp_path / "lost.mcap", lambda m: m.topic != "mill1/toy/job"))
    assert [p for p in result.problems if p.startswith("mill1/toy/job: ")]


def test_a_hole_in_the_trace_is_named(tape: Path, tmp_path: Path) -> None:
    with BagReader(tape) as bag:
        blocks = [m.seq for m in bag.messages() if m.topic == "mill1/judge/trace"]
    assert len(blocks) > 2
    gap = rewrite(tape, tmp_path / "gap.mcap", lambda m: m.topic != "mill1/judge/trace" or m.seq != blocks[1])
    assert any("trace of mill1/judge: callbacks" in p for p in replay(Judge, gap).problems)


def test_its_own_lost_decisions_are_named(tape: Path, tmp_path: Path) -> None:
    gap = rewrite(tape, tmp_path / "gap.mcap", lambda m: m.topic != "mill1/toy/verdict" or m.seq != 3)
    assert replay(Judge, gap).problems == ["mill1/toy/verdict: its own messages 3..3 are not in the bag"]


class Narrow(Node):
    """A judge of which little is left."""

    default_name = "judge"

    @subscription(READINGS)
    def renamed(self, reading: Reading) -> None:
        self.last = reading


def test_what_the_class_no_longer_has_is_noted(tape: Path) -> None:
    result = replay(Narrow, tape, node="mill1/judge")
    assert any("timer assess" in note for note in result.notes)
    assert any("parameter limit_pct was recorded" in note for note in result.notes)
    assert any("it called mill1/toy/stop" in note for note in result.notes)
    assert not any("renamed" in note or "on_reading" in note for note in result.notes if "link" not in note)


class Failing(Judge):
    """A judge with a mistake in it."""

    @timer(0.02)
    def assess(self) -> None:
        raise RuntimeError("no idea")


def test_an_exception_is_counted_and_the_node_goes_on(tape: Path) -> None:
    result = replay(Failing, tape, node="mill1/judge")
    assert len(of(result.made, "mill1/toy/verdict")) == verdicts(tape)
    assert "RuntimeError: no idea" in result.errors[0]
    assert "TIMER assess" in result.errors[0]


class Volts(Node):
    @subscription(Topic("toy/readings", Told, SENSOR))
    def on_reading(self, told: Told) -> None:
        raise AssertionError("never called")


def test_an_incompatible_type_is_refused_with_the_reason(tape: Path) -> None:
    with pytest.raises(NotReplayable, match="incompatible Reading: text: needed by the reader"):
        replay(Volts, tape, node="mill1/judge")


def test_a_node_that_is_not_there_is_refused_with_those_that_are(tape: Path) -> None:
    with pytest.raises(NotReplayable, match="did you mean 'mill1/judge'"):
        replay(Judge, tape, node="mill2/judge")
    with pytest.raises(NotReplayable, match="no node Volts"):
        replay(Volts, tape)
    with pytest.raises(NotReplayable, match="through a tap"):
        replay(toys.Tape, tape)


def test_a_file_that_is_no_bag_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.mcap").write_bytes(b"nothing of the kind")
    with pytest.raises(BadBag):
        replay(Judge, tmp_path / "no.mcap")


def test_progress_ends_at_one(tape: Path) -> None:
    told: list[float] = []
    replay(Judge, tape, progress=told.append)
    assert told[0] == 0.0
    assert told[-1] == 1.0


def test_a_stream_is_compared_too(tape: Path) -> None:
    class Halved(Judge):
        @timer(0.02)
        def assess(self) -> None:
            light = Reaction.WARN if self.loads[-1] > self.limit_pct else Reaction.NONE
            self.trend.publish(Trend(stamp_ns=self.now_ns(), light=light, mean_pct=1.0))

    result = replay(Halved, tape, node="mill1/judge")
    line = "\n".join(line for line in differences(result.recorded, result) if "toy/trend" in line)
    assert " messages, the first: mean_pct " in line
    assert line.endswith("-> 1 %")
