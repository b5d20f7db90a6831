"""Closing what a dead recorder left, and never what a living one writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bus.bag import BadBag, BagReader, read
from bus.bag.check import check
from bus.bag.recover import BagInUse, being_written, is_finished, recover
from tests.bus.bag.bags import small


def test_a_bag_cut_anywhere_is_closed_whole(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap", 6, chunk_bytes=300, states=False)
    whole = (tmp_path / "a.mcap").read_bytes()
    target = tmp_path / "cut.mcap"
    for size in (*range(1, 60), *range(60, len(whole), 7)):
        target.write_bytes(whole[:size])
        before = [m[1:] for m in read(target)]
        assert recover(target)
        assert not recover(target)
        with BagReader(target) as bag:
            assert bag.finished
            assert [m[1:] for m in bag.messages()] == before
        assert check(target).problems == [], size


def test_a_bag_being_written_is_left_alone(tmp_path: Path) -> None:
    writer = small(tmp_path / "a.mcap", close=False)
    writer.flush()
    assert being_written(tmp_path / "a.mcap")
    with pytest.raises(BagInUse):
        recover(tmp_path / "a.mcap")
    writer.close()
    assert not being_written(tmp_path / "a.mcap")
    assert is_finished(tmp_path / "a.mcap")


def test_what_is_no_bag_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "zip").write_bytes(b"PK\x03\x04" * 100)
    for name in ("empty", "zip"):
        with pytest.raises(BadBag):
            recover(tmp_path / name)


def test_damage_in_the_middle_is_said_and_nothing_is_changed(tmp_path: Path) -> None:
    writer = small(tmp_path / "a.mcap", 60, close=False)
    writer.flush()
    writer.abandon()
    data = bytearray((tmp_path / "a.mcap").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.mcap").write_bytes(data)
    with pytest.raises(BadBag, match="skip-damaged"):
        recover(tmp_path / "a.mcap")
    assert (tmp_path / "a.mcap").read_bytes() == data


KILLED = """
import sys
from bus.bag import BagWriter
from schemas import topics
from tests.bus.bag.bags import MS, START_NS, Pen, block
writer = BagWriter(sys.argv[1])
pen = Pen(writer)
n = 0
while True:
    for _ in range(500):
        pen.put(topics.SAMPLES, block(START_NS + n * MS, n), START_NS + n * MS)
        n += 1
    writer.sync()
    print(n, flush=True)
"""


def test_kill_9_loses_only_the_open_chunk(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    process = subprocess.Popen([sys.executable, "-P", "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    synced = 0
    for _ in range(7):
        synced = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read()
    process.wait(20)
    process.stdout.close()
    synced = max([synced, *(int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n"))])
    assert [m.seq for m in read(path)][:synced] == list(range(1, synced + 1))
    assert not being_written(path)
    assert recover(path)
    assert check(path).problems == []
