"""A process that takes 3 ms for each message of 1 kHz hears the newest, and what it does not is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.host import Spec
from bus.node import Node, subscription
from bus.testing import Domain
from schemas import topics
from schemas.system import Diagnostics, TopicCount
from tests.bus.live import node, until
from tests.bus.toys.slow import COUNTER, DEPTH, GOT, NUMBERS, Got

TOYS = "tests.bus.toys.slow"
LIMIT = 5000


class Ear(Node):
    """What the slow process says of what it got, and its counters."""

    def on_configure(self) -> None:
        self.got: Got | None = None
        self.counts: TopicCount | None = None

    @subscription(GOT)
    def on_got(self, said: Got) -> None:
        self.got = said

    @subscription(topics.DIAGNOSTICS)
    def on_diagnostics(self, said: Diagnostics) -> None:
        if said.node == "slow":
            self.counts = next((c for c in said.topics if c.topic == NUMBERS.name), self.counts)


@pytest.mark.parametrize("way", ["lane", "zeromq"])
def test_a_slow_process_gets_the_newest_and_every_loss_is_counted(
    domain: Domain, way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RISE_LANES", "1" if way == "lane" else "0")
    (tmp_path / "counter").write_bytes(bytes(COUNTER.size))
    given = ["-p", f'counter="{tmp_path / "counter"}"', "-p", f"limit={LIMIT}"]
    with (
        domain.running(Spec(Ear, "ear")) as running,
        domain.process(f"{TOYS}:Slow", "--name", "slow", *given),
        domain.process(f"{TOYS}:Quick", "--name", "quick", *given),
    ):
        ear: Ear = node(running)
        until(lambda: ear.got is not None, 40)
        until(lambda: ear.counts is not None and ear.counts.received + ear.counts.lost == LIMIT, 5)
        got, counts = ear.got, ear.counts
    assert got is not None
    assert counts is not None
    assert (counts.received, counts.lost, counts.expired) == (LIMIT, 0, 0)
    assert got.messages + counts.dropped == LIMIT
    assert counts.dropped > LIMIT // 3
    assert got.in_order
    # one queue, and what is published while a callback runs and the queue is filled anew
    assert got.median_age <= 3 * DEPTH
