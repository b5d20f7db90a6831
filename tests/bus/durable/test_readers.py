"""Who reads logs, and where each begins: nothing is passed over, nothing comes twice, whoever was away."""

from __future__ import annotations

import shutil

import pytest

from bus.durable.segments import listed
from bus.host import Spec
from bus.node import Gone, LogLost, Lost, Synced, subscription
from bus.testing import Domain
from schemas.machine import ConditionLevel
from tests.bus.durable.live import TOPIC, booker, hears, log_folder, tell
from tests.bus.durable.toys import EVENTS, Batcher, Booker, Event, Newcomer, Onlooker, Reader, Teller
from tests.bus.live import counts, node, until
from tests.bus.toys.talk import Tapper

# --- whoever is away --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [False, True], ids=["one by one", "in lists"])
def test_a_reader_that_was_away_goes_on_where_it_was(domain: Domain, batch: bool) -> None:
    class InLists(Reader):
        @subscription(EVENTS, batch_s=0.001)
        def on_event(self, events: list[Event]) -> None:  # type: ignore[override] # the same subscription, in lists
            for event in events:
                self.note(event)

    spec = Spec(InLists if batch else Reader, "reader")
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 100)
        for life in range(3):
            with domain.running(spec) as reader:
                hears(reader, list(range(life * 100 + 1, life * 100 + 101)))
                synced = node(reader).told(Synced)
                assert [e.source.seq for e in synced] == [life * 100 + 1]
                assert counts(reader, TOPIC)["lost"] == 0
            tell(teller, 100)


def test_what_was_accepted_arrives_when_its_publisher_is_back(domain: Domain) -> None:
    with domain.running(Spec(Teller, parameters={"burst": 5000})):
        pass
    with domain.running(Spec(Reader)) as reader:
        assert node(reader).heard == []
        with domain.running(Spec(Teller)):
            hears(reader, list(range(1, 5001)))
        until(lambda: node(reader).told(Gone))
        with domain.running(Spec(Teller, parameters={"burst": 10})):
            until(lambda: len(node(reader).heard) == 5010)
        assert [s.seq for s in node(reader).sources] == list(range(1, 5011))
        assert len({s.publisher_id for s in node(reader).sources}) == 2, "by the one that sent it, as a bag has it"
        assert len({s.log_id for s in node(reader).sources}) == 1
        assert not node(reader).told(Lost)


def test_from_now_the_first_time_and_from_its_cursor_ever_after(domain: Domain) -> None:
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 10)
        with domain.running(Spec(Newcomer)):
            pass  # it hears nothing, and still has been there
        tell(teller, 10)
        with domain.running(Spec(Newcomer)) as newcomer:
            hears(newcomer, list(range(11, 21)))


def test_without_a_cursor_only_what_is_published_meanwhile(domain: Domain) -> None:
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 10)
        for first in (11, 21):
            with domain.running(Spec(Onlooker)) as onlooker:
                tell(teller, 10)
                hears(onlooker, list(range(first, first + 10)))
    assert not (domain.root / "state" / domain.name / "cursors").exists()


def test_readers_of_one_process_each_have_their_own_place(domain: Domain) -> None:
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 3000)
        with domain.running(Spec(Reader, "first")) as first:
            hears(first, list(range(1, 3001)))
        tell(teller, 3000)

        class Tap(Tapper):
            def select(self, topic: str, type_name: str) -> bool:
                return topic == TOPIC

        specs = [Spec(Reader, "first"), Spec(Reader, "second"), Spec(Newcomer), Spec(Onlooker), Spec(Tap, "tap")]
        with domain.running(*specs) as five:
            tell(teller, 100)
            hears(five, list(range(3001, 6101)), 0)
            hears(five, list(range(1, 6101)), 1)
            for index in (2, 3):
                hears(five, list(range(6001, 6101)), index)
            until(lambda: len(node(five, 4).raws) >= 100)
            assert [r.seq for r in node(five, 4).raws] == list(range(6001, 6101))


def test_every_machine_has_its_own_log(domain: Domain) -> None:
    specs = [Spec(Teller, namespace=f"vmc{n}", parameters={"burst": 50 + n}) for n in range(4)]
    with domain.running(*specs[:2]), domain.running(*specs[2:]), domain.running(Spec(Batcher)) as batcher:
        until(lambda: len(node(batcher).heard) == 206)
        by_node: dict[str, list[int]] = {}
        for source, number in zip(node(batcher).sources, node(batcher).heard, strict=True):
            by_node.setdefault(source.node, []).append(number)
        assert by_node == {f"vmc{n}/teller": list(range(1, 51 + n)) for n in range(4)}
    with domain.running(*specs[:2]), domain.running(*specs[2:]), domain.running(Spec(Batcher)) as batcher:
        until(lambda: len(node(batcher).heard) == 206)
        assert {s.seq for s in node(batcher).sources if s.node == "vmc3/teller"} == {106}, "a list is of one publisher"


