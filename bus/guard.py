"""The guard of one process: it lives as long as the process does, and sees that nothing is left of it.

Run as `python -I -S guard.py NAME LOG TERMINAL REALTIME NICE CPUS COMMAND...`: it imports no package of ours and costs
7 MB. Standard input is the launcher's commands (`INT`, `TERM`, `ABRT`, `KILL`), and its end means that the launcher is
gone, by kill -9 too. Before the process is ready INT becomes TERM: a Python that still loads modules would answer INT
with a traceback. Standard output is what the launcher is told, one line each:

    PID 4711                 started
    SCHED FIFO 10            how it is scheduled, where something was asked for
    READY ...  BEAT          the node's own words, from the pipe RISE_READY_FD
    LOG text                 a line the process wrote; also appended to LOG, with the time
    END exit 3               how it ended (`END SIGKILL`); then everything it left behind has been killed

As a subreaper the guard inherits every descendant that loses its parent. The process's output is read here, not by the
launcher, so a launcher that is stopped (Ctrl-Z) never blocks a node that writes. Lines the launcher does not read in
time are dropped there and kept in the log file.
"""

from __future__ import annotations

import ctypes
import math
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
GRACE_S = 0.5
"""between asking the process to end and killing it, when the launcher is gone"""
LOG_BYTES, LOG_FILES = 2_000_000, 5
MOST_LINE_BYTES = 3500
"""below PIPE_BUF, so that a line is written whole or not at all"""
WORDS = (b"READY", b"BEAT", b"SCHED")
"""what a process may say of itself"""
SLICE_NS = 100_000
_SCHED_SYSCALLS = {"x86_64": (314, 315), "aarch64": (274, 275)}


def prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


class LogFile:
    """Appends lines with the time, in files of LOG_BYTES, the newest without a number."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.second, self.stamp = 0, b""
        self.file = self.open(path)
        self.size = os.fstat(self.file).st_size

    def open(self, path: str) -> int:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def write(self, lines: list[bytes]) -> None:
        now = time.time()
        if int(now) != self.second:
            self.second = int(now)
            self.stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)).encode()
        stamp = self.stamp + b".%03dZ " % (now % 1 * 1000)
        block = b"".join(stamp + line + b"\n" for line in lines)
        try:
            if self.size + len(block) > LOG_BYTES:
                self.rotate()
            self.size += os.write(self.file, block)
        except OSError:
            return  # a full disk must not stop the process; the launcher still gets the lines

    def rotate(self) -> None:
        # before anything is moved or closed: what a full disk refuses is tried again with the next line
        new = self.open(f"{self.path}.new")
        try:
            for n in range(LOG_FILES - 1, 0, -1):
                older = f"{self.path}.{n - 1}" if n > 1 else self.path
                if os.path.exists(older):
                    os.replace(older, f"{self.path}.{n}")
            os.replace(f"{self.path}.new", self.path)
        except OSError:
            os.close(new)
            raise
        os.close(self.file)
        self.file, self.size = new, 0


class Lines:
    """Bytes of a pipe to lines; a line without end is cut at MOST_LINE_BYTES."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.rest = b""
        self.open = True
        os.set_blocking(file, False)

    def read(self) -> list[bytes]:
        try:
            data = os.read(self.file, 65536)
        except BlockingIOError:
            return []
        if not data:
            self.open = False
            data = b"\n" if self.rest else b""
        *lines, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > MOST_LINE_BYTES:
            lines, self.rest = [*lines, self.rest], b""
        return [line[at : at + MOST_LINE_BYTES] for line in lines for at in range(0, len(line) or 1, MOST_LINE_BYTES)]


