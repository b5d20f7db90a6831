"""Who is there: one directory per domain on a local disk, in which every living node has an entry and a lock.

    <root>/<domain>/anchor.json            the domain's time anchor (bus/clock.py)
    <root>/<domain>/nodes/vmc1.spindle.json   what the node says about itself, replaced by rename
    <root>/<domain>/nodes/vmc1.spindle.lock   byte 0 is locked as long as the node lives, byte 1 by whoever tidies
    <root>/<domain>/s/1f00c0de             its sockets, named anew at every start

Nobody keeps this directory: the kernel gives up a dead node's lock, one inotify watch tells everybody, and whoever
notices first removes what is left. The rules that make this safe against a new node taking the name meanwhile:

1. Byte 0 (alive) is locked only by who holds byte 1 (tidying) of the same file, and, once it has both, sees that
   `.lock` still is that file; else it starts over. An entry is written before byte 1 is given up, so a taken name
   always says who has it.
2. `.lock` is unlinked only by who holds byte 0 (a node that leaves), or by who holds byte 1, sees byte 0 free and
   *then* sees that `.lock` still is that file. From there on nobody else may lock byte 0 or unlink the file, so what
   it removes belongs to the dead node and to nobody else.
3. Liveness is asked with F_OFD_GETLK on a read-only descriptor: that takes nothing and wakes nobody's watch.

A node that leaves renames its entry to `vmc1.spindle.<publisher_id>.left` and then removes it: so a watcher tells a
clean exit from a death that somebody else has already tidied up.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bus import clock, ofd
from bus.entry import BadEntry as BadEntry
from bus.entry import Entry as Entry
from bus.entry import ServiceEntry as ServiceEntry
from bus.entry import TopicEntry as TopicEntry
from schemas.names import BadName, check_name

if TYPE_CHECKING:
    from inotify_simple import INotify

MAX_SOCKET_PATH_BYTES = 107
MAX_ENTRY_BYTES = 4 << 20
MAX_PROBLEMS = 100
SUSPECT_NS = 20_000_000
"""how long a closed lock is asked again: the kernel tells of the close just before it gives up the lock"""
TIDYING_S = 2.0
ALIVE, TIDYING = 0, 1
_SOCKET = re.compile(r"[0-9a-f]{8}")
_LEFT = re.compile(r"(.+)\.([0-9a-f]{16})\.left")


class BadRuntimeDirectory(OSError):
    """The runtime directory cannot be used: not ours, open to others, or its path too long for a socket."""


class NameTaken(RuntimeError):
    """A living node already has the name; `.holder` is its entry."""

    def __init__(self, name: str, domain: str, holder: Entry | None) -> None:
        super().__init__(f"{name} is taken in domain {domain!r} by {_who(holder)}. {_what_to_do(name, holder)}")
        self.name = name
        self.holder = holder


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


def runtime_root() -> Path:
    """Where domains live: `$RISE_RUNTIME_DIR`, `/run/fanuc-rise` (group rise), `$XDG_RUNTIME_DIR`, or below /tmp.

    Nothing is created here.
    """
    given = os.environ.get("RISE_RUNTIME_DIR")
    if given:
        return Path(given).absolute()
    system = Path("/run/fanuc-rise")
    if _group(system) == "rise" and os.access(system, os.W_OK | os.X_OK):
        return system
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    if session.startswith("/"):
        with contextlib.suppress(OSError):
            if os.stat(session).st_uid == os.geteuid():
                return Path(session) / "fanuc-rise"
    return Path(f"/tmp/fanuc-rise-{os.geteuid()}")


def domains(root: Path | None = None) -> dict[str, int]:
    """Every domain below the runtime directory, with how many nodes live in it."""
    root = root or runtime_root()
    try:
        found = sorted(d.name for d in os.scandir(root) if d.is_dir(follow_symlinks=False) and _is_segment(d.name))
    except (FileNotFoundError, PermissionError):
        return {}
    return {name: sum(1 for _ in Directory(name, root).alive()) for name in found}


class Directory:
    """One domain's runtime directory: who is there, and who comes and goes.

    Used by one thread. Reading needs no `close`; `watch` and `anchor_ns` do.

    Args:
        domain: a name segment; None takes `$RISE_DOMAIN`, else "default".

    Raises:
        BadName: the domain's name is no name segment.
    """

    def __init__(self, domain: str | None = None, root: Path | None = None) -> None:
        self.domain = domain or os.environ.get("RISE_DOMAIN") or "default"
        if not _is_segment(self.domain):
            raise BadName(f"bad name of a domain: {self.domain!r}; it is one segment [a-z_][a-z0-9_]*")
        self.root = root or runtime_root()
        self.path = self.root / self.domain
        self.problems: list[str] = []
        """what could not be read, each said once; whoever reports them empties the list"""
        self.degraded = ""
        """why births and deaths are noticed by `sweep` only; empty when the kernel tells of them"""
        self._nodes = self.path / "nodes"
        self._reported: dict[str, str] = {}
        self._known: dict[str, Entry] = {}
        self._touched: set[str] = set()
        self._left: set[int] = set()
        self._suspects: dict[str, int] = {}
        self._inotify: INotify | None = None
        self._fd = -1
        self._anchor: tuple[int, int] | None = None

    # --- the directory itself ---

    def anchor_ns(self) -> int:
        """Wall time minus CLOCK_MONOTONIC as this domain has it; it stays the same until everybody has closed."""
        if self._anchor is None:
            self._make()
            self._anchor = clock.anchor(self.path / "anchor.json", self._file_mode)
        return self._anchor[0]

    def socket_path(self) -> str:
        """A path for a new socket, which nothing has used before.

        Raises:
            BadRuntimeDirectory: the path is longer than a socket's address may be.
        """
        self._make()
        while True:
            path = f"{self.path}/s/{os.urandom(4).hex()}"
            if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
                raise BadRuntimeDirectory(
                    f"{path} has {len(os.fsencode(path))} bytes, a socket's path at most {MAX_SOCKET_PATH_BYTES}: "
                    "set RISE_RUNTIME_DIR to a shorter directory, or shorten the domain's name"
                )
            if not os.path.lexists(path):
                return path

    def _make(self) -> None:
        if not self.root.exists():
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owned(self.root)
        for path in (self.path, self._nodes, self.path / "s"):
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
                if self._shared:
                    path.chmod(0o2770)

    @property
    def _shared(self) -> bool:
        return _group(self.root) == "rise"

    @property
    def _file_mode(self) -> int:
        return 0o660 if self._shared else 0o600

    def _lock_path(self, stem: str) -> Path:
        return self._nodes / f"{stem}.lock"

    def _entry_path(self, stem: str) -> Path:
        return self._nodes / f"{stem}.json"

    # --- being there ---

    def register(self, entry: Entry) -> Registration:
        """Take the entry's name and be seen until `close` or death.

        Raises:
            NameTaken: a living node has it.
            BadName: the name breaks the rule for names.
            TimeoutError: somebody has been tidying up after this name for TIDYING_S.
        """
        if check_name(entry.name).startswith("/"):
            raise BadName(f"{entry.name}: a node's full name has no leading '/'")
        self._make()
        stem = _stem(entry.name)
        path = self._lock_path(stem)
        ends_ns = time.monotonic_ns() + int(TIDYING_S * 1e9)
        while time.monotonic_ns() < ends_ns:
            fd = ofd.hold(path, self._file_mode)
            try:
                if ofd.lock(fd, ofd.EXCLUSIVE, TIDYING):
                    if not ofd.lock(fd, ofd.EXCLUSIVE, ALIVE):
                        raise NameTaken(entry.name, self.domain, self._read(stem))
                    if ofd.names(fd, path):  # rule 1; else it was unlinked between our open and our lock
                        self._remove_leftovers(stem)
                        registration = Registration(self, entry, fd)
                        ofd.lock(fd, ofd.NONE, TIDYING)
                        return registration
            except BaseException:
                ofd.release(fd)
                raise
            ofd.release(fd)
            os.sched_yield()
        raise TimeoutError(f"{path}: somebody has been tidying up after {entry.name} for {TIDYING_S:g} s")

    # --- seeing others ---

    def alive(self) -> Iterator[str]:
        """Full names of the living, without reading what they say."""
        for stem in self._stems(".json"):
            if self._alive(stem):
                yield _name(stem)

    def entries(self) -> dict[str, Entry]:
        """The living nodes by full name, as they are now. Removes what dead ones left."""
        found = {}
        for stem in self._stems(".json"):
            entry = self._living(stem)
            if entry is not None:
                found[entry.name] = entry
        return found

    def watch(self) -> None:
        """Have the kernel tell of births and deaths from now on. `changes` begins with everybody who is there."""
        from inotify_simple import INotify, flags

        if self._fd >= 0:
            return
        self._make()
        mask = flags.MOVED_TO | flags.DELETE | flags.CLOSE_WRITE | flags.EXCL_UNLINK | flags.ONLYDIR
        try:
            self._inotify = INotify(nonblocking=True)
            self._inotify.add_watch(self._nodes, mask)
            self._fd = os.dup(self._inotify.fileno())
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM):
                raise
            self._inotify = None
            self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)  # never readable
            self.degraded = (
                f"no inotify watch to be had ({error.strerror}): births and deaths of nodes are noticed once a second "
                "only. Raise fs.inotify.max_user_instances (sysctl), or end programs that use them up"
            )
        self._rescan()

    def fileno(self) -> int:
        """Readable when `changes` has something to look at; valid after `watch`."""
        return self._fd

    @property
    def pending(self) -> bool:
        """`changes` should be called again within 2 ms, whatever `fileno` says."""
        return bool(self._suspects or self._touched)

    def changes(self) -> list[Change]:
        """What happened since the last call; never blocks, never raises for what stands in an entry."""
        self._take_events()
        now_ns = time.monotonic_ns()
        for stem, ends_ns in list(self._suspects.items()):
            if not self._alive(stem):
                self._touched.add(stem)
            if stem in self._touched or now_ns > ends_ns:
                del self._suspects[stem]
        found: list[Change] = []
        for stem in sorted(self._touched):
            found += self._compare(stem)
        self._touched.clear()
        self._left.clear()
        return found

    def sweep(self) -> None:
        """Ask every lock again, for what the kernel did not tell; `changes` then says what came of it. Call at 1 Hz."""
        if self._inotify is None:
            self._rescan()
        else:
            self._touched.update(stem for stem in self._known if not self._alive(stem))

    def close(self) -> None:
        """Stop watching and give the anchor up. Registrations are closed on their own."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._anchor is not None:
            ofd.release(self._anchor[1])
            self._anchor = None

    # --- how ---

    def _take_events(self) -> None:
        if self._inotify is None:
            return
        from inotify_simple import flags

        for event in self._inotify.read(timeout=0):
            if event.mask & (flags.Q_OVERFLOW | flags.IGNORED):
                self._rescan()
            elif left := _LEFT.fullmatch(event.name):
                self._left.add(int(left[2], 16))
                self._touched.add(left[1])
            elif event.name.endswith(".json") and not event.name.startswith("."):
                self._touched.add(event.name.removesuffix(".json"))
            elif event.name.endswith(".lock") and event.mask & flags.CLOSE_WRITE:
                stem = event.name.removesuffix(".lock")
                if stem in self._known:  # else a stranger tidied, or was refused the name
                    self._suspects[stem] = time.monotonic_ns() + SUSPECT_NS

    def _rescan(self) -> None:
        self._touched.update(self._known, self._stems(".json"))

    def _compare(self, stem: str) -> list[Change]:
        before, now = self._known.pop(stem, None), self._living(stem)
        if now is not None:
            self._known[stem] = now
        if before is None:
            return [] if now is None else [Appeared(now)]
        if now is not None and now.publisher_id == before.publisher_id:
            return [] if now == before else [Changed(now)]
        gone = Vanished(before, clean=before.publisher_id in self._left)
        return [gone] if now is None else [gone, Appeared(now)]

    def _stems(self, suffix: str) -> list[str]:
        try:
            names = os.listdir(self._nodes)
        except FileNotFoundError:
            return []
        return sorted(n.removesuffix(suffix) for n in names if n.endswith(suffix) and not n.startswith("."))

    def _alive(self, stem: str) -> bool:
        try:
            fd = os.open(self._lock_path(stem), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):
                return False
            raise
        try:
            return ofd.held(fd, ALIVE)
        finally:
            os.close(fd)

    def _living(self, stem: str) -> Entry | None:
        """The entry under `stem` when its node lives; otherwise what is left of it is removed."""
        entry = self._read(stem)
        if self._alive(stem):
            return entry
        self._tidy(stem)
        return None

    def _read(self, stem: str) -> Entry | None:
        path = self._entry_path(stem)
        try:
            with open(path, "rb") as file:
                text = file.read(MAX_ENTRY_BYTES + 1)
            if len(text) > MAX_ENTRY_BYTES:
                raise BadEntry(f"longer than {MAX_ENTRY_BYTES >> 20} MiB")
            entry = Entry.from_json(text)
            if entry.name != _name(stem):
                raise BadEntry(f"says it is {entry.name!r}")
        except FileNotFoundError:
            self._reported.pop(stem, None)
            return None
        except (BadEntry, OSError) as error:
            self._report(stem, f"{path}: {error}")
            return None
        self._reported.pop(stem, None)
        return entry

    def _report(self, stem: str, text: str) -> None:
        if self._reported.get(stem) == text:
            return
        if len(self._reported) < MAX_PROBLEMS and len(self.problems) < MAX_PROBLEMS:
            self._reported[stem] = text
            self.problems.append(text)

    def _tidy(self, stem: str) -> None:
        """Remove what a dead node left, unless somebody else is at it or has taken the name (rule 2)."""
        path = self._lock_path(stem)
        try:
            fd = ofd.hold(path, self._file_mode)
        except OSError:
            return  # another user's node: who may write here will see to it
        try:
            if ofd.lock(fd, ofd.EXCLUSIVE, TIDYING) and not ofd.held(fd, ALIVE) and ofd.names(fd, path):
                self._remove_leftovers(stem)
                path.unlink()
        finally:
            ofd.release(fd)

    def _remove_leftovers(self, stem: str) -> None:
        entry = self._read(stem)
        for endpoint in (*entry.pub, *entry.rpc) if entry else ():
            where = Path(endpoint.removeprefix("ipc://"))
            if where.parent == self.path / "s" and _SOCKET.fullmatch(where.name):
                where.unlink(missing_ok=True)
        self._entry_path(stem).unlink(missing_ok=True)


