"""The runtime directory with real processes: births, deaths, races, and what they leave behind."""

from __future__ import annotations

import errno
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus import ofd
from bus.discovery import Appeared, Change, Changed, Directory, Entry, NameTaken, Vanished, domains
from schemas.names import BadName

REGISTRANT = str(Path(__file__).with_name("registrant.py"))


class Nodes:
    """Starts processes that take names, and ends them with the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.started: list[subprocess.Popen[str]] = []

    def launch(self, call: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-P", REGISTRANT, str(self.root), call, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def start(self, name: str) -> subprocess.Popen[str]:
        process = self.launch("node", name)
        assert said(process) == ["there", str(process.pid)]
        return process


def said(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def leave(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(20) == 0


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.wait(20)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    made = Directory("cell", tmp_path)
    made.watch()
    yield made
    made.close()


def wait(directory: Directory, enough: Callable[[list[Change]], bool], timeout_s: float = 20.0) -> list[Change]:
    """Changes as the kernel tells of them, without any sweep, until `enough`."""
    ends = time.monotonic() + timeout_s
    found: list[Change] = []
    while not enough(found):
        left_s = ends - time.monotonic()
        assert left_s > 0, f"only {found}"
        select.select([directory.fileno()], [], [], 0.002 if directory.pending else left_s)
        found += directory.changes()
    return found


def count(kind: type, n: int) -> Callable[[list[Change]], bool]:
    return lambda found: sum(isinstance(c, kind) for c in found) >= n


def left_in(root: Path) -> list[str]:
    return [p.name for folder in ("nodes", "s") for p in (root / "cell" / folder).iterdir()]


def test_birth_and_clean_exit(directory: Directory, nodes: Nodes, tmp_path: Path) -> None:
    process = nodes.start("vmc1/spindle_watch")
    [born] = wait(directory, count(Appeared, 1))
    assert born.entry.name == "vmc1/spindle_watch"
    assert born.entry.pid == process.pid
    assert directory.entries() == {born.entry.name: born.entry}
    leave(process)
    assert wait(directory, count(Vanished, 1)) == [Vanished(born.entry, clean=True)]
    assert left_in(tmp_path) == []


def test_kill_9_is_noticed_without_a_sweep_and_tidied_up(directory: Directory, nodes: Nodes, tmp_path: Path) -> None:
    process = nodes.start("vmc1/spindle_watch")
    [born] = wait(directory, count(Appeared, 1))
    process.kill()
    assert wait(directory, count(Vanished, 1)) == [Vanished(born.entry, clean=False)]
    assert left_in(tmp_path) == []
    assert not directory.pending


def test_a_death_tidied_by_another_watcher_is_still_a_death(directory: Directory, nodes: Nodes) -> None:
    process = nodes.start("vmc1/spindle_watch")
    [born] = wait(directory, count(Appeared, 1))
    process.kill()
    process.wait(10)
    assert Directory("cell", directory.root).entries() == {}
    assert wait(directory, count(Vanished, 1)) == [Vanished(born.entry, clean=False)]


def test_a_stopped_process_lives(directory: Directory, nodes: Nodes) -> None:
    process = nodes.start("vmc1/spindle_watch")
    wait(directory, count(Appeared, 1))
    process.send_signal(signal.SIGSTOP)
    directory.sweep()
    assert directory.changes() == []
    assert list(directory.entries()) == ["vmc1/spindle_watch"]
    process.send_signal(signal.SIGCONT)
    leave(process)


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


def test_update_is_changed_and_another_publisher_is_vanished_then_appeared(directory: Directory) -> None:
    entry = Entry("core", publisher_id=7)
    registration = directory.register(entry)
    assert directory.changes() == [Appeared(entry)]
    ready = Entry("core", publisher_id=7, ready=True)
    registration.update(ready)
    assert directory.changes() == [Changed(ready)]
    registration.close()
    registration.close()
    other = Entry("core", publisher_id=8)
    again = directory.register(other)
    assert directory.changes() == [Vanished(ready, clean=True), Appeared(other)]
    again.close()


def test_domains_count_the_living(nodes: Nodes, tmp_path: Path) -> None:
    Directory("empty", tmp_path).socket_path()
    process = nodes.start("core")
    nodes.start("core2")
    assert domains(tmp_path) == {"cell": 2, "empty": 0}
    leave(process)
    assert domains(tmp_path) == {"cell": 1, "empty": 0}


def test_of_two_that_race_for_a_name_one_wins(nodes: Nodes) -> None:
    rivals = [nodes.launch("node", "prize") for _ in range(4)]
    assert sorted(said(r)[0] for r in rivals) == ["taken", "taken", "taken", "there"]


def test_names_and_entries_hold_through_a_storm_of_deaths(nodes: Nodes, tmp_path: Path) -> None:
    rivals = [nodes.launch("rival", "60") for _ in range(4)]
    lines = [line for rival in rivals for line in rival.communicate(timeout=50)[0].splitlines()]
    assert set(lines) == {"won"}
    Directory("cell", tmp_path).entries()
    assert [name for name in left_in(tmp_path) if not name.endswith(".lock")] == []


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


def test_fifty_processes_come_and_go_and_leave_nothing(directory: Directory, nodes: Nodes, tmp_path: Path) -> None:
    crowd = nodes.launch("crowd", "50")
    born = wait(directory, count(Appeared, 50))
    assert sorted(c.entry.name for c in born) == sorted(f"vmc{n}/core" for n in range(50))
    for c in born[:25]:
        os.kill(c.entry.pid, signal.SIGKILL)
    dead = wait(directory, count(Vanished, 25))
    assert {(c.entry.name, c.clean) for c in dead if isinstance(c, Vanished)} == {
        (c.entry.name, False) for c in born[:25]
    }
    leave(crowd)
    rest = wait(directory, count(Vanished, 25))
    assert all(isinstance(c, Vanished) and c.clean for c in rest)
    assert left_in(tmp_path) == []


def test_a_forked_child_neither_keeps_its_parents_name_nor_gives_it_up(directory: Directory, nodes: Nodes) -> None:
    process = nodes.launch("parent", "core")
    child = dict((said(process), said(process)))["child"]
    try:
        [born] = wait(directory, count(Appeared, 1))
        assert list(directory.entries()) == ["core"]
        process.kill()
        assert wait(directory, count(Vanished, 1)) == [Vanished(born.entry, clean=False)]
        os.kill(int(child), 0)  # it still lives
    finally:
        os.kill(int(child), signal.SIGKILL)


def put(directory: Directory, file: str, content: bytes) -> Path:
    new = directory.path / "nodes" / ".new"
    new.write_bytes(content)
    return new.rename(directory.path / "nodes" / file)


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


def test_an_overflowed_queue_leads_to_a_rescan(directory: Directory) -> None:
    entry = Entry("core", publisher_id=1)
    registration = directory.register(entry)
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    folder = directory.path / "nodes"
    (folder / ".a").touch()
    for n in range(limit // 2 + 1):  # a rename to and fro: one event each, none equal to the one before
        os.rename(folder / f".{'ab'[n % 2]}", folder / f".{'ba'[n % 2]}")
        os.close(os.open(folder / f".{'ba'[n % 2]}", os.O_WRONLY))
    last = Entry("late", publisher_id=2)
    other = directory.register(last)  # its event is lost
    assert directory.changes() == [Appeared(entry), Appeared(last)]
    other.close()
    registration.close()
    assert directory.changes() == [Vanished(entry, clean=True), Vanished(last, clean=True)]


def test_without_inotify_it_says_so_and_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(nonblocking: bool) -> None:  # the limit is per user: using it up would blind every other test and node
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("inotify_simple.INotify", refuse)
    directory = Directory("cell", tmp_path)
    directory.watch()
    assert "max_user_instances" in directory.degraded
    entry = Entry("core", publisher_id=1)
    registration = directory.register(entry)
    assert directory.changes() == []
    directory.sweep()
    assert directory.pending
    assert directory.changes() == [Appeared(entry)]
    ready = Entry("core", publisher_id=1, ready=True)
    registration.update(ready)
    directory.sweep()
    assert directory.changes() == [Changed(ready)]
    directory.sweep()
    assert not directory.pending
    registration.close()
    directory.sweep()
    assert directory.changes() == [Vanished(ready, clean=False)]
    assert select.select([directory.fileno()], [], [], 0)[0] == []
    directory.close()


def test_a_removed_directory_is_noticed_and_made_anew(directory: Directory) -> None:
    entry = Entry("core", publisher_id=1)
    registration = directory.register(entry)
    assert directory.changes() == [Appeared(entry)]
    shutil.rmtree(directory.path)
    assert not registration.intact
    directory.sweep()
    assert directory.changes() == [Vanished(entry, clean=False)]
    assert "was removed" in directory.degraded
    again = Directory("cell", directory.root).register(entry)
    registration.update(entry)
    registration.close()  # touches nothing of the new one's
    directory.sweep()
    assert directory.changes() == [Appeared(entry)]
    again.close()


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


def test_an_empty_domain_names_the_others(directory: Directory, tmp_path: Path) -> None:
    assert "Nor in another" in directory.nobody()
    registration = Directory("vmc_cell", tmp_path).register(Entry("core"))
    assert "Others have: vmc_cell (1 node); choose with --domain or RISE_DOMAIN" in directory.nobody()
    assert not (tmp_path / "typo").exists()
    assert Directory("typo", tmp_path).entries() == {}
    assert not (tmp_path / "typo").exists()
    registration.close()


def test_the_anchor_is_shared_by_a_domain_and_kept_in_use(directory: Directory) -> None:
    other = Directory("cell", directory.root)
    assert other.anchor_ns() == directory.anchor_ns() == directory.anchor_ns()
    other.close()


def test_listing_a_graph_loads_neither_numpy_nor_pydantic_nor_zmq() -> None:
    code = "import sys, bus.discovery; print([m for m in ('numpy', 'pydantic', 'zmq', 'asyncio') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-P", "-c", code], text=True) == "[]\n"
