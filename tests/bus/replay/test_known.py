"""What two replays of a node can be held against each other for, when it is followed from mid-run."""

from __future__ import annotations

import pytest

from bus.replay.decisions import Decision, Decisions
from bus.replay.differences import differences
from bus.replay.known import NEVER, Known
from schemas.base import EVENT, LATCHED, SENSOR, M, Message, Nanoseconds, Topic
from schemas.codec import codec
from tests.bus.replay.toys import TOLD, Told

S = 1_000_000_000
NODE = "mill1/judge"


class Gauge(Message):
    count: int
    mean_pct: float


class Lamp(Message):
    stamp_ns: Nanoseconds
    text: str
    lamp: str = ""


GAUGE = Topic("toy/gauge", Gauge, SENSOR)
LAMP = Topic("toy/lamp", Lamp, LATCHED, key="lamp")
NOTE = Topic("toy/note", Told, EVENT)


def said(topic: Topic[M], at_s: float, message: M) -> Decision:
    payload = codec(type(message)).encode(message)
    return Decision.published(topic, f"mill1/{topic.name}", message, payload, round(at_s * S))


def gauges(count: int, mean: dict[float, float]) -> list[Decision]:
    """Ten a second for 10 s; the mean changes at the times of `mean`."""
    made = []
    for n in range(100):
        at_s = n / 10
        now = mean[max(t for t in mean if t <= at_s)]
        made.append(said(GAUGE, at_s, Gauge(count=count + n, mean_pct=now)))
    return made


def told(recorded: list[Decision], unchanged: list[Decision], changed: list[Decision] | None = None) -> list[str]:
    """The differences from 2 s on, node and times left out."""
    known = Known(NODE, 2 * S, NEVER)
    known.settle(recorded, unchanged, (0, 10 * S), changed=changed is not None)
    result = Decisions(NODE, made=unchanged if changed is None else changed, known=known)
    return [*differences(Decisions(NODE, made=recorded), result), *list(known.notes(0))[1:]]


def test_a_counter_is_compared_by_its_steps() -> None:
    assert told(gauges(500, {0: 1.0}), gauges(0, {0: 1.0})) == [
        "mill1 toy/gauge: counts from before, so compared by its steps: count"
    ]
    skipped = [d for d in gauges(0, {0: 1.0}) if d.stamp_ns < 5 * S] + gauges(1, {0: 1.0})[50:]
    assert told(gauges(500, {0: 1.0}), skipped)[0].startswith(
        "mill1 toy/gauge  5.000 s .. 9.900 s  50 messages, the first: count 550 -> 51"
    )


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (False, "mill1 toy/gauge  6.000 s .. 9.900 s  40 messages, the first: mean_pct 1 -> 7"),
        (True, "mill1 toy/gauge: depends on what was before, so not compared: mean_pct"),
    ],
)
def test_a_value_that_has_settled_counts_unless_the_unchanged_node_differs_too(changed: bool, line: str) -> None:
    recorded, unchanged = gauges(0, {0: 1.0}), gauges(0, {0: 3.0, 0.5: 1.0, 6: 7.0})
    assert told(recorded, unchanged, unchanged if changed else None) == [line]


def test_a_value_counts_from_when_it_has_settled() -> None:
    recorded, unchanged = gauges(0, {0: 1.0}), gauges(0, {0: 3.0, 4: 1.0})
    note = "mill1 toy/gauge: depends on what was before, so compared from 4.000 s on: mean_pct"
    assert told(recorded, unchanged) == [note]
    changed = gauges(0, {0: 9.0})
    assert told(recorded, unchanged, changed) == [
        "mill1 toy/gauge  4.000 s .. 9.900 s  60 messages, the first: mean_pct 1 -> 9",
        note,
    ]


def test_a_value_that_never_settles_is_said_and_not_compared() -> None:
    assert told(gauges(0, {0: 1.0}), gauges(0, {0: 2.0})) == [
        "mill1 toy/gauge: depends on what was before, so not compared: mean_pct"
    ]


def test_a_value_that_still_comes_closer_has_not_settled() -> None:
    recorded, close = gauges(0, {0: 1.0}), gauges(0, {0: 1.0 + 5e-7, 6: 1.0 + 2e-6})
    assert told(recorded, close) == ["mill1 toy/gauge: depends on what was before, so not compared: mean_pct"]


