"""One publisher's topic as a subscriber sees it, against a model: every number once, in order, or counted lost."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.link import ASK_AGAIN_NS, HELD_MAX, HOLD_NS, JUMP_MAX, REPAIR_MAX, Link

STEP_NS = 20_000_000


def event_link(next_seq: int = 1) -> Link[int]:
    link: Link[int] = Link(repaired=True)
    link.baseline(next_seq, 0)
    return link


# --- SENSOR: only counts -------------------------------------------------------------------------------------------


@given(st.integers(1, 50), st.lists(st.booleans(), min_size=1, max_size=200))
def test_a_sensor_link_counts_exactly(first: int, arrives: list[bool]) -> None:
    link: Link[int] = Link(repaired=False)
    link.baseline(first, 0)
    heard: list[int] = []
    for seq, comes in enumerate(arrives, first):
        if comes:
            heard += link.accept(seq, seq, 0)
            assert link.accept(seq, seq, 0) == []  # a repeat
    assert heard == [seq for seq, comes in enumerate(arrives, first) if comes]
    link.baseline(first + len(arrives), 0)  # a reconnect tells of the lost tail
    assert link.counts.received == sum(arrives)
    assert link.counts.lost == arrives.count(False)
    assert not link.waiting


# --- repaired: a model of the wire ----------------------------------------------------------------------------------


@dataclass
class Wire:
    """A publisher with a bounded ring, a network that loses, repeats and reorders, and a reader with little room."""

    sent: int = 0
    ring: int = 40
    now_ns: int = 10**12
    heard: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)

    def hear(self, items: list[int], room: int) -> None:
        assert len(items) <= room
        self.heard += items

    def lose(self, hole: tuple[int, int] | None) -> None:
        if hole is not None:
            self.lost += range(hole[0], hole[1] + 1)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["send", "drop", "repeat", "late", "repair", "stale repair", "beacon", "time", "reconnect"]),
        st.integers(0, 6),
        st.integers(0, 40),
    ),
    max_size=120,
)


@settings(max_examples=300)
@given(ACTIONS)
def test_every_number_is_delivered_once_in_order_or_counted_lost(actions: list[tuple[str, int, int]]) -> None:
    link = event_link()
    wire = Wire()
    on_the_way: list[int] = []
    answers: list[tuple[int, int]] = []

    def answer(first: int, last: int, room: int) -> None:
        kept = max(1, wire.sent - wire.ring + 1)
        items = [(s, s) for s in range(max(first, kept), min(last, wire.sent) + 1)]
        hole, out = link.repair(kept, last, items, wire.now_ns, room)
        wire.lose(hole)
        wire.hear(out, room)

    for what, room, n in actions:
        match what:
            case "send":
                wire.sent += 1
                wire.hear(link.accept(wire.sent, wire.sent, wire.now_ns, room), room)
            case "drop":
                wire.sent += 1 + n % 5
            case "repeat" if wire.sent:
                wire.hear(link.accept(1 + n % wire.sent, 1 + n % wire.sent, wire.now_ns, room), room)
            case "late":
                wire.sent += 1
                on_the_way.append(wire.sent)
                if n % 3 == 0:
                    while on_the_way:
                        seq = on_the_way.pop()
                        wire.hear(link.accept(seq, seq, wire.now_ns, room), room)
            case "repair":
                hole = link.gap(wire.now_ns)
                if hole is not None:
                    assert hole[0] <= hole[1] < hole[0] + REPAIR_MAX
                    answers.append(hole)
                    answer(*hole, room)
            case "stale repair" if answers:
                answer(*answers[n % len(answers)], room)
            case "beacon" if wire.sent:
                link.beacon(wire.sent, wire.now_ns)
            case "reconnect":
                link.baseline(wire.sent + 1, wire.now_ns)
            case "time":
                wire.now_ns += n * STEP_NS
                given_up, out = link.give_up(wire.now_ns, room)
                wire.lose(given_up)
                wire.hear(out, room)
    # in the end there is room, and the publisher is asked for what is left
    link.beacon(wire.sent, wire.now_ns)
    for _ in range(4 * wire.sent + 4):
        if not link.waiting:
            break
        wire.now_ns += ASK_AGAIN_NS
        wire.hear(link.take(wire.now_ns, 8), 8)
        hole = link.gap(wire.now_ns)
        if hole is not None:
            answer(*hole, 8)
    assert not link.waiting
    assert wire.heard == sorted(set(wire.heard)), "in order, none twice"
    assert sorted([*wire.heard, *wire.lost]) == list(range(1, wire.sent + 1))
    assert link.counts.received == len(wire.heard)
    assert link.counts.lost == len(wire.lost)


@given(st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=80), st.integers(0, 20))
def test_nobody_answers_and_nothing_is_held_longer_than_two_seconds(
    arrivals: list[tuple[int, bool]], publisher_says: int
) -> None:
    link = event_link()
    now_ns = 10**12
    came: dict[int, int] = {}
    for seq, wait in arrivals:
        now_ns += 150_000_000 * wait
        came.setdefault(seq, now_ns)
        link.accept(seq, seq, now_ns)
        assert link.give_up(now_ns)[0] is None or now_ns - min(came.values()) >= HOLD_NS
    while link.waiting:
        now_ns += STEP_NS
        before = now_ns
        while link.give_up(now_ns) != (None, []):
            pass
        assert before - min(came.values()) <= HOLD_NS + STEP_NS + 150_000_000 * len(arrivals)
    if came:
        assert link.next_seq == max(came) + 1
        assert link.counts.received + link.counts.lost == max(came)


def test_a_hole_is_given_up_two_seconds_after_it_was_seen() -> None:
    link = event_link()
    assert link.accept(3, 3, 100) == []
    assert link.gap(ASK_AGAIN_NS) == (1, 2)
    assert link.gap(ASK_AGAIN_NS + 1) is None, "asked just now"
    assert link.give_up(100 + HOLD_NS - 1) == (None, [])
    assert link.give_up(100 + HOLD_NS) == ((1, 2), [3])
    assert link.counts.lost == 2
    assert not link.waiting


def test_the_holes_behind_a_hole_have_waited_too() -> None:
    link = event_link()
    for seq in (2, 4, 6):
        link.accept(seq, seq, 0)
    assert link.give_up(HOLD_NS) == ((1, 1), [2])
    assert link.give_up(HOLD_NS) == ((3, 3), [4])
    assert link.give_up(HOLD_NS) == ((5, 5), [6])


def test_a_reader_without_room_loses_nothing_and_is_no_hole() -> None:
    link = event_link()
    for seq in range(1, 101):
        assert link.accept(seq, seq, 0, room=0) == []
    assert link.blocked
    assert link.gap(10 * HOLD_NS) is None
    assert link.give_up(10 * HOLD_NS) == (None, [])
    assert link.take(10 * HOLD_NS, 30) == list(range(1, 31))
    assert link.take(10 * HOLD_NS, 1000) == list(range(31, 101))
    assert link.counts.received == 100


def test_what_is_held_is_bounded_and_the_rest_is_asked_for() -> None:
    link = event_link()
    for seq in range(2, HELD_MAX + 100):
        link.accept(seq, seq, 0)
    assert link.accept(1, 1, 0) == list(range(1, HELD_MAX + 2))
    assert link.gap(HOLD_NS) == (HELD_MAX + 2, HELD_MAX + 99)


def test_a_late_answer_does_not_turn_the_numbers_back() -> None:
    link = event_link(100)
    assert link.repair(120, 50, [], 0) == (None, [])
    assert link.next_seq == 100
    assert link.counts.lost == 0


def test_what_is_here_is_not_lost_though_the_publisher_has_it_no_more() -> None:
    link = event_link()
    assert link.accept(5, 5, 0) == []
    assert link.repair(10, 9, [], STEP_NS) == ((1, 4), [5])
    assert link.repair(10, 9, [], 2 * STEP_NS) == (None, [])
    link.beacon(9, 3 * STEP_NS)
    assert link.repair(10, 9, [], 4 * STEP_NS) == ((6, 9), [])
    assert (link.counts.received, link.counts.lost) == (1, 8)


def test_a_lost_tail_is_seen_by_the_beacon() -> None:
    link = event_link()
    link.accept(1, 1, 0)
    link.beacon(3, 0)
    assert link.gap(ASK_AGAIN_NS) == (2, 3)
    assert link.repair(1, 3, [(2, 2), (3, 3)], 0) == (None, [2, 3])
    assert link.counts.repaired == 2
    assert not link.waiting


def test_numbers_no_publisher_reaches_are_no_numbers() -> None:
    for link in (event_link(), Link[int](repaired=False)):
        link.accept(1, 1, 0)
        assert link.accept(JUMP_MAX + 3, 0, 0) == []
        link.beacon(2**64 - 1, 0)
        link.baseline(2**64 - 1, 0)
        assert (link.counts.lost, link.next_seq, link.waiting) == (0, 2, False)


# --- LATCHED: what was replaced is not missed -----------------------------------------------------------------------


def test_a_replaced_value_is_neither_waited_for_nor_lost() -> None:
    link: Link[int] = Link(repaired=True, latched=True)
    link.baseline(5, 0)
    assert link.accept(8, 8, 0) == []
    assert link.gap(ASK_AGAIN_NS) == (5, 7)
    # of 5..7 only 6 is still latched; 8 was sent again too, and comes once
    assert link.repair(5, 7, [(6, 6), (8, 8)], 0) == (None, [6, 8])
    assert (link.next_seq, link.counts.lost, link.waiting) == (9, 0, False)


def test_what_was_latched_at_the_join_comes_first_and_waits_for_room() -> None:
    link: Link[int] = Link(repaired=True, latched=True)
    link.join([1, 4, 9])
    link.baseline(10, 0)
    assert link.take(0, 2) == [1, 4]
    assert link.accept(10, 10, 0, room=1) == [9]
    assert link.take(0, 5) == [10]
    assert not link.waiting


def test_a_latched_hole_that_nobody_fills_is_passed_over() -> None:
    link: Link[int] = Link(repaired=True, latched=True)
    link.baseline(1, 0)
    link.accept(4, 4, 0)
    assert link.give_up(HOLD_NS) == (None, [4])
    assert link.counts.lost == 0


# --- a log: begins where its reader stands, gives nothing up --------------------------------------------------------


def logged_link(next_seq: int, published: int) -> Link[int]:
    link: Link[int] = Link(repaired=True, logged=True)
    link.begin(next_seq)
    link.baseline(published + 1, 0)
    return link


def test_before_the_reader_has_said_where_it_stands_nothing_is_delivered() -> None:
    link: Link[int] = Link(repaired=True, logged=True)
    assert link.accept(7, 7, 0) == []
    assert link.baseline(8, 0) == 0
    link.beacon(9, 0)
    assert not link.waiting
    link.begin(3)
    link.baseline(10, 0)
    assert link.gap(ASK_AGAIN_NS) == (3, 9)
    assert link.last_known == 9


def test_what_is_in_the_log_is_waited_for_as_long_as_it_takes() -> None:
    link = logged_link(3, 5)
    assert link.accept(6, 6, 0) == []
    assert link.give_up(100 * HOLD_NS) == (None, [])
    assert link.give_up(100 * HOLD_NS, at_once=True) == (None, [])
    assert link.repair(3, 5, [(3, 3), (4, 4), (5, 5)], 0) == (None, [3, 4, 5, 6])
    assert link.counts.lost == 0


def test_when_the_publisher_is_gone_nothing_is_waited_for_and_nothing_lost() -> None:
    link = logged_link(3, 9)
    link.accept(10, 10, 0)
    link.end()
    assert not link.waiting
    assert (link.next_seq, link.counts.lost) == (3, 0)


def test_only_the_publisher_says_that_it_is_gone_and_once_for_all_of_it() -> None:
    link = logged_link(3, 100_000)
    link.accept(100_001, 100_001, 0)
    assert link.repair(70_000, 69_999, [], 0) == ((3, 69_999), [])
    assert link.counts.lost == 69_997
    assert link.gap(ASK_AGAIN_NS) == (70_000, 70_000 + REPAIR_MAX - 1)


@settings(max_examples=200)
@given(st.data())
def test_a_log_is_read_to_its_end_whatever_comes_meanwhile(data: st.DataObject) -> None:
    published = data.draw(st.integers(0, 80))
    gone = data.draw(st.sets(st.integers(1, 80)))
    stands = data.draw(st.integers(1, published + 1))
    link = logged_link(stands, published)
    heard: list[int] = []
    lost: list[int] = []
    now_ns = 0
    for _ in range(60):
        now_ns += ASK_AGAIN_NS
        room = data.draw(st.integers(0, 9))
        what = data.draw(st.sampled_from(["live", "answer", "take", "nothing"]))
        if what == "live" and published < 80:
            published += 1
            heard += link.accept(published, published, now_ns, room)
        elif what == "answer" and (hole := link.gap(now_ns)) is not None:
            answer = _answer(hole, published, gone, data.draw(st.integers(1, 8)))
            told, out = link.repair(*answer, now_ns, room)
            lost += range(told[0], told[1] + 1) if told else ()
            heard += out
        else:
            heard += link.take(now_ns, room)
    link.beacon(published, now_ns)
    for _ in range(500):
        now_ns += ASK_AGAIN_NS
        heard += link.take(now_ns, 5)
        if (hole := link.gap(now_ns)) is not None:
            told, out = link.repair(*_answer(hole, published, gone, 3), now_ns, 5)
            lost += range(told[0], told[1] + 1) if told else ()
            heard += out
    assert heard == sorted(set(heard))
    assert sorted([*heard, *lost]) == list(range(stands, published + 1))
    assert set(lost) <= gone


def _answer(hole: tuple[int, int], published: int, gone: set[int], most: int) -> tuple[int, int, list[tuple[int, int]]]:
    """As a publisher answers from a log with holes, a few at a time: first kept, last, what is there."""
    first = next((n for n in range(hole[0], published + 1) if n not in gone), published + 1)
    run: list[tuple[int, int]] = []
    for n in range(first, min(hole[1], published) + 1):
        if n in gone or len(run) == most:
            break
        run.append((n, n))
    return (first, run[-1][0], run) if run else (first, max(hole[1], first - 1), [])


@pytest.mark.parametrize("last", [2**20, 2**31, 2**63, 2**64 - 1])
def test_a_latched_topic_gets_over_any_number_its_publisher_names(last: int) -> None:
    """Step by step it would take as many steps as there are numbers."""
    link: Link[int] = Link(repaired=True, latched=True)
    assert link.accept(1, 1, 0) == [1]
    assert link.repair(0, last, [(last, last)], 0)[0] is None
    assert link.accept(2**31 + 5, 7, 0) in ([], [7])
    lost, out = link.give_up(HOLD_NS + 1)
    assert lost is None
    assert out in ([], [7])
    assert link.counts.lost == 0


def test_many_values_far_apart_are_delivered_in_order_at_once() -> None:
    link: Link[int] = Link(repaired=True, latched=True)
    assert link.accept(1, 1, 0) == [1]
    numbers = list(range(1000, 4_000_000, 1000))
    assert link.repair(0, numbers[-1], [(n, n) for n in reversed(numbers)], 0) == (None, numbers)
