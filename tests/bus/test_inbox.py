"""What arrives and in which order: events all, samples the newest, patterns, batches, taps."""

from __future__ import annotations

import threading

import pytest

from bus.host import Spec
from bus.node import Lost, Node, Raw, publisher, subscription, tap, timer
from bus.testing import Domain
from schemas.base import BadName
from tests.bus.live import counts, node, until
from tests.bus.toys.talk import KEPT, SAID, SENSED, Listener, Talker, Tapper, Word

# --- EVENT: every one -----------------------------------------------------------------------------------------------


def test_a_full_queue_loses_no_event(domain: Domain) -> None:
    class Slow(Listener):
        @subscription(SAID, depth=16)
        def on_said(self, word: Word) -> None:
            self.note(word)

    with domain.running(Spec(Slow, name="slow")) as slow, domain.running(Spec(Talker)) as talker:
        talker.hosts[0].submit(node(talker).say, 8_000)
        until(lambda: node(slow).of("talk/said") and node(slow).of("talk/said")[0][-1] == 8_000, 30)
        assert node(slow).of("talk/said") == [list(range(1, 8_001))]
        assert counts(slow, "talk/said")["lost"] == counts(slow, "talk/said")["dropped"] == 0


def test_composed_a_full_queue_loses_no_event_either(domain: Domain) -> None:
    with domain.running(Spec(Talker), Spec(Listener)) as both:
        both.hosts[0].submit(node(both).say, 8000)
        until(lambda: node(both, 1).of("talk/said") and node(both, 1).of("talk/said")[0][-1] == 8000)
        assert node(both, 1).of("talk/said") == [list(range(1, 8001))]
        both.hosts[0].submit(node(both).say, 10_000)
        until(lambda: node(both, 1).of("talk/said")[0][-1] == 8000 + 4096 + 4096)
        # beyond two full queues it is lost, counted and said, as by socket
        lost = [e for e in node(both, 1).events if isinstance(e, Lost)]
        assert len(lost) == 10_000 - 4096 - 4096
        assert counts(both, "talk/said")["lost"] == len(lost)


def test_what_the_wire_loses_is_repaired(domain: Domain) -> None:
    with domain.running(Spec(Listener)) as listener, domain.running(Spec(Talker)) as talker:

        def lossy() -> None:
            outlet = talker.hosts[0].outlets["talk/said"]
            for n in range(1, 2001):
                outlet.interest = n % 7 != 0 and n <= 1900
                node(talker).say(1)
            outlet.interest = True

        talker.hosts[0].submit(lossy)
        until(lambda: node(listener).of("talk/said") and node(listener).of("talk/said")[0][-1] == 2000)
        assert node(listener).of("talk/said") == [list(range(1, 2001))]
        found = counts(listener, "talk/said")
        assert (found["lost"], found["received"]) == (0, 2000)
        assert found["repaired"] >= 100


# --- SENSOR: the newest ---------------------------------------------------------------------------------------------


def test_a_slow_reader_gets_the_newest_and_every_number_is_accounted_for(domain: Domain) -> None:
    class Slow(Listener):
        pause = threading.Event()

        @subscription(SENSED, lifespan_s=60)
        def on_sensed(self, word: Word) -> None:
            self.note(word)
            self.pause.wait(0.003)

    with (
        domain.running(Spec(Slow, name="slow")) as slow,
        domain.running(Spec(Talker, parameters={"per_tick": 1, "limit": 1000})) as talker,
    ):
        until(lambda: node(talker).number == 1000)
        until(lambda: node(slow).of("talk/sensed")[0][-1] == 1000)
        heard = node(slow).of("talk/sensed")[0]
        found = counts(slow, "talk/sensed")
        assert heard == sorted(set(heard))
        assert found["received"] + found["lost"] == 1000
        assert len(heard) + found["dropped"] == found["received"]
        assert found["dropped"] > 100
        assert len(slow.loop.ready) <= 8 + 8, "turns do not pile up behind a slow callback"


