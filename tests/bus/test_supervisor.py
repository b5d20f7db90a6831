"""Real processes under real guards: started, watched, brought back, and ended without a trace."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.child import Event, Job
from bus.launch import Restart, Settings
from bus.supervisor import Supervisor
from bus.usage import tree
from schemas.system import ProcessState

TOY = Path(__file__).parent / "toys/process.py"
QUICK = Restart(first_s=0.05, longest_s=0.1, most=50)
WITHIN_S = 20.0


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(condition: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    """Look again and again; the deadline is for a broken program, not a measurement."""
    end = time.monotonic() + within_s
    pause = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        while not condition():
            assert time.monotonic() < end, "it never came true"
            signal.sigtimedwait([], 0.01)
    finally:
        os.close(pause)


class Bench:
    """A supervisor of toys and what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.supervisor: Supervisor | None = None

    def job(
        self, name: str, how: str, needs: tuple[str, ...] = (), after: tuple[str, ...] = (), **settings: object
    ) -> Job:
        made = Settings(**{"restart": QUICK, **settings})  # type: ignore[arg-type] # keywords of every type
        namespace = name.rpartition("/")[0]
        command = [sys.executable, "-I", "-S", str(TOY), how]
        return Job(name, command, made, self.folder / f"{name}.log", namespace, needs=needs, after=after)

    def start(self, *jobs: Job, kept: tuple[int, ...] = ()) -> Supervisor:
        self.supervisor = Supervisor(
            jobs, environment={**os.environ, "RISE_DOMAIN": "cellb"}, on_event=self.events.append, kept=kept,
            rng=random.Random(1),
        )  # fmt: skip
        return self.supervisor

    def until(self, condition: Callable[[], bool]) -> None:
        assert self.supervisor is not None
        end = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < end, f"it never came true; {self.events}"
            self.supervisor.step(0.05)

    def state(self, name: str) -> ProcessState:
        assert self.supervisor is not None
        return self.supervisor.children[name].state

    def pid(self, name: str) -> int:
        assert self.supervisor is not None
        return self.supervisor.children[name].pid

    def ready(self, *names: str) -> None:
        self.until(lambda: all(self.state(n) is ProcessState.READY for n in names))

    def kinds(self, name: str) -> list[str]:
        return [e.kind for e in self.events if e.process == name and e.kind != "line"]

    def end(self) -> float:
        """Seconds until everything is gone."""
        assert self.supervisor is not None
        self.supervisor.end("the test is over")
        since = time.monotonic()
        self.until(lambda: not self.supervisor.step(0.05))  # type: ignore[union-attr] # asserted above
        return time.monotonic() - since


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    if made.supervisor is not None:
        made.supervisor.close()


def test_needs_are_ready_first_and_end_last(bench: Bench) -> None:
    bench.start(bench.job("b", "good", needs=("a",)), bench.job("a", "good"))
    bench.ready("a", "b")
    kinds = [(e.kind, e.process) for e in bench.events if e.kind in ("started", "ready", "all_ready")]
    assert kinds == [("started", "a"), ("ready", "a"), ("started", "b"), ("ready", "b"), ("all_ready", "")]
    bench.end()
    assert [(e.process, e.text) for e in bench.events if e.kind == "ended"] == [("b", "exit 0"), ("a", "exit 0")]


def test_after_is_only_an_order(bench: Bench) -> None:
    once = Restart(first_s=0.01, most=1)
    bench.start(
        bench.job("c", "good", after=("b", "a")),
        bench.job("b", "crash", after=("a",), restart=once),
        bench.job("a", "good"),
    )
    bench.ready("a", "c")
    bench.until(lambda: bench.state("b") is ProcessState.FAILED)
    started = [e.process for e in bench.events if e.kind == "started"]
    assert [started.index(n) for n in "abc"] == sorted(started.index(n) for n in "abc")
    bench.end()
    assert [e.process for e in bench.events if e.kind == "ended"][-2:] == ["c", "a"]


