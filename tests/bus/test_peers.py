"""The processes around a node: whoever comes first, leaves or dies, what is told of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from bus import peers
from bus.discovery import Directory
from bus.entry import Entry, TopicEntry, socket_file
from bus.host import Spec
from bus.lane import Lanes
from bus.node import Gone, LinkEvent, Lost, Node, Stale, Synced, on_link, publisher, subscription
from bus.poll import Poller
from bus.testing import Domain
from schemas.base import EVENT, Message, Topic
from schemas.grammar import type_hash
from schemas.machine import ConditionLevel
from tests.bus.live import counts, node, until
from tests.bus.toys.talk import ASK, COUNTED, KEPT, SENSED, Listener, Question, Talker, Tapper, Word


@pytest.fixture(autouse=True, params=["lane", "zeromq"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything here holds by lane and by ZeroMQ alike."""
    monkeypatch.setenv("RISE_LANES", "1" if request.param == "lane" else "0")
    return str(request.param)


# --- who comes first does not matter --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_in_whatever_order_they_start_nothing_is_missed_after_ready(domain: Domain, seed: int) -> None:
    rng = random.Random(seed)
    order = ["listener", "talker", "other"]
    rng.shuffle(order)
    made: dict[str, Any] = {}
    with domain.session() as session:
        opened: list[Any] = []
        try:
            for who in order:
                spec = Spec(Listener) if who == "listener" else Spec(Talker, name=who, parameters={"burst": 50})
                running = domain.running(spec)
                made[who] = running.__enter__()
                opened.append(running)
            listener = node(made["listener"])
            before = [w for w in order if order.index(w) < order.index("listener")]
            # whoever started later than the listener is heard from its first number on; the others from ready on
            for who in ("talker", "other"):
                made[who].hosts[0].submit(node(made[who]).say, 30)
            until(lambda: len(listener.of("talk/said")) == 2 and all(n[-1] == 80 for n in listener.of("talk/said")))
            for who in ("talker", "other"):
                key = f"talk/said {made[who].hosts[0].publisher_id}"
                heard = listener.heard[key]
                assert heard == list(range(heard[0], 81))
                assert heard[0] == 1 or who in before
            assert "Lost" not in listener.kinds("talk/said")
            assert listener.kinds("talk/said").count("Synced") == 2
            assert not session.executor.not_answered
        finally:
            for running in reversed(opened):
                running.__exit__(None, None, None)


