from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bus import Node, client, parameter, subscription, timer
from bus.cli.doctor_graph import bag_disks, types_that_differ
from bus.discovery import Entry, ServiceEntry, TopicEntry
from bus.host import Spec
from bus.testing import Domain
from schemas.base import SENSOR, Message, Nanoseconds, Service, Topic
from schemas.grammar import hash_of
from tests.bus.cli.shop import Feed, Set, open_shop
from tests.bus.cli.test_doctor import checks
from tests.bus.live import until
from tests.bus.toys.talk import SENSED, Talker, Word

LOAD, SPEED = {"name": "load_pct", "type": "float", "unit": "%"}, {"name": "speed_rpm", "type": "float"}


def _entry(name: str, fields: list[Mapping[str, Any]], *, writes: bool) -> Entry:
    defined = {"name": "Reading", "fields": fields}
    topic = TopicEntry("vmc1/reading", "Reading", hash_of(defined), "SENSOR")
    definitions = {topic.type_hash: defined}
    if writes:
        return Entry(name, definitions=definitions, publishes=(topic,))
    return Entry(name, definitions=definitions, subscribes=(topic,))


def test_the_disk_of_a_recorder_that_writes_elsewhere() -> None:
    serves = (ServiceEntry("bag/black_box", "BlackBoxRequest", "1", "Done", "2"),)
    here = Entry("recorder", host=os.uname().nodename, serves=serves, parameters={"directory": "/proc/bags"})
    others = {
        "away": replace(here, host="another"),  # its disk is not ours to ask
        "told nothing": replace(here, parameters={"directory": ""}),
        "no recorder": replace(here, serves=()),
    }
    (full,) = bag_disks({"recorder": here, **others})
    assert (full.id, full.level) == ("disk", "error")
    assert full.text == "0.0 GB free for the bags of recorder (/proc/bags)"
    assert "give it another folder" in full.advice


def test_types_that_differ_between_processes() -> None:
    writer = _entry("mill", [LOAD], writes=True)
    (apart,) = types_that_differ({"a": writer, "b": _entry("watch", [LOAD, SPEED], writes=False)})
    assert apart.level == "error"
    assert "watch reads Reading, mill writes Reading, which do not fit (speed_rpm: needed by the reader" in apart.text
    both = _entry("mill", [LOAD, SPEED], writes=True)
    (fits,) = types_that_differ({"a": both, "b": _entry("watch", [LOAD], writes=False)})
    assert (fits.level, fits.text.endswith("speed_rpm is ignored")) == ("warning", True)
    (same,) = types_that_differ({"a": writer, "b": _entry("watch", [LOAD], writes=False)})
    assert same.level == "ok"


def test_services_whose_types_differ() -> None:
    def entry(name: str, asks: list[Mapping[str, Any]], answers: list[Mapping[str, Any]], *, serves: bool) -> Entry:
        request, reply = {"name": "Ask", "fields": asks}, {"name": "Answer", "fields": answers}
        row = ServiceEntry("mill/ask", "Ask", hash_of(request), "Answer", hash_of(reply))
        definitions = {row.request_hash: request, row.reply_hash: reply}
        if serves:
            return Entry(name, definitions=definitions, serves=(row,))
        return Entry(name, definitions=definitions, calls=(row,))

    server = entry("mill", [LOAD], [SPEED], serves=True)
    (asked,) = types_that_differ({"a": server, "b": entry("watch", [], [SPEED], serves=False)})
    assert asked.level == "error"
    assert "mill/ask: watch calls it, mill serves it with another Ask, which do not fit (load_pct: needed" in asked.text
    (answered,) = types_that_differ({"a": server, "b": entry("watch", [LOAD], [SPEED, LOAD], serves=False)})
    assert "with another Answer, which do not fit (load_pct: needed" in answered.text
    newer = types_that_differ({"a": server, "b": entry("watch", [LOAD, SPEED], [], serves=False)})
    assert {c.level for c in newer} == {"warning"}
    (same,) = types_that_differ({"a": server, "b": entry("watch", [LOAD], [SPEED], serves=False)})
    assert same.level == "ok"


class OtherReading(Message):
    """What another checkout takes for a Reading."""

    stamp_ns: Nanoseconds
    speed_rpm: int


class OtherSet(Set):
    at_ns: Nanoseconds


OTHER_FEED = Service("shop/feed", Feed, OtherSet)


class Stranger(Node):
    feed = client(OTHER_FEED)

    @subscription(Topic("shop/reading", OtherReading, SENSOR))
    def on_reading(self, reading: OtherReading) -> None: ...


def test_a_node_of_another_checkout() -> None:
    with open_shop() as domain, domain.running(Spec(Stranger, "stranger", "vmc1")):
        found = checks()
    texts = {c["text"] for c in found["types"]}
    assert len(texts) == 2
    assert any("vmc1/stranger reads OtherReading, vmc1/mill writes Reading" in t for t in texts)
    assert any("vmc1/shop/feed: vmc1/stranger calls it, vmc1/mill serves it with another Set" in t for t in texts)
    assert {c["advice"] for c in found["types"]} == {"restart both from one checkout"}
    (refused,) = (c for c in found["nodes"] if "incompatible_type" in c["text"])
    assert refused["level"] == "error"


class Slow(Node):
    """Takes its time."""

    wait_ms = parameter(0)

    def on_configure(self) -> None:
        self.pause = threading.Event()

    @timer(0.02)
    def think(self) -> None:
        self.pause.wait(self.wait_ms / 1000)

    @subscription(SENSED, depth=4)
    def on_sensed(self, word: Word) -> None: ...


def test_a_node_that_is_too_slow(domain: Domain) -> None:
    found: dict[str, dict[str, Any]] = {}

    def told() -> bool:
        """Nodes say once a second what they have dropped."""
        for check in checks()["nodes"]:
            for word in ("slow: slow_callback", "slow dropped"):
                if check["text"].startswith(word):
                    found[word] = check
        return len(found) == 2

    with (
        domain.running(Spec(Slow, "slow", parameters={"wait_ms": 100})),
        domain.running(Spec(Talker, parameters={"per_tick": 1})),
    ):
        until(told)
    slow, dropped = found["slow: slow_callback"], found["slow dropped"]
    assert re.search(r"think took [1-9]\d\d ms", slow["text"]), "100 ms, or more where the computer is busy"
    assert "what waits belongs in a worker" in slow["advice"]
    assert "messages of talk/sensed from talker since its start" in dropped["text"]
    assert "a larger depth in the subscription" in dropped["advice"]
    assert {c["level"] for c in (slow, dropped)} == {"warning"}