@pytest.mark.parametrize("reader", [Reader, Booker])
def test_nodes_of_one_process_as_by_socket(domain: Domain, reader: type[Reader] | type[Booker]) -> None:
    parameters = {"path": str(domain.root / "erp.sqlite3")} if reader is Booker else {}
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 6000)
    for life in range(2):
        with domain.running(Spec(Teller), Spec(reader, parameters=parameters)) as both:
            # more than the queue holds, and more than the ring
            tell(both, 10_000)
            expected = [*range(1, 6001)] * (life == 0) + [*range(1, 10_001)]
            hears(both, expected, 1)
            assert node(both, 1).told(Lost) == []
            assert counts(both, TOPIC)["received"] == len(expected)
    with domain.running(Spec(Teller)), domain.running(Spec(reader, parameters=parameters)) as apart:
        until(lambda: node(apart).told(Synced))
        assert node(apart).told(Synced)[0].source.seq == 26_001


def test_arrays_and_messages_larger_than_an_answer(domain: Domain) -> None:
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 20, 100_000)
        with domain.running(Spec(Reader)) as reader:
            hears(reader, list(range(1, 21)))


# --- losses are told --------------------------------------------------------------------------------------------------


def test_below_retention_is_lost_and_told(domain: Domain) -> None:
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 10)
        with domain.running(Spec(Reader)) as reader:
            hears(reader, list(range(1, 11)))
        tell(teller, 200, 100_000)
    segments = listed(log_folder(domain))
    assert len(segments) > 3
    for segment in segments[:2]:
        segment.path.unlink()
    kept = segments[2].first_seq
    with domain.running(Spec(Teller)), domain.running(Spec(Reader)) as reader:
        until(lambda: len(node(reader).heard) == 211 - kept)
        assert [s.seq for s in node(reader).sources] == list(range(kept, 211))
        assert [(e.first, e.last) for e in node(reader).told(Lost)] == [(11, kept - 1)]
        assert counts(reader, TOPIC)["lost"] == kept - 11
    with domain.running(Spec(Teller)), domain.running(Spec(Reader)) as reader:
        until(lambda: node(reader).told(Synced))
        assert node(reader).told(Lost) == []


def test_a_hole_in_the_middle_of_a_log_is_told(domain: Domain) -> None:
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 200, 100_000)
    segments = listed(log_folder(domain))
    segments[1].path.unlink()
    hole = (segments[1].first_seq, segments[2].first_seq - 1)
    with domain.running(Spec(Teller)), domain.running(Spec(Reader)) as reader:
        until(lambda: node(reader).sources and node(reader).sources[-1].seq == 200)
        assert [(e.first, e.last) for e in node(reader).told(Lost)] == [hole]
        assert [s.seq for s in node(reader).sources] == [*range(1, hole[0]), *range(hole[1] + 1, 201)]


@pytest.mark.parametrize("with_database", [False, True], ids=["file", "database"])
def test_another_log_is_told_and_heard_from_its_beginning(domain: Domain, with_database: bool) -> None:
    spec = booker(domain) if with_database else Spec(Reader)
    with domain.running(Spec(Teller)) as teller, domain.running(spec) as reader:
        tell(teller, 20)
        hears(reader, list(range(1, 21)))
    shutil.move(log_folder(domain), domain.root / "lost")
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 5)
        with domain.running(spec) as reader:
            hears(reader, list(range(1, 6)))
            assert [e.handled for e in node(reader).told(LogLost)] == [20]
            assert "log_lost" in reader.hosts[0].findings
        with domain.running(spec) as reader:
            until(lambda: node(reader).told(Synced))
            assert node(reader).told(LogLost) == [], "told once"
    # found again: its cursor is known still
    shutil.rmtree(log_folder(domain))
    shutil.move(domain.root / "lost", log_folder(domain))
    with domain.running(Spec(Teller)) as teller, domain.running(spec) as reader:
        tell(teller, 5)
        hears(reader, list(range(1, 6)))
        assert node(reader).told(LogLost) == []


def test_a_log_that_was_put_back_is_told(domain: Domain) -> None:
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 10)
    shutil.copytree(log_folder(domain), domain.root / "backup")
    with domain.running(Spec(Teller)) as teller, domain.running(Spec(Reader)) as reader:
        tell(teller, 10)
        hears(reader, [*range(1, 11)] * 2)
    shutil.rmtree(log_folder(domain))
    shutil.move(domain.root / "backup", log_folder(domain))
    with domain.running(Spec(Teller)) as teller, domain.running(Spec(Reader)) as reader:
        tell(teller, 5)
        hears(reader, list(range(1, 6)))
        assert [e.handled for e in node(reader).told(LogLost)] == [20]


def test_a_publisher_that_keeps_no_log_is_heard_as_event(domain: Domain) -> None:
    log_folder(domain).mkdir(parents=True)
    (log_folder(domain) / "numbers").mkdir()
    with domain.running(Spec(Teller)) as teller:
        until(lambda: "durable_log" in teller.hosts[0].findings)
        assert teller.hosts[0].findings["durable_log"].level is ConditionLevel.FAULT
        with domain.running(Spec(Reader)) as reader, domain.running(booker(domain)) as books:
            for life in range(2):
                tell(teller, 10)
                hears(reader, list(range(1, 11 + life * 10)))
                until(lambda: len(node(books).booked()) == len(node(reader).heard))
            assert {s.log_id for s in node(reader).sources} == {0}
            assert not node(reader).told(LogLost)
