"""A consumer that read a log, run again from a bag: it hears what it heard, from whichever life of the publisher."""

from __future__ import annotations

import json
from pathlib import Path

from bus import trace
from bus.bag import BagWriter
from bus.host import Spec
from bus.node import Node, Raw, publisher, subscription, tap
from bus.replay import identical, replay
from bus.testing import Domain
from schemas.base import EVENT, Topic
from schemas.codec import codec
from schemas.system import TraceBlock
from tests.bus.durable.toys import EVENTS, Event, Teller
from tests.bus.live import node, until
from tests.bus.replay.tapes import write

ECHOED = Topic("count/echoed", Event, EVENT)


class Echo(Node):
    """Says again what it hears."""

    echoed = publisher(ECHOED)

    @subscription(EVENTS)
    def on_event(self, event: Event) -> None:
        self.echoed.publish(Event(number=event.number, text=f"{self.source.node} #{self.source.seq}"))


class Recording(Node):
    """Everything about them."""

    def on_configure(self) -> None:
        self.heard: list[Raw] = []

    @tap(select="select")
    def on_raw(self, batch: list[Raw]) -> None:
        self.heard += batch

    def select(self, topic: str, type_name: str) -> bool:
        return topic.startswith(("count/", "echo/"))


def test_events_of_an_earlier_life_are_found_in_the_bag(domain: Domain, tmp_path: Path) -> None:
    with domain.running(Spec(Recording, "recording")) as recording:
        heard: list[Raw] = node(recording).heard

        def echoed() -> int:
            return sum(r.topic == "count/echoed" for r in heard)

        def traced() -> int:
            blocks = [codec(TraceBlock).decode(r.payload) for r in heard if r.topic == "echo/trace"]
            return sum(map(trace.count, blocks))

        with domain.running(Spec(Teller, parameters={"burst": 5})):
            pass
        with (
            domain.running(Spec(Echo, "echo")),
            domain.running(Spec(Teller, parameters={"burst": 5})),
        ):
            until(lambda: echoed() == 10)
            entry = json.loads(recording.entries()["echo"].to_json())
            definitions = {h: d for e in recording.entries().values() for h, d in e.definitions.items()}
        until(lambda: traced() == 12)  # with its start and its end
    with BagWriter(tmp_path / "a.mcap") as writer:
        writer.node(entry)
        for raw in heard:
            write(writer, raw, definitions)
    result = replay(Echo, tmp_path / "a.mcap")
    assert result.problems == []
    assert result.order == "trace"
    said = [codec(Event).decode(d.payload) for d in result.made if d.topic == "count/echoed"]
    assert [(e.number, e.text) for e in said] == [(n % 5 + 1, f"teller #{n + 1}") for n in range(10)]
    assert identical(result.recorded, result)
