from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.replay.decisions import Decision, Decisions, lines, zeroed
from bus.replay.differences import SHOWN_PER_TOPIC, differences, identical
from schemas.base import Message, Samples
from schemas.codec import codec
from schemas.impact import Reaction
from schemas.machine import SignalBlock
from tests.bus.replay.toys import Delay, Told, Trend, Verdict

S = 1_000_000_000
START_NS = 1_700_000_000 * S


def verdict(at_s: float, reaction: Reaction = Reaction.FEED_HOLD, load: float = 120.0, reason: str = "") -> Verdict:
    return Verdict(
        stamp_ns=START_NS + round(at_s * S), reaction=reaction, load_pct=load, chance=0.5, verdict_id="v",
        age_ms=0.3, delays=(Delay(arrival_ms=1.5, note="a"),), reason=reason,
    )  # fmt: skip


def decided(*messages: Message, node: str = "vmc1/impact_cortex", topic: str = "vmc1/impact/intervention") -> Decisions:
    made = []
    for m in messages:
        stamp = m.__dict__.get("stamp_ns", START_NS)
        stream = isinstance(m, Trend)
        payload = codec(type(m)).encode(zeroed(m))
        made.append(Decision(topic, type(m), payload, stamp, stream=stream, reaction=isinstance(m, Verdict)))
    return Decisions(node, START_NS, made)


def test_a_missing_reaction_reads_as_people_say_it() -> None:
    told = differences(decided(verdict(12.402, reason="load 131 % above 120 %")), decided())
    assert told == ["vmc1 impact/intervention  12.402 s  FEED_HOLD -> (nothing)   load 131 % above 120 %"]


def test_a_new_reaction_and_another_reaction() -> None:
    assert differences(decided(), decided(verdict(1.5))) == [
        "vmc1 impact/intervention  1.500 s  (nothing) -> FEED_HOLD"
    ]
    told = differences(decided(verdict(1)), decided(verdict(1, Reaction.STOP, 130.0)))
    assert told == ["vmc1 impact/intervention  1.000 s  FEED_HOLD -> STOP, load_pct 120 -> 130 %"]


def test_lines_after_the_first_differing_reaction_are_marked() -> None:
    before = decided(verdict(1), verdict(2), verdict(3))
    told = differences(before, decided(verdict(1)))
    assert [line.endswith("(after divergence)") for line in told] == [False, True]


def test_measured_fields_make_no_difference() -> None:
    slow = verdict(1).model_copy(update={"delays": (Delay(arrival_ms=99.0, note="a"),)})
    assert identical(decided(verdict(1)), decided(slow))


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-3, max_value=1e6))
def test_rounding_of_another_computer_makes_no_difference(load: float) -> None:
    one, other = decided(verdict(1, load=load)), decided(verdict(1, load=load * (1 + 1e-9)))
    assert differences(one, other) == []
    assert len(differences(one, decided(verdict(1, load=load * 1.01)))) == 1


def test_nan_equals_nan() -> None:
    assert differences(decided(verdict(1, load=float("nan"))), decided(verdict(1, load=float("nan")))) == []


def test_a_long_run_in_a_stream_is_one_line() -> None:
    def trends(mean: float) -> Decisions:
        made = [Trend(stamp_ns=START_NS + i * S // 20, light=Reaction.NONE, mean_pct=mean) for i in range(151)]
        return decided(*made, topic="vmc1/impact/assessment")

    told = differences(trends(1.5), trends(1.0))
    assert told == ["vmc1 impact/assessment  0.000 s .. 7.500 s  151 messages, the first: mean_pct 1.5 -> 1 %"]


def test_a_run_ends_where_both_say_the_same() -> None:
    def trends(*means: float) -> Decisions:
        made = [Trend(stamp_ns=START_NS + i, light=Reaction.NONE, mean_pct=m) for i, m in enumerate(means)]
        return decided(*made)

    assert len(differences(trends(1, 1, 1, 1), trends(2, 1, 1, 2))) == 2


def test_samples_say_how_many_values_differ() -> None:
    def block(*values: float) -> Decisions:
        data = Samples(np.array([values], dtype="<f4"))
        return decided(SignalBlock(stamp_ns=START_NS, period_ns=1, source="drive", first_row=0, data=data))

    told = differences(block(1, 2, 3), block(1, 2.5, 4))
    assert told[0].endswith("data 2 of 3 values, the first at [0, 1]: 2 -> 2.5")
    assert differences(block(1, 2), block(1, 2, 3))[0].endswith("data [1 x 2] <f4 -> [1 x 3] <f4")
    assert differences(block(1, float("nan")), block(1, float("nan"))) == []


def test_the_number_of_lines_is_bounded() -> None:
    told = differences(decided(*(verdict(i) for i in range(100))), decided())
    assert len(told) == SHOWN_PER_TOPIC + 1
    assert told[-1].startswith("vmc1 impact/intervention  ... and 60 more differences")


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(Reaction)), max_size=12))
def test_nothing_differs_from_itself(made: list[tuple[int, Reaction]]) -> None:
    same = decided(*(verdict(at, reaction) for at, reaction in sorted(made)))
    assert differences(same, same) == []
    assert identical(same, same)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(Reaction)), max_size=12),
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(Reaction)), max_size=12),
)
def test_there_are_differences_exactly_when_the_decisions_differ(
    one: list[tuple[int, Reaction]], other: list[tuple[int, Reaction]]
) -> None:
    a = decided(*(verdict(at, reaction) for at, reaction in sorted(one, key=lambda x: x[0])))
    b = decided(*(verdict(at, reaction) for at, reaction in sorted(other, key=lambda x: x[0])))
    assert (differences(a, b) == []) == identical(a, b)


def test_decisions_as_lines_for_review() -> None:
    made = decided(verdict(12.402, reason="load high"), Told(text="hello there"))
    assert lines(made) == [
        "    12.402 s  vmc1 impact/intervention  FEED_HOLD, load_pct 120 %, chance 0.5, verdict_id v, "
        "delays [(note a)], reason 'load high'",
        "     0.000 s  vmc1 impact/intervention  text 'hello there'",
    ]


def test_streams_as_lines_show_the_changes_of_state() -> None:
    lights = [Reaction.NONE, Reaction.NONE, Reaction.WARN, Reaction.WARN]
    made = [Trend(stamp_ns=START_NS + i * S, light=light, mean_pct=i) for i, light in enumerate(lights)]
    assert lines(decided(*made)) == [
        "     0.000 s  vmc1 impact/intervention  NONE",
        "     2.000 s  vmc1 impact/intervention  WARN",
        "4 messages  vmc1 impact/intervention",
    ]


@pytest.mark.parametrize("value", [0.0, 3.5])
def test_zeroed_leaves_the_message_alone(value: float) -> None:
    message = verdict(1)
    clean = zeroed(message)
    assert (message.age_ms, message.delays[0].arrival_ms) == (0.3, 1.5)
    assert (clean.age_ms, clean.delays[0].arrival_ms, clean.delays[0].note) == (0, 0, "a")
    told = Told(text=str(value))
    assert zeroed(told) is told