def test_the_terminal_is_taken_last(bench: Bench) -> None:
    bench.start(bench.job("a", "good", terminal=True), bench.job("b", "good"))
    bench.ready("a", "b")
    kinds = [(e.kind, e.process) for e in bench.events if e.kind in ("started", "all_ready")]
    assert kinds == [("started", "b"), ("all_ready", ""), ("started", "a")]


def test_output_is_logged_with_time_and_told(bench: Bench) -> None:
    bench.start(bench.job("vmc1/a", "good"))
    bench.ready("vmc1/a")
    bench.end()
    (first, last) = (bench.folder / "vmc1/a.log").read_text().splitlines()
    assert first.endswith(f"Z good {bench.pid('vmc1/a')}")
    assert last.endswith("Z asked to end")
    assert [e.text for e in bench.events if e.kind == "line"] == [f"good {bench.pid('vmc1/a')}", "asked to end"]


def test_a_launcher_that_does_not_listen_blocks_nobody(bench: Bench) -> None:
    supervisor = bench.start(bench.job("a", "chatty"))
    supervisor.step(0.0)
    log = bench.folder / "a.log"
    until(lambda: log.exists() and log.read_text().endswith("said\n"))  # no step meanwhile
    lines = [line[25:] for line in log.read_text().splitlines()]
    assert lines[1:3001] == [f"line {n} {'x' * 90}" for n in range(3000)]
    assert [len(line) for line in lines[3001:-1]] == [3500, 3500, 3000]  # a long line is cut, not lost
    bench.ready("a")
    told = [e.text for e in bench.events if e.kind == "line"]
    assert len(told) < 3000
    bench.end()


def test_who_did_not_answer_is_named(bench: Bench) -> None:
    bench.start(bench.job("a", "lonely"))
    bench.ready("a")
    assert Event("ready", "a", "without an answer of vmc1/other") in bench.events


def test_a_killed_process_comes_back(bench: Bench) -> None:
    bench.start(bench.job("a", "good"), bench.job("b", "good"))
    bench.ready("a", "b")
    first, other = bench.pid("a"), bench.pid("b")
    os.kill(first, signal.SIGKILL)
    bench.until(lambda: bench.state("a") is ProcessState.READY and bench.pid("a") != first)
    assert bench.kinds("a") == ["started", "ready", "died", "started", "ready"]
    assert bench.supervisor is not None
    assert bench.supervisor.children["a"].last_exit == "SIGKILL"
    assert bench.pid("b") == other


def test_descendants_go_with_their_process(bench: Bench) -> None:
    bench.start(bench.job("a", "parent", restart=None))
    bench.until(lambda: sum(e.text.startswith("child ") for e in bench.events) == 2)
    guard = bench.supervisor.children["a"].guard  # type: ignore[union-attr] # started above
    assert guard is not None
    family = tree(guard.pid)
    assert len(family) == 4
    os.kill(bench.pid("a"), signal.SIGKILL)
    bench.until(lambda: bench.state("a") is ProcessState.FAILED)
    assert not any(map(alive, family))


def test_what_guards_keep_ends_with_the_last_of_their_processes(bench: Bench) -> None:
    end, kept = os.pipe()
    os.set_blocking(end, False)
    supervisor = bench.start(bench.job("a", "parent"), bench.job("b", "good"), kept=(kept,))
    bench.until(lambda: sum(e.text.startswith("child ") for e in bench.events) == 2)
    bench.ready("a", "b")
    os.close(kept)
    supervisor.ask("stop", "a")
    bench.until(lambda: bench.state("a") is ProcessState.STOPPED)
    with pytest.raises(BlockingIOError):
        os.read(end, 1)
    guard = supervisor.children["b"].guard
    assert guard is not None
    os.kill(guard.pid, signal.SIGSTOP)
    os.kill(bench.pid("b"), signal.SIGKILL)
    with pytest.raises(BlockingIOError):
        os.read(end, 1)
    os.kill(guard.pid, signal.SIGCONT)
    supervisor.ask("stop", "b")
    bench.until(lambda: bench.state("b") is ProcessState.STOPPED)
    assert os.read(end, 1) == b""
    os.close(end)


