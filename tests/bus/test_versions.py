"""Processes of two versions of the program on one bus, and a bag of the older one: read, or refused and told."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.bag import read
from bus.host import Spec
from bus.node import Node, Raw, tap
from bus.replay import replay
from bus.testing import Domain
from schemas.base import Message
from schemas.codec import codec
from schemas.grammar import type_hash
from schemas.machine import ConditionLevel
from schemas.system import Diagnostics, LogRecord
from tests.bus.live import node, until
from tests.bus.toys.versions import READING, V1, V3, V4, Heard, HearsV2

TOYS = "tests.bus.toys.versions"
TOPICS = {"versions/heard", "versions/alive", "diagnostics", "log"}


@pytest.fixture(autouse=True, params=["lane", "zeromq"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything here holds by lane and by ZeroMQ alike."""
    monkeypatch.setenv("RISE_LANES", "1" if request.param == "lane" else "0")
    return str(request.param)


class Ear(Node):
    """What the hearer's process lets others know."""

    def on_configure(self) -> None:
        self.raws: list[Raw] = []

    def select(self, topic: str, type_name: str) -> bool:
        return topic in TOPICS

    @tap(select="select")
    def on_raw(self, batch: list[Raw]) -> None:
        self.raws += batch

    def of(self, topic: str) -> list[Heard]:
        return [codec(Heard).decode(r.payload) for r in self.raws if r.topic == topic and r.payload]

    @property
    def heard(self) -> list[Heard]:
        return self.of("versions/heard")

    @property
    def health(self) -> Diagnostics | None:
        said = [codec(Diagnostics).decode(r.payload) for r in self.raws if r.topic == "diagnostics" and r.payload]
        return next((d for d in reversed(said) if d.node == "hears"), None)

    def refusals(self) -> list[str]:
        said = [codec(LogRecord).decode(r.payload).text for r in self.raws if r.topic == "log" and r.payload]
        return [text for text in said if "cannot read" in text]

    def beats(self) -> int:
        return self.of("versions/alive")[-1].number


@pytest.fixture
def ear(domain: Domain, way: str) -> Iterator[Ear]:
    with domain.running(Spec(Ear, "ear")) as running:
        yield node(running)


@contextlib.contextmanager
def hearing(domain: Domain, ear: Ear, version: str) -> Iterator[subprocess.Popen[bytes]]:
    """A hearer to whom the session listens."""
    with domain.process(f"{TOYS}:Hears{version}", "--name", "hears") as process:
        until(lambda: bool(ear.of("versions/alive")), 10)
        yield process
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.parametrize(("sent", "read", "extra"), [("V2", "V1", ""), ("V1", "V2", "not said"), ("V2", "V2", "said")])
def test_versions_that_fit_hear_each_other(domain: Domain, ear: Ear, sent: str, read: str, extra: str) -> None:
    with hearing(domain, ear, read), domain.process(f"{TOYS}:Says{sent}"):
        until(lambda: len(ear.heard) > 100, 20)

        def counted() -> bool:
            counts = [t for t in ear.health.topics if t.topic == READING and t.received] if ear.health else []
            return bool(counts) and (counts[0].unknown_fields > 0) is ((sent, read) == ("V2", "V1"))

        until(counted, 10)
    assert [h.number for h in ear.heard] == list(range(1, len(ear.heard) + 1))
    assert {h.extra for h in ear.heard} == {extra}
    assert not ear.refusals()


def test_a_version_that_does_not_fit_is_refused_once_and_its_successor_is_heard(domain: Domain, ear: Ear) -> None:
    unlike: list[tuple[str, type[Message], str]] = [
        ("V3", V3.Reading, "number: int in the reader, str in the writer"),
        ("V4", V4.Reading, "number: needed by the reader, not sent by the writer"),
    ]
    with hearing(domain, ear, "V1") as hearer:
        for lives, (version, cls, reason) in enumerate(unlike, 1):
            with domain.process(f"{TOYS}:Says{version}", "--name", "says"):
                until(lambda n=lives: len(ear.refusals()) == n, 10)  # type: ignore[misc] # loop value bound as default

                def is_told() -> bool:
                    findings = {f.code: f.level for f in ear.health.findings} if ear.health else {}
                    return findings.get("incompatible_type") is ConditionLevel.FAULT

                until(is_told, 5)
                beats = ear.beats()
                until(lambda n=beats: ear.beats() > n + 20, 10)  # type: ignore[misc] # loop value bound as default
            text = ear.refusals()[-1]
            assert {type_hash(cls), type_hash(V1.Reading)} <= set(text.replace(",", " ").split())
            reason = (
                "number: int in the reader, str in the writer" if version == "V3" else "number: needed by the reader"
            )
            assert reason in text
        assert not ear.heard
        with domain.process(f"{TOYS}:SaysV1", "--name", "says"):
            until(lambda: len(ear.heard) > 50, 10)
            until(lambda: ear.health is not None and not ear.health.findings, 5)
        assert hearer.poll() is None
    assert [h.number for h in ear.heard] == list(range(1, len(ear.heard) + 1))
    assert len(ear.refusals()) == 2


def test_a_bag_of_the_older_version_plays_into_the_newer_and_replays(domain: Domain, ear: Ear, tmp_path: Path) -> None:
    with domain.process("nodes.recorder", "-p", f'directory="{tmp_path}"', "-p", "keep_free_mb=0") as recorder:
        with hearing(domain, ear, "V1"), domain.process(f"{TOYS}:SaysV1", "--name", "says"):
            until(lambda: len(ear.heard) > 100, 20)
        recorder.terminate()
        assert recorder.wait(20) == 0
    (bag,) = tmp_path.glob("*.mcap")
    told = [m.seq for m in read(bag) if m.topic == READING]
    recorded = [codec(Heard).decode(m.payload) for m in read(bag) if m.topic == "versions/heard"]
    ear.raws.clear()
    with hearing(domain, ear, "V2"):
        command = [sys.executable, "-P", "-m", "bus.cli", "bag", "play", str(bag), "--domain", domain.name]
        command += ["--topics", READING, "--rate", "20"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as player:
            until(lambda: len(ear.heard) == len(told), 20)
            assert player.wait(20) == 0
        until(lambda: ear.health is not None and not ear.health.findings, 5)
    assert [(h.number, h.extra) for h in ear.heard] == [(n, "not said") for n in told]
    result = replay(HearsV2, bag, node="hears")
    again = [codec(Heard).decode(d.payload) for d in result.made if d.topic == "versions/heard"]
    # the recorder may end before the last of the trace has come; what it has replays as it was
    assert len(again) > 50
    assert [(h.count, h.number) for h in again] == [(h.count, h.number) for h in recorded[: len(again)]]
    assert {h.extra for h in again} == {"not said"}
