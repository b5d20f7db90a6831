"""The logs of a process: what is told of them, a disk that fills and empties, who keeps none."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from bus.bag import BagWriter
from bus.durable.segments import listed, records
from bus.host import Spec
from bus.node import Lost, Node, Synced, publisher, subscription
from bus.play import Player
from bus.testing import Domain
from schemas import topics
from schemas.impact import Intervention
from schemas.machine import ConditionLevel
from tests.bus.bag.bags import Pen
from tests.bus.bag.test_convert import intervention
from tests.bus.durable.live import TOPIC, hears, log_folder, tell
from tests.bus.durable.test_log import tiny_disk as tiny_disk  # a fixture
from tests.bus.durable.toys import EVENTS, Event, Hearer, Reader, Teller
from tests.bus.live import node, until


def test_a_full_disk_makes_it_an_event_topic_until_there_is_room(
    domain: Domain, tiny_disk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RISE_STATE_DIR", str(tiny_disk / "state"))
    ballast = tiny_disk / "ballast"
    with domain.running(Spec(Teller)) as teller, domain.running(Spec(Reader)) as reader:
        tell(teller, 20)
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        tell(teller, 200, 300)
        hears(reader, list(range(1, 221)))
        until(lambda: "durable_log" in teller.hosts[0].findings)
        finding = teller.hosts[0].findings["durable_log"]
        assert finding.level is ConditionLevel.FAULT
        assert f"{TOPIC} is sent and not kept" in finding.text
        assert "No space left on device" in finding.text
        ballast.unlink()

        def is_kept() -> bool:
            tell(teller, 1)
            return not teller.logs or "durable_log" not in teller.hosts[0].findings

        until(is_kept)
        total = node(teller).number
        hears(reader, list(range(1, total + 1)))
        assert not node(reader).told(Lost)
    assert "takes events again from #" in capfd.readouterr().err
    monkeypatch.setenv("RISE_STATE_DIR", str(tiny_disk / "state"))
    kept = {r.seq for r in records(tiny_disk / "state" / domain.name / "log" / "teller" / "count.events")}
    assert kept < set(range(1, total + 1))
    # whoever comes later hears what was kept, and is told of the rest
    with domain.running(Spec(Teller)), domain.running(Spec(Reader, "late")) as late:
        until(lambda: node(late).sources and node(late).sources[-1].seq == max(kept))
        assert {s.seq for s in node(late).sources} == kept
        lost = {n for e in node(late).told(Lost) for n in range(e.first, e.last + 1)}
        assert lost == set(range(1, max(kept) + 1)) - kept


def test_damage_is_a_finding_of_the_publisher(domain: Domain) -> None:
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 50)
    path = listed(log_folder(domain))[0].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with domain.running(Spec(Teller)) as teller, domain.running(Spec(Reader)) as reader:
        until(lambda: "durable_log_damaged" in teller.hosts[0].findings)
        assert "damaged between #" in teller.hosts[0].findings["durable_log_damaged"].text
        tell(teller, 5)
        until(lambda: len(node(reader).heard) == 54)
        (lost,) = node(reader).told(Lost)
        assert lost.first == lost.last


def test_who_looks_on_or_plays_back_keeps_nothing(domain: Domain, tmp_path: Path) -> None:
    class Books(Hearer):
        @subscription(topics.INTERVENTION, namespace="vmc1")
        def on_intervention(self, said: Intervention) -> None:
            self.heard.append(int(said.limit))
            self.sources.append(self.source)

    writer = BagWriter(tmp_path / "a.mcap")
    said = intervention()
    Pen(writer).put(topics.INTERVENTION, said, said.stamp_ns)
    writer.close()
    with domain.running(Spec(Books, "books")) as books:
        with Player(tmp_path / "a.mcap", domain.name) as player:
            player.run()
        hears(books, [int(said.limit)])
        with domain.session() as session:

            def is_heard() -> bool:
                session.publish(topics.INTERVENTION, "vmc1/impact/intervention", said)
                session.spin(lambda: False, 0.01)
                return len(node(books).heard) >= 2

            until(is_heard)
        assert {s.log_id for s in node(books).sources} == {0}
    assert not (domain.root / "state" / domain.name / "log").exists()


def test_a_publisher_in_many_namespaces_has_a_log_for_each(domain: Domain) -> None:
    class Everywhere(Node):
        events = publisher(EVENTS, namespace="*")

        def tell(self, namespace: str, number: int) -> None:
            self.events.at(namespace).publish(Event(number=number))

    for life in range(2):
        with domain.running(Spec(Everywhere, "everywhere")) as far:
            for n in range(6):
                far.hosts[0].submit(node(far).tell, f"vmc{n % 2}", life * 6 + n).result(10)
    folder = domain.root / "state" / domain.name / "log" / "everywhere"
    assert sorted(os.listdir(folder)) == ["vmc0.count.events", "vmc1.count.events"]
    assert [r.seq for r in records(folder / "vmc1.count.events")] == [1, 2, 3, 4, 5, 6]


def test_the_first_event_a_node_publishes_in_its_start_is_kept(domain: Domain) -> None:
    with domain.running(Spec(Teller, parameters={"burst": 3}), Spec(Reader)) as both:
        hears(both, [1, 2, 3], 1)
        assert [e.source.seq for e in node(both, 1).told(Synced)] == [1]
