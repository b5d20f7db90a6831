"""What clients are told, in which order: names first, the newest values, batches, and what is missing."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest

from bus.context import Raw
from bus.entry import Entry, TopicEntry
from schemas import topics
from schemas.grammar import definition, type_hash
from schemas.machine import Alarm, ConditionLevel, Signals
from tests.web.raws import ID, MILL, SAMPLES, block, hole, raw, signals
from tests.web.test_client import taken
from web.client import BATCHES_MAX, Client
from web.history import KEEP_NS
from web.hub import CLIENTS_MAX, Hub, NoRoom


def alarm(alarm_id: str, seq: int) -> Raw:
    said = Alarm(
        stamp_ns=seq, alarm_id=alarm_id, level=ConditionLevel.FAULT, origin=MILL, native_code="X", text=alarm_id
    )
    return raw("vmc1/alarm", said, seq)


def entry(publisher_id: int = ID) -> dict[str, Entry]:
    publishes = (
        TopicEntry(SAMPLES, "SignalBlock", type_hash(topics.SAMPLES.type), "SENSOR"),
        TopicEntry("vmc1/alarm", "Alarm", type_hash(Alarm), "LATCHED", "alarm_id"),
        TopicEntry("vmc1/machine/signals", "Signals", type_hash(Signals), "LATCHED"),
    )
    known = {type_hash(Alarm): definition(Alarm)}
    return {MILL: Entry(MILL, publisher_id=publisher_id, publishes=publishes, definitions=known)}


class Page:
    """A client that reads all it is sent."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.client: Client = hub.connect()

    def asks(self, number: int, *patterns: str, **more: Any) -> list[dict[str, Any]]:
        self.hub.request(self.client, msgpack.packb({"op": "subscribe", "id": number, "topics": patterns, **more}))
        return self.reads()

    def reads(self) -> list[dict[str, Any]]:
        return [msgpack.unpackb(data) for data in taken(self.client)]


@pytest.fixture
def hub() -> Hub:
    made = Hub()
    made.learn_entries(entry())
    return made


def ops(said: list[dict[str, Any]]) -> list[str]:
    return [m["op"] for m in said]


def test_names_come_before_the_first_batch_and_once(hub: Hub) -> None:
    page = Page(hub)
    assert page.asks(1, "*/machine/samples") == []
    hub.take([raw("vmc1/machine/signals", signals("load", "speed"), 1), block(1), block(2)])
    named, batch = page.reads()
    assert (named["op"], named["name"], named["publisher_id"]) == ("names", SAMPLES, str(ID))
    assert named["columns"][0] == {"name": "load", "unit": "%", "mtconnect_type": "LOAD"}
    ((n, first, last, *_),) = batch["signals"]
    assert (n, first, last, batch["messages"]) == (named["topic"], 1, 2, [])
    hub.take([block(3)])
    assert ops(page.reads()) == ["batch"]


def test_who_comes_later_gets_every_latched_value_by_key_and_its_units(hub: Hub) -> None:
    Page(hub)
    hub.take([alarm("a", 1), alarm("b", 2), alarm("a", 3), block(1)])
    named, batch = Page(hub).asks(1, "vmc1/alarm")
    assert named["units"] == {"stamp_ns": "ns"}
    assert sorted((m[1], m[3]["alarm_id"]) for m in batch["messages"]) == [(2, "b"), (3, "a")]


def test_clients_that_want_the_same_share_one_encoding(hub: Hub) -> None:
    pages = [Page(hub) for _ in range(10)]
    for page in pages:
        page.asks(1, "*/machine/samples")
    other = Page(hub)
    other.asks(7, "vmc1/alarm")
    hub.take([block(1), alarm("a", 1)])
    before = hub.counts["encoded"]
    hub.take([block(2), alarm("a", 2)])
    assert hub.counts["encoded"] == before + 2
    last = [taken(page.client)[-1] for page in pages]
    assert all(data is last[0] for data in last)
    assert [m[3]["alarm_id"] for m in other.reads()[-1]["messages"]] == ["a"]


