"""A guard by itself: how its process is scheduled, read back from the kernel. The rest: test_supervisor.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bus.guard import SLICE_NS, slice_ns
from bus.supervisor import GUARD
from tests.bus.namespaces import without_rights

TOY = Path(__file__).parent / "toys/process.py"
FIFO_5 = ("5", "0", "")


@contextmanager
def scheduled(log: Path, numbers: Sequence[str], wrapper: Sequence[str] = ()) -> Iterator[tuple[int, str]]:
    """A process under a guard that was asked for REALTIME NICE CPUS: its pid, and what it says that it got."""
    command = [*wrapper, sys.executable, "-I", "-S", str(GUARD), "a", str(log / "a.log"), "", *numbers]
    command += [sys.executable, "-I", "-S", str(TOY), "good"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as guard:
        assert guard.stdout is not None
        assert guard.stdin is not None
        said: dict[str, str] = {}
        while "READY" not in said:
            line = guard.stdout.readline()
            assert line, said
            word, _, text = line.rstrip("\n").partition(" ")
            said[word] = text
        yield int(said["PID"]), said.get("SCHED", "")
        guard.stdin.close()


def may_use_fifo() -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
        finally:
            os._exit(os.sched_getscheduler(0))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == os.SCHED_FIFO


def test_nothing_asked_for_is_nothing_said(tmp_path: Path) -> None:
    with scheduled(tmp_path, ("0", "0", "")) as (pid, said):
        assert said == ""
        assert os.sched_getscheduler(pid) == os.SCHED_OTHER
        assert os.sched_getaffinity(pid) == os.sched_getaffinity(0)


def test_cpus_and_nice(tmp_path: Path) -> None:
    cpu = max(os.sched_getaffinity(0))
    with scheduled(tmp_path, ("0", "7", str(cpu))) as (pid, said):
        assert said == f"CPU {cpu}, nice 7"
        assert os.sched_getaffinity(pid) == {cpu}
        assert os.getpriority(os.PRIO_PROCESS, pid) == 7
        group = Path(f"/proc/{pid}/autogroup")  # where the kernel has them, nice alone counts inside the session only
        assert not group.exists() or group.read_text().split()[-2:] == ["nice", "7"]


def test_a_cpu_that_is_not_there(tmp_path: Path) -> None:
    cpu, all_of_them = min(os.sched_getaffinity(0)), ",".join(map(str, sorted(os.sched_getaffinity(0))))
    with scheduled(tmp_path, ("0", "0", "4000")) as (_, said):
        assert said == f"CPU {all_of_them} (asked for 4000: Invalid argument)"
    with scheduled(tmp_path, ("0", "0", f"{cpu},4000")) as (pid, said):
        assert said == f"CPU {cpu} (asked for {cpu},4000)"
        assert os.sched_getaffinity(pid) == {cpu}


def test_fifo_where_it_is_allowed(tmp_path: Path) -> None:
    with scheduled(tmp_path, FIFO_5) as (pid, said):
        fifo = os.sched_getscheduler(pid) == os.SCHED_FIFO
        assert fifo == may_use_fifo()
        assert said == "FIFO 5" if fifo else said.endswith("(asked for FIFO 5: Operation not permitted)")
        assert os.sched_getparam(pid).sched_priority == (5 if fifo else 0)


def test_a_short_slice_where_fifo_is_not_allowed(tmp_path: Path) -> None:
    with scheduled(tmp_path, FIFO_5, without_rights([])) as (pid, said):
        assert os.sched_getscheduler(pid) == os.SCHED_OTHER
        kept = slice_ns(pid) == SLICE_NS
        assert said == f"{'slice 0.1 ms' if kept else 'no slice either'} (asked for FIFO 5: Operation not permitted)"
        release = tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2])
        assert kept == (release >= (6, 12))


def test_a_nice_that_is_not_allowed(tmp_path: Path) -> None:
    with scheduled(tmp_path, ("0", "-5", ""), without_rights([])) as (pid, said):
        assert said == "nice 0 (asked for -5: Permission denied)"
        assert os.getpriority(os.PRIO_PROCESS, pid) == 0


def test_what_a_guard_is_given_is_not_the_process_s(tmp_path: Path) -> None:
    with scheduled(tmp_path, ("0", "0", "")) as (pid, _):
        files = {int(p.name) for p in Path(f"/proc/{pid}/fd").iterdir()}
        ready = next(iter(files - {0, 1, 2}))
        assert files == {0, 1, 2, ready}
        assert os.readlink(f"/proc/{pid}/fd/{ready}").startswith("pipe:")
        os.kill(pid, signal.SIGKILL)