class Launcher:
    """The way back to the launcher; never blocks."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.unsent = b""
        self.dropped = 0
        os.set_blocking(file, False)

    def tell(self, line: bytes) -> None:
        """Something the launcher must know; kept until it reads again. A second BEAT says nothing new."""
        if not (line == b"BEAT" and self.unsent):
            self.unsent += line + b"\n"
            self.flush()

    def show(self, line: bytes) -> None:
        if self.dropped and not self.unsent and self.write(b"LOG (%d lines not shown)\n" % self.dropped):
            self.dropped = 0
        if self.unsent or not self.write(b"LOG " + line + b"\n"):
            self.dropped += 1

    def flush(self) -> None:
        if self.unsent and self.write(self.unsent[: select.PIPE_BUF]):
            self.unsent = self.unsent[select.PIPE_BUF :]

    def write(self, data: bytes) -> bool:
        try:
            return os.write(self.file, data) == len(data)
        except BlockingIOError:
            return False
        except OSError:
            return True  # nobody is left to be told


def schedule(realtime: int, nice: int, cpus: list[int]) -> str:
    """Set how this process is scheduled; says what it got, empty where nothing was asked for."""
    said = []
    if cpus:
        why = attempt(lambda: os.sched_setaffinity(0, cpus))
        got = sorted(os.sched_getaffinity(0))
        asked = f" (asked for {','.join(map(str, cpus))}{why})" if got != sorted(set(cpus)) else ""
        said.append(f"CPU {','.join(map(str, got))}{asked}")
    if nice:
        why = attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, nice)) or attempt(lambda: nice_session(nice))
        got_nice = os.getpriority(os.PRIO_PROCESS, 0)
        said.append(f"nice {got_nice}" + (f" (asked for {nice}{why})" if why else ""))
    if realtime:
        why = attempt(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(realtime)))
        if not why:
            said.append(f"FIFO {realtime}")
        else:
            said.append(("slice 0.1 ms" if short_slice() else "no slice either") + f" (asked for FIFO {realtime}{why})")
    return ", ".join(said)


def attempt(act: Callable[[], object]) -> str:
    """Do it; why it was refused, for the end of a text."""
    try:
        act()
    except OSError as error:
        return f": {error.strerror}"
    return ""


def nice_session(nice: int) -> None:
    """Where the kernel groups processes by session, as it does by default, the nice of a process counts within its own
    session only, and every guard has one; the session's counts among the others."""
    if os.path.exists("/proc/self/autogroup"):
        with open("/proc/self/autogroup", "w") as file:
            file.write(str(nice))


class SchedAttr(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def short_slice() -> bool:
    """Ask for a slice of 0.1 ms: woken, the process runs at once. True when the kernel keeps it (Linux 6.12 on)."""
    calls = _SCHED_SYSCALLS.get(os.uname().machine)
    attr = SchedAttr(size=48, nice=os.getpriority(os.PRIO_PROCESS, 0), runtime=SLICE_NS)
    if calls is None or ctypes.CDLL(None).syscall(calls[0], 0, ctypes.byref(attr), 0):
        return False
    return slice_ns(0) == SLICE_NS


def slice_ns(thread: int) -> int:
    """The slice of a thread as the kernel has it; 0 where it does not say."""
    calls, got = _SCHED_SYSCALLS.get(os.uname().machine), SchedAttr()
    if calls is None or ctypes.CDLL(None).syscall(calls[1], thread, ctypes.byref(got), 48, 0):
        return 0
    return int(got.runtime)


def start(command: list[str], files: tuple[int, int, int], ready: int, scheduling: tuple[int, int, list[int]]) -> int:
    """Fork and become `command`, with `files` as its three standard ones."""
    guard = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.set_inheritable(ready, True)
        os.environ["RISE_READY_FD"] = str(ready)
        if said := schedule(*scheduling):
            os.write(ready, f"SCHED {said}\n".encode())
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == guard:
            os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"cannot start {command[0]}: {error.strerror}\n".encode())
    os._exit(127)


def children() -> list[int]:
    me = os.getpid()
    with open(f"/proc/{me}/task/{me}/children") as file:
        return [int(pid) for pid in file.read().split()]


def kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it was faster