def test_unsubscribed_topics_come_no_more(hub: Hub) -> None:
    page = Page(hub)
    page.asks(1, "*/machine/samples")
    page.asks(2, "vmc1/alarm")
    hub.take([block(1), alarm("a", 1)])
    page.reads()
    hub.request(page.client, msgpack.packb({"op": "unsubscribe", "id": 1}))
    hub.take([block(2), alarm("a", 2)])
    (batch,) = page.reads()
    assert (batch["signals"], len(batch["messages"])) == ([], 1)
    hub.request(page.client, msgpack.packb({"op": "unsubscribe", "id": 1}))
    assert page.reads() == [{"op": "error", "id": 1, "text": "there is no subscription 1"}]


def test_a_long_window_is_decimated_and_told(hub: Hub) -> None:
    fine, coarse = Page(hub), Page(hub)
    fine.asks(1, "*/machine/samples")
    coarse.asks(1, "*/machine/samples", window_s=60)
    hub.take([block(n) for n in range(1, 26)])
    named, decimated, batch = coarse.reads()
    assert (ops([named, decimated]), decimated["bin_rows"]) == (["names", "decimated"], 12)
    ((_, first, last, row, _, period_ns, rows, columns, data),) = batch["signals"]
    assert (first, last, row, period_ns, rows, columns) == (1, 24, 0, 12_000_000, 4, 2)
    assert np.frombuffer(data, "<f4").reshape(4, 2)[:, 0].tolist() == [0, 110, 120, 230]
    assert fine.reads()[-1]["signals"][0][6] == 25
    again = coarse.asks(1, "*/machine/samples", window_s=5)
    assert again == [{"op": "decimated", "topic": named["topic"], "bin_rows": 1}]


def test_who_comes_back_gets_what_it_missed(hub: Hub) -> None:
    Page(hub)
    for n in range(1, 50):
        hub.take([block(n)])
    page = Page(hub)
    said = page.asks(1, SAMPLES, resume={f"{SAMPLES}|{ID}": 30})
    assert ops(said) == ["names", "batch"]
    spans = [(s[1], s[2]) for m in said[1:] for s in m["signals"]]
    assert spans == [(n, n) for n in range(31, 50)]
    assert said[1]["gaps"] == []


def test_what_the_history_does_not_hold_any_more_is_named(hub: Hub) -> None:
    Page(hub)
    hub.take([block(n) for n in range(100, 120)])
    (_, batch) = Page(hub).asks(1, SAMPLES, resume={f"{SAMPLES}|{ID}": 30})
    assert [g[1:] for g in batch["gaps"]] == [[31, 99, "history"]]
    assert [s[1:3] for s in batch["signals"]] == [[100, 119]]


def test_a_hub_that_was_started_again_names_the_gap_at_the_first_it_hears(hub: Hub) -> None:
    page = Page(hub)
    assert page.asks(1, SAMPLES, resume={f"{SAMPLES}|{ID}": 1000}) == []
    hub.take([block(1100), block(1101)])
    named, gap, batch = page.reads()
    assert gap["gaps"] == [[named["topic"], 1001, 1099, "history"]]
    assert [s[1:3] for s in batch["signals"]] == [[1100, 1101]]
    hub.take([block(1102)])
    assert [m["gaps"] for m in page.reads()] == [[]]


def test_what_went_on_without_a_hole_needs_no_gap(hub: Hub) -> None:
    page = Page(hub)
    page.asks(1, SAMPLES, resume={f"{SAMPLES}|{ID}": 1099})
    hub.take([block(1100)])
    assert [m.get("gaps") for m in page.reads()] == [None, []]


@pytest.mark.parametrize("name", ["vmc1/machine/samples", "x|", "x|y", "x|-1", f"x|{10**30}"])
def test_a_resume_that_names_nothing_is_refused(hub: Hub, name: str) -> None:
    (said,) = Page(hub).asks(3, "x", resume={name: 1})
    assert (said["op"], said["id"]) == ("error", 3)


def test_losses_are_told(hub: Hub) -> None:
    page = Page(hub)
    page.asks(1, SAMPLES)
    hub.take([block(1), hole(2, 9), block(10)])
    batch = page.reads()[-1]
    assert [g[1:] for g in batch["gaps"]] == [[2, 9, "lost"]]


