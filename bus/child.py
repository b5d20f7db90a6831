"""A job, its process as the supervisor sees it, and what the supervisor tells."""

from __future__ import annotations

import random
import subprocess
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bus.launch import Restart, Settings
from bus.usage import Usage
from schemas.system import ProcessState


@dataclass(frozen=True, slots=True)
class Job:
    """A command to keep running."""

    name: str
    command: Sequence[str]
    settings: Settings
    log: Path
    namespace: str = ""
    nodes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    """names of jobs"""
    after: tuple[str, ...] = ()


What = Literal["line", "started", "ready", "hung", "died", "failed", "ended", "all_ready"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened: `process` is empty for the launch as a whole."""

    kind: What
    process: str
    text: str = ""


@dataclass(slots=True)
class Child:
    """One job's process: its state, and what happens next."""

    job: Job
    state: ProcessState = ProcessState.WAITING
    pid: int = 0
    restarts: int = 0
    last_exit: str = ""
    scheduling: str = ""
    usage: Usage = field(default_factory=Usage)
    guard: subprocess.Popen[bytes] | None = None
    deadline: float = 0.0
    """monotonic: STARTING: ready by then; READY: silent for too long; BACKOFF: start again"""
    signals: list[tuple[float, str]] = field(default_factory=list)
    """to be sent at these times, while it is being ended"""
    asked: bool = False
    """to end, by SIGINT"""
    wanted: bool = True
    """False: it was asked to end and stays ended"""
    hung: str = ""
    rest: bytes = b""
    ended_as: str = ""
    history: deque[float] = field(default_factory=lambda: deque(maxlen=1000))

    @property
    def alive(self) -> bool:
        return self.guard is not None

    @property
    def satisfied(self) -> bool:
        """Whether who needs it may start: it is ready, or has done its work and ended well."""
        return self.state is ProcessState.READY or (self.state is ProcessState.STOPPED and self.last_exit == "exit 0")


def pause_s(policy: Restart, before: int, rng: random.Random) -> float:
    """The pause before a restart that follows `before` others in the window."""
    return min(policy.first_s * 2.0 ** min(before, 60), policy.longest_s) * rng.uniform(0.5, 1.0)
