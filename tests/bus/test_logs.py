"""Log files as the guards write them, and reading them across their rotation."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bus.guard import LogFile
from bus.logs import Follower, last_lines


def test_log_files_are_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.guard.LOG_BYTES", 1000)
    log = LogFile(str(tmp_path / "vmc1/core.log"))
    for n in range(100):
        log.write([b"%d" % n * 20])
    names = sorted(p.name for p in (tmp_path / "vmc1").iterdir())
    assert names == ["core.log", "core.log.1", "core.log.2", "core.log.3", "core.log.4"]
    assert all(p.stat().st_size <= 1000 for p in (tmp_path / "vmc1").iterdir())
    assert last_lines(tmp_path / "vmc1/core.log", 1)[0].endswith("99" * 20)
    assert len(last_lines(tmp_path / "vmc1/core.log", 20)) == 20


def test_where_no_new_file_is_to_be_had_the_old_ones_stay_and_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.guard.LOG_BYTES", 1000)
    log = LogFile(str(tmp_path / "core.log"))
    for n in range(60):
        log.write([b"%d" % n * 20])
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def refused(path: str, flags: int, mode: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "open", refused)
        for _ in range(50):
            log.write([b"nobody keeps this" * 5])
    with (tmp_path / "other").open("wb") as other:  # which may have got the number of a file that was closed
        for n in range(60, 99):
            log.write([b"%d" % n * 20])
        other.write(b"mine")
    assert (tmp_path / "other").read_bytes() == b"mine"
    kept = b"".join((tmp_path / f"core.log{n}").read_bytes() for n in (".4", ".3", ".2", ".1", ""))
    assert kept.endswith(b"98" * 20 + b"\n")
    assert before["core.log"].splitlines()[-1] in kept


def test_following_a_log_across_its_rotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.guard.LOG_BYTES", 200)
    path = tmp_path / "a.log"
    log = LogFile(str(path))
    log.write([b"before"])
    follower = Follower(path)
    heard: list[str] = []
    for n in range(20):
        log.write([b"line %d" % n])
        heard += [line[25:] for line in follower.lines()]
    follower.close()
    assert heard == [f"line {n}" for n in range(20)]