def test_a_stream_at_other_moments_is_out_of_step() -> None:
    known = Known(NODE, 2 * S, NEVER)
    late = [said(GAUGE, n / 10 + 0.05, Gauge(count=n, mean_pct=1.0)) for n in range(100)]
    known.settle(gauges(0, {0: 1.0}), late, (0, 10 * S), changed=False)
    assert known.out_of_step() == [("message", "mill1/toy/gauge")]


def lamp(at_s: float, text: str, name: str = "a") -> Decision:
    return said(LAMP, at_s, Lamp(stamp_ns=round(at_s * S), text=text, lamp=name))


def test_of_latched_state_the_value_in_force_counts_not_when_it_is_repeated() -> None:
    recorded = [lamp(n / 2, "green" if n < 10 else "red") for n in range(20)]
    repeated = [lamp(0.2, "off"), *(lamp(n / 2 + 0.3, "green") for n in range(9)), lamp(5.0, "red")]
    assert told(recorded, repeated) == []
    assert told(recorded, repeated[:-1])[0] == "mill1 toy/lamp  5.000 s  text red -> green"
    # never changed: the difference is one at the beginning of what is compared
    green = [lamp(0.0, "green")]
    assert told(green, green, [lamp(0.0, "blue")]) == ["mill1 toy/lamp  2.000 s  text green -> blue"]


def test_latched_state_is_followed_by_its_key() -> None:
    both = [lamp(n / 2, "green" if n % 2 else "red", "ab"[n % 2]) for n in range(20)]
    assert told(both, both[:2]) == []


def test_events_are_compared_exactly_the_nodes_own_ids_by_their_steps() -> None:
    recorded = [said(TOLD, 3.0, Told(text="mill1/judge#12")), said(TOLD, 4.0, Told(text="mill1/judge#13"))]
    again = [said(TOLD, 3.0, Told(text="mill1/judge#1")), said(TOLD, 4.0, Told(text="mill1/judge#2"))]
    assert told(recorded, again) == []
    third = [again[0], said(TOLD, 4.0, Told(text="mill1/judge#3"))]
    assert told(recorded, third) == ["mill1 toy/told  4.000 s  text mill1/judge#13 -> mill1/judge#3"]
    assert told([said(NOTE, 3.0, Told(text="1"))], [said(NOTE, 3.0, Told(text="2"))]) == [
        "mill1 toy/note  3.000 s  text 1 -> 2"
    ]


def notes(first_s: float, text: str, every_s: float = 1.0) -> list[Decision]:
    return [said(NOTE, first_s + n * every_s, Told(text=text)) for n in range(8)]


def no_reference(recorded: list[Decision], unchanged: list[Decision], *, changed: bool = False) -> list[str]:
    known = Known(NODE, 4 * S, NEVER)
    known.settle(recorded, unchanged, (0, 10 * S), changed=changed)
    return list(known.no_reference(changed=changed))


def test_events_that_never_come_at_the_recorded_moments_are_no_reference_and_not_told_one_by_one() -> None:
    recorded, late = notes(1.0, "a"), notes(1.3, "a")
    for changed in (False, True):
        assert no_reference(recorded, late, changed=changed) == ["mill1 toy/note: the moments it is published at"]
    assert told(recorded, late) == ["mill1 toy/note: depends on what was before, so not compared: when it is published"]
    # the first one comes after the comparison began, or one is as recorded: these are differences
    assert no_reference(notes(5.0, "a"), notes(5.3, "a")) == []
    assert no_reference(recorded, [*late[:4], *recorded[4:]]) == []
    assert no_reference(recorded, []) == []


def test_a_value_of_events_that_was_never_as_recorded_is_no_reference_unless_the_twin_tells_why() -> None:
    recorded, again = notes(1.0, "7"), notes(1.0, "2")
    assert no_reference(recorded, again) == ["mill1 toy/note: text"]
    assert no_reference(recorded, again, changed=True) == []
    assert told(recorded, again, again)[0] == "mill1 toy/note: depends on what was before, so not compared: text"
    assert no_reference(recorded, [*again[:4], *recorded[4:]]) == []


def test_where_the_node_was_started_anew_everything_counts() -> None:
    known = Known(NODE, 2 * S, 5 * S)
    recorded, again = gauges(500, {0: 1.0}), gauges(0, {0: 2.0})
    known.settle(recorded, again, (0, 10 * S), changed=False)
    (line,) = differences(Decisions(NODE, made=recorded), Decisions(NODE, made=again, known=known))
    assert line.startswith("mill1 toy/gauge  5.000 s .. 9.900 s  50 messages, the first: count 550 -> 50, mean_pct")
