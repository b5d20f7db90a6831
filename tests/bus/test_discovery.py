"""The runtime directory with real processes: births, deaths, races, and what they leave behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.discovery import Appeared, Change, Changed, Directory, Entry, NameTaken, Vanished, domains

NODE = """
import os, sys, time
from pathlib import Path
from bus.discovery import Directory, Entry, NameTaken
directory = Directory("cell", Path(sys.argv[1]))
path = directory.socket_path()
Path(path).touch()
entry = Entry(
    sys.argv[2], pid=os.getpid(), host=os.uname().nodename, publisher_id=int.from_bytes(os.urandom(8), "little"),
    started_ns=time.time_ns(), pub=("ipc://" + path,),
)
try:
    registration = directory.register(entry)
except NameTaken as error:
    print("taken", error, flush=True)
    sys.exit(3)
print("there", flush=True)
sys.stdin.readline()
os.unlink(path)
registration.close()
"""


class Nodes:
    """Starts processes that take a name, and ends them at the end of the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.started: list[subprocess.Popen[str]] = []

    def launch(self, name: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", NODE, str(self.root), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def start(self, name: str) -> subprocess.Popen[str]:
        process = self.launch(name)
        assert said(process) == "there"
        return process


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().split(" ")[0].strip()


def leave(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) == 0


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.wait(10)
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
    assert f"process {process.pid} on {os.uname().nodename} ({sys.executable} -P" in text
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
