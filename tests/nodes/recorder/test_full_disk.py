"""A disk that fills while a launch records at 1 kHz, an intervention meanwhile, and room again: real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bus.bag import BagReader
from bus.bag.check import check
from bus.cli import cli
from bus.host import Spec
from bus.node import Node, Raw, publisher
from bus.session import Session
from bus.testing import Domain
from schemas import topics
from schemas.base import Message
from schemas.codec import codec
from schemas.machine import ConditionLevel
from schemas.system import BagSplit, Diagnostics, Finding, LogRecord, LostMessages, RecorderStatus
from tests.bus.bag.test_convert import intervention
from tests.bus.live import node
from tests.bus.namespaces import with_small_disk

LAUNCH = """
from bus.launch import *
def launch(disk: str):
    recorder = dict(directory=f"{disk}/bags", keep_free_mb=0.0, black_box_before_s=2.0, black_box_after_s=0.5)
    yield Process("nodes.recorder", parameters=recorder)
    yield Process("tests.nodes.recorder.test_node:Mill", name="mill", namespace="vmc1", needs=["recorder"])
"""
INTERVENTION = "vmc1/impact/intervention"
HEARD = {"bag/status", "bag/closed", "bag/recovered", "diagnostics", "log"}


class Brain(Node):
    """Intervenes when told to."""

    interventions = publisher(topics.INTERVENTION)

    def intervene(self) -> None:
        self.interventions.publish(intervention())


class Watch:
    """What the recorder says of itself."""

    def __init__(self) -> None:
        self.raws: list[Raw] = []

    def of(self, topic: str, cls: type[Message]) -> list[Message]:
        return [codec(cls).decode(r.payload) for r in self.raws if r.topic == topic and r.payload]

    @property
    def status(self) -> RecorderStatus | None:
        found = self.of("bag/status", RecorderStatus)
        return found[-1] if found and isinstance(found[-1], RecorderStatus) else None

    @property
    def findings(self) -> dict[str, Finding]:
        said = [d for d in self.of("diagnostics", Diagnostics) if isinstance(d, Diagnostics) and d.node == "recorder"]
        return {f.code: f for f in said[-1].findings} if said else {}

    def logged(self, words: str) -> list[str]:
        return [r.text for r in self.of("log", LogRecord) if isinstance(r, LogRecord) and words in r.text]

    @property
    def closed(self) -> list[BagSplit]:
        return [s for t in ("bag/closed", "bag/recovered") for s in self.of(t, BagSplit) if isinstance(s, BagSplit)]


def fill(disk: Path) -> None:
    """Take all the room there is."""
    with contextlib.suppress(OSError), (disk / "ballast").open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def recorded(bags: list[Path]) -> tuple[dict[tuple[str, int], list[int]], list[LostMessages]]:
    """Numbers by topic and publisher, without what heads repeat, and the statements of losses."""
    seen: dict[tuple[str, int], list[int]] = {}
    lost: list[LostMessages] = []
    for path in bags:
        with BagReader(path) as bag:
            for n, m in enumerate(bag.messages()):
                if m.topic == "bag/lost":
                    lost.append(codec(LostMessages).decode(m.payload))
                elif n >= bag.repeated:
                    seen.setdefault((m.topic, m.publisher_id), []).append(m.seq)
    return seen, lost


@pytest.mark.timeout(120)
def test_a_disk_fills_while_recording_and_there_is_room_again(tmp_path: Path, domain: Domain) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "shop.py").write_text(LAUNCH)
    command = [sys.executable, "-P", "-m", "bus.cli", "launch", str(tmp_path / "shop.py"), f"disk:={tmp_path / 'disk'}"]
    watch = Watch()
    with (
        subprocess.Popen(with_small_disk(tmp_path / "disk", command, size_mb=6)) as launch,
        domain.running(Spec(Brain, namespace="vmc1")) as brain,
        Session(domain.name, select=lambda topic, _: topic in HEARD, heard=watch.raws.extend) as session,
    ):
        try:
            assert session.spin(lambda: (s := watch.status) is not None and s.messages > 1500, 30)
            # the disk lives as long as this descriptor, whoever ends
            disk_fd = os.open(f"/proc/{launch.pid}/root{tmp_path / 'disk'}", os.O_RDONLY | os.O_DIRECTORY)
            disk = Path(f"/proc/self/fd/{disk_fd}")

            def is_full() -> bool:
                fill(disk)
                return (s := watch.status) is not None and bool(s.paused)

            assert session.spin(is_full, 20)
            assert session.spin(lambda: "disk_full" in watch.findings, 5)
            assert watch.findings["disk_full"].level is ConditionLevel.FAULT
            assert "No space left on device" in watch.findings["disk_full"].text
            told = CliRunner().invoke(cli, ["ps"]).output
            assert "FAULT recorder: disk_full: nothing is recorded" in told

            brain.hosts[0].submit(node(brain).intervene)

            def black_box_waits() -> bool:
                fill(disk)  # what the recorder closes gives back a little room
                return "black_box_waits" in watch.findings

            assert session.spin(black_box_waits, 10)
            before = watch.status
            assert before is not None
            assert session.spin(lambda: (s := watch.status) is not None and s.messages > before.messages + 3000, 20)
            assert not list((disk / "bags").glob("black_box*"))

            (disk / "ballast").unlink()
            # a slow callback, which a full computer may bring about, is told for a minute
            assert session.spin(lambda: not watch.findings.keys() & {"disk_full", "black_box_waits"}, 10)
            assert session.spin(lambda: any("black_box" in s.path for s in watch.closed), 10)
            again = watch.status
            assert again is not None
            assert session.spin(lambda: (s := watch.status) is not None and s.messages > again.messages + 1000, 10)
            assert watch.status is not None
            assert not watch.status.paused
            launch.send_signal(signal.SIGINT)
            assert session.spin(lambda: launch.poll() is not None, 30)
        finally:
            launch.kill()
    for words in ("nothing is recorded", "is kept in memory", "recording goes on", "that waited for room is written"):
        assert len(watch.logged(words)) == 1, words
    paths = sorted((disk / "bags").glob("*.mcap"))
    for path in paths:
        report = check(path)
        assert report.ok, report.problems
        with BagReader(path) as bag:
            assert bag.finished

    runs = [p for p in paths if "black_box" not in p.name]
    assert len(runs) == 2, "one from before, one from after"
    seen, lost = recorded(runs)
    (samples,) = [numbers for (topic, _), numbers in seen.items() if topic == "vmc1/machine/samples"]
    missing = {n for x in lost if x.topic == "vmc1/machine/samples" for n in range(x.first_seq, x.last_seq + 1)}
    assert len(missing) > 2000
    assert set(samples) | missing == set(range(1, samples[-1] + 1))
    assert not set(samples) & missing
    assert sum(x.last_seq - x.first_seq + 1 for x in lost) == watch.status.lost
    assert {x.reason for x in lost} == {"disk"}

    (box,) = [p for p in paths if "black_box" in p.name]
    inside, _ = recorded([box])
    assert next(numbers for (topic, _), numbers in inside.items() if topic == INTERVENTION) == [1]
    (around,) = [numbers for (topic, _), numbers in inside.items() if topic == "vmc1/machine/samples"]
    assert around == list(range(around[0], around[-1] + 1)), "whole, though the disk was full"
    assert len(around) > 1500
    assert missing.issuperset(around[-100:])
    os.close(disk_fd)
