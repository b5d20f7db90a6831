"""Who is there: every living node of a domain, and births and deaths as they happen.

One inotify watch on the register's folder (bus/register.py) tells of everything: an entry renamed into place is a
birth or news, one renamed to `.left` a clean exit, a closed `.lock` a possible death: then the lock itself is asked.
The kernel tells of the close an instant before it gives up the lock, so such names are asked again for a while
(`pending`). What it does not tell (its queue overflowed, no watch was to be had) the 1 Hz `sweep` finds.

    directory = Directory("cell")
    directory.watch()
    registration = directory.register(Entry("vmc1/spindle_watch", ...))
    ... poll directory.fileno() with directory.pending in mind ...
    for change in directory.changes(): ...
"""

from __future__ import annotations

import errno
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bus import ofd
from bus.entry import BadEntry as BadEntry
from bus.entry import Entry as Entry
from bus.entry import ServiceEntry as ServiceEntry
from bus.entry import TopicEntry as TopicEntry
from bus.register import NameTaken as NameTaken
from bus.register import Register
from bus.register import Registration as Registration
from bus.runtime import BadRuntimeDirectory as BadRuntimeDirectory
from bus.runtime import DomainFolder, is_segment
from bus.runtime import runtime_root as runtime_root

if TYPE_CHECKING:
    from inotify_simple import INotify

SUSPECT_NS = 50_000_000
"""how long a lock that was closed is asked again"""
_LEFT = re.compile(r"(.+)\.([0-9a-f]{16})\.left")


@dataclass(frozen=True, slots=True)
class Appeared:
    """A node is there."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Changed:
    """The same node says something new: it is ready, a parameter changed."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Vanished:
    """A node is gone; `clean` when it said so itself."""

    entry: Entry
    clean: bool


Change = Appeared | Changed | Vanished


def domains(root: Path | None = None) -> dict[str, int]:
    """Every domain of this host, with how many nodes live in it. Removes those that nobody is in any more."""
    root = root or runtime_root()
    try:
        found = sorted(d.name for d in os.scandir(root) if d.is_dir(follow_symlinks=False) and is_segment(d.name))
    except (FileNotFoundError, PermissionError):
        return {}
    registers = {name: Register(DomainFolder(name, root)) for name in found}
    living = {name: sum(map(r.alive, r.stems())) for name, r in registers.items()}
    return {name: count for name, count in living.items() if count or not registers[name].clear()}


