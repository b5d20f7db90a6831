"""What `rise doctor` asks of the computer: readings are taken in one place, judged in another that reads nothing."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bus import clock
from bus.discovery import domains, runtime_root
from bus.runtime import MAX_SOCKET_PATH_BYTES

MIN_PYTHON = (3, 11)
DISK_FAIL_BYTES, DISK_WARN_BYTES = 500_000_000, 5_000_000_000
RUNTIME_WARN_BYTES = 20_000_000
INSTANCES_WARN = 128
"""one per node process, and every program of the user's shares them"""
NEARLY = 0.8
SOCKET_BUFFER_BYTES = 212_992
"""what Linux gives a socket where nobody has changed it"""
SOCKET_BUFFERS = ("rmem_default", "wmem_default", "rmem_max", "wmem_max")
CLOCK_STEP_NS = 100_000_000
TIME_ERROR = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One answer."""

    id: str
    level: Literal["ok", "note", "warning", "error"]
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Readings:
    """What was found on this computer; the defaults are one that is well."""

    python: tuple[int, ...] = MIN_PYTHON
    executable: str = ""
    own_rise: str = ""
    """the script in this checkout's .venv, where another Python runs this one"""
    outdated: Mapping[str, str] = field(default_factory=dict)
    """dependency -> what is installed, and what is asked for"""
    mixed_roots: str = ""
    root: str = ""
    runtime: str = "/run"
    runtime_writable: bool = True
    runtime_free_bytes: int = RUNTIME_WARN_BYTES
    state: str = ""
    disk_free_bytes: int = DISK_WARN_BYTES
    inotify: tuple[int, int] = (0, 1024)
    """instances of this user: in use, and at most; at most 0 where the kernel does not say"""
    inotify_watches: tuple[int, int] = (0, 65_536)
    inotify_refused: bool = False
    fifo: bool = True
    short_slice: bool = True
    socket_buffers: Mapping[str, int] = field(default_factory=dict)
    clock_synchronised: bool | None = True
    """None where the kernel does not say"""
    clock_step_ns: int = 0
    """how far the system clock has moved away from the domain's since that was anchored"""
    domains: Mapping[str, int] = field(default_factory=dict)


# --- judging ----------------------------------------------------------------------------------------------------------


def checks(r: Readings) -> Iterator[Check]:
    """Everything that can be said of a computer."""
    yield _python(r)
    yield _packages(r)
    yield _runtime(r)
    yield disk(r.disk_free_bytes, f"bags and logs ({r.state})", "set XDG_STATE_HOME")
    yield _inotify(r)
    yield _sockets(r)
    yield _realtime(r)
    yield _clock(r)
    yield from _domains(r)


def _python(r: Readings) -> Check:
    text = f"Python {'.'.join(map(str, r.python))} ({r.executable})"
    if r.python[:2] < MIN_PYTHON:
        return Check("python", "error", text, "3.11 or newer is needed: apt-get install python3-venv, then make setup")
    if r.outdated:
        wrong = ", ".join(f"{name} {what}" for name, what in r.outdated.items())
        return Check("python", "error", f"{text} has other packages than the lock: {wrong}", "make setup")
    if r.own_rise:
        text = f"{text} is not the one of this checkout's .venv"
        return Check("python", "note", text, f"{r.own_rise} has the locked packages")
    return Check("python", "ok", text)


def _packages(r: Readings) -> Check:
    if r.mixed_roots:
        return Check("packages", "error", r.mixed_roots)
    return Check("packages", "ok", f"all from {r.root}")


def _runtime(r: Readings) -> Check:
    if len(os.fsencode(r.runtime)) + len("/12345678901234567890/s/12345678") > MAX_SOCKET_PATH_BYTES:
        return Check(
            "runtime", "error", f"{r.runtime} is too long for a socket's path", "set RISE_RUNTIME_DIR to a short one"
        )
    if not r.runtime_writable:
        return Check("runtime", "error", f"{r.runtime} cannot be written", "set RISE_RUNTIME_DIR to a folder of yours")
    if r.runtime_free_bytes < RUNTIME_WARN_BYTES:
        text = f"{r.runtime}: {r.runtime_free_bytes / 1e6:.0f} MB free"
        return Check("runtime", "error", text, "make room, or set RISE_RUNTIME_DIR")
    return Check("runtime", "ok", r.runtime)


