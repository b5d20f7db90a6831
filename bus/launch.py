"""Launch files: a Python function that yields data. It describes which nodes run, and never does anything.

    def launch(site: Site, compose: bool = True, limit_pct: float = 85.0) -> Iterator[Action]:
        \"\"\"Every mill with its cortices, and a recorder.\"\"\"
        for machine in site.machines:
            core = [
                Process("nodes.sensory_cortex", parameters={"sources": machine.sources}),
                Process("nodes.impact_cortex", parameters={"limit_pct": limit_pct, "mode": machine.mode}),
            ]
            group = Compose("core", core, critical="namespace", realtime=10) if compose else Group(core)
            yield Group([group], namespace=machine.name)
        yield Process("nodes.recorder")
        yield from include("edge.py")

The function's typed parameters are the launch arguments (`compose:=false`); one of type `Site` is the site file.
Every action remembers the line that made it, so that each mistake is told with its place (bus/plan.py, bus/check.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from bus.site import Site, SiteMachine, Where

__all__ = [
    "Action",
    "Compose",
    "Group",
    "Process",
    "Restart",
    "Settings",
    "Site",
    "SiteMachine",
    "Where",
    "include",
]


def _here() -> Where:
    """The line of the launch file that is making an action: the nearest frame outside this file and its dataclasses."""
    frame = sys._getframe(1)
    while frame.f_back and (frame.f_code.co_filename == __file__ or frame.f_code.co_filename.startswith("<string")):
        frame = frame.f_back
    return Where(frame.f_code.co_filename, frame.f_lineno)


@dataclass(frozen=True, slots=True)
class Restart:
    """How a process comes back after it ended with an error: a growing pause, and an end to patience.

    The pause before the n-th restart in a window is `first_s` times 2^(n-1), at most `longest_s`, times a random 0.5..1
    (so that processes that fell together do not rise together). After `most` restarts within `window_s` the process is
    FAILED and waits for `rise restart`.
    """

    first_s: float = 0.2
    longest_s: float = 10.0
    most: int = 10
    window_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a process is run."""

    namespace: str = ""
    """below the namespace of the enclosing Group; a leading `/` starts afresh"""
    needs: tuple[str, ...] | list[str] = ()
    """nodes or processes that must be ready before this one starts: names in the same namespace, or full names"""
    after: tuple[str, ...] | list[str] = ()
    """names, too, but only an order: it waits until these are ready or have failed, and ends before they do"""
    critical: Literal["", "namespace"] = ""
    """"namespace": when it dies, every process of its namespace is stopped and started again"""
    on_death: Literal["", "feed_hold", "stop"] = ""
    """what the launcher asks the machine of this namespace for when the process dies"""
    realtime: int | None = None
    """SCHED_FIFO priority 1..99; where that is not allowed, a scheduling slice of 0.1 ms"""
    nice: int = 0
    cpus: tuple[int, ...] | list[int] = ()
    """CPUs it may run on; none given: all"""
    restart: Restart | None = field(default_factory=Restart)
    """None: an end is an end"""
    ready_timeout_s: float = 10.0
    """from start to the node's own word that it is ready"""
    hang_s: float = 10.0
    """silence of the heartbeat after which the process is taken for hung, killed and restarted"""
    end_s: float = 5.0
    """from the request to end, SIGINT, to SIGKILL; SIGTERM comes between"""
    terminal: bool = False
    """the process writes to the launcher's terminal as it likes; the others' lines go to the log files only"""
    ends_launch: bool = False
    """when it ends by itself without an error, the whole launch ends"""
    env: Mapping[str, str] = field(default_factory=dict)
    outside: tuple[str, ...] | list[str] = ()
    """topics and services (as the node declares them) that are fed or served by something outside this launch"""
    where: Where = field(default_factory=_here, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Process(Settings):
    """A node in a process of its own.

    `target` is a module (`nodes.recorder`), a module and class (`nodes.recorder:Recorder`), or a file relative to the
    launch file (`../nodes/spindle_watch.py`).
    """

    target: str
    name: str = ""
    """default: the last segment of the module"""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: Mapping[str, str] = field(default_factory=dict)
    """declared name of a topic or service -> the name to use"""


@dataclass(frozen=True, slots=True)
class Compose(Settings):
    """Several nodes on one thread of one process; messages between them are handed over by reference.

    Of the composed Processes only target, name, namespace, parameters, remappings and outside count: how the process is
    run is said here.
    """

    name: str
    nodes: Sequence[Process]


@dataclass(frozen=True, slots=True)
class Group:
    """Actions that share a namespace."""

    actions: Sequence[Action]
    namespace: str = ""
    where: Where = field(default_factory=_here, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Include:
    """The actions of another launch file, called with these arguments."""

    file: str
    arguments: Mapping[str, Any]
    where: Where = field(default_factory=_here, compare=False, repr=False)


Action = Process | Compose | Group | Include


def include(file: str, /, **arguments: Any) -> Iterator[Action]:
    """`yield from include("edge.py", sim=sim)`: a file relative to this one, or one of the shipped launch files.

    Arguments that are not given keep the included file's defaults; a `site: Site` there is filled with this launch's.
    """
    return iter((Include(file, arguments, _here()),))


SETTINGS = tuple(f.name for f in fields(Settings) if f.name not in ("namespace", "outside", "where"))
"""the settings that belong to a process, not to a node in it"""
