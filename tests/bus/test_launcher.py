"""`rise launch` with real nodes on a real bus: what is started, what survives, what is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import pytest
from click.testing import CliRunner

from bus.cli import cli
from bus.guard import SLICE_NS, slice_ns
from bus.node import Raw
from bus.session import Session
from bus.testing import Domain
from bus.usage import children, tree
from schemas import topics
from schemas.codec import codec
from schemas.system import Processes, ProcessState, ProcessStatus, RecorderStatus
from tests.bus.toys.count import Heard

TALK = """
from bus.launch import *
T = "tests.bus.toys.count"
QUICK = Restart(first_s=0.02, longest_s=0.05, most=100)
def launch(mills: int = 1):
    for n in range(1, mills + 1):
        core = [Process(f"{T}:Talker", name="talker"), Process(f"{T}:Listener", name="listener")]
        yield Compose("core", core[:1], namespace=f"vmc{n}", critical="namespace", restart=QUICK)
        yield Process(f"{T}:Listener", name="listener", namespace="watch" if n == 9 else f"far{n}",
                      remappings={"toy/count": f"/vmc{n}/toy/count"})
"""
WITHIN_S = 30.0


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < end, "it never came true"
        signal.sigtimedwait([], 0.01)


class Watched(Session):
    """A session that keeps the newest status and counts."""

    def __init__(self, domain: str) -> None:
        self.status: dict[str, ProcessStatus] = {}
        self.counts: dict[str, Heard] = {}
        super().__init__(
            domain, select=lambda t, _: t == "launch/processes" or t.endswith("toy/heard"), heard=self.heard
        )

    def __enter__(self) -> Self:
        return self

    def heard(self, batch: list[Raw]) -> None:
        for raw in batch:
            if raw.topic.endswith("toy/heard"):
                self.counts[raw.topic] = codec(Heard).decode(raw.payload)
            else:
                self.status = {p.name: p for p in codec(Processes).decode(raw.payload).processes}

    def until(self, condition: Callable[[], bool]) -> None:
        assert self.spin(condition, WITHIN_S), f"it never came true: {self.status} {self.counts}"

    def ready(self, *names: str) -> None:
        self.until(lambda: all(n in self.status and self.status[n].state is ProcessState.READY for n in names))


class Launch:
    """`rise launch` as a process of its own."""

    def __init__(self, folder: Path, text: str, *arguments: str, domain: str = "test") -> None:
        folder.mkdir(exist_ok=True)
        self.file = folder / "launch.py"
        self.file.write_text(textwrap.dedent(text))
        command = [sys.executable, "-P", "-m", "bus.cli", "launch", str(self.file), "--domain", domain, *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines: list[str] = []

    def wait_for(self, word: str) -> str:
        assert self.process.stdout is not None
        while True:
            line = self.process.stdout.readline()
            assert line, f"no {word!r} in {self.lines}"
            self.lines.append(line.rstrip())
            if word in line:
                return line.rstrip()

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        assert self.process.stdout is not None
        if not self.process.stdout.closed:
            self.lines += self.process.stdout.read().splitlines()
            self.process.stdout.close()
        return self.process.wait(WITHIN_S)


@pytest.fixture
def domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Domain]:
    with Domain() as made:
        monkeypatch.setenv("RISE_STATE_DIR", str(tmp_path / "state"))
        yield made


@pytest.fixture
def started() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(stack: ExitStack, *arguments: str, folder: Path, text: str = TALK, domain: str = "test") -> Launch:
    launch = Launch(folder, text, *arguments, domain=domain)
    stack.callback(launch.end)
    return launch


def test_from_ready_to_nothing_left(domain: Domain, tmp_path: Path, started: ExitStack) -> None:
    launch = start(started, folder=tmp_path)
    assert launch.wait_for("ready:").startswith("ready: 2 nodes in ")
    family = tree(launch.process.pid)
    assert len(family) == 1 + 1 + 2 + 2  # launcher, janitor, guards, processes
    assert launch.end() == 0
    assert not any(map(alive, family))
    assert any(line.startswith("ended (SIGINT): 2 processes gone in ") for line in launch.lines)
    assert "vmc1/talker: talking" in (tmp_path / "state/test/logs/vmc1/core.log").read_text()


def started_below(root: Path) -> list[int]:
    """Living processes that were started with this runtime directory."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"RISE_RUNTIME_DIR={root}\0".encode() in (folder / "environ").read_bytes() and alive(int(folder.name)):
                found.append(int(folder.name))
    return found


KILLED_AT: dict[str, Callable[[Launch, Path], object]] = {
    "it is on the bus": lambda launch, root: until(lambda: (root / "test/nodes/launch.lock").exists()),
    "its first guard starts": lambda launch, root: until(lambda: len(children(launch.process.pid)) >= 2),
    "its last guard starts": lambda launch, root: until(lambda: len(children(launch.process.pid)) >= 5),
    "a node speaks": lambda launch, root: launch.wait_for("talking"),
    "a node is on the bus": lambda launch, root: until(lambda: any((root / "test/nodes").glob("*.json"))),
    "all are ready": lambda launch, root: launch.wait_for("ready:"),
} | {
    f"{delay_s:.2f} s": lambda launch, root, delay_s=delay_s: launch.process.wait(delay_s)
    for rng in [random.Random(9)]
    for delay_s in (rng.uniform(0.0, 2.5) for _ in range(8))
}