def test_a_killed_grandchild_harms_nobody(bench: Bench) -> None:
    bench.start(bench.job("a", "parent"))
    bench.until(lambda: sum(e.text.startswith("child ") for e in bench.events) == 2)
    pids = [int(e.text.split()[1]) for e in bench.events if e.text.startswith("child ")]
    os.kill(pids[0], signal.SIGKILL)
    bench.until(lambda: not alive(pids[0]))
    bench.ready("a")
    assert bench.kinds("a") == ["started", "ready"]
    bench.end()
    assert not any(map(alive, pids))


def test_nothing_is_left_of_a_process_whose_guard_is_killed(bench: Bench) -> None:
    bench.start(bench.job("a", "parent", restart=None))
    bench.until(lambda: sum(e.text.startswith("child ") for e in bench.events) == 2)
    guard = bench.supervisor.children["a"].guard  # type: ignore[union-attr] # started above
    assert guard is not None
    family = tree(guard.pid)
    os.kill(guard.pid, signal.SIGKILL)
    bench.until(lambda: bench.state("a") is ProcessState.FAILED)
    assert not any(map(alive, family))


def test_a_crash_loop_backs_off_and_ends(bench: Bench) -> None:
    bench.start(bench.job("a", "crash", restart=Restart(first_s=0.01, longest_s=0.05, most=4)), bench.job("b", "good"))
    bench.until(lambda: bench.state("a") is ProcessState.FAILED)
    bench.ready("b")
    assert bench.kinds("a") == ["started", "died"] * 5 + ["failed"]
    (failed,) = (e for e in bench.events if e.kind == "failed")
    assert failed.text == "restarted 4 times in 60 s, last exit 3; `rise restart a --domain cellb` tries again"
    assert bench.supervisor is not None
    bench.supervisor.ask("restart", "a")
    bench.until(lambda: bench.kinds("a").count("started") > 5)


def test_a_hang_before_ready_is_killed(bench: Bench) -> None:
    bench.start(bench.job("a", "silent", ready_timeout_s=0.3, restart=Restart(first_s=0.01, most=1)))
    bench.until(lambda: bench.state("a") is ProcessState.FAILED)
    assert bench.kinds("a") == ["started", "hung", "died", "started", "hung", "died", "failed"]
    assert next(e.text for e in bench.events if e.kind == "died") == "not ready after 0.3 s: killed"


def test_before_it_is_ready_a_process_is_asked_by_term(bench: Bench) -> None:
    bench.start(bench.job("a", "silent"))  # Python answers INT with a traceback as long as it loads modules
    bench.until(lambda: any(e.kind == "line" for e in bench.events))
    bench.end()
    assert [e.text for e in bench.events if e.kind == "ended"] == ["SIGTERM"]


@pytest.mark.parametrize("how", ["stopped", "mute"])
def test_a_hang_later_is_killed(bench: Bench, how: str) -> None:
    bench.start(bench.job("a", "mute" if how == "mute" else "good", hang_s=0.5))
    bench.ready("a")
    first = bench.pid("a")
    if how == "stopped":
        os.kill(first, signal.SIGSTOP)
    bench.until(lambda: bench.state("a") is ProcessState.READY and bench.pid("a") != first)
    assert bench.kinds("a")[:4] == ["started", "ready", "hung", "died"]
    assert not alive(first)