def disk(free_bytes: int, what: str, otherwise: str) -> Check:
    """How much room there is for what is written; `otherwise` is what to do where none can be made."""
    text = f"{free_bytes / 1e9:.1f} GB free for {what}"
    if free_bytes < DISK_FAIL_BYTES:
        return Check("disk", "error", text, f"nothing can be recorded: make room, or {otherwise}")
    if free_bytes < DISK_WARN_BYTES:
        return Check("disk", "warning", text, "a shift at 1 kHz needs several GB")
    return Check("disk", "ok", text)


def _inotify(r: Readings) -> Check:
    (used, most), (watches, most_watches) = r.inotify, r.inotify_watches
    advice = "sysctl fs.inotify.max_user_instances=1024 (each node process takes one)"
    if r.inotify_refused:
        text = f"all {most} instances of this user are taken"
        return Check("inotify", "error", text, f"{advice}; until then births and deaths are seen once a second")
    if most and used >= NEARLY * most:
        return Check("inotify", "warning", f"{used} of this user's {most} instances are in use", advice)
    if most_watches and watches >= NEARLY * most_watches:
        text = f"{watches} of this user's {most_watches} watches are in use"
        return Check("inotify", "warning", text, f"sysctl fs.inotify.max_user_watches={8 * most_watches}")
    if 0 < most < INSTANCES_WARN:
        return Check("inotify", "warning", f"at most {most} instances per user", advice)
    return Check("inotify", "ok", f"{used} of {most or 'an unknown number of'} instances in use")


def _sockets(r: Readings) -> Check:
    small = {name: size for name, size in r.socket_buffers.items() if size < SOCKET_BUFFER_BYTES}
    if not small:
        return Check("sockets", "ok", "buffers as Linux has them, or larger")
    text = ", ".join(f"net.core.{name} = {size}" for name, size in small.items())
    advice = " ".join(["sysctl", *(f"net.core.{name}={SOCKET_BUFFER_BYTES}" for name in small)])
    return Check("sockets", "warning", f"small buffers, so bursts and images wait, and UDP loses: {text}", advice)


def _realtime(r: Readings) -> Check:
    if r.fifo:
        return Check("realtime", "ok", "SCHED_FIFO is allowed")
    advice = "ulimit -r 10 (limits.conf: rtprio 10) allows FIFO"
    if r.short_slice:
        text = "SCHED_FIFO is not allowed for this user: `realtime` in a launch file gets a slice of 0.1 ms"
        return Check("realtime", "note", text, advice)
    text = "neither SCHED_FIFO for this user, nor a slice of 0.1 ms: `realtime` in a launch file does nothing"
    return Check("realtime", "warning", text, f"{advice}; Linux 6.12 and newer have the slice")


def _clock(r: Readings) -> Check:
    if abs(r.clock_step_ns) > CLOCK_STEP_NS:
        text = f"the system clock was set by {r.clock_step_ns / 1e9:+.1f} s since the first node of the domain started"
        return Check("clock", "warning", text, "stamps go on in the old time until every node of it has ended once")
    if r.clock_synchronised is False:
        text = "nothing keeps the system clock right: stamps will not agree with other computers'"
        return Check(
            "clock", "warning", text, "apt-get install chrony, or systemd-timesyncd; in a container, on its host"
        )
    known = "kept right by others" if r.clock_synchronised else "the kernel does not say whether anybody keeps it right"
    return Check("clock", "ok", known)


