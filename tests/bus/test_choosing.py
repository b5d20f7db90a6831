"""A tap that changes its mind: its publishers stop sending to it, and what went by meanwhile is no loss."""

from __future__ import annotations

from bus.executor import Executor
from bus.host import Spec
from bus.node import Node, Raw, publisher, tap, timer
from bus.testing import Domain
from schemas import topics
from schemas.codec import codec
from schemas.machine import SignalBlock
from tests.bus.live import counts, node, until
from tests.web.raws import block

ROWS = codec(SignalBlock).decode(block(1).payload)


class Speaker(Node):
    samples = publisher(topics.SAMPLES)

    @timer(0.002)
    def speak(self) -> None:
        self.samples.publish(ROWS)


class Listener(Node):
    wants = True

    def on_configure(self) -> None:
        self.heard: list[Raw] = []

    def selects(self, topic: str, type_name: str) -> bool:
        return type_name == "SignalBlock" and self.wants

    @tap(select="selects")
    def on_batch(self, batch: list[Raw]) -> None:
        self.heard += batch

    def want(self, wants: bool) -> None:
        self.wants = wants
        self.context.choose_again()  # type: ignore[attr-defined] # only a live bus has it


def asked(listener: Executor) -> bool:
    """Whether the listener's process has told the others that it wants the topic."""
    return "vmc1/machine/samples" in listener.peers.routes


def test_what_is_not_selected_any_more_is_not_sent_and_begins_anew(domain: Domain) -> None:
    with domain.running(Spec(Speaker, namespace="vmc1")) as speaker, domain.running(Spec(Listener)) as listener:
        outlet = speaker.hosts[0].outlets["vmc1/machine/samples"]
        until(lambda: node(listener).heard)
        node(listener).submit(node(listener).want, False).result(5)
        assert not asked(listener)
        until(lambda: not outlet.interest)
        gone = outlet.seq
        before = len(node(listener).heard)
        until(lambda: outlet.seq > gone + 20)
        assert len(node(listener).heard) <= before + 5  # what was on its way
        node(listener).submit(node(listener).want, True).result(5)
        until(lambda: outlet.interest)
        until(lambda: node(listener).heard[-1].seq > gone + 20)
        until(lambda: counts(listener, "vmc1/machine/samples")["received"] > 50)
        assert counts(listener, "vmc1/machine/samples")["lost"] == 0
        assert not any(raw.lost_first for raw in node(listener).heard)
        assert not listener.hosts[0].findings