@pytest.mark.parametrize("how", ["hang", "end", "kill", "close"])
def test_a_guard_that_is_stopped_keeps_nobody_waiting(bench: Bench, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """SIGSTOP to the whole group of a process: neither hears, the one for the signal, the other for the pipe."""
    monkeypatch.setattr("bus.supervisor.GUARD_S", 0.2)
    hang_s, end_s = 0.5 if how == "hang" else WITHIN_S, 0.2 if how == "end" else WITHIN_S
    supervisor = bench.start(bench.job("a", "parent", hang_s=hang_s, end_s=end_s))
    bench.until(lambda: sum(e.text.startswith("child ") for e in bench.events) == 2)
    bench.ready("a")
    first, guard = bench.pid("a"), supervisor.children["a"].guard
    assert guard is not None
    family = tree(guard.pid)
    for pid in (guard.pid, first):
        os.kill(pid, signal.SIGSTOP)
    if how == "hang":
        bench.until(lambda: bench.state("a") is ProcessState.READY and bench.pid("a") != first)
    elif how == "close":
        supervisor.close()
        bench.supervisor = None
    else:
        supervisor.ask("end", "the test is over")
        if how == "kill":  # Ctrl-C once more
            supervisor.ask("kill", "")
        bench.until(lambda: not supervisor.step(0.05))
    until(lambda: not any(map(alive, family)))


def test_a_deaf_process_is_killed_in_time(bench: Bench) -> None:
    bench.start(bench.job("a", "deaf", end_s=0.5), bench.job("b", "good"))
    bench.ready("a", "b")
    bench.end()
    assert [(e.process, e.text) for e in bench.events if e.kind == "ended"] == [("b", "exit 0"), ("a", "SIGKILL")]


def test_the_time_to_end_begins_when_a_process_is_asked(bench: Bench) -> None:
    """A recorder that a deaf node needs still finishes its bag."""
    bench.start(bench.job("a", "deaf", needs=("b",), end_s=0.5), bench.job("b", "slow", end_s=WITHIN_S))
    bench.ready("a", "b")
    bench.end()
    assert [(e.process, e.text) for e in bench.events if e.kind == "ended"] == [("a", "SIGKILL"), ("b", "exit 0")]


def test_a_critical_process_takes_its_machine_along_and_no_other(bench: Bench) -> None:
    bench.start(
        bench.job("vmc1/hal", "good"),
        bench.job("vmc1/core", "good", needs=("vmc1/hal",), critical="namespace"),
        bench.job("vmc2/core", "good", critical="namespace"),
        bench.job("web", "good"),
    )
    names = ("vmc1/hal", "vmc1/core", "vmc2/core", "web")
    bench.ready(*names)
    before = {n: bench.pid(n) for n in names}
    os.kill(before["vmc1/core"], signal.SIGKILL)
    bench.until(lambda: all(bench.pid(n) != before[n] for n in names[:2]))
    bench.ready(*names)
    assert {n: bench.pid(n) for n in names[2:]} == {n: before[n] for n in names[2:]}
    order = [e.process for e in bench.events if e.kind == "started"][-2:]
    assert order == ["vmc1/hal", "vmc1/core"]
    assert bench.kinds("vmc2/core") == ["started", "ready"]


def test_twenty_deaths_of_one_machine_leave_the_other_alone(bench: Bench) -> None:
    bench.start(*(bench.job(f"{m}/core", "good", critical="namespace") for m in ("vmc1", "vmc2")))
    bench.ready("vmc1/core", "vmc2/core")
    other = bench.pid("vmc2/core")
    for _ in range(20):
        pid = bench.pid("vmc1/core")
        os.kill(pid, signal.SIGKILL)
        bench.until(lambda pid=pid: bench.pid("vmc1/core") != pid and bench.state("vmc1/core") is ProcessState.READY)  # type: ignore[misc] # a default binds the loop's value
    assert bench.pid("vmc2/core") == other
    assert bench.kinds("vmc2/core") == ["started", "ready"]


def test_stop_and_restart_on_request(bench: Bench) -> None:
    supervisor = bench.start(bench.job("a", "good"))
    bench.ready("a")
    first = bench.pid("a")
    supervisor.ask("restart", "a")
    bench.until(lambda: bench.state("a") is ProcessState.READY and bench.pid("a") != first)
    supervisor.ask("stop", "a")
    bench.until(lambda: bench.state("a") is ProcessState.STOPPED)
    supervisor.ask("restart", "a")
    bench.ready("a")
    assert supervisor.children["a"].restarts == 0


def test_a_process_that_finishes_is_not_restarted_and_may_end_the_launch(bench: Bench) -> None:
    bench.start(bench.job("a", "finish"), bench.job("b", "good", needs=("a",)))
    bench.until(lambda: bench.state("a") is ProcessState.STOPPED)
    bench.ready("b")
    bench.end()
    again = Bench(bench.folder)
    supervisor = again.start(again.job("a", "finish", ends_launch=True), again.job("b", "good"))
    again.until(lambda: not supervisor.step(0.05))
    assert supervisor.ending == "a has finished"
    supervisor.close()


def test_a_missing_program_is_told(bench: Bench) -> None:
    job = Job("a", ["/no/such/program"], Settings(restart=None), bench.folder / "a.log")
    bench.start(job)
    bench.until(lambda: bench.state("a") is ProcessState.FAILED)
    assert Event("line", "a", "cannot start /no/such/program: No such file or directory") in bench.events


def test_scheduling_is_told(bench: Bench) -> None:
    supervisor = bench.start(bench.job("a", "good", nice=5, cpus=(0,)), bench.job("b", "good"))
    bench.ready("a", "b")
    assert [supervisor.children[n].scheduling for n in "ab"] == ["CPU 0, nice 5", ""]


def test_a_stopped_launcher_is_nobodys_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = bench.start(bench.job("a", "good", hang_s=1.0))
    bench.ready("a")
    pid = bench.pid("a")
    for later_s in (100.0, 200.0):
        true = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda at=true + later_s: at)
        supervisor.step(0.0)
        monkeypatch.undo()
    assert bench.pid("a") == pid
    assert "hung" not in bench.kinds("a")