def _domains(r: Readings) -> Iterator[Check]:
    alive = ", ".join(f"{name} ({count} nodes)" for name, count in r.domains.items() if count)
    yield Check("domains", "ok", f"alive: {alive or 'none'}")
    if empty := [name for name, count in r.domains.items() if not count]:
        advice = (
            f"a tool may be looking at it; if not, its folder below {r.runtime} holds files that are none of ours: "
            "remove it"
        )
        yield Check("domains", "note", f"nobody lives in {', '.join(empty)}", advice)


# --- reading ----------------------------------------------------------------------------------------------------------


def read(domain_anchor: Path) -> Readings:
    """This computer, as this user has it."""
    from bus.guard import short_slice
    from bus.logs import state_root
    from bus.root import MixedRoots, project_root

    checkout, mixed_roots = Path(__file__).resolve().parents[2], ""
    try:
        checkout = project_root()
    except MixedRoots as error:
        mixed_roots = str(error)
    venv, runtime, state = checkout / ".venv", runtime_root(), state_root()
    instances, watches = inotify_in_use()
    return Readings(
        python=sys.version_info[:3],
        executable=sys.executable,
        own_rise=str(venv / "bin/rise") if venv.exists() and Path(sys.prefix) != venv else "",
        outdated=outdated(_required(), _installed),
        mixed_roots=mixed_roots,
        root=str(checkout),
        runtime=str(runtime),
        runtime_writable=os.access(_existing(runtime), os.W_OK | os.X_OK),
        runtime_free_bytes=free_bytes(runtime),
        state=str(state),
        disk_free_bytes=free_bytes(state),
        inotify=(instances, _number("/proc/sys/fs/inotify/max_user_instances")),
        inotify_watches=(watches, _number("/proc/sys/fs/inotify/max_user_watches")),
        inotify_refused=_inotify_refused(),
        fifo=_fifo(),
        short_slice=short_slice(),
        socket_buffers={n: size for n in SOCKET_BUFFERS if (size := _number(f"/proc/sys/net/core/{n}"))},
        clock_synchronised=_synchronised(),
        clock_step_ns=_clock_step_ns(domain_anchor),
        domains=domains(),
    )


def outdated(required: Iterable[str], installed: Callable[[str], str]) -> dict[str, str]:
    """Of `click>=8.1` and the like, those that are missing or older; extras do not count."""
    found = {}
    for text in required:
        name, sign, wanted = text.partition(">=")
        if not sign or ";" in text:
            continue
        got = installed(name.strip())
        if _version(got) < _version(wanted):
            found[name.strip()] = f"{got or 'is missing'} (needed: {wanted.strip()})"
    return found


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", text)[:3])


def _required() -> list[str]:
    try:
        return importlib.metadata.requires("fanuc-rise") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def free_bytes(path: Path) -> int:
    """Room where the path is, or would be made."""
    return shutil.disk_usage(_existing(path)).free


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    while not path.exists():
        path = path.parent
    return path


def _number(path: str) -> int:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return 0


def inotify_in_use(processes: str = "/proc/[0-9]*") -> tuple[int, int]:
    """Instances and watches that this user's processes hold."""
    instances = watches = 0
    for fd in glob.iglob(f"{processes}/fd/*"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if os.readlink(fd) == "anon_inode:inotify" and os.stat(fd.rpartition("/")[0]).st_uid == os.geteuid():
                instances += 1
                watches += Path(fd.replace("/fd/", "/fdinfo/")).read_text().count("inotify wd:")
    return instances, watches


def _inotify_refused() -> bool:
    from inotify_simple import INotify

    try:
        INotify().close()
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        return True
    return False


def _fifo() -> bool:
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, policy, param)
    except PermissionError:
        return False
    return True


def _synchronised() -> bool | None:
    timex = ctypes.create_string_buffer(256)  # modes 0: only asks
    state = ctypes.CDLL(None).adjtimex(timex)
    return None if state < 0 else state != TIME_ERROR


def _clock_step_ns(anchor: Path) -> int:
    kept_ns = clock.kept_ns(anchor)
    return 0 if kept_ns is None else clock.WallClock(kept_ns).step_ns()
