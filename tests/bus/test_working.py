"""Workers: what they hand over, what is dropped when the node is too slow, how they end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from bus.host import Spec
from bus.node import Node, worker
from bus.testing import Domain
from tests.bus.live import node, until
from tests.bus.toys.talk import Digger, Word


def test_workers_hand_over_everything_in_order_and_their_failure_is_a_finding(domain: Domain) -> None:
    with domain.running(Spec(Digger, parameters={"total": 500, "fails": True})) as digger:
        until(lambda: "worker_failed" in digger.hosts[0].findings)
        until(lambda: node(digger).dug == list(range(1, 501)))
        assert "the spade broke" in digger.hosts[0].findings["worker_failed"].text


class Hasty(Node):
    """Its worker never waits for the node."""

    def on_configure(self) -> None:
        self.dug: list[int] = []
        self.held = threading.Event()
        self.all_dug = threading.Event()

    @worker(depth=4, on_full="drop_oldest")
    def dig(self, stop: threading.Event) -> Iterator[Word]:
        for n in range(100):
            yield Word(number=n, text="")
        self.all_dug.set()
        stop.wait(30)

    @dig.received
    def on_dug(self, word: Word) -> None:
        self.held.wait(10)
        self.dug.append(word.number)


def test_a_slow_node_gets_the_newest_and_the_rest_is_counted(domain: Domain) -> None:
    with domain.running(Spec(Hasty, name="hasty")) as hasty:
        assert node(hasty).all_dug.wait(10)
        node(hasty).held.set()
        until(lambda: node(hasty).dug[-4:] == [96, 97, 98, 99])
        handed, dropped = hasty.worker_counts["hasty", "dig"]
        assert handed == 100
        assert dropped == 100 - len(node(hasty).dug) > 0


class Stamping(Node):
    """Its worker asks for the time while a callback holds it."""

    def on_configure(self) -> None:
        self.inside, self.stamped = threading.Event(), threading.Event()
        self.held_ns: tuple[int, int] | None = None
        self.worker_ns = 0

    @worker(depth=4)
    def stamp(self, stop: threading.Event) -> Iterator[Word]:
        yield Word(number=0, text="")
        assert self.inside.wait(10)
        self.worker_ns = self.now_ns()
        self.stamped.set()

    @stamp.received
    def on_stamp(self, word: Word) -> None:
        before_ns = self.now_ns()
        self.inside.set()
        assert self.stamped.wait(10)
        self.held_ns = (before_ns, self.now_ns())


def test_time_is_held_for_the_callback_alone(domain: Domain) -> None:
    with domain.running(Spec(Stamping, name="stamping")) as stamping:
        until(lambda: node(stamping).held_ns is not None)
        before_ns, after_ns = node(stamping).held_ns
        assert before_ns == after_ns < node(stamping).worker_ns