LAUNCHER = """
import sys, os
sys.path.insert(0, {root!r})
from pathlib import Path
from bus.launch import Settings
from bus.child import Job
from bus.supervisor import Supervisor
jobs = [Job(str(n), [sys.executable, "-I", "-S", {toy!r}, how], Settings(), Path({folder!r}) / f"{{n}}.log")
        for n, how in enumerate(("good", "parent", "deaf"))]
def told(event):
    if event.kind in ("all_ready", "line"):
        print(event.kind, event.text, flush=True)
supervisor = Supervisor(jobs, environment=dict(os.environ), on_event=told)
while supervisor.step(): pass
"""


def test_nothing_is_left_when_the_launcher_is_killed(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    program = LAUNCHER.format(root=root, toy=str(TOY), folder=str(tmp_path))
    launcher = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    lines: list[str] = []
    while not (sum("child" in line for line in lines) == 2 and any("all_ready" in line for line in lines)):
        line = launcher.stdout.readline()
        assert line, lines
        lines.append(line)
    family = tree(launcher.pid)
    assert len(family) == 1 + 3 + 3 + 2
    launcher.kill()
    launcher.wait()
    launcher.stdout.close()
    until(lambda: not any(map(alive, family)))
    assert (tmp_path / "0.log").read_text().splitlines()[-1].endswith("asked to end")  # asked before it was killed


def test_a_word_that_is_none_ends_no_launch(bench: Bench) -> None:
    """A process may write anything into the pipe by which it says that it is ready."""
    supervisor = bench.start(bench.job("odd", "odd"))
    bench.until(lambda: bench.state("odd") is ProcessState.READY)
    child = supervisor.children["odd"]
    assert alive(child.pid)
    supervisor.ask("stop", "odd")
    bench.until(lambda: bench.state("odd") is ProcessState.STOPPED)
