"""Which directory is chosen, and which is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bus.runtime import BadRuntimeDirectory, DomainFolder, check_private, runtime_root


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RISE_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("bus.runtime.group_of", lambda path: "")


def test_the_order_of_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert runtime_root() == Path(f"/tmp/fanuc-rise-{os.geteuid()}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_root() == tmp_path / "fanuc-rise"
    monkeypatch.setenv("RISE_RUNTIME_DIR", "here")
    assert runtime_root() == Path.cwd() / "here"


@pytest.mark.parametrize("given", ["run/user/1000", "/no/such/folder", "/proc/1/no"])
def test_a_session_directory_that_is_none_is_passed_over(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", given)
    assert runtime_root() == Path(f"/tmp/fanuc-rise-{os.geteuid()}")


def test_what_others_could_have_made_or_may_enter_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o700)
    check_private(mine)
    link = tmp_path / "link"
    link.symlink_to(mine)
    with pytest.raises(BadRuntimeDirectory, match="not a directory of this user: remove it, or set RISE_RUNTIME_DIR"):
        check_private(link)
    mine.chmod(0o755)
    with pytest.raises(BadRuntimeDirectory, match="chmod 700 it"):
        check_private(mine)
    with pytest.raises(BadRuntimeDirectory):
        check_private(Path("/usr") if os.geteuid() else Path("/dev/null"))


def test_what_is_made_is_private(tmp_path: Path) -> None:
    folder = DomainFolder("cell", tmp_path / "a" / "b")
    folder.enter()
    path = Path(folder.socket_path())
    assert path.parent == tmp_path / "a" / "b" / "cell" / "s"
    assert {p.stat().st_mode & 0o777 for p in (folder.root, folder.path, folder.nodes, path.parent)} == {0o700}
    assert folder.file_mode == 0o600
    assert folder.socket_path() != str(path)


def test_group_rise_shares_what_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.runtime.group_of", lambda path: "rise")
    folder = DomainFolder("cell", tmp_path)
    folder.enter()
    assert {p.stat().st_mode & 0o7777 for p in (folder.path, folder.nodes, folder.sockets)} == {0o2770}
    assert folder.file_mode == 0o660


def test_a_path_too_long_for_a_socket_says_what_to_do(tmp_path: Path) -> None:
    room = 107 - len(os.fsencode(tmp_path)) - len("//cell/s/12345678")
    assert len(DomainFolder("cell", tmp_path / ("x" * room)).socket_path()) == 107
    with pytest.raises(BadRuntimeDirectory, match=r"has 108 bytes.*at most 107: set RISE_RUNTIME_DIR"):
        DomainFolder("cell", tmp_path / ("x" * (room + 1))).socket_path()