class Directory:
    """One domain as a participant sees it. Used by one thread, and not by a forked child.

    Args:
        domain: one name segment; None takes `$RISE_DOMAIN`, else "default".
        root: the folder of all domains; None takes `runtime_root()`.

    Raises:
        BadName: the domain's name is no segment.
    """

    def __init__(self, domain: str | None = None, root: Path | None = None) -> None:
        self.domain = domain or os.environ.get("RISE_DOMAIN") or "default"
        self.root = root or runtime_root()
        self._folder = DomainFolder(self.domain, self.root)
        self.path = self._folder.path
        self._register = Register(self._folder)
        self.degraded = ""
        """why births and deaths are noticed once a second only; empty when the kernel tells of them"""
        self._inotify: INotify | None = None
        self._fd = -1
        self._watched = (0, 0)
        self._anchor: tuple[int, ofd.LockFile] | None = None
        self._known: dict[str, Entry] = {}
        self._signatures: dict[str, tuple[int, int] | None] = {}
        self._touched: set[str] = set()
        self._left: set[int] = set()
        self._suspects: dict[str, int] = {}

    @property
    def problems(self) -> list[str]:
        """Entries that could not be read, each said once. Whoever reports them empties the list."""
        return self._register.problems

    def anchor_ns(self) -> int:
        """Wall time minus CLOCK_MONOTONIC as this domain has it; stays the same until everybody has closed.

        From here on this process is in the domain, and its folder stays.
        """
        if self._anchor is None:
            self._anchor = self._folder.enter()
        return self._anchor[0]

    def socket_path(self) -> str:
        """A fresh path for a socket; raises BadRuntimeDirectory when it is too long for one."""
        self.anchor_ns()
        return self._folder.socket_path()

    def register(self, entry: Entry) -> Registration:
        """Take the entry's name and be seen, until the registration is closed or the process dies.

        Raises:
            NameTaken: a living node has it; says who and what to do.
            BadName: the name breaks the rule for names.
            BadRuntimeDirectory, OSError: the directory cannot be used.
            TimeoutError: another process is stuck while taking the name.
        """
        self.anchor_ns()
        taken = self._register.take(entry)
        self._register.tidy_strays()
        return taken

    def entries(self) -> dict[str, Entry]:
        """The living nodes by full name, read afresh. Removes what dead ones left, and the folder when all are gone."""
        living = map(self._register.living, self._register.stems())
        found = {entry.name: entry for entry in living if entry is not None}
        if not found and self._anchor is None:
            self._register.clear()
        return found

    def nobody(self) -> str:
        """What to tell people when `entries` is empty: which other domains have nodes."""
        others = [f"{name} ({n} node{'s' * (n != 1)})" for name, n in domains(self.root).items() if n]
        there = f"Others have: {', '.join(others)}; choose with --domain or RISE_DOMAIN" if others else "Nor in another"
        return f"No node is running in domain {self.domain!r} ({self.path}). {there}."

    # --- watching ---

    def watch(self) -> None:
        """Have the kernel tell of births and deaths; the first `changes` begins with everybody who is there."""
        from inotify_simple import INotify, flags

        if self._fd >= 0:
            return
        self.anchor_ns()
        mask = flags.MOVED_TO | flags.DELETE | flags.CLOSE_WRITE | flags.EXCL_UNLINK | flags.ONLYDIR
        try:
            self._inotify = INotify(nonblocking=True)
            self._inotify.add_watch(self._folder.nodes, mask)
            self._watched = _identity(self._folder.nodes)
            self._fd = self._inotify.fileno()
        except OSError as error:
            if self._inotify is not None:
                self._inotify.close()
                self._inotify = None
            if error.errno not in (errno.EMFILE, errno.ENOSPC):
                raise
            self._fd = os.eventfd(0, os.EFD_CLOEXEC)  # never readable
            self.degraded = (
                f"no inotify watch to be had ({error.strerror}): nodes that come and go are noticed once a second. "
                "Raise fs.inotify.max_user_instances and max_user_watches with sysctl, or end programs that use them up"
            )
        self._rescan()

    def fileno(self) -> int:
        """Readable when `changes` has something to look at; valid between `watch` and `close`."""
        return self._fd

    @property
    def pending(self) -> bool:
        """`changes` wants to be called within 2 ms, whatever `fileno` says."""
        return bool(self._suspects or self._touched)

    def changes(self) -> list[Change]:
        """What happened since the last call; never blocks, never raises for what stands in an entry.

        A node that came and went in between is left out.
        """
        if self._inotify is not None:
            self._take_events(self._inotify)
        now_ns = time.monotonic_ns()
        for stem, until_ns in list(self._suspects.items()):
            if not self._register.alive(stem):
                self._touched.add(stem)
            if stem in self._touched or now_ns > until_ns:
                del self._suspects[stem]
        found = [change for stem in sorted(self._touched) for change in self._compare(stem)]
        self._touched.clear()
        self._left.clear()
        return found

    def sweep(self) -> None:
        """Ask every lock again; `changes` then says what came of it. Call once a second."""
        if self._inotify is not None and not self.degraded and self._watched != _identity(self._folder.nodes):
            self.degraded = f"{self._folder.nodes} was removed: nodes that were there can no longer be found"
        if self.degraded:
            self._rescan()
        else:
            self._touched.update(stem for stem in self._known if not self._register.alive(stem))

    def close(self) -> None:
        """Stop watching and leave the domain. A registration is closed by itself."""
        if self._inotify is not None:
            self._inotify.close()
        elif self._fd >= 0:
            os.close(self._fd)
        self._inotify, self._fd = None, -1
        if self._anchor is not None:
            self._anchor[1].close()
            self._anchor = None
            self._register.clear()

    def _take_events(self, inotify: INotify) -> None:
        from inotify_simple import flags

        for event in inotify.read(timeout=0):
            if event.mask & flags.Q_OVERFLOW:
                self._rescan()
            elif event.name.endswith(".json"):
                self._touched.add(event.name.removesuffix(".json"))
            elif event.mask & flags.MOVED_TO and (left := _LEFT.fullmatch(event.name)):
                self._left.add(int(left[2], 16))
                self._touched.add(left[1])
            elif event.mask & flags.CLOSE_WRITE and event.name.removesuffix(".lock") in self._known:
                # of an unknown name it is a stranger who tidied up or was refused
                self._suspects[event.name.removesuffix(".lock")] = time.monotonic_ns() + SUSPECT_NS

    def _rescan(self) -> None:
        for stem in {*self._known, *self._register.stems()}:
            same = stem in self._known and self._signatures.get(stem) == self._register.signature(stem)
            if not same or not self._register.alive(stem):
                self._touched.add(stem)

    def _compare(self, stem: str) -> list[Change]:
        signature = self._register.signature(stem)
        before, now = self._known.pop(stem, None), self._register.living(stem)
        self._signatures.pop(stem, None)
        if now is not None:
            self._known[stem], self._signatures[stem] = now, signature
        if before is None:
            return [] if now is None else [Appeared(now)]
        if now is not None and now.publisher_id == before.publisher_id:
            return [] if now == before else [Changed(now)]
        gone = Vanished(before, clean=before.publisher_id in self._left)
        return [gone] if now is None else [gone, Appeared(now)]


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_dev, found.st_ino)