@pytest.mark.parametrize("when", KILLED_AT)
def test_nothing_is_left_when_the_launcher_is_killed(
    domain: Domain, tmp_path: Path, started: ExitStack, when: str
) -> None:
    launch = start(started, "mills:=2", folder=tmp_path)
    with suppress(subprocess.TimeoutExpired):
        KILLED_AT[when](launch, domain.root)
    launch.process.kill()
    launch.process.wait(WITHIN_S)
    until(lambda: not started_below(domain.root))
    assert list(domain.root.iterdir()) == []


def test_two_domains_side_by_side(domain: Domain, tmp_path: Path, started: ExitStack) -> None:
    one = start(started, folder=tmp_path / "one", domain="one")
    two = start(started, folder=tmp_path / "two", domain="two")
    one.wait_for("ready:")
    two.wait_for("ready:")
    with Watched("one") as first, Watched("two") as second:
        first.ready("vmc1/core")
        second.ready("vmc1/core")
        assert first.status["vmc1/core"].pid != second.status["vmc1/core"].pid
        one.end()
        second.until(lambda: "far1/toy/heard" in second.counts)
        before = second.counts["far1/toy/heard"].received
        second.until(lambda: second.counts["far1/toy/heard"].received > before + 20)
        assert second.counts["far1/toy/heard"].lost == 0


def test_a_domain_is_launched_once(domain: Domain, tmp_path: Path, started: ExitStack) -> None:
    first = start(started, folder=tmp_path / "one")
    first.wait_for("ready:")
    second = start(started, folder=tmp_path / "two")
    assert second.process.wait(WITHIN_S) == 3
    assert "domain 'test' is launched already by process" in second.wait_for("launched")


def test_twenty_deaths_of_one_machine_cost_the_other_no_message(
    domain: Domain, tmp_path: Path, started: ExitStack
) -> None:
    launch = start(started, "mills:=2", folder=tmp_path)
    launch.wait_for("ready:")
    with Watched("test") as session:
        session.ready("vmc1/core", "vmc2/core", "far2/listener")
        session.until(lambda: "far2/toy/heard" in session.counts)
        other = session.status["vmc2/core"].pid
        received = session.counts["far2/toy/heard"].received
        seen = {0}
        for _ in range(20):
            seen.add(session.status["vmc1/core"].pid)
            os.kill(session.status["vmc1/core"].pid, signal.SIGKILL)
            session.until(lambda: session.status["vmc1/core"].pid not in seen)
            session.ready("vmc1/core")
        assert session.status["vmc1/core"].restarts == 20
        assert session.status["vmc2/core"].pid == other
        assert session.status["far1/listener"].restarts == 0
        assert "without an answer" not in (tmp_path / "state/test/logs/launch.log").read_text()
        session.until(lambda: session.counts["far2/toy/heard"].received > received + 100)
        assert (session.counts["far2/toy/heard"].lost, session.counts["far2/toy/heard"].gone) == (0, 0)


def test_a_module_that_hangs_in_its_import(domain: Domain, tmp_path: Path, started: ExitStack) -> None:
    (tmp_path / "stuck.py").write_text(
        "import os, threading\n"
        "from bus import Node\n"
        "class Stuck(Node): ...\n"
        "if 'RISE_LAUNCH_FILE' in os.environ:\n    threading.Event().wait()\n"
    )
    text = """
        from bus.launch import *
        def launch():
            yield Process("stuck.py", ready_timeout_s=4, restart=Restart(first_s=0.01, most=1))
            yield Process("tests.bus.toys.count:Talker", name="talker")
        """
    launch = start(started, folder=tmp_path, text=text)
    assert launch.wait_for("stuck hangs:") == "stuck hangs: not ready after 4 s"
    launch.wait_for('stuck.py", line 5')  # where it stood, by SIGABRT
    assert "restarted 1 times in 60 s" in launch.wait_for("stuck FAILED:")
    with Watched("test") as session:
        session.ready("talker")
        assert session.status["stuck"].state is ProcessState.FAILED
    assert launch.end() == 1
    assert any(line.endswith("; see rise logs stuck --domain test") for line in launch.lines)


def test_mistakes_start_nothing(domain: Domain, tmp_path: Path, started: ExitStack) -> None:
    text = """
        from bus.launch import *
        def launch():
            yield Process("tests.bus.toys.count:Talker", parameters={"stp": 1})
            yield Process("nodes.none_such")
        """
    launch = start(started, "x:=1", folder=tmp_path, text=text)
    assert launch.process.wait(WITHIN_S) == 2
    launch.wait_for("3 errors in")
    assert [line.rpartition("[")[2] for line in launch.lines[:3]] == [
        "unknown-parameter]",
        "module-missing]",
        "unknown-argument]",
    ]
    assert not list(domain.root.rglob("*.json"))


