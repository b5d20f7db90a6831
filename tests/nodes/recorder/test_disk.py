"""The thread that writes: bounds, what was refused, and an end in time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bus.bag.check import check
from nodes.recorder import disk as module
from nodes.recorder.disk import Disk
from nodes.recorder.recording import Recording
from nodes.recorder.settings import Better, Closed, Settings, Trouble
from schemas import topics
from schemas.machine import ConditionLevel
from tests.bus.bag.bags import MS, START_NS, block
from tests.nodes.recorder.raws import WHO, Voice


def make(folder: Path) -> Disk:
    settings = Settings(folder, keep_free_bytes=0, reduce_idle=False)
    return Disk(lambda emit: Recording(settings, WHO, emit))


def test_what_finds_the_queue_full_is_in_the_bag_as_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MESSAGES", 20)
    disk, voice = make(tmp_path), Voice()
    said = [voice.say(topics.SAMPLES, block(START_NS, n), START_NS + n * MS) for n in range(60)]
    held = threading.Event()
    disk.ask(lambda recording: held.wait(20))
    disk.start()
    taken = [disk.put(said[at : at + 10]) for at in range(0, 50, 10)]
    assert taken == [True, True, False, False, False]
    assert disk.refused == 30
    held.set()
    drained = threading.Event()
    disk.ask(lambda recording: drained.set())
    assert drained.wait(20)
    assert disk.put(said[50:])
    assert disk.end(20)
    (closed,) = [h for h in disk.take() if isinstance(h, Closed)]
    assert (closed.split.lost, closed.split.messages) == (30, 31)
    report = check(closed.split.path)
    assert (report.ok, report.lost, report.lost_recorded) == (True, 30, 30)


def test_everything_reaches_the_disk_without_closing(tmp_path: Path) -> None:
    disk, voice = make(tmp_path), Voice()
    disk.start()
    disk.put([voice.say(topics.SAMPLES, block(START_NS, 0), START_NS)])
    flushed = threading.Event()

    def look(recording: Recording) -> None:
        if recording.tape is not None and recording.tape.writer.messages == 1:
            flushed.set()

    for _ in range(200):
        disk.ask(look)
        if flushed.wait(0.1):
            break
    assert flushed.is_set()
    assert disk.end(20)


def test_standing_trouble_is_told_once_until_it_is_over(tmp_path: Path) -> None:
    disk = make(tmp_path)
    trouble = Trouble("disk_full", ConditionLevel.FAULT, "no room")
    for happened in (trouble, trouble, Better("quota"), Better("disk_full"), Better("disk_full"), trouble):
        disk._emit(happened)
    assert disk.take() == [trouble, Better("disk_full"), trouble]


def test_a_bug_in_the_thread_is_said(tmp_path: Path) -> None:
    disk = make(tmp_path)
    disk.ask(lambda recording: 1 / 0)
    disk.start()
    assert disk.end(20)
    assert disk.failed.startswith("ZeroDivisionError")
    assert [h.code for h in disk.take() if isinstance(h, Trouble)] == ["recorder_failed"]
