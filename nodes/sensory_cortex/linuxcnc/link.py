"""The worker's side: keeps both helper processes going, and gives what they say as chunks. The node's thread sends.

A stop does not pass through the worker: the node's thread writes into the socket of the process that holds the pins,
which takes microseconds and never waits.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bus.poll import readable
from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.linuxcnc.said import Attached, BadWord, Ended, rows, word
from schemas.base import Samples

HELPER = Path(__file__).with_name("helper.py")
MEMORY = Path("/proc/sysvipc/shm")
HAL_KEY = 0x48414C32
"""of HAL's shared memory"""
SERVO_NS = 1_000_000
ATTACH_NS = 5_000_000_000
"""a process that has said nothing for so long hangs: a lock in shared memory was left by somebody who died"""
SILENT_NS = 1_000_000_000
"""later, too: LinuxCNC was stopped, or its threads stand"""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
LOOK_S = 0.1
"""between two looks for a LinuxCNC that does not run"""
END_S = 1.0
DATAGRAM_MOST = 65_536
HAL, TASK = "hal", "task"


def hal_lives(memory: Path = MEMORY) -> bool:
    """Whether somebody is attached to HAL's shared memory on this computer: LinuxCNC runs, or is about to."""
    try:
        rows = memory.read_text().splitlines()[1:]
    except OSError:  # a kernel without System V IPC
        return False
    return any(int(row.split()[0]) == HAL_KEY and int(row.split()[6]) > 0 for row in rows)


@dataclass(slots=True)
class _Helper:
    """One process and our end of its socket."""

    role: str
    process: subprocess.Popen[bytes]
    line: socket.socket
    heard_ns: int
    attached: bool = False

    @property
    def silent_after_ns(self) -> int:
        return SILENT_NS if self.attached else ATTACH_NS


@dataclass(slots=True)
class Link:
    """The connection to one LinuxCNC on this computer."""

    python: str
    types: str
    now_ns: Callable[[], int]
    memory: Path = MEMORY
    helper: Path = HELPER
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _lines: dict[str, socket.socket] = field(default_factory=dict)
    working: bool = False
    """the worker runs: not so in a replay"""
    bad: int = 0

    # --- any thread ---------------------------------------------------------------------------------------------------

    def send(self, role: str, datagram: bytes) -> bool:
        """Whether it went out; never waits."""
        with self._lock:
            line = self._lines.get(role)
            try:
                return line is not None and line.send(datagram, socket.MSG_DONTWAIT) == len(datagram)
            except OSError:
                return False

    # --- the worker ---------------------------------------------------------------------------------------------------

    def chunks(self, end: threading.Event) -> Iterator[Chunk]:
        """LINK when both are attached, ROWS and BYTES, LINK with the reason when one ended; and again."""
        self.working = True
        pause_s, session, absent = FIRST_PAUSE_S, 0, False
        while not end.is_set():
            if not hal_lives(self.memory):
                if not absent:
                    yield Chunk(kind=ChunkKind.LINK, session=session, text="LinuxCNC does not run on this computer")
                absent = True
                end.wait(LOOK_S)
                continue
            absent = connected = False
            session += 1
            with contextlib.ExitStack() as stack:
                helpers: list[_Helper] = []
                why = ""
                try:
                    helpers = [stack.enter_context(self._started(role)) for role in (HAL, TASK)]
                except OSError as error:
                    why = f"cannot start {self.python}: {error.strerror}"
                for chunk in self._talk(helpers, session, end) if not why else ():
                    connected = connected or (chunk.kind is ChunkKind.LINK and not chunk.text)
                    if end.is_set():
                        break
                    yield chunk
                if end.is_set():
                    self.send(HAL, b"g")  # an orderly end is no loss of the brain
                    return
            if why:
                yield Chunk(kind=ChunkKind.LINK, session=session, text=why)
            pause_s = FIRST_PAUSE_S if connected else min(2.0 * pause_s, LONGEST_PAUSE_S)
            end.wait(pause_s)

    def _talk(self, helpers: list[_Helper], session: int, end: threading.Event) -> Iterator[Chunk]:
        by_line = {h.line.fileno(): h for h in helpers}
        told = False
        while not end.is_set():
            ready = readable(by_line, 0.1)
            now_ns = self.now_ns()
            for fileno in ready:
                helper = by_line[fileno]
                data = helper.line.recv(DATAGRAM_MOST)
                if not data:
                    code = helper.process.wait(END_S)
                    yield Chunk(kind=ChunkKind.LINK, session=session, text=f"the process beside ended ({code})")
                    return
                helper.heard_ns = now_ns
                if not helper.attached and data[:1] in b"HS":
                    helper.attached = True
                    _as_urgent_as_we(helper.process.pid)
                yield from self.heard(data, session, now_ns)
                if data[:1] == b"X":
                    return
            if not told and all(h.attached for h in helpers):
                told = True
                with self._lock:
                    self._lines = {h.role: h.line for h in helpers}
                yield Chunk(kind=ChunkKind.LINK, session=session)
            for helper in helpers:
                if now_ns - helper.heard_ns > helper.silent_after_ns:
                    text = f"{helper.role} is silent for {(now_ns - helper.heard_ns) / 1e9:.1f} s"
                    yield Chunk(kind=ChunkKind.LINK, session=session, text=text)
                    return

    def heard(self, data: bytes, session: int, now_ns: int) -> Iterator[Chunk]:
        """What a datagram of a helper is to the node's thread."""
        try:
            if data[:1] == b"R":
                first, table = rows(data, len(self.types))
                yield Chunk(
                    kind=ChunkKind.ROWS,
                    session=session,
                    first_row=first,
                    period_ns=SERVO_NS,
                    arrival_ns=now_ns,
                    data=Samples.take(table),
                )
                return
            said = word(data)
        except BadWord as error:
            self.bad += 1
            yield Chunk(kind=ChunkKind.BAD, session=session, bad_rows=self.bad, text=str(error))
            return
        if isinstance(said, Ended):
            yield Chunk(kind=ChunkKind.LINK, session=session, text=said.why or "ended")
        elif not isinstance(said, Attached):
            yield Chunk(kind=ChunkKind.BYTES, session=session, arrival_ns=now_ns, payload=data)

    @contextlib.contextmanager
    def _started(self, role: str) -> Iterator[_Helper]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                command = [self.python, "-I", "-B", str(self.helper), role, str(theirs.fileno())]
                process = subprocess.Popen(
                    command + ([self.types] if role == HAL else []),
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,  # the libraries chat
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                )
            try:
                yield _Helper(role, process, ours, self.now_ns())
            finally:
                with self._lock:
                    self._lines.pop(role, None)
                ours.close()  # it ends by that
                try:
                    process.wait(END_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _as_urgent_as_we(pid: int) -> None:
    """Schedule an attached process as this one is: a stop passes through it."""
    policy = os.sched_getscheduler(0)
    if policy in (os.SCHED_FIFO, os.SCHED_RR):
        with contextlib.suppress(OSError):  # it runs as another user, and we are not root: it stays as it is
            os.sched_setscheduler(pid, policy, os.sched_getparam(0))