def test_every_thread_of_a_node_is_scheduled_as_it_says(domain: Domain, tmp_path: Path, started: ExitStack) -> None:
    text = """
        from bus.launch import *
        def launch():
            yield Process("tests.bus.toys.count:Talker", name="talker", realtime=5, nice=3, cpus=(0,))
        """
    launch = start(started, folder=tmp_path, text=text)
    launch.wait_for("ready:")
    with Watched("test") as session:
        session.ready("talker")
        status = session.status["talker"]
    threads = [int(thread) for thread in os.listdir(f"/proc/{status.pid}/task")]
    assert len(threads) >= 3  # the node's, and those of libzmq
    fifo = status.scheduling == "CPU 0, nice 3, FIFO 5"
    assert fifo or status.scheduling.startswith("CPU 0, nice 3, slice 0.1 ms (asked for FIFO 5")
    for thread in threads:
        assert os.sched_getaffinity(thread) == {0}
        assert os.sched_getscheduler(thread) == (os.SCHED_FIFO if fifo else os.SCHED_OTHER)
        assert fifo or slice_ns(thread) == SLICE_NS
    assert status.scheduling in CliRunner().invoke(cli, ["ps"]).output


def test_ps_restart_stop_and_logs(domain: Domain, tmp_path: Path, started: ExitStack) -> None:
    launch = start(started, folder=tmp_path)
    launch.wait_for("ready:")

    def rise(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, [*words])
        return result.exit_code, result.output

    def processes() -> dict[str, dict[str, object]]:
        code, text = rise("ps", "--json")
        assert code == 0, text
        return {p["name"]: p for p in json.loads(text)["processes"]}

    assert "vmc1/core" in rise("ps")[1]
    pid = processes()["vmc1/core"]["pid"]
    assert rise("restart", "vmc1/talker") == (0, "restart of vmc1/core\n")
    until(lambda: processes()["vmc1/core"]["pid"] not in (0, pid))
    assert rise("stop", "far1/listener") == (0, "stop of far1/listener\n")
    until(lambda: processes()["far1/listener"]["state"] == "STOPPED")
    code, text = rise("restart", "vmc1/cores")
    assert (code, text) == (1, "Error: no process or node 'vmc1/cores'; did you mean 'vmc1/core'?\n")
    assert "vmc1/talker: talking" in rise("logs", "vmc1")[1]
    lines = [json.loads(line) for line in rise("logs", "vmc1", "--json")[1].splitlines()]
    assert {line["process"] for line in lines} == {"vmc1/core"}
    assert any("vmc1/talker: talking" in line["line"] for line in lines)
    assert rise("logs", "vmc7")[0] == 1
    assert rise("stop", "--all") == (0, "the launch is ending\n")
    assert launch.process.wait(WITHIN_S) == 0
    assert rise("ps") == (1, "Error: nothing is launched in domain 'test'\n")
    assert topics.PROCESSES.name == "/launch/processes"


SLOW = """
import threading
from pathlib import Path
from bus import Node

class Slow(Node):
    def on_shutdown(self) -> None:
        threading.Event().wait(0.5)
        Path(__file__).with_name("written").touch()
"""


def test_a_signal_that_is_heard_twice_is_no_impatience(domain: Domain, tmp_path: Path, started: ExitStack) -> None:
    """`timeout` and a service manager ask the child and its group."""
    (tmp_path / "slow.py").write_text(SLOW)
    text = 'from bus.launch import *\ndef launch():\n    yield Process("slow.py", end_s=20)\n'
    launch = start(started, folder=tmp_path, text=text)
    launch.wait_for("ready:")
    for _ in range(3):
        launch.process.send_signal(signal.SIGTERM)
    assert launch.end() == 0
    assert (tmp_path / "written").exists()
    assert not any("SIGKILL" in line for line in launch.lines)


def test_a_bag_that_a_recorders_death_left_open_is_named_at_the_end(
    domain: Domain, tmp_path: Path, started: ExitStack
) -> None:
    text = f"""
        from bus.launch import *
        def launch():
            yield Process("nodes.recorder", parameters=dict(directory={str(tmp_path / "bags")!r}), restart=None)
            yield Process("tests.bus.toys.count:Talker", name="talker", after=["recorder"])
        """
    launch = start(started, folder=tmp_path, text=text)
    launch.wait_for("ready:")
    told: list[Raw] = []
    with Session("test", select=lambda t, _: t == "bag/status", heard=told.extend) as session, Watched("test") as seen:
        seen.ready("recorder")
        decode = codec(RecorderStatus).decode
        assert session.spin(lambda: sum(bool(decode(r.payload).path) for r in told if r.payload) >= 2, WITHIN_S)
        os.kill(seen.status["recorder"].pid, signal.SIGKILL)
        seen.until(lambda: seen.status["recorder"].state is ProcessState.FAILED)
    launch.end()
    (bag,) = (tmp_path / "bags").glob("*.mcap")
    assert f"bag: {bag} (not closed: `rise bag check --recover` closes it)" in launch.lines
