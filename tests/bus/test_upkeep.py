"""What an executor does beside the messages: nothing stays lost because nothing came after it, trouble is told once."""

from __future__ import annotations

from typing import Any

import pytest

from bus.executor import Executor
from bus.host import Spec
from bus.testing import Domain
from tests.bus.live import counts, node, until
from tests.bus.toys.talk import Listener, Talker


def test_the_last_message_is_not_lost_though_nothing_follows_it(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    with domain.running(Spec(Talker)) as talker, domain.running(Spec(Listener)) as listener:
        talker.hosts[0].submit(node(talker).say, 3)
        until(lambda: counts(listener, "talk/said")["received"] == 3)
        to_wire = talker.transport.send
        lost: list[bytes] = []

        def cut(prefix: bytes, *frames: Any) -> None:
            if b"talk/said" in prefix and not lost:
                lost.append(prefix)
            else:
                to_wire(prefix, *frames)

        monkeypatch.setattr(talker.transport, "send", cut)
        talker.hosts[0].submit(node(talker).say, 1)
        until(lambda: node(listener).of("talk/said") == [[1, 2, 3, 4]])
    assert lost
    assert counts(listener, "talk/said") | {"repaired": 1, "lost": 0} == counts(listener, "talk/said")


def test_each_second_it_beats_and_says_how_its_nodes_are(domain: Domain) -> None:
    beats: list[int] = []
    with Executor([Spec(Talker)], domain=domain.name, beat=lambda: beats.append(said.seq)) as executor:
        said = executor.hosts[0].outlets["diagnostics"]
        said.interest = True
        assert executor.spin(lambda: len(beats) == 3, 15.0)
    assert beats[2] > beats[1] > beats[0]