def test_a_process_is_connected_to_when_all_its_nodes_are_known(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token says that we subscribed to what we want of it: a recorder would else miss the first of the second."""
    monkeypatch.setenv("RISE_LANES", "1")  # the stand-in here speaks no ZeroMQ
    directory = Directory(domain.name)
    poller = Poller()
    lanes = Lanes(directory.socket_path(), poller)
    said = TopicEntry("talk/said", "Word", type_hash(Word), "EVENT")
    both = [Entry(name=n, publisher_id=i, composed=("a", "b"), pub=(lanes.endpoint,), publishes=(said,), ready=True)
            for i, n in enumerate("ab", 1)]  # fmt: skip
    with domain.running(Spec(Tapper, name="tapper")) as tapper:
        held = [directory.register(both[0])]
        until(lambda: "a" in tapper.peers.entries)
        poller.look()
        assert not lanes.streams
        held.append(directory.register(both[1]))

        def came() -> bool:
            poller.look()
            return bool(lanes.streams)

        until(came)
        for registration in held:
            registration.close()
    lanes.close()
    poller.close()


def test_late_joiners_get_what_is_latched_and_not_what_was_withdrawn(domain: Domain) -> None:
    class Keeper(Node):
        kept = publisher(KEPT)

        def on_configure(self) -> None:
            for n in range(300):
                self.kept.publish(Word(number=n, text=f"k{n % 290}"))
            self.kept.withdraw("k289")

    with domain.running(Spec(Keeper, name="keeper")), domain.running(Spec(Listener)) as late:
        until(lambda: len(node(late).of("talk/kept")[0]) == 289 if node(late).of("talk/kept") else False)
        assert node(late).of("talk/kept") == [[*range(10, 289), *range(290, 300)]]
        assert counts(late, "talk/kept")["dropped"] == 0, "more keys than the queue holds wait for room"


# --- link events ----------------------------------------------------------------------------------------------------


def test_latched_values_too_long_for_one_answer_are_fetched(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "SYNC_MAX_BYTES", 1000)

    class Keeper(Node):
        kept = publisher(KEPT)
        counted = publisher(COUNTED)

        def keep(self) -> None:
            for n in range(1, 6):
                self.kept.publish(Word(number=n, text=str(n) * 300))
                self.counted.publish(Word(number=n, text=""))
            self.kept.publish(Word(number=6, text="2" * 300))

    class Both(Node):
        def on_configure(self) -> None:
            self.heard: list[int] = []
            self.last: list[int] = []

        @subscription(KEPT)
        def on_kept(self, word: Word) -> None:
            self.heard.append(word.number)

        @subscription(COUNTED)
        def on_counted(self, word: Word) -> None:
            self.last.append(word.number)

    with domain.running(Spec(Keeper, "keeper")) as keeper:
        keeper.hosts[0].submit(node(keeper).keep).result(10)
        with domain.running(Spec(Both, "both")) as both:
            until(lambda: len(node(both).heard) == 5)
            assert node(both).heard == [1, 3, 4, 5, 6]
            assert node(both).last == [5]
            assert counts(both, "talk/kept")["lost"] == 0


def test_stale_once_and_back(domain: Domain) -> None:
    with domain.running(Spec(Listener)) as listener, domain.running(Spec(Talker)) as talker:
        talker.hosts[0].submit(node(talker).say, 1)
        until(lambda: "Stale" in node(listener).kinds("talk/sensed"))
        talker.hosts[0].submit(node(talker).say, 1)
        until(lambda: node(listener).kinds("talk/sensed").count("Stale") == 2)
        assert node(listener).of("talk/sensed") == [[1, 2]]


def test_a_pattern_is_told_of_silence_too(domain: Domain) -> None:
    class All(Node):
        def on_configure(self) -> None:
            self.events: list[LinkEvent] = []

        @subscription(SENSED, namespace="*")
        def on_sensed(self, word: Word) -> None: ...

        @on_link(SENSED)
        def on_sensed_link(self, event: LinkEvent) -> None:
            self.events.append(event)

    with domain.running(Spec(All, name="all")) as every:
        with domain.running(Spec(Talker, namespace="vmc1")):
            until(lambda: [type(e) for e in node(every).events] == [Synced, Stale])
        until(lambda: [type(e) for e in node(every).events] == [Synced, Stale, Gone])
        assert {e.source.topic for e in node(every).events} == {"vmc1/talk/sensed"}


def test_a_clean_exit_is_gone_after_the_last_message(domain: Domain) -> None:
    with domain.running(Spec(Listener)) as listener:
        with domain.running(Spec(Talker, parameters={"last": 50})):
            pass
        until(lambda: "Gone" in node(listener).kinds("talk/said"))
        assert node(listener).of("talk/said") == [list(range(1, 51))]
        gone = next(e for e in node(listener).events if isinstance(e, Gone))
        assert gone.clean
        assert gone.source.node == "talker"
        assert not listener.intake.feeds


def test_what_nobody_can_repair_any_more_is_lost_before_gone(domain: Domain) -> None:
    class Forgetful(Talker):
        def on_shutdown(self) -> None:
            outlet = self.context.executor.hosts[0].outlets["talk/said"]  # type: ignore[attr-defined] # to lose on purpose
            self.say(3)
            outlet.interest = False
            self.say(4)
            outlet._ring.clear()  # or the hearer, when it asks at once, gets them in the publisher's last moment
            outlet.interest = True
            self.say(2)

    with domain.running(Spec(Listener)) as listener:
        with domain.running(Spec(Forgetful, name="forgetful")):
            pass
        until(lambda: "Gone" in node(listener).kinds("talk/said"))
        assert node(listener).of("talk/said") == [[1, 2, 3, 8, 9]]
        lost = [
            (e.first, e.last) for e in node(listener).events if isinstance(e, Lost) and e.source.topic == "talk/said"
        ]
        assert lost == [(4, 7)]
        assert node(listener).kinds("talk/said")[-1] == "Gone"


def test_many_publishers_come_and_go_and_leave_nothing(domain: Domain) -> None:
    with domain.running(Spec(Tapper, name="tapper"), Spec(Listener)) as one:
        routes = len(one.peers.routes)
        for n in range(25):
            with domain.running(Spec(Talker, name=f"talker{n}", parameters={"last": 1})):
                pass
        until(lambda: not one.intake.feeds)
        until(lambda: sum(r.topic == "talk/said" for r in node(one).raws) == 25)  # a tap collects for a moment
        peers = one.peers
        assert len(peers.routes) <= routes + 2
        assert not one.intake._fast
        assert not peers._peers
        assert not peers.listeners


# --- types ----------------------------------------------------------------------------------------------------------


class _Old(Message):
    number: int


class _New(Message):
    number: int
    extra: str = ""


class _Other(Message):
    number: str


def _pair(sent: type[Message], wanted: type[Message]) -> tuple[type[Node], type[Node]]:
    class Sends(Node):
        out = publisher(Topic("typed/value", sent, EVENT))

    class Hears(Node):
        def on_configure(self) -> None:
            self.heard: list[Any] = []

        @subscription(Topic("typed/value", wanted, EVENT))
        def on_value(self, value: Any) -> None:
            self.heard.append(value)

    return Sends, Hears


def test_a_newer_type_is_read_and_its_unknown_fields_are_counted(domain: Domain) -> None:
    sends, hears = _pair(_New, _Old)
    with domain.running(Spec(hears, name="hears")) as reader, domain.running(Spec(sends, name="sends")) as writer:
        writer.hosts[0].submit(node(writer).out.publish, _New(number=3, extra="x"))
        until(lambda: node(reader).heard == [_Old(number=3)])
        assert counts(reader, "typed/value")["unknown_fields"] == 1


def test_an_incompatible_type_is_refused_with_both_definitions(
    domain: Domain, capfd: pytest.CaptureFixture[str]
) -> None:
    sends, hears = _pair(_Other, _Old)
    with domain.running(Spec(hears, name="hears")) as reader, domain.running(Spec(sends, name="sends")) as writer:
        writer.hosts[0].submit(node(writer).out.publish, _Other(number="3"))
        until(lambda: counts(reader, "typed/value")["received"] == 1)
        finding = reader.hosts[0].findings["incompatible_type"]
        assert finding.level is ConditionLevel.FAULT
        assert node(reader).heard == []
    said = capfd.readouterr().err
    assert f"-- sent, {type_hash(_Other)} --" in said
    assert f"-- wanted, {type_hash(_Old)} --" in said
    assert "_Other" in said


def test_where_the_socket_files_cannot_be_reached_tcp_on_loopback_is(domain: Domain, way: str) -> None:
    toys = "tests.bus.toys.talk"
    nodes = (f"{toys}:Talker", "--name", "talker", "-p", "per_tick=1", "+", f"{toys}:Oracle", "--name", "oracle")
    with domain.process("--tcp", "127.0.0.1", *nodes), domain.session() as before:
        entry = before.directory.entries()["talker"]
        assert [e.split(":")[0] for e in entry.pub] == ["ipc", "tcp", *["unix"][: way == "lane"]]
        for path in filter(None, map(socket_file, (*entry.pub, *entry.rpc))):
            Path(path).unlink()
        with domain.running(Spec(Listener, "other")) as listener, domain.session() as session:
            until(lambda: counts(listener, "talk/said")["received"] > 100)
            assert counts(listener, "talk/said")["lost"] == 0
            answer = session.call("talk/ask", ASK, Question(number=1), timeout_s=5.0)
            assert answer.pid == entry.pid
