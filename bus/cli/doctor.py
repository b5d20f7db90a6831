"""`rise doctor`: is this computer fit for it, and is what runs here well."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from bus.cli.graph import directory, domain_option, is_tool, json_option, print_json
from bus.discovery import Entry, domains, runtime_root
from bus.runtime import MAX_SOCKET_PATH_BYTES

MIN_PYTHON = (3, 11)
DISK_FAIL_BYTES, DISK_WARN_BYTES = 500_000_000, 5_000_000_000
RUNTIME_WARN_BYTES = 20_000_000
INOTIFY = Path("/proc/sys/fs/inotify")
INSTANCES_WARN = 128
"""one per node process, and every program of the user's shares them"""


@dataclass(frozen=True, slots=True)
class Check:
    """One answer."""

    id: str
    level: Literal["ok", "note", "warning", "error"]
    text: str
    advice: str = ""


@click.command()
@json_option
@domain_option
def command(as_json: bool, domain: str | None) -> None:
    """Python, packages, runtime directory, disk, limits of the kernel, and the health of what runs.

    Exit code 1 when something is wrong (an error), 0 with warnings.
    """
    entries = {name: e for name, e in sorted(directory(domain).entries().items()) if not is_tool(e)}
    found = [*_computer(), *_graph(domain, entries)]
    if as_json:
        print_json([{"id": c.id, "level": c.level, "text": c.text, "advice": c.advice} for c in found])
    else:
        for c in found:
            click.echo(f"{c.level:<7}  {c.id:<10}  {c.text}{f': {c.advice}' if c.advice else ''}")
    raise SystemExit(1 if any(c.level == "error" for c in found) else 0)


def _computer() -> Iterator[Check]:
    checks: tuple[Callable[[], Iterator[Check]], ...] = (
        _python, _packages, _runtime, _disk, _inotify, _fifo, _stale_domains,
    )  # fmt: skip
    for check in checks:
        yield from check()


def _graph(domain: str | None, entries: Mapping[str, Entry]) -> Iterator[Check]:
    if not entries:
        yield Check("nodes", "note", directory(domain).nobody())
        return
    yield from types_that_differ(entries)
    yield from _health(domain, entries)


# --- the computer ---------------------------------------------------------------------------------------------------


def _python() -> Iterator[Check]:
    text = f"Python {sys.version.split()[0]} ({sys.executable})"
    if sys.version_info[:2] < MIN_PYTHON:
        yield Check("python", "error", text, "3.11 or newer is needed: apt-get install python3-venv, then make setup")
    else:
        yield Check("python", "ok", text)


def _packages() -> Iterator[Check]:
    from bus.root import MixedRoots, project_root

    try:
        yield Check("packages", "ok", f"all from {project_root()}")
    except MixedRoots as error:
        yield Check("packages", "error", str(error))


def _runtime() -> Iterator[Check]:
    root = runtime_root()
    if len(os.fsencode(root)) + len("/12345678901234567890/s/12345678") > MAX_SOCKET_PATH_BYTES:
        yield Check(
            "runtime", "error", f"{root} is too long for a socket's path", "set RISE_RUNTIME_DIR to a short one"
        )
        return
    existing = _existing(root)
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Check("runtime", "error", f"{existing} cannot be written", "set RISE_RUNTIME_DIR to a folder of yours")
        return
    free = shutil.disk_usage(existing).free
    if free < RUNTIME_WARN_BYTES:
        yield Check("runtime", "error", f"{root}: {free / 1e6:.0f} MB free", "make room, or set RISE_RUNTIME_DIR")
    else:
        yield Check("runtime", "ok", str(root))


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    while not path.exists():
        path = path.parent
    return path


def _disk() -> Iterator[Check]:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    free = shutil.disk_usage(_existing(state)).free
    text = f"{free / 1e9:.1f} GB free for bags and logs ({state / 'fanuc-rise'})"
    if free < DISK_FAIL_BYTES:
        yield Check("disk", "error", text, "nothing can be recorded: make room, or set XDG_STATE_HOME")
    elif free < DISK_WARN_BYTES:
        yield Check("disk", "warning", text, "a shift at 1 kHz needs several GB")
    else:
        yield Check("disk", "ok", text)


