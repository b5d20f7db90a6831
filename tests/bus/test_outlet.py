"""What a publisher keeps: numbering, the ring, latched values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import frame, outlet
from bus.link import REPAIR_MAX
from bus.outlet import LATCHED_KEYS, RING_BYTES, RING_MESSAGES, Outlet
from schemas.base import EVENT, LATCHED, SENSOR, Message, Topic
from schemas.codec import EncodeError, codec


class Note(Message):
    key: str
    number: int


EVENTS = Topic("notes/events", Note, EVENT)
KEYED = Topic("notes/keyed", Note, LATCHED, key="key")
SENSED = Topic("notes/sensed", Note, SENSOR)


def numbers(frames: list[outlet.Frames]) -> list[tuple[int, int]]:
    parsed = [frame.parse(f) for f, _ in frames]
    return [(p.seq, codec(Note).decode(p.payload).number) for p in parsed]


def fill(o: Outlet, count: int, key: str = "k") -> None:
    for n in range(o.seq + 1, o.seq + count + 1):
        o.publish(Note(key=key, number=n), n, n)


def test_the_ring_is_bounded_by_count() -> None:
    o = Outlet(EVENTS, "vmc1/notes/events", 7)
    assert o.repair(1, 5) == (1, 5, [])
    fill(o, RING_MESSAGES + 10)
    kept, _, frames = o.repair(1, 15)
    assert kept == 11
    assert numbers(frames) == [(n, n) for n in range(11, 16)]


def test_the_ring_is_bounded_by_bytes() -> None:
    o = Outlet(EVENTS, "n", 7)
    for n in range(1, 30):
        o.publish(Note(key="x" * (RING_BYTES // 10), number=n), n, n)
    kept, last, frames = o.repair(21, 100)
    assert (kept, last) == (21, 21)
    assert [n for n, _ in numbers(frames)] == [21], "not all of it at once"
    o.publish(Note(key="x" * (2 * RING_BYTES), number=30), 1, 1)
    assert numbers(o.repair(1, 100)[2]) == [(30, 30)], "the newest is kept however large it is"


@given(st.integers(0, 60), st.integers(-5, 80), st.integers(-5, 2**63))
def test_repair_answers_any_question(sent: int, first: int, last: int) -> None:
    o = Outlet(EVENTS, "n", 7)
    fill(o, sent)
    _, upto, frames = o.repair(first, last)
    assert upto == min(last, first + REPAIR_MAX - 1)
    assert [n for n, _ in numbers(frames)] == [n for n in range(1, sent + 1) if first <= n <= upto]


def test_without_listeners_a_sensor_is_numbered_and_not_encoded() -> None:
    o = Outlet(SENSED, "n", 7)
    assert o.publish(Note(key="\ud800", number=1), 1, 1) is None
    assert o.seq == 1


@pytest.mark.parametrize("topic", [EVENTS, KEYED, SENSED], ids=lambda t: t.qos.name)
def test_what_cannot_travel_gets_no_number(topic: Topic[Note]) -> None:
    o = Outlet(topic, "n", 7)
    o.interest = True
    fill(o, 2)
    with pytest.raises(EncodeError, match="Note"):
        o.publish(Note(key="\ud800", number=1), 1, 1)
    fill(o, 1)
    assert o.seq == 3
    if topic is EVENTS:
        assert numbers(o.repair(1, 3)[2]) == [(1, 1), (2, 2), (3, 3)]


def test_the_last_value_of_each_key_in_order() -> None:
    o = Outlet(KEYED, "n", 7)
    for key in "abcab":
        fill(o, 1, key)
    assert [n for n, _ in numbers(o.latched())] == [3, 4, 5]
    assert [n for n, _ in numbers(o.repair(1, 4)[2])] == [3, 4]
    o.withdraw("a")
    o.withdraw("unheard of")
    assert [n for n, _ in numbers(o.latched())] == [3, 5]


def test_keys_are_bounded_and_what_goes_is_counted() -> None:
    o = Outlet(KEYED, "n", 7)
    for n in range(LATCHED_KEYS + 3):
        fill(o, 1, f"key{n}")
    assert len(o.latched()) == LATCHED_KEYS
    assert o.latched_dropped == 3
    assert numbers(o.latched())[0] == (4, 4)