def test_old_messages_expire_and_are_counted(domain: Domain) -> None:
    class Late(Listener):
        held = threading.Event()

        @subscription(SAID)
        def on_said(self, word: Word) -> None:
            self.held.wait(0.2)
            self.note(word)

        @subscription(SENSED, lifespan_s=0.05, depth=100)
        def on_sensed(self, word: Word) -> None:
            self.note(word)

    with domain.running(Spec(Late, name="late")) as late, domain.running(Spec(Talker)) as talker:
        talker.hosts[0].submit(node(talker).say, 5)
        until(lambda: node(late).of("talk/said") == [[1, 2, 3, 4, 5]])
        until(lambda: counts(late, "talk/sensed")["expired"] >= 4)
        talker.hosts[0].submit(lambda: node(talker).sensed.publish(Word(number=99, text="")))
        until(lambda: 99 in [n for said in node(late).of("talk/sensed") for n in said])
        found = counts(late, "talk/sensed")
        assert found["expired"] + len(node(late).of("talk/sensed")[0]) == found["received"] == 6


# --- composition, patterns, batches, taps ---------------------------------------------------------------------------


def test_composed_a_message_is_handed_over_itself(domain: Domain) -> None:
    class Holder(Node):
        objects: list[Word]

        def on_configure(self) -> None:
            self.objects = []

        @subscription(SENSED)
        def on_sensed(self, word: Word) -> None:
            self.objects.append(word)

    with domain.running(Spec(Talker), Spec(Holder, name="holder")) as both:
        word = Word(number=1, text="")
        both.hosts[0].submit(node(both).sensed.publish, word)
        until(lambda: node(both, 1).objects)
        assert node(both, 1).objects[0] is word


def test_a_pattern_hears_namespaces_that_come_later_one_level_deep(domain: Domain) -> None:
    class All(Node):
        heard: list[tuple[str, int]]

        def on_configure(self) -> None:
            self.heard = []

        @subscription(SAID, namespace="*")
        def on_said(self, word: Word) -> None:
            self.heard.append((self.source.namespace, word.number))

    with domain.running(Spec(All, name="all")) as every:
        for namespace in ("vmc1", "vmc2", "hall/vmc3", ""):
            with domain.running(Spec(Talker, namespace=namespace)) as talker:
                talker.hosts[0].submit(node(talker).say, 1)
                if namespace.startswith("vmc"):
                    until(lambda n=namespace: (n, 1) in node(every).heard)  # type: ignore[misc] # loop value bound as default
        assert node(every).heard == [("vmc1", 1), ("vmc2", 1)]
        until(lambda: not every.intake.feeds)
        assert not [r for r in every.peers.routes if r.startswith("vmc")], "what nobody publishes is let go of"


def test_a_publisher_for_many_namespaces(domain: Domain) -> None:
    class Planner(Node):
        kept = publisher(KEPT, namespace="*")

        @timer(0.01)
        def plan(self) -> None:
            self.kept.at("vmc7").publish(Word(number=7, text="job"))

    with domain.running(Spec(Listener, namespace="vmc7")) as listener, domain.running(Spec(Planner)) as planner:
        until(lambda: node(listener).of("vmc7/talk/kept"))
        assert node(listener).of("vmc7/talk/kept")[0][0] == 7
        many = node(planner).kept
        with pytest.raises(TypeError, match="declared for many namespaces"):
            many.publish(Word(number=7, text="job"))
        with pytest.raises(TypeError, match="declared for one namespace"):
            many.at("vmc7").at("vmc8")
        for bad in ("", "*", "Hall", "hall/vmc8"):
            with pytest.raises(BadName):
                many.at(bad)


def test_batches(domain: Domain) -> None:
    class Batched(Node):
        lists: list[list[int]]

        def on_configure(self) -> None:
            self.lists = []

        @subscription(SAID, batch_s=0.02)
        def on_said(self, words: list[Word]) -> None:
            self.lists.append([w.number for w in words])

    with domain.running(Spec(Batched, name="batched")) as batched, domain.running(Spec(Talker)) as talker:
        talker.hosts[0].submit(node(talker).say, 500)
        until(lambda: sum(map(len, node(batched).lists)) == 500)
        assert [n for numbers in node(batched).lists for n in numbers] == list(range(1, 501))
        assert len(node(batched).lists) < 100