class Registration:
    """A name taken; made by `Directory.register`."""

    def __init__(self, directory: Directory, entry: Entry, fd: int) -> None:
        self.entry = entry
        self._directory = directory
        self._fd = fd
        self._pid = os.getpid()
        self._write()

    def update(self, entry: Entry) -> None:
        """Say something new under the same name and publisher_id.

        Raises:
            ValueError: the entry is another node's.
        """
        if (entry.name, entry.publisher_id) != (self.entry.name, self.entry.publisher_id):
            raise ValueError(f"{self.entry.name} cannot turn into {entry.name} (or another publisher_id)")
        self.entry = entry
        self._write()

    def close(self) -> None:
        """Leave: entry and lock are removed, and watchers are told that it was meant. The sockets are the caller's."""
        if self._fd < 0 or self._pid != os.getpid():  # a forked child inherits no name
            return
        directory, stem = self._directory, _stem(self.entry.name)
        lock = directory._lock_path(stem)
        if ofd.names(self._fd, lock):  # else the directory was removed under us, and the name may be another's
            left = directory._nodes / f"{stem}.{self.entry.publisher_id:016x}.left"
            with contextlib.suppress(FileNotFoundError):
                os.rename(directory._entry_path(stem), left)
                left.unlink()
            lock.unlink(missing_ok=True)
        ofd.release(self._fd)
        self._fd = -1

    def _write(self) -> None:
        directory, text = self._directory, self.entry.to_json()
        new = directory._nodes / f".{os.urandom(8).hex()}"
        mode = directory._file_mode
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "w") as file:
            file.write(text)
        os.chmod(new, mode)
        os.rename(new, directory._entry_path(_stem(self.entry.name)))