def test_who_was_too_slow_is_told_and_gets_the_latched_values_again(hub: Hub) -> None:
    hub.now_ns = lambda: 1
    page = Page(hub)
    page.asks(1, "*/machine/samples")
    page.asks(2, "*/alarm")
    hub.take([alarm("a", 1), block(1)])
    for n in range(2, BATCHES_MAX + 5):
        hub.take([block(n)])
    assert page.client.dropped == 4
    read = page.reads()
    at = read.index({"op": "dropped", "batches": 4})
    assert "batch" not in [said["op"] for said in read[:at]], "told before the hole"
    assert read[at + 1]["signals"][0][1] == 5
    hub.take([block(BATCHES_MAX + 5)])
    batch, again = page.reads()
    assert batch["op"] == "batch"
    assert [m[3]["alarm_id"] for m in again["messages"]] == ["a"]


def test_who_never_catches_up_gets_the_latched_values_once_a_second(hub: Hub) -> None:
    clock = iter(range(2_000_000_000, 10**15, 100_000_000))
    hub.now_ns = lambda: next(clock)
    page = Page(hub)
    page.asks(1, "*/machine/samples")
    page.asks(2, "*/alarm")
    hub.take([alarm("a", 1)])
    for n in range(1, BATCHES_MAX + 41):
        hub.take([block(n)])
    dropped = page.client.dropped
    read = page.reads()
    assert [said["batches"] for said in read if said["op"] == "dropped"] == [dropped]
    assert 2 <= sum(bool(said.get("messages")) for said in read) <= 8


def test_a_publisher_that_is_gone_is_told_and_its_state_stays_until_it_is_back(hub: Hub) -> None:
    page = Page(hub)
    page.asks(1, "*/alarm")
    hub.take([alarm("a", 1)])
    named = page.reads()[0]
    hub.learn_entries({})
    assert page.reads() == [{"op": "withdrawn", "topic": named["topic"], "key": None}]
    later = Page(hub).asks(1, "*/alarm")
    assert ops(later) == ["names", "withdrawn", "batch"]
    hub.learn_entries(entry(77))
    hub.take([alarm("a", 1)._replace(publisher_id=77)])
    again = page.reads()
    assert (again[0]["publisher_id"], again[0]["topic"] != named["topic"]) == ("77", True)


def test_without_anybody_looking_signals_are_not_handled() -> None:
    hub = Hub()
    hub.learn_entries(entry())
    assert hub.idle
    hub.take([block(1), alarm("a", 1)])
    assert (hub.counts["signals"], hub.history.nbytes, len(hub.latched)) == (0, 0, 1)
    asked: list[bool] = []
    hub.somebody_looks = lambda: asked.append(hub.idle)
    page = Page(hub)
    assert asked == [False]
    hub.disconnect(page.client)
    assert not hub.idle  # somebody may come back
    Page(hub)
    assert asked == [False]


def test_what_was_kept_before_nobody_looked_is_no_part_of_what_comes_after(hub: Hub) -> None:
    page = Page(hub)
    hub.take([block(1)])
    hub.disconnect(page.client)
    later_ns = hub.now_ns() + 2 * KEEP_NS
    hub.now_ns = lambda: later_ns
    back = Page(hub)
    back.asks(1, SAMPLES, resume={f"{SAMPLES}|{ID}": 1})
    hub.take([block(5000)])
    assert [g[1:] for said in back.reads() for g in said.get("gaps", ())] == [[2, 4999, "history"]]


def test_there_are_no_more_clients_than_allowed(hub: Hub) -> None:
    for _ in range(CLIENTS_MAX):
        hub.connect()
    with pytest.raises(NoRoom):
        hub.connect()
    assert hub.counts["refused"] == 1


def test_bad_requests_are_answered_and_counted(hub: Hub) -> None:
    page = Page(hub)
    hub.request(page.client, b"\xc1")
    hub.request(page.client, msgpack.packb({"op": "ping", "n": 5}))
    error, pong = page.reads()
    assert (error["op"], error["id"], pong["op"], pong["n"]) == ("error", None, "pong", 5)
    for n in range(40):
        page.asks(n, "log")
    assert hub.counts["bad_requests"] == 9