def test_remapping_and_absolute_names(domain: Domain) -> None:
    moved = Spec(Talker, namespace="vmc1", remappings={"talk/said": "/shop/said"})
    heard = Spec(Listener, namespace="vmc2", remappings={"talk/said": "/shop/said"})
    with domain.running(heard) as listener, domain.running(moved) as talker:
        talker.hosts[0].submit(node(talker).say, 3)
        until(lambda: node(listener).of("shop/said") == [[1, 2, 3]])


def test_a_tap_hears_everything_and_where_something_is_missing(domain: Domain) -> None:
    with domain.running(Spec(Tapper, name="tapper")) as tapper, domain.running(Spec(Talker)) as talker:

        def lossy() -> None:
            node(talker).say(3)
            talker.hosts[0].outlets["talk/sensed"].interest = False
            node(talker).say(2)
            talker.hosts[0].outlets["talk/sensed"].interest = True
            node(talker).say(1)

        talker.hosts[0].submit(lossy)
        until(lambda: sum(r.topic in ("talk/said", "talk/sensed") for r in node(tapper).raws) == 11)
        raws: list[Raw] = node(tapper).raws
        sensed = [(r.lost_first, r.seq) for r in raws if r.topic == "talk/sensed"]
        assert sensed == [(0, 1), (0, 2), (0, 3), (4, 5), (0, 6)]
        assert [r.seq for r in raws if r.topic == "talk/said"] == [1, 2, 3, 4, 5, 6]
        assert {r.publisher for r in raws} == {"talker"}
        assert next(r.qos for r in raws if r.topic == "talk/kept") == "LATCHED"


def test_a_full_tap_keeps_the_events_and_marks_the_samples_it_dropped(domain: Domain) -> None:
    class Small(Tapper):
        @tap(select="select", depth=50, batch_s=0.02)
        def on_raw(self, batch: list[Raw]) -> None:
            self.raws += batch

        def select(self, topic: str, type_name: str) -> bool:
            return topic in ("talk/said", "talk/sensed")

    with domain.running(Spec(Small, name="small")) as small, domain.running(Spec(Talker)) as talker:
        talker.hosts[0].submit(node(talker).say, 500)
        until(lambda: sum(r.topic == "talk/said" for r in node(small).raws) == 500)
        until(lambda: sum(r.seq - (r.lost_first or r.seq) + 1 for r in node(small).raws) == 1000)
        said = [r for r in node(small).raws if r.topic == "talk/said"]
        assert [(r.seq, r.lost_first) for r in said] == [(n, 0) for n in range(1, 501)]
        sensed = [r for r in node(small).raws if r.topic == "talk/sensed"]
        covered = [n for r in sensed for n in range(r.lost_first or r.seq, r.seq + 1)]
        assert covered == list(range(1, 501))
        assert counts(small, "talk/sensed")["dropped"] == sum(r.seq - r.lost_first + 1 for r in sensed if r.lost_first)


class Resting(Tapper):
    @tap(select="select", batch_s=0.04, rest_s=0.02)
    def on_raw(self, batch: list[Raw]) -> None:
        self.raws += batch

    def select(self, topic: str, type_name: str) -> bool:
        return topic == "talk/said"


def test_a_tap_that_rests_is_woken_by_few_of_the_messages_and_hears_all(domain: Domain) -> None:
    with domain.running(Spec(Resting, name="resting")) as resting, domain.running(Spec(Talker)) as talker:
        looks: list[int] = []
        look = resting.transport.look

        def counted() -> None:
            looks.append(1)
            look()

        resting.transport.look = counted  # type: ignore[method-assign] # the very same, counted
        for _ in range(400):
            talker.hosts[0].submit(node(talker).say, 1)  # each a message of its own
        until(lambda: len(node(resting).raws) == 400)
        assert [r.seq for r in node(resting).raws] == list(range(1, 401))
        assert 0 < len(looks) < 100


def test_a_process_rests_where_each_of_its_nodes_does(domain: Domain) -> None:
    with domain.running(Spec(Resting, name="resting")) as alone:
        assert alone.loop.rest_ns == 20_000_000
    with domain.running(Spec(Resting, name="resting"), Spec(Talker)) as together:
        assert together.loop.rest_ns == 0
