"""What a publisher keeps: numbering, the ring, the log, latched values."""

from __future__ import annotations

import contextlib
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import frame, outlet
from bus.durable.log import Limits, Log
from bus.durable.syncer import Syncer
from bus.outlet import LATCHED_KEYS, REPAIR_BYTES, RING_BYTES, RING_MESSAGES, Outlet
from schemas.base import DURABLE, EVENT, LATCHED, SENSOR, Message, Samples, Topic
from schemas.codec import EncodeError, codec
from tests.bus.durable.test_recovery import disk_takes


class Note(Message):
    key: str
    number: int


class Spectrum(Message):
    number: int
    array: Samples


EVENTS = Topic("notes/events", Note, EVENT)
KEYED = Topic("notes/keyed", Note, LATCHED, key="key")
SENSED = Topic("notes/sensed", Note, SENSOR)
LOGGED = Topic("notes/logged", Note, DURABLE)


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
    kept, last, frames = o.repair(1, 15)
    assert (kept, last) == (11, 15)
    assert numbers(frames) == [(n, n) for n in range(11, 16)]


def ask(o: Outlet, first: int, last: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """As a subscriber does, answer by answer: what is there of first..last, and what is gone."""
    heard: list[tuple[int, int]] = []
    gone: list[tuple[int, int]] = []
    expected = max(first, 1)
    while expected <= min(last, o.seq):
        kept, to, frames = o.repair(expected, last)
        assert to >= expected
        assert len(frames) <= 1 or sum(len(f) + len(t) for f, t in frames) <= REPAIR_BYTES
        if kept > expected:
            gone.append((expected, min(kept - 1, to)))
        heard += numbers(frames)
        expected = to + 1
    return heard, gone


def test_the_ring_is_bounded_by_bytes() -> None:
    o = Outlet(EVENTS, "n", 7)
    for n in range(1, 30):
        o.publish(Note(key="x" * (RING_BYTES // 10), number=n), n, n)
    assert ask(o, 1, 100) == ([(n, n) for n in range(21, 30)], [(1, 20)])
    o.publish(Note(key="x" * (2 * RING_BYTES), number=30), 1, 1)
    assert ask(o, 1, 100) == ([(30, 30)], [(1, 29)]), "the newest is kept however large it is"


@given(st.integers(0, 60), st.integers(-5, 80), st.integers(-5, 2**63))
def test_repair_answers_any_question(sent: int, first: int, last: int) -> None:
    o = Outlet(EVENTS, "n", 7)
    fill(o, sent)
    _, to, frames = o.repair(first, last)
    assert [n for n, _ in numbers(frames)] == [n for n in range(1, sent + 1) if first <= n <= last]
    assert to >= last


def test_what_is_gone_is_told_at_once_however_much_it_is() -> None:
    o = Outlet(EVENTS, "n", 7)
    fill(o, 3 * RING_MESSAGES)
    assert o.repair(1, 512) == (2 * RING_MESSAGES + 1, 2 * RING_MESSAGES, [])


# --- with a log -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def logged(folder: Path, topic: Topic[Any] | None = None) -> Iterator[Outlet]:
    syncer = Syncer(1e6)
    log = Log(folder, syncer, Limits(segment_bytes=20_000), try_again_ns=0)
    try:
        yield Outlet(topic or LOGGED, "vmc1/notes/logged", 7, log)
    finally:
        assert syncer.stop()
        log.close()


def test_a_logged_topic_goes_on_counting_and_has_all_of_it(tmp_path: Path) -> None:
    total = RING_MESSAGES + 100
    with logged(tmp_path) as o:
        assert o.first_kept == 1
        fill(o, total)
        assert o.first_kept == 1
        assert ask(o, 1, total) == ([(n, n) for n in range(1, total + 1)], [])
    with logged(tmp_path) as o:
        assert o.seq == total
        assert ask(o, total - 5, total) == ([(n, n) for n in range(total - 5, total + 1)], [])
        fill(o, 10)
        assert ask(o, total - 5, total + 10) == ([(n, n) for n in range(total - 5, total + 11)], [])


def test_logged_though_nobody_listens_and_with_arrays(tmp_path: Path) -> None:
    array = Samples(np.arange(100_000, dtype="<f4"))
    topic = Topic("notes/spectrum", Spectrum, DURABLE)
    with logged(tmp_path, topic) as o:
        assert o.publish(Spectrum(number=1, array=array), 1, 1) is None
    with logged(tmp_path, topic) as o:
        ((data, tail),) = o.repair(1, 1)[2]
        assert len(tail) == 400_000
        assert codec(Spectrum).decode(frame.parse(data).payload, memoryview(tail)).array == array


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20)), max_size=12), st.integers(0, 150))
def test_what_the_disk_refused_is_repaired_from_memory_while_it_is_there(
    tmp_path_factory: pytest.TempPathFactory, bursts: list[tuple[bool, int]], first: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    refused: set[int] = set()
    with logged(folder) as o:
        for refuses, count in bursts:
            with disk_takes(5000 if refuses else resource.RLIM_INFINITY):
                before = o.seq
                fill(o, count, "k" * (6000 if refuses else 5))
                if refuses:
                    refused |= set(range(before + 1, o.seq + 1))
        everything = [(n, n) for n in range(max(first, 1), o.seq + 1)]
        assert ask(o, first, o.seq) == (everything, [])
        # and when the ring has gone on, it is told that they are gone
        assert o._ring is not None
        o._ring.clear()
        heard, gone = ask(o, first, o.seq)
        assert heard == [e for e in everything if e[0] not in refused]
        assert {n for a, b in gone for n in range(a, b + 1)} == refused & {n for n, _ in everything}
    shutil.rmtree(folder)


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


@pytest.mark.parametrize("topic", [EVENTS, KEYED, LOGGED], ids=lambda t: t.qos.name)
def test_what_is_too_long_to_travel_gets_no_number(topic: Topic[Note]) -> None:
    o = Outlet(topic, "n", 7)
    with pytest.raises(EncodeError, match="at most 67043328 travel"):
        o.publish(Note(key="x" * frame.PUBLISHED_MAX_BYTES, number=1), 1, 1)
    assert (o.seq, o.latched(), o.repair(1, 9)[2]) == (0, [], [])
    o.publish(Note(key="x" * (frame.PUBLISHED_MAX_BYTES - 100), number=1), 1, 1)
    assert o.seq == 1


def test_the_last_value_of_each_key_in_order() -> None:
    o = Outlet(KEYED, "n", 7)
    for key in "abcab":
        fill(o, 1, key)
    assert [n for n, _ in numbers(o.latched())] == [3, 4, 5]
    assert [n for n, _ in numbers(o.repair(1, 4)[2])] == [3, 4]
    o.withdraw("a")
    o.withdraw("unheard of")
    assert [n for n, _ in numbers(o.latched())] == [3, 5]


def test_latched_values_are_repaired_by_the_portion_too() -> None:
    """A question of fifty bytes is not answered with all that is latched."""
    o = Outlet(KEYED, "n", 7)
    for n in range(1, 30):
        o.publish(Note(key=f"{n}" * REPAIR_BYTES, number=n), n, n)
    assert ask(o, 1, 2**60) == ([(n, n) for n in range(1, 30)], [])


def test_keys_are_bounded_and_what_goes_is_counted() -> None:
    o = Outlet(KEYED, "n", 7)
    for n in range(LATCHED_KEYS + 3):
        fill(o, 1, f"key{n}")
    assert len(o.latched()) == LATCHED_KEYS
    assert o.latched_dropped == 3
    assert numbers(o.latched())[0] == (4, 4)
