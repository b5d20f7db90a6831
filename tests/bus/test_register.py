"""Names in the runtime directory: taken by one, given up by the dead, and nothing left of either."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from bus import ofd
from bus.discovery import Appeared, Directory, Entry, NameTaken, Vanished, domains
from schemas.names import BadName
from tests.bus.crowd import REGISTRANT, Nodes, count, leave, left_in, put, said, wait


def test_a_living_name_is_refused_and_says_who_has_it(directory: Directory, nodes: Nodes) -> None:
    process = nodes.start("vmc1/spindle_watch")
    with pytest.raises(NameTaken) as caught:
        directory.register(Entry("vmc1/spindle_watch"))
    text = str(caught.value)
    assert f"process {process.pid} on {os.uname().nodename} ({sys.executable} -P {REGISTRANT}" in text
    assert "rise stop vmc1/spindle_watch" in text
    assert "RISE_DOMAIN" in text
    assert caught.value.holder is not None
    assert process.poll() is None
    assert list(directory.entries()) == ["vmc1/spindle_watch"]


def test_who_leaves_last_removes_the_domain(nodes: Nodes, tmp_path: Path) -> None:
    processes = [nodes.start("core"), nodes.start("core2")]
    with socket.socket(socket.AF_UNIX) as stray:  # of a process that was killed before it had an entry
        stray.bind(str(tmp_path / "cell/s/1f00c0de"))
    (tmp_path / "cell/nodes/.0123456789abcdef").touch()
    leave(processes[0])
    assert list(Directory("cell", tmp_path).entries()) == ["core2"]
    leave(processes[1])
    assert list(tmp_path.iterdir()) == []


def test_what_killed_nodes_leave_goes_with_the_next_look(nodes: Nodes, tmp_path: Path) -> None:
    def come_and_go(root: Path) -> None:
        there = Directory("cell", root)
        there.anchor_ns()
        there.close()

    for look in (domains, lambda root: Directory("cell", root).entries(), come_and_go):
        process = nodes.start("core")
        process.kill()
        process.wait(20)
        assert (tmp_path / "cell/nodes/core.json").exists()
        look(tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_domain_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shop/nodes").mkdir(parents=True)
    (tmp_path / "shop/nodes/.gitignore").touch()
    assert domains(tmp_path) == {"shop": 0}
    assert Directory("shop", tmp_path).entries() == {}
    assert (tmp_path / "shop/nodes/.gitignore").exists()


def test_a_folder_holds_through_comings_and_goings(nodes: Nodes, tmp_path: Path) -> None:
    guests = [nodes.launch("guest", "150") for _ in range(4)]
    assert [guest.communicate(timeout=50)[0] for guest in guests] == ["done\n"] * 4
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_race_for_a_name_one_wins(nodes: Nodes) -> None:
    rivals = [nodes.launch("node", "prize") for _ in range(4)]
    assert sorted(said(r)[0] for r in rivals) == ["taken", "taken", "taken", "there"]


def test_names_and_entries_hold_through_a_storm_of_deaths(nodes: Nodes, tmp_path: Path) -> None:
    rivals = [nodes.launch("rival", "60") for _ in range(4)]
    lines = [line for rival in rivals for line in rival.communicate(timeout=50)[0].splitlines()]
    assert set(lines) == {"won"}
    Directory("cell", tmp_path).entries()
    assert left_in(tmp_path) == []


def test_a_name_can_be_taken_again_after_kill_9(directory: Directory, nodes: Nodes, tmp_path: Path) -> None:
    first = nodes.start("core")
    [born] = wait(directory, count(Appeared, 1))
    first.kill()
    first.wait(20)
    again = nodes.start("core")
    found = wait(directory, count(Appeared, 1))
    assert found[0] == Vanished(born.entry, clean=False)
    assert [c.entry.pid for c in found] == [first.pid, again.pid]
    assert len(left_in(tmp_path)) == 3
    leave(again)
    assert left_in(tmp_path) == []


GARBAGE = [
    (b"", "not JSON"),
    (b"\xff\xfe{", "not JSON"),
    (b'{"version": 99, "name": "odd"}', "newer version (99"),
    (b'{"version": 1, "name": "other"}', "says its name is 'other'"),
    (b"0" * (5 << 20), "longer than 4 MiB"),
]


@pytest.mark.parametrize(("content", "says"), GARBAGE, ids=[says for _, says in GARBAGE])
def test_an_entry_that_cannot_be_read_is_reported_once(directory: Directory, content: bytes, says: str) -> None:
    keeper = ofd.LockFile(directory.path / "nodes" / "odd.lock")
    assert keeper.lock(ofd.EXCLUSIVE, 0)  # alive, or it would be removed
    for _ in range(2):
        put(directory, "odd.json", content)
        assert directory.changes() == []
        assert directory.entries() == {}
    [text] = directory.problems
    assert "nodes/odd.json: " in text
    assert says in text
    keeper.close()
    assert directory.entries() == {}
    assert left_in(directory.root) == []


def test_odd_files_are_no_nodes_and_do_no_harm(directory: Directory, tmp_path: Path) -> None:
    folder = directory.path / "nodes"
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()
    (folder / "link.json").symlink_to("/proc/self/mem")
    put(directory, "dead.json", b"{}")
    put(directory, "x.zz.left", b"")
    directory.sweep()
    assert directory.changes() == []
    assert directory.entries() == {}
    registration = directory.register(Entry("core", pub=("ipc:///etc/hostname", "tcp://127.0.0.1:1", "ipc://")))
    assert list(directory.entries()) == ["core"]
    registration.close()


def test_dead_entries_name_no_file_outside_the_sockets(directory: Directory, tmp_path: Path) -> None:
    precious = tmp_path / "1f00c0de"
    precious.touch()
    put(
        directory,
        "dead.json",
        Entry("dead", pub=(f"ipc://{precious}", f"ipc://{directory.path}/nodes")).to_json().encode(),
    )
    assert directory.entries() == {}
    assert precious.exists()


def test_strays_are_removed_when_a_node_starts(directory: Directory, nodes: Nodes, tmp_path: Path) -> None:
    process = nodes.start("core")
    put(directory, "lone.lock", b"")
    stale = directory.socket_path()
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(stale)
    old = [Path(stale), put(directory, ".0123456789abcdef", b"{"), put(directory, "x.0123456789abcdef.left", b"{}")]
    young = directory.path / "nodes" / ".fedcba9876543210"
    young.touch()
    [living] = [p for p in (directory.path / "s").iterdir() if p != old[0]]
    for path in (*old, living):
        os.utime(path, (0, 0), follow_symlinks=False)
    registration = directory.register(Entry("another"))
    assert sorted(left_in(tmp_path)) == sorted(
        ["another.json", "another.lock", "core.json", "core.lock", young.name, living.name]
    )
    registration.close()
    leave(process)


def test_the_socket_of_a_living_node_is_not_asked(directory: Directory) -> None:
    # its owner would count the question as a connection of a stranger, and report a finding
    with socket.socket(socket.AF_UNIX) as owned:
        path = directory.socket_path()
        owned.bind(path)
        owned.listen()
        owned.setblocking(False)
        os.utime(path, (0, 0), follow_symlinks=False)
        registration = directory.register(Entry("core", rpc=(f"ipc://{path}",)))
        directory.register(Entry("another")).close()
        with pytest.raises(BlockingIOError):
            owned.accept()
        registration.close()


def test_a_stuck_tidier_is_an_error_not_a_hang(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.register.TIDYING_S", 0.05)
    stuck = ofd.LockFile(directory.path / "nodes" / "core.lock")
    assert stuck.lock(ofd.EXCLUSIVE, 1)
    with pytest.raises(TimeoutError, match="SIGSTOP"):
        directory.register(Entry("core"))
    stuck.close()
    directory.register(Entry("core")).close()


@pytest.mark.parametrize("name", ["/core", "Core", "a//b", "", "a.b", "../x"])
def test_a_bad_name_is_refused(directory: Directory, name: str) -> None:
    with pytest.raises(BadName):
        directory.register(Entry(name))
    with pytest.raises(BadName):
        Directory(name or "A", directory.root)


def test_a_registration_stays_itself(directory: Directory) -> None:
    registration = directory.register(Entry("core", publisher_id=1))
    with pytest.raises(ValueError, match="cannot turn into"):
        registration.update(Entry("core", publisher_id=2))
    registration.close()
    with pytest.raises(ValueError, match="has left"):
        registration.update(Entry("core", publisher_id=1))