def describe(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit {code}" if code >= 0 else signal.Signals(-code).name


class Guard:
    """One process, its output, and everything it starts."""

    def __init__(self, log: str, terminal: str, scheduling: tuple[int, int, list[int]], command: list[str]) -> None:
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        for file in map(int, os.listdir("/proc/self/fd")):
            if file > 2 and os.path.exists(f"/proc/self/fd/{file}"):
                os.set_inheritable(file, False)  # kept by us, not by the process
        self.log = LogFile(log)
        self.commands = os.dup(0)
        self.launcher = Launcher(os.dup(1))
        self.is_ready = False
        self.how = ""
        """how the process ended; empty while it runs"""
        self.kill_at = math.inf
        """monotonic; set when the launcher is gone"""
        wake, wake_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        self.wake = wake

        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        output, output_end = os.pipe2(os.O_CLOEXEC)
        ready, ready_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(ready_end, False)  # a node's heartbeat never waits for us
        screen = [int(n) for n in terminal.split(",")] if terminal else [null, output_end]
        self.pid = start(command, (screen[0], screen[1], output_end), ready_end, scheduling)
        for file in {0, 1, null, output_end, ready_end, *screen}:
            os.close(file)
        self.output, self.words = Lines(output), Lines(ready)
        self.poll = select.poll()
        for file in (self.commands, output, ready, wake):
            self.poll.register(file, select.POLLIN)
        self.launcher.tell(b"PID %d" % self.pid)

    def run(self) -> None:
        """Until neither the process nor anything it started is left."""
        while self.reap():
            events = dict(self.poll.poll(self.wait_ms()))
            if self.output.file in events:
                self.take_output()
            if self.words.file in events:
                self.take_words()
            if self.commands in events:
                self.obey()
            if self.wake in events and any(number != signal.SIGCHLD for number in os.read(self.wake, 4096)):
                self.end()
            if time.monotonic() >= self.kill_at:
                self.send(signal.SIGKILL)
            self.launcher.flush()
        while self.take_words() or self.take_output():
            pass  # what stood in the pipes
        self.launcher.tell(b"END " + self.how.encode())

    def wait_ms(self) -> float | None:
        if self.how or self.launcher.unsent or self.kill_at < time.monotonic():
            return 10.0
        return None if self.kill_at == math.inf else (self.kill_at - time.monotonic()) * 1000

    def take_output(self) -> bool:
        lines = self.read(self.output)
        if lines:
            self.log.write(lines)
        for line in lines:
            self.launcher.show(line)
        return bool(lines)

    def take_words(self) -> bool:
        lines = self.read(self.words)
        for line in lines:
            self.is_ready |= line.startswith(b"READY")
            if line.split(b" ", 1)[0] in WORDS:  # the process is not asked what its pid is, nor how it ended
                self.launcher.tell(line)
        return bool(lines)

    def read(self, pipe: Lines) -> list[bytes]:
        was_open = pipe.open
        lines = pipe.read() if was_open else []
        if was_open and not pipe.open:
            self.poll.unregister(pipe.file)
        return lines

    def obey(self) -> None:
        words = os.read(self.commands, 4096)
        for word in words.decode("ascii").split():
            self.send(signal.Signals["SIG" + word])
        if not words:
            self.poll.unregister(self.commands)
            self.end()

    def end(self) -> None:
        """The launcher is gone, or somebody asks the guard itself to go."""
        if self.kill_at == math.inf:
            self.kill_at = time.monotonic() + GRACE_S
            self.send(signal.SIGINT)

    def send(self, number: int) -> None:
        if number == signal.SIGINT and not self.is_ready:
            number = signal.SIGTERM
        if not self.how:
            kill(self.pid, number)

    def reap(self) -> bool:
        """Whether anything is left; once the process has ended, its descendants are killed."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                if pid == self.pid:
                    self.how = describe(status)
        except ChildProcessError:
            return False
        if self.how:
            for child in children():
                kill(child, signal.SIGKILL)
        return True


def main() -> None:
    _name, log, terminal, realtime, nice, cpus, *command = sys.argv[1:]
    Guard(log, terminal, (int(realtime), int(nice), [int(n) for n in cpus.split(",") if n]), command).run()


if __name__ == "__main__":
    main()
