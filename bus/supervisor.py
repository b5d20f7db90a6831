"""Processes: started in the order of their needs, watched, brought back, and ended without a trace.

The supervisor knows no node: a Job is a command. Each runs under a guard (bus/guard.py); what the guard tells comes
through a pipe. `step` does one turn of the loop on the caller's thread; `restart` and `stop` may be called from any.
"""

from __future__ import annotations

import ctypes
import os
import queue
import random
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from bus.child import Child, Event, Job, What, pause_s
from bus.guard import PR_SET_CHILD_SUBREAPER
from bus.usage import Usage, children
from schemas.system import ProcessState

GUARD = Path(__file__).with_name("guard.py")
TERM_AT = 0.6
"""of the time between SIGINT and SIGKILL"""
FALL_S = 0.6
"""for the companions of a critical process that died, from SIGINT to SIGKILL"""
GUARD_S = 2.0
"""between asking a guard to kill its process and killing the guard: it may be stopped (SIGSTOP to its group)"""
MOST_REQUESTS = 256
STALLED_S = 1.0
"""the supervisor's own pause that is not held against the processes"""


class Supervisor:
    """Runs jobs.

    Args:
        jobs: with unique names; `needs` without a circle.
        environment: of every process, before its own `env`.
        on_event: told everything, on the thread that calls `step`.
        kept: descriptors that every guard keeps open until nothing is left of its process.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        *,
        environment: Mapping[str, str],
        on_event: Callable[[Event], None],
        kept: Sequence[int] = (),
        rng: random.Random | None = None,
    ) -> None:
        self.children = {job.name: Child(job) for job in jobs}
        self.environment = dict(environment)
        self.on_event = on_event
        self.kept = kept
        self.rng = rng or random.Random()
        self.started_s = self.stepped_s = time.monotonic()
        self.all_ready = False
        self.ending: str = ""
        """why the launch is ending"""
        self.ending_s = 0.0
        """monotonic, since when"""
        self._selector = selectors.DefaultSelector()
        self._door: deque[tuple[str, str]] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        # what a killed guard leaves behind comes to us, so that it can be killed
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    # --- doors for other threads --------------------------------------------------------------------------------------

    def ask(self, what: Literal["restart", "stop", "end", "kill"], process: str) -> None:
        """Request `restart` or `stop` of a process, the `end` of the launch, or to `kill` what is left (process: why).

        A deque, because a signal handler may call this in the middle of the loop.

        Raises:
            queue.Full: 256 requests are waiting.
        """
        if len(self._door) >= MOST_REQUESTS:
            raise queue.Full(f"{MOST_REQUESTS} requests are waiting already")
        self._door.append((what, process))
        os.eventfd_write(self._wake, 1)

    # --- the loop -----------------------------------------------------------------------------------------------------

    def step(self, timeout_s: float = 0.2) -> bool:
        """Wait for something to happen, at most `timeout_s`, and act on it; False once everything has ended."""
        for key, _ in self._selector.select(self._wait_s(timeout_s)):
            if key.data is None:
                os.eventfd_read(self._wake)
            else:
                self._hear(key.data)
        now = time.monotonic()
        pause, self.stepped_s = now - self.stepped_s, now
        while self._door:
            self._obey(*self._door.popleft())
        # said before a process takes the terminal for itself
        if not self.all_ready and all(c.satisfied or c.job.settings.terminal for c in self.children.values()):
            self.all_ready = True
            nodes = sum(len(c.job.nodes) or 1 for c in self.children.values())
            self._tell("all_ready", "", f"ready: {nodes} nodes in {now - self.started_s:.1f} s")
        for child in self.children.values():
            if pause > STALLED_S + timeout_s:
                child.deadline += pause  # we were stopped ourselves: nobody else's fault
            self._tick(child, now)
        return any(c.alive or c.state in (ProcessState.WAITING, ProcessState.BACKOFF) for c in self.children.values())

    def _wait_s(self, most_s: float) -> float:
        now = time.monotonic()
        times = [c.deadline for c in self.children.values() if c.state is ProcessState.BACKOFF]
        times += [at for c in self.children.values() for at, _ in c.signals[:1]]
        return max(0.0, min([most_s, *(at - now for at in times)]))

    def _tick(self, child: Child, now: float) -> None:
        while child.signals and now >= child.signals[0][0]:
            self._send(child, child.signals.pop(0)[1])
        if child.state is ProcessState.STARTING and now > child.deadline:
            self._give_up(child, now, f"not ready after {child.job.settings.ready_timeout_s:g} s")
        elif child.state is ProcessState.READY and now > child.deadline:
            self._give_up(child, now, f"no heartbeat for {child.job.settings.hang_s:g} s")
        elif child.state is ProcessState.BACKOFF and now >= child.deadline:
            child.state = ProcessState.WAITING
        if child.state is ProcessState.WAITING and not self.ending and self._may_start(child):
            self._start(child)

    def _may_start(self, child: Child) -> bool:
        if child.job.settings.terminal and self._coming_up():
            return False
        if not all(self.children[n].satisfied for n in child.job.needs):
            return False
        if any(self._undecided(self.children[n]) for n in child.job.after):
            return False
        # a critical process comes back together with its companions: none of them may still be going down
        return not child.job.namespace or not any(
            c.state is ProcessState.STOPPING and c.wanted for c in self._companions(child)
        )

    def _undecided(self, child: Child) -> bool:
        """Whether it may still become ready for the first time: not when what it needs has failed."""
        if child.state is ProcessState.WAITING:
            return not any(self.children[n].state is ProcessState.FAILED for n in child.job.needs)
        return child.state is ProcessState.STARTING

    def _coming_up(self) -> bool:
        """Whether a process that does not own the terminal is about to say that it is ready."""
        others = [c for c in self.children.values() if not c.job.settings.terminal]
        return any(
            c.state is ProcessState.STARTING or (c.state is ProcessState.WAITING and self._may_start(c)) for c in others
        )

    # --- one process --------------------------------------------------------------------------------------------------

    def _start(self, child: Child) -> None:
        s = child.job.settings
        screen = [os.dup(0), os.dup(1)] if s.terminal else []
        numbers = (",".join(map(str, screen)), str(s.realtime or 0), str(s.nice), ",".join(map(str, s.cpus)))
        command = [sys.executable, "-I", "-S", str(GUARD), child.job.name, str(child.job.log), *numbers]
        child.guard = subprocess.Popen(
            [*command, *child.job.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[*screen, *self.kept],
            env={**self.environment, **s.env},
            start_new_session=True,
            bufsize=0,
        )
        for number in screen:
            os.close(number)
        assert child.guard.stdout is not None
        os.set_blocking(child.guard.stdout.fileno(), False)
        self._selector.register(child.guard.stdout, selectors.EVENT_READ, child)
        child.state, child.deadline = ProcessState.STARTING, time.monotonic() + s.ready_timeout_s
        child.signals, child.asked, child.hung = [], False, ""
        child.ended_as, child.rest, child.usage = "", b"", Usage()
        self._tell("started", child.job.name)

    def _hear(self, child: Child) -> None:
        guard = child.guard
        assert guard is not None
        assert guard.stdout is not None
        data = guard.stdout.read(65536)
        if data is None:
            return
        *lines, child.rest = (child.rest + data).split(b"\n")
        for line in lines:
            word, _, text = line.decode("utf-8", "replace").partition(" ")
            self._heard(child, word, text)
        if not data:
            self._ended(child)

    def _heard(self, child: Child, word: str, text: str) -> None:
        match word:
            case "LOG":
                self._tell("line", child.job.name, text)
            case "BEAT" if child.state is ProcessState.READY:
                child.deadline = time.monotonic() + child.job.settings.hang_s
            case "READY" if child.state is ProcessState.STARTING:
                child.state = ProcessState.READY
                child.deadline = time.monotonic() + child.job.settings.hang_s
                self._tell("ready", child.job.name, f"without an answer of {text.strip()}" if text.strip() else "")
            case "PID":
                child.pid = int(text)
            case "SCHED":
                child.scheduling = text
            case "END":
                child.ended_as = text

    def _send(self, child: Child, word: str) -> None:
        if word == "GUARD" and child.guard is not None:
            child.guard.kill()  # its process dies with it, and what that leaves comes to us
        elif child.guard is not None and child.guard.stdin is not None:
            try:
                child.guard.stdin.write(word.encode() + b"\n")
            except BrokenPipeError:
                return  # the guard is about to say that all has ended

    def _give_up(self, child: Child, now: float, why: str) -> None:
        """It hangs: let it say where (SIGABRT prints the Python stack), then kill it."""
        child.state, child.hung = ProcessState.STOPPING, why
        child.signals = [(now, "ABRT"), *_killed(now + 0.3)]
        self._tell("hung", child.job.name, why)

    def _end(self, child: Child, within_s: float | None = None) -> None:
        """INT, then TERM, then KILL; a process that does not run is only marked."""
        if child.alive:
            child.state = ProcessState.STOPPING
            self._ask(child, child.job.settings.end_s if within_s is None else within_s)
        elif child.state in (ProcessState.WAITING, ProcessState.BACKOFF) and not child.wanted:
            child.state = ProcessState.STOPPED

    def _ask(self, child: Child, within_s: float) -> None:
        now = time.monotonic()
        child.asked = True
        child.signals = [(now, "INT"), (now + TERM_AT * within_s, "TERM"), *_killed(now + within_s)]

    def _ended(self, child: Child) -> None:
        guard = child.guard
        assert guard is not None
        assert guard.stdout is not None
        self._selector.unregister(guard.stdout)
        guard.stdout.close()
        if guard.stdin is not None:
            guard.stdin.close()
        guard.wait()
        child.guard = None
        if not child.ended_as:
            child.ended_as = f"its guard ended ({guard.returncode})"
            self._kill_orphans()
        was, child.last_exit, child.signals = child.state, child.ended_as, []
        s = child.job.settings
        if child.hung:
            child.last_exit = f"{child.hung}: killed"
        if not child.wanted or (was is ProcessState.STOPPING and not child.hung):
            child.state = ProcessState.STOPPED
            if child.wanted:
                child.state = ProcessState.BACKOFF if child.deadline > time.monotonic() else ProcessState.WAITING
            self._tell("ended", child.job.name, child.last_exit)
        elif child.last_exit == "exit 0" and not s.critical:
            child.state, child.wanted = ProcessState.STOPPED, False
            self._tell("ended", child.job.name, child.last_exit)
            if s.ends_launch:
                self.end(f"{child.job.name} has finished")
        else:
            self._tell("died", child.job.name, child.last_exit)
            self._bring_back(child)
        self._next_to_end()

    def _bring_back(self, child: Child) -> None:
        """After an end that nobody asked for: a pause, or the end of patience; a critical one takes its companions."""
        now = time.monotonic()
        policy = child.job.settings.restart
        if policy is None:
            child.state, child.wanted = ProcessState.FAILED, False
        else:
            while child.history and child.history[0] < now - policy.window_s:
                child.history.popleft()
            if len(child.history) >= policy.most:
                child.state, child.wanted = ProcessState.FAILED, False
                text = f"restarted {policy.most} times in {policy.window_s:g} s, last {child.last_exit}"
                domain = self.environment.get("RISE_DOMAIN", "default")
                again = f"rise restart {child.job.name}" + (f" --domain {domain}" if domain != "default" else "")
                self._tell("failed", child.job.name, f"{text}; `{again}` tries again")
            else:
                child.deadline = now + pause_s(policy, len(child.history), self.rng)
                child.history.append(now)
                child.restarts += 1
                child.state = ProcessState.BACKOFF
        if child.job.settings.critical == "namespace" and child.state is ProcessState.BACKOFF:
            for other in self._companions(child):
                if other.alive and other.state is not ProcessState.STOPPING:
                    other.deadline = child.deadline
                    self._end(other, FALL_S)

    def _companions(self, child: Child) -> list[Child]:
        """The other processes of the same machine."""
        return [c for c in self.children.values() if c is not child and c.job.namespace == child.job.namespace]

    def _kill_orphans(self) -> None:
        """Descendants of a killed guard have become our children: no guard, so nothing we want."""
        known = {c.guard.pid for c in self.children.values() if c.guard is not None}
        while orphans := [pid for pid in children(os.getpid()) if pid not in known and _adopted(pid)]:
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)  # its own children come to us now, and are found in the next round

    # --- requests -----------------------------------------------------------------------------------------------------

    def _obey(self, what: str, process: str) -> None:
        if what == "end":
            self.end(process)
        elif what == "kill":
            for one in self.children.values():
                one.signals = [*_killed(time.monotonic())] if one.alive else []
        elif child := self.children.get(process):
            child.wanted = what == "restart"
            child.history.clear()
            child.deadline = 0.0
            if what == "restart" and not child.alive:
                child.state = ProcessState.WAITING
            self._end(child)

    def end(self, why: str) -> None:
        """End everything: whoever is needed by others ends after them, each within its own `end_s`."""
        if self.ending:
            return
        self.ending = why
        self.ending_s = time.monotonic()
        for child in self.children.values():
            child.wanted = False
            if child.alive and not child.hung:
                child.state = ProcessState.STOPPING
            elif not child.alive and child.state is not ProcessState.FAILED:
                child.state = ProcessState.STOPPED
        self._next_to_end()

    def _next_to_end(self) -> None:
        if not self.ending:
            return
        needed = {n for c in self.children.values() if c.alive for n in (*c.job.needs, *c.job.after)}
        for child in self.children.values():
            if child.alive and not child.asked and not child.hung and child.job.name not in needed:
                self._ask(child, child.job.settings.end_s)

    def measure(self) -> None:
        """Take the processes' CPU and memory; once a second is enough."""
        for child in self.children.values():
            if child.alive and child.pid:
                child.usage.measure(child.pid)

    def close(self) -> None:
        """Kill what is left, at once."""
        left = False
        for child in self.children.values():
            if child.guard is not None:
                self._send(child, "KILL")
                assert child.guard.stdin is not None
                assert child.guard.stdout is not None
                child.guard.stdin.close()
                child.guard.stdout.close()
                try:
                    child.guard.wait(GUARD_S)
                except subprocess.TimeoutExpired:
                    left = True
                    child.guard.kill()
                    child.guard.wait()
        if left:
            self._kill_orphans()
        self._selector.close()
        os.close(self._wake)

    def _tell(self, kind: What, process: str, text: str = "") -> None:
        self.on_event(Event(kind, process, text))


def _killed(at_s: float) -> tuple[tuple[float, str], ...]:
    """How a process is killed, and in the end its guard."""
    return (at_s, "KILL"), (at_s + GUARD_S, "GUARD")


def _adopted(pid: int) -> bool:
    """Whether a child came to us by its parent's death: it lives in the session of its guard, not in ours."""
    try:
        return os.getsid(pid) != os.getsid(0)
    except ProcessLookupError:
        return False
