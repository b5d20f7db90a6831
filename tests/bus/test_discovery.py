"""The runtime directory with real processes: births, deaths, and whoever watches them."""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus.discovery import Appeared, Changed, Directory, Entry, Vanished, domains
from bus.node import Raw
from bus.testing import Domain
from schemas.codec import codec
from schemas.system import Diagnostics
from tests.bus.crowd import Nodes, count, leave, left_in, said, wait
from tests.bus.namespaces import own_pids, without_inotify
from tests.bus.toys.count import Heard


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
    looker = Directory("empty", tmp_path)
    looker.watch()
    process = nodes.start("core")
    nodes.start("core2")
    assert domains(tmp_path) == {"cell": 2, "empty": 0}
    leave(process)
    assert domains(tmp_path) == {"cell": 1, "empty": 0}
    looker.close()
    assert domains(tmp_path) == {"cell": 1}


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


def test_two_hundred_nodes_come_and_go_while_two_talk(domain: Domain) -> None:
    heard: list[Heard] = []

    def hear(batch: list[Raw]) -> None:
        heard.extend(codec(Heard).decode(raw.payload) for raw in batch if not raw.lost_first)

    toys = "tests.bus.toys.count"
    command = [sys.executable, "-P", "-m", "tests.bus.visitors", "200", "20", "1"]
    with (
        domain.process(f"{toys}:Talker", "--name", "talker") as talker,
        domain.process(f"{toys}:Listener", "--name", "listener") as listener,
    ):
        with domain.session(select=lambda topic, _: topic == "toy/heard", heard=hear) as session:
            with subprocess.Popen(command) as visitors:
                assert session.spin(lambda: visitors.poll() is not None, 50.0)
            assert visitors.returncode == 0
            before = heard[-1].received
            assert session.spin(lambda: heard[-1].received > before + 20, 20.0)
            assert {(h.lost, h.gone) for h in heard} == {(0, 0)}
            assert sorted(session.directory.entries()) == sorted(["listener", "talker", session.executor.hosts[0].name])
            sockets = {Path(e).name for entry in session.directory.entries().values() for e in (*entry.pub, *entry.rpc)}
            assert {path.name for path in (domain.root / domain.name / "s").iterdir()} == sockets
        for process in (listener, talker):
            process.terminate()
            assert process.wait(20) == 0
    assert list(domain.root.iterdir()) == []


def test_a_node_without_inotify_says_so_and_finds_the_others_all_the_same(domain: Domain) -> None:
    heard: list[Heard] = []
    told: set[str] = set()

    def hear(batch: list[Raw]) -> None:
        for raw in batch:
            if raw.topic == "toy/heard":
                heard.append(codec(Heard).decode(raw.payload))
            elif (said := codec(Diagnostics).decode(raw.payload)).node == "listener":
                told.update(f"{f.level.value} {f.code}: {f.text}" for f in said.findings)

    toys = "tests.bus.toys.count"
    command = without_inotify([sys.executable, "-P", "-m", "bus.run", f"{toys}:Listener", "--name", "listener"])
    with (
        domain.session(select=lambda topic, _: topic in ("toy/heard", "diagnostics"), heard=hear) as session,
        subprocess.Popen(command, stderr=subprocess.PIPE) as listener,
    ):
        try:
            assert session.spin(lambda: bool(told), 20.0)
            (text,) = told
            assert text.startswith("WARNING no_inotify: no inotify watch to be had (Too many open files)")
            assert "max_user_instances" in text
            with domain.process(f"{toys}:Talker", "--name", "talker"):  # which it can only find by looking
                assert session.spin(lambda: bool(heard) and heard[-1].received > 20, 20.0)
            assert session.spin(lambda: heard[-1].gone == 1, 20.0)
            doctor = [*without_inotify([]), sys.executable, "-P", "-m", "bus.rise", "doctor", "--json"]
            done = subprocess.run(doctor, capture_output=True, text=True, check=False)
            checks = {(c["id"], c["level"]): c for c in json.loads(done.stdout)}
            assert "listener: no_inotify" in checks["nodes", "warning"]["text"]
            assert "sysctl fs.inotify.max_user_instances" in checks["inotify", "error"]["advice"]
            assert done.returncode == 1
        finally:
            listener.terminate()
            assert listener.stderr is not None
            assert b"Traceback" not in listener.stderr.read()
    assert listener.returncode == 0


@contextmanager
def container(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node as process 1 of a pid namespace; killed when the block ends."""
    with subprocess.Popen(own_pids([sys.executable, "-P", "-m", "bus.run", *arguments])) as process:
        try:
            yield process
        finally:
            process.kill()


def test_two_pid_namespaces_share_a_domain(domain: Domain) -> None:
    heard: list[Heard] = []

    def hear(batch: list[Raw]) -> None:
        heard.extend(codec(Heard).decode(raw.payload) for raw in batch if not raw.lost_first)

    toys = "tests.bus.toys.count"
    prize = (f"{toys}:Talker", "--name", "prize")
    with (
        domain.session(select=lambda topic, _: topic == "toy/heard", heard=hear) as session,
        container(f"{toys}:Listener", "--name", "listener"),
    ):
        for life in range(2):
            before = heard[-1].received if heard else 0
            with container(*prize):  # killed at the end
                assert session.spin(lambda n=before: bool(heard) and heard[-1].received > n + 20, 30.0)  # type: ignore[misc] # a default binds the value of the loop
                for command in (own_pids([]), []):
                    run = [*command, sys.executable, "-P", "-m", "bus.run", *prize]
                    refused = subprocess.run(run, capture_output=True, text=True, check=False)
                    assert refused.returncode == 3
                    holder = f"by process 1 on {os.uname().nodename} in another container ({toys}:Talker), since"
                    assert holder in refused.stderr
                    assert "`kill" not in refused.stderr
                looking = [*own_pids([]), sys.executable, "-P", "-m", "bus.rise", "node", "list", "--json"]
                rows = json.loads(subprocess.run(looking, capture_output=True, text=True, check=True).stdout)
                assert [(r["name"], r["pid"], r["here"]) for r in rows] == [("listener", 1, False), ("prize", 1, False)]
                assert "prize" in session.executor.peers.entries
            assert session.spin(lambda: "prize" not in session.executor.peers.entries, 20.0)
            assert session.spin(lambda n=life: heard[-1].gone == n + 1, 20.0)  # type: ignore[misc] # a default binds the value of the loop
            assert heard[-1].lost == 0
