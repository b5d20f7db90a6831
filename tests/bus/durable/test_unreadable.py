"""A segment of a log that cannot be read for a while, by real errors of the kernel: nothing is lost, and it is said."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bus.cli.listening import health
from bus.durable.log import Limits, Log
from bus.durable.segments import listed
from bus.durable.syncer import Syncer
from bus.host import Spec
from bus.node import Lost
from bus.testing import Domain
from schemas.machine import ConditionLevel
from tests.bus.durable.live import hears, log_folder, tell
from tests.bus.durable.toys import Reader, Teller
from tests.bus.live import node, until

SMALL = Limits(segment_bytes=2000)


@contextlib.contextmanager
def unreadable(path: Path, put: Callable[[Path], object]) -> Iterator[None]:
    """Something else lies in the file's place."""
    aside = path.with_suffix(".aside")
    path.rename(aside)
    put(path)
    try:
        yield
    finally:
        (path.rmdir if path.is_dir() and not path.is_symlink() else path.unlink)()
        aside.rename(path)


def eio(path: Path) -> None:
    """A process's memory: what no page lies behind cannot be read."""
    path.symlink_to("/proc/self/mem")


FAULTS: dict[str, Callable[[Path], object]] = {"Input/output error": eio, "Is a directory": Path.mkdir}


def opened(folder: Path, **more: int) -> tuple[Log, Syncer]:
    syncer = Syncer()
    return Log(folder, syncer, SMALL, **more), syncer  # type: ignore[arg-type] # keywords of the tests


def fill(log: Log, count: int) -> None:
    for seq in range(log.next_seq, log.next_seq + count):
        assert log.append(seq, seq, b"x" * 100)


@pytest.mark.parametrize("why", FAULTS)
def test_what_lies_before_it_is_read_and_the_rest_when_it_can_be(tmp_path: Path, why: str) -> None:
    log, syncer = opened(tmp_path / "log")
    fill(log, 60)
    second = listed(tmp_path / "log")[1]
    before = second.first_seq - 1
    with unreadable(second.path, FAULTS[why]):
        assert (log.read(1, 60, 10**6)[0], len(log.read(1, 60, 10**6)[1])) == (1, before)
        assert not log.unreadable
        with pytest.raises(OSError, match=why):
            log.read(before + 1, 60, 10**6)
        assert log.unreadable == f"{second.path}: {why}"
        fill(log, 5)
        assert log.read(61, 65, 10**6)[0] == 61
        assert log.unreadable, "another segment does not make it good"
    assert (log.read(before + 1, 65, 10**6)[0], len(log.read(before + 1, 65, 10**6)[1])) == (before + 1, 65 - before)
    assert not log.unreadable
    assert "can be read again: nothing of it is lost" in log.news
    assert log.notes == []
    syncer.stop()
    log.close()


def test_what_the_disk_never_gives_is_given_up_and_told_once(tmp_path: Path) -> None:
    log, syncer = opened(tmp_path / "log", give_up_ns=0)
    fill(log, 60)
    second, third = listed(tmp_path / "log")[1:3]
    with unreadable(second.path, eio):
        for _ in range(3):
            assert log.read(second.first_seq, 60, 10**6)[0] == third.first_seq
        assert not log.unreadable
    with unreadable(second.path, Path.mkdir), pytest.raises(OSError, match=os.strerror(errno.EISDIR)):
        log.read(second.first_seq, 60, 10**6)
    (note,) = log.notes
    assert "Input/output error for 0 s: what is not read of it is lost" in note
    syncer.stop()
    log.close()


@pytest.mark.parametrize("way", ["lane", "zeromq"])
@pytest.mark.parametrize("why", FAULTS)
def test_the_publisher_says_it_and_lives_and_its_consumer_loses_nothing(
    domain: Domain, why: str, way: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RISE_LANES", "1" if way == "lane" else "0")
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 300)
    with domain.running(Spec(Teller)) as teller:
        node(teller).number = 300
        (segment,) = listed(log_folder(domain))
        with unreadable(segment.path, FAULTS[why]), domain.running(Spec(Reader)) as reader:
            until(lambda: "durable_log_unreadable" in teller.hosts[0].findings)
            finding = teller.hosts[0].findings["durable_log_unreadable"]
            assert finding.level is ConditionLevel.FAULT
            assert f"consumers of count/events wait for older events: {segment.path}: {why}" in finding.text
            tell(teller, 100)
            assert node(reader).heard == []
        with domain.running(Spec(Reader)) as reader:
            hears(reader, list(range(1, 401)))
            assert not node(reader).told(Lost)
            until(lambda: not teller.hosts[0].findings)
            tell(teller, 10)
            hears(reader, list(range(1, 411)))
    said = capfd.readouterr().err
    assert said.count("cannot be read") == 1
    assert said.count("can be read again") == 1


def test_a_consumer_that_waits_hears_all_as_soon_as_it_can_be_read(domain: Domain) -> None:
    with domain.running(Spec(Teller)) as teller, domain.running(Spec(Reader)) as reader:
        tell(teller, 300)
        hears(reader, list(range(1, 301)))
    with domain.running(Spec(Teller)) as teller:
        tell(teller, 200)

    def is_told() -> bool:
        said = health(domain.name, ["teller"]).get("teller")
        return said is not None and any(f.code == "durable_log_unreadable" for f in said.findings)

    with domain.process("tests.bus.durable.toys:Teller") as process, ExitStack() as stack:
        (segment,) = listed(log_folder(domain))
        with unreadable(segment.path, eio):
            reader = stack.enter_context(domain.running(Spec(Reader)))
            until(is_told)
            assert node(reader).heard == []
        until(lambda: len(node(reader).heard) == 200)
        assert [s.seq for s in node(reader).sources] == list(range(301, 501))
        assert not node(reader).told(Lost)
        assert process.poll() is None
