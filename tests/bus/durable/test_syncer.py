"""The other thread: everything dirty is synced soon, in groups; nothing is closed under a sync."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from bus.durable.syncer import Syncer
from tests.bus.live import until


def test_what_is_written_is_synced_in_groups(tmp_path: Path) -> None:
    syncer = Syncer(0.02)
    files = [syncer.open(os.open(tmp_path / f"{n}", os.O_RDWR | os.O_CREAT)) for n in range(3)]
    for _ in range(1000):
        for file in files:
            os.write(file.fd, b"x")
            syncer.dirty(file)
    until(lambda: not any(f.dirty for f in files))
    assert syncer.syncs < 600
    assert syncer.stop()
    for file in files:
        os.close(file.fd)


def test_the_thread_begins_with_the_first_that_is_dirty(tmp_path: Path) -> None:
    before = threading.active_count()
    syncer = Syncer()
    file = syncer.open(os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT))
    assert threading.active_count() == before
    syncer.dirty(file)
    assert threading.active_count() == before + 1
    assert syncer.stop()
    assert threading.active_count() == before
    assert not file.dirty
    os.close(file.fd)


def test_a_retired_file_is_synced_and_closed(tmp_path: Path) -> None:
    syncer = Syncer(0.001)
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    syncer.retire(syncer.open(fd))

    def is_closed() -> bool:
        try:
            os.fstat(fd)
        except OSError:
            return True
        return False

    until(is_closed)
    assert syncer.stop()


def test_what_is_written_during_a_sync_and_retired_is_synced_before_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncer, path = Syncer(60), tmp_path / "file"
    file = syncer.open(os.open(path, os.O_RDWR | os.O_CREAT))
    on_disk: list[int] = []

    def disk(fd: int) -> None:
        on_disk.append(os.fstat(fd).st_size)
        if len(on_disk) == 1:  # meanwhile, on the node's thread
            os.write(fd, b"one more")
            syncer.retire(file)

    monkeypatch.setattr(os, "fdatasync", disk)
    file.dirty = True
    syncer.sync()
    syncer.sync()
    assert on_disk == [0, 8]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file.fd)
    assert syncer.stop()


def test_jobs_run_on_the_other_thread_and_may_fail(tmp_path: Path) -> None:
    syncer = Syncer(0.001)
    ran: list[int] = []
    syncer.do(lambda: (tmp_path / "none").unlink())
    syncer.do(lambda: ran.append(threading.get_ident()))
    syncer.sync_directory(tmp_path)
    until(lambda: ran)
    assert ran != [threading.get_ident()]
    assert syncer.stop()