def _stem(name: str) -> str:
    return name.replace("/", ".")


def _name(stem: str) -> str:
    return stem.replace(".", "/")


def _is_segment(name: str) -> bool:
    try:
        return "/" not in check_name(name)
    except BadName:
        return False


def _group(path: Path) -> str:
    import grp

    try:
        return grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return ""


def _check_owned(root: Path) -> None:
    """Refuse a runtime directory below /tmp that another user made, or may write to."""
    if root.parent != Path("/tmp"):
        return
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise BadRuntimeDirectory(f"{root} is not this user's own directory: remove it, or set RISE_RUNTIME_DIR")
    if found.st_mode & 0o077:
        raise BadRuntimeDirectory(f"{root} is open to other users: chmod 700 it, or set RISE_RUNTIME_DIR")


def _who(holder: Entry | None) -> str:
    if holder is None:
        return "a node whose entry cannot be read"
    command = ""
    if holder.host == os.uname().nodename:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{holder.pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            command = f" ({b' '.join(words).decode(errors='replace')[:200]})"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.started_ns / 1e9))
    return f"process {holder.pid} on {holder.host}{command}, since {since}"


def _what_to_do(name: str, holder: Entry | None) -> str:
    stop = f"`rise stop {name}`" + (f" or `kill {holder.pid}`" if holder else "")
    return f"Stop it ({stop}), start this one under another name, or in another domain (RISE_DOMAIN)"