def _inotify() -> Iterator[Check]:
    from inotify_simple import INotify

    try:
        instances = int((INOTIFY / "max_user_instances").read_text())
    except (OSError, ValueError):
        instances = 0
    try:
        INotify().close()
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        advice = "sysctl fs.inotify.max_user_instances=1024; until then births and deaths are seen once a second"
        yield Check("inotify", "error", f"all {instances} instances of this user are taken", advice)
        return
    if instances and instances < INSTANCES_WARN:
        advice = "sysctl fs.inotify.max_user_instances=1024 (each node process takes one)"
        yield Check("inotify", "warning", f"{instances} instances per user", advice)
    else:
        yield Check("inotify", "ok", f"{instances or 'unknown number of'} instances per user")


def _fifo() -> Iterator[Check]:
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, policy, param)
        yield Check("realtime", "ok", "SCHED_FIFO is allowed")
    except PermissionError:
        advice = (
            "`realtime` in a launch file then gets a scheduling slice of 0.1 ms where the kernel has it; "
            "ulimit -r 10 (limits.conf: rtprio 10) allows FIFO"
        )
        yield Check("realtime", "note", "SCHED_FIFO is not allowed for this user", advice)


def _stale_domains() -> Iterator[Check]:
    known = domains()
    empty = [name for name, count in known.items() if not count]
    alive = ", ".join(f"{name} ({count} nodes)" for name, count in known.items() if count)
    yield Check("domains", "ok", f"alive: {alive or 'none'}")
    if empty:
        text = f"nobody lives in {', '.join(empty)}"
        advice = (
            f"a tool may be looking at it; if not, its folder below {runtime_root()} holds foreign files: remove it"
        )
        yield Check("domains", "note", text, advice)


# --- the graph --------------------------------------------------------------------------------------------------------


def types_that_differ(entries: Mapping[str, Entry]) -> Iterator[Check]:
    """Topics whose writer and reader have another type under the same name: two checkouts, or one that was updated."""
    from bus.cli.graph import meets
    from schemas.grammar import match

    wrong: dict[str, Check] = {}
    for writer in entries.values():
        for sent in writer.publishes:
            for reader in entries.values():
                for taken in reader.subscribes:
                    if not taken.type_hash or taken.type_hash == sent.type_hash or not meets(taken.name, sent.name):
                        continue
                    theirs, mine = writer.definitions.get(sent.type_hash), reader.definitions.get(taken.type_hash)
                    text = f"{sent.name}: {reader.name} reads {taken.type_name}, {writer.name} writes {sent.type_name}"
                    if theirs is None or mine is None:
                        wrong[text] = Check("types", "error", text, "they come from different checkouts: restart both")
                        continue
                    fits = match(mine, theirs)
                    if fits.outcome == "incompatible":
                        wrong[text] = Check(
                            "types", "error", f"{text}, which do not fit ({'; '.join(fits.reasons)})",
                            "restart both from one checkout",
                        )  # fmt: skip
                    else:
                        unknown = f"; {', '.join(fits.unknown_fields)} is ignored" if fits.unknown_fields else ""
                        wrong[text] = Check("types", "warning", f"{text}: other versions that fit{unknown}")
    yield from wrong.values()
    if not wrong:
        yield Check("types", "ok", "every reader has the type of its writer")


def _health(domain: str | None, entries: Mapping[str, Entry]) -> Iterator[Check]:
    from bus.cli.listening import health
    from schemas.machine import ConditionLevel

    said = health(domain, list(entries))
    trouble = 0
    for name, entry in entries.items():
        if not entry.ready:
            trouble += 1
            yield Check("nodes", "warning", f"{name} is not ready", f"rise logs {name}")
        if name not in said:
            trouble += 1
            yield Check(
                "nodes", "error", f"{name} says nothing of its health", "it hangs, or its callbacks take seconds"
            )
            continue
        for f in said[name].findings:
            trouble += 1
            level: Literal["error", "warning"] = "error" if f.level == ConditionLevel.FAULT else "warning"
            yield Check("nodes", level, f"{name}: {f.code} ({f.count} times): {f.text}")
        lost = sum(t.lost for t in said[name].topics)
        if lost:
            trouble += 1
            yield Check("nodes", "warning", f"{name} lost {lost} messages since its start", f"rise node info {name}")
    if not trouble:
        yield Check("nodes", "ok", f"{len(entries)} nodes, none in trouble")
