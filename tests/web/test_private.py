"""Private files: whole or not at all, and not for others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from web.private import MAX_BYTES, NotPrivate, kept, read_private, write_private


def test_what_is_written_is_read_and_is_only_ours(tmp_path: Path) -> None:
    path = tmp_path / "web" / "users.json"
    write_private(path, b"one")
    write_private(path, b"two")
    assert read_private(path) == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(path.parent) == ["users.json"]


def test_a_file_that_is_not_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_private(tmp_path / "none")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "users.json"
    write_private(path, b"x")
    path.chmod(mode)
    with pytest.raises(NotPrivate, match="open to other users: chmod 600"):
        read_private(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotPrivate, match="is no file"):
        read_private(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(NotPrivate, match="is no file"):
        read_private(tmp_path / "pipe")


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long"
    write_private(path, b"")
    os.truncate(path, MAX_BYTES + 1)
    with pytest.raises(NotPrivate, match="at most"):
        read_private(path)


def test_a_disk_that_says_no_leaves_what_was(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    write_private(path, b"old")
    (tmp_path / f"users.json.{os.getpid()}.new").mkdir()
    with pytest.raises(NotPrivate, match="cannot be written"):
        write_private(path, b"new")
    assert read_private(path) == b"old"


def test_two_do_not_change_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "web" / "users.json"
    with kept(path), pytest.raises(NotPrivate, match="being changed by another process"), kept(path):
        pytest.fail("both had it")
    with kept(path):
        write_private(path, b"x")
