"""A topic with `persist=True` on the bus: what it said last is offered again, whatever ended its publisher."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import numpy as np
import pytest

from bus.host import Spec
from bus.node import Gone, LinkEvent, Node, Raw, Stale, on_link, parameter, publisher, subscription
from bus.session import Session
from bus.testing import Domain
from schemas.base import LATCHED, Message, Samples, Topic
from schemas.codec import codec
from schemas.machine import ConditionLevel
from tests.bus.durable.test_log import tiny_disk as tiny_disk  # a fixture
from tests.bus.live import node, until


class Order(Message):
    name: str
    number: int


class OtherOrder(Message):
    name: str
    number: str


ORDERS = Topic("desk/orders", Order, LATCHED, key="name", persist=True)
OTHER_ORDERS = Topic("desk/orders", OtherOrder, LATCHED, key="name", persist=True)


class Spectrum(Message):
    array: Samples


SPECTRA = Topic("desk/spectra", Spectrum, LATCHED, persist=True)


class Desk(Node):
    """Says orders when told to, and once as it starts."""

    first = parameter("")
    orders = publisher(ORDERS)

    def on_configure(self) -> None:
        if self.first:
            self.say(self.first, 1)

    def say(self, name: str, number: int) -> None:
        self.orders.publish(Order(name=name, number=number))

    def withdraw(self, name: str) -> None:
        self.orders.withdraw(name)


class Hearer(Node):
    """Writes down what it hears, in order."""

    def on_configure(self) -> None:
        self.heard: list[tuple[str, int]] = []
        self.stamps: dict[str, int] = {}
        self.links: list[LinkEvent] = []

    @subscription(ORDERS)
    def on_order(self, order: Order) -> None:
        self.heard.append((order.name, order.number))
        self.stamps[order.name] = self.source.stamp_ns

    @on_link(ORDERS)
    def on_orders_link(self, event: LinkEvent) -> None:
        self.links.append(event)
        if isinstance(event, Stale):
            self.heard.append(("stale", event.source.seq))


class Both(Desk):
    """Hears itself."""

    def on_configure(self) -> None:
        self.heard: list[tuple[str, int]] = []
        super().on_configure()

    @subscription(ORDERS)
    def on_order(self, order: Order) -> None:
        self.heard.append((order.name, order.number))

    @on_link(ORDERS)
    def on_orders_link(self, event: LinkEvent) -> None:
        if isinstance(event, Stale):
            self.heard.append(("stale", event.source.seq))


def say(domain: Domain, *orders: tuple[str, int], withdraw: str = "") -> None:
    """A life of the desk that says this and ends in good order."""
    with domain.running(Spec(Desk, "desk")) as desk:
        for order in orders:
            desk.hosts[0].submit(node(desk).say, *order).result(10)
        if withdraw:
            desk.hosts[0].submit(node(desk).withdraw, withdraw).result(10)


def folder(domain: Domain, name: str = "desk") -> Path:
    return domain.root / "state" / domain.name / "kept" / name / "desk.orders"


def test_late_joiners_hear_what_an_earlier_life_said_as_stale_and_with_its_stamp(domain: Domain) -> None:
    with domain.running(Spec(Hearer, "hearer")) as early:
        say(domain, ("a", 1), ("b", 2), ("a", 3))
        until(lambda: any(isinstance(e, Gone) for e in node(early).links))
        stamps = dict(node(early).stamps)
        with domain.running(Spec(Desk, "desk")), domain.running(Spec(Hearer, "late")) as late:
            until(lambda: len(node(late).heard) == 4)
            assert node(late).heard == [("b", 2), ("stale", 1), ("a", 3), ("stale", 2)]
            assert node(late).stamps == stamps
            (first, _) = [e for e in node(late).links if isinstance(e, Stale)]
            assert first.silent_s > 0
            until(lambda: node(early).heard[3:] == node(late).heard)


def test_said_anew_it_is_stale_no_more(domain: Domain) -> None:
    say(domain, ("a", 1), ("b", 2))
    with domain.running(Spec(Desk, "desk")) as desk:
        desk.hosts[0].submit(node(desk).say, "a", 5).result(10)
        with domain.running(Spec(Hearer, "late")) as late:
            until(lambda: len(node(late).heard) == 3)
            assert node(late).heard == [("b", 2), ("stale", 2), ("a", 5)]


def test_what_was_withdrawn_is_not_offered_again(domain: Domain) -> None:
    say(domain, ("a", 1), ("b", 2), withdraw="a")
    with domain.running(Spec(Desk, "desk")), domain.running(Spec(Hearer, "late")) as late:
        until(lambda: len(node(late).heard) == 2)
        assert node(late).heard == [("b", 2), ("stale", 1)]


def test_a_node_hears_its_own_earlier_life_before_anything_else(domain: Domain) -> None:
    with domain.running(Spec(Both, "desk")) as desk:
        desk.hosts[0].submit(node(desk).say, "a", 1).result(10)
        until(lambda: node(desk).heard == [("a", 1)])
    with domain.running(Spec(Both, "desk", parameters={"first": "b"})) as desk:
        until(lambda: len(node(desk).heard) == 3)
        assert node(desk).heard == [("a", 1), ("stale", 1), ("b", 1)]


def test_a_publisher_for_many_namespaces_offers_each_of_them_again(domain: Domain) -> None:
    class Everywhere(Node):
        orders = publisher(ORDERS, namespace="*")

        def say(self, namespace: str, number: int) -> None:
            self.orders.at(namespace).publish(Order(name="a", number=number))

    class Anywhere(Node):
        def on_configure(self) -> None:
            self.heard: list[tuple[str, int]] = []

        @subscription(ORDERS, namespace="*")
        def on_any(self, order: Order) -> None:
            self.heard.append((self.source.namespace, order.number))

    with domain.running(Spec(Everywhere, "everywhere")) as far:
        for n in range(2):
            far.hosts[0].submit(node(far).say, f"vmc{n}", n).result(10)
    with domain.running(Spec(Everywhere, "everywhere")) as far, domain.running(Spec(Anywhere, "late")) as late:
        until(lambda: len(node(late).heard) == 2)
        assert sorted(node(late).heard) == [("vmc0", 0), ("vmc1", 1)]
        far.hosts[0].submit(node(far).say, "vmc1", 7).result(10)
        until(lambda: ("vmc1", 7) in node(late).heard)


def test_a_large_array_comes_back_as_it_was(domain: Domain) -> None:
    """It travels in a frame of its own, and lies in the same file."""

    class Measuring(Node):
        spectra = publisher(SPECTRA)

        def on_configure(self) -> None:
            self.heard: list[Spectrum] = []

        def measure(self, message: Spectrum) -> None:
            self.spectra.publish(message)

        @subscription(SPECTRA)
        def on_spectrum(self, message: Spectrum) -> None:
            self.heard.append(message)

    said = Spectrum(array=Samples(np.arange(50_000, dtype=np.float32)))
    with domain.running(Spec(Measuring, "measuring")) as one:
        one.hosts[0].submit(node(one).measure, said).result(10)
    with domain.running(Spec(Measuring, "measuring")) as one, domain.running(Spec(Measuring, "other")) as other:
        until(lambda: node(one).heard and node(other).heard)
        assert [node(one).heard, node(other).heard] == [[said], [said]]


def test_damage_and_another_type_are_said_once_and_stop_nothing(
    domain: Domain, capfd: pytest.CaptureFixture[str]
) -> None:
    say(domain, ("a", 1), ("b", 2))
    victim = next(folder(domain).iterdir())
    victim.write_bytes(b"garbage")
    with domain.running(Spec(Desk, "desk")) as desk, domain.running(Spec(Hearer, "late")) as late:
        until(lambda: "kept_damaged" in desk.hosts[0].findings)
        assert desk.hosts[0].findings["kept_damaged"].level is ConditionLevel.WARNING
        until(lambda: len(node(late).heard) == 2)
    assert capfd.readouterr().err.count(f"{victim} is damaged") == 1

    class OtherDesk(Node):
        orders = publisher(OTHER_ORDERS)

    with domain.running(Spec(OtherDesk, "desk")) as desk:
        until(lambda: "is no OtherOrder of today" in capfd.readouterr().err)


def test_a_full_disk_is_a_fault_until_there_is_room(
    domain: Domain, tiny_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISE_STATE_DIR", str(tiny_disk))
    with domain.running(Spec(Desk, "desk")) as desk, domain.running(Spec(Hearer, "late")) as late:
        host = desk.hosts[0]
        host.submit(node(desk).say, "a", 1).result(10)
        ballast = tiny_disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        host.submit(node(desk).say, "a", 2).result(10)
        until(lambda: "not_kept" in host.findings)
        assert host.findings["not_kept"].level is ConditionLevel.FAULT
        assert "desk/orders is sent and will not survive a restart" in host.findings["not_kept"].text
        until(lambda: ("a", 2) in node(late).heard)
        ballast.unlink()
        until(lambda: "not_kept" not in host.findings)
    with domain.running(Spec(Desk, "desk")), domain.running(Spec(Hearer, "late")) as late:
        until(lambda: node(late).heard == [("a", 2), ("stale", 1)])


def test_who_looks_on_keeps_nothing(domain: Domain) -> None:
    with domain.running(Spec(Hearer, "hearer")) as hearer, domain.session() as session:

        def is_heard() -> bool:
            session.publish(ORDERS, "desk/orders", Order(name="a", number=1))
            session.spin(lambda: False, 0.01)
            return bool(node(hearer).heard)

        until(is_heard)
    assert not folder(domain).parent.parent.exists()


def test_a_name_that_is_taken_leaves_the_files_of_its_owner_alone(domain: Domain) -> None:
    say(domain, ("a", 1))
    with domain.running(Spec(Desk, "desk", parameters={"first": "b"})):
        until(lambda: len(list(folder(domain).iterdir())) == 2)
        before = {p.name: p.read_bytes() for p in folder(domain).iterdir()}
        with pytest.raises(Exception, match="desk"), domain.running(Spec(Desk, "desk", parameters={"first": "c"})):
            pass
        assert {p.name: p.read_bytes() for p in folder(domain).iterdir()} == before


def test_killed_between_publishing_and_its_next_start(domain: Domain) -> None:
    """kill -9 right after it spoke, a few times over: nothing that anybody heard is missing at the next start."""
    heard: list[Raw] = []

    def numbers(session: Session, count: int) -> list[tuple[str, int]]:
        assert session.spin(lambda: len(heard) >= count, 20.0), heard
        orders = [codec(Order).decode(raw.payload) for raw in heard]
        return [(o.name, o.number) for o in orders]

    for life in range(3):
        heard.clear()
        with (
            domain.session(select=lambda topic, _: topic == "desk/orders", heard=heard.extend) as session,
            domain.process(f"{__name__}:Desk", "--name", "desk", "-p", f"first=life{life}") as desk,
        ):
            assert numbers(session, life + 1) == [(f"life{n}", 1) for n in range(life + 1)]
            desk.send_signal(signal.SIGKILL)
            desk.wait(10)
