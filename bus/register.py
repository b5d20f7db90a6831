"""The register of a domain: who has which name, kept by nobody but the kernel.

    nodes/vmc1.spindle.json   what the node says about itself, replaced by rename
    nodes/vmc1.spindle.lock   byte 0 is locked as long as the node lives, byte 1 while somebody tidies up
    s/1f00c0de                a socket, named anew at every start

The kernel gives up a dead node's lock; whoever notices removes what is left. What makes this safe against a new node
that takes the name at the same moment:

1. Byte 0 (alive) is locked only by who holds byte 1 (tidying) of the same file and, once it has both, sees that
   `.lock` still is that file; else it starts over. The entry is written before byte 1 is given up, so a taken name
   always says who has it.
2. `.lock` is unlinked only by who holds byte 0 (a node that leaves), or by who holds byte 1, sees byte 0 free and
   *then* sees that `.lock` still is that file. From there on nobody else may lock byte 0 or unlink the file, so what
   is removed belongs to the dead node and to nobody else.
3. Liveness is asked with F_OFD_GETLK through a read-only descriptor: that takes nothing and wakes nobody's watch.

Whoever is in the domain holds a shared lock on its time anchor (bus/clock.py). Who gets that lock alone is alone, and
removes the folder: what it finds there belongs to the dead.

A node that leaves renames its entry to `vmc1.spindle.<publisher_id>.left` and then removes it: so a watcher tells a
clean exit from a death that somebody else has already tidied up.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import re
import select
import socket
import stat
import time
from dataclasses import replace
from pathlib import Path

from bus import clock, ofd
from bus.entry import BadEntry, Entry, pid_namespace, socket_file
from bus.runtime import DomainFolder
from schemas.names import BadName, check_name

MAX_ENTRY_BYTES = 4 << 20
MAX_PROBLEMS = 100
TIDYING_S = 2.0
STRAY_S = 60.0
"""what belongs to nobody is removed when it is older than this: a socket is bound before its node has an entry"""
ALIVE, TIDYING = 0, 1
_SOCKET = re.compile(r"[0-9a-f]{8}")
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class NameTaken(RuntimeError):
    """A living node already has the name; `.holder` is its entry."""

    def __init__(self, name: str, folder: Path, holder: Entry | None) -> None:
        super().__init__(
            f"{name} is taken in domain {folder.name!r} by {who(holder)}. Stop it (`rise stop {name}`"
            + (f" or `kill {holder.pid}`" if holder and holder.is_here else "")
            + "), start this one under another name, or in another domain (RISE_DOMAIN)"
        )
        self.name = name
        self.holder = holder


def who(holder: Entry | None) -> str:
    """A living node's process, for people."""
    if holder is None:
        return "a node whose entry cannot be read"
    text = f"process {holder.pid} on {holder.host}"
    if holder.is_here:
        with contextlib.suppress(OSError):  # it may have ended
            command = Path(f"/proc/{holder.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            text += f" ({' '.join(command.split())[:200]})"
    else:
        text += f" in another container ({holder.target})"
    return f"{text}, since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(holder.started_ns / 1e9))}"


class Register:
    """The names of one domain. A stem is a full name with dots for slashes."""

    def __init__(self, folder: DomainFolder) -> None:
        self.folder = folder
        self.problems: list[str] = []
        """what could not be read, each said once until it is good; at most MAX_PROBLEMS"""
        self._reported: dict[str, str] = {}

    def lock_path(self, stem: str) -> Path:
        return self.folder.nodes / f"{stem}.lock"

    def entry_path(self, stem: str) -> Path:
        return self.folder.nodes / f"{stem}.json"

    def stems(self, suffix: str = ".json") -> list[str]:
        """Stems that have a file with this suffix, alive or not."""
        try:
            names = os.listdir(self.folder.nodes)
        except FileNotFoundError:
            return []
        return sorted(n.removesuffix(suffix) for n in names if n.endswith(suffix) and not n.startswith("."))

    def signature(self, stem: str) -> tuple[int, int] | None:
        """Differs whenever the entry has been replaced; None when there is none."""
        try:
            found = self.entry_path(stem).lstat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    # --- seeing ---

    def alive(self, stem: str) -> bool:
        """Whether a process holds the name. When it cannot be asked it counts as alive, and is reported."""
        try:
            fd = os.open(self.lock_path(stem), _READ)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._report(stem, f"{self.lock_path(stem)}: {error.strerror}")
            return True
        try:
            return ofd.held(fd, ALIVE)
        finally:
            os.close(fd)

    def living(self, stem: str) -> Entry | None:
        """The entry under `stem` when its node lives; otherwise what is left of it is removed."""
        entry = self.read(stem)
        if self.alive(stem):
            return entry
        self.tidy(stem)
        return None

    def read(self, stem: str) -> Entry | None:
        """The entry as it stands there, alive or not; None, and reported, when it is none."""
        path = self.entry_path(stem)
        try:
            with open(os.open(path, _READ), "rb") as file:
                text = file.read(MAX_ENTRY_BYTES + 1)
            if len(text) > MAX_ENTRY_BYTES:
                raise BadEntry(f"longer than {MAX_ENTRY_BYTES >> 20} MiB")
            entry = Entry.from_json(text)
            if _stem(entry.name) != stem:
                raise BadEntry(f"says its name is {entry.name!r}")
        except FileNotFoundError:
            return None
        except BadEntry as error:
            self._report(stem, f"{path}: {error}")
            return None
        except OSError as error:
            self._report(stem, f"{path}: {error.strerror}")
            return None
        self._reported.pop(stem, None)
        return entry

    def _report(self, stem: str, text: str) -> None:
        if self._reported.get(stem) != text and len(self._reported) < MAX_PROBLEMS > len(self.problems):
            self._reported[stem] = text
            self.problems.append(text)

    # --- taking and tidying ---

    def take(self, entry: Entry) -> Registration:
        """Take the entry's name; for who has entered the domain.

        Raises:
            NameTaken: a living node has it.
            BadName: the name breaks the rule for names.
            TimeoutError: somebody has been tidying up after this name for TIDYING_S.
        """
        if check_name(entry.name).startswith("/"):
            raise BadName(f"{entry.name}: a node's full name has no '/' in front")
        if entry.pid:
            entry = replace(entry, pid_namespace=pid_namespace())
        path = self.lock_path(_stem(entry.name))
        ends_ns = time.monotonic_ns() + int(TIDYING_S * 1e9)
        while True:
            file = ofd.LockFile(path, self.folder.file_mode)
            try:
                while not file.lock(ofd.EXCLUSIVE, TIDYING):
                    _wait(ends_ns, path)
                if not file.lock(ofd.EXCLUSIVE, ALIVE):
                    raise NameTaken(entry.name, self.folder.path, self.read(_stem(entry.name)))
                if file.is_at(path):
                    self._remove(_stem(entry.name))
                    registration = Registration(self, entry, file)
                    file.lock(ofd.NONE, TIDYING)
                    return registration
            except BaseException:
                file.close()
                raise
            file.close()  # it was unlinked between our open and our lock: once more, with the new one
            _wait(ends_ns, path)

    def tidy(self, stem: str) -> None:
        """Remove what a dead node left, unless somebody else is at it or has taken the name (rule 2)."""
        path = self.lock_path(stem)
        if not os.path.lexists(path) and not os.path.lexists(self.entry_path(stem)):
            return
        with contextlib.suppress(OSError):  # not ours to write: who may write here will see to it
            file = ofd.LockFile(path, self.folder.file_mode)
            try:
                if file.lock(ofd.EXCLUSIVE, TIDYING) and not file.held(ALIVE) and file.is_at(path):
                    self._remove(stem)
                    path.unlink()
            finally:
                file.close()

    def _remove(self, stem: str) -> None:
        """Remove a dead node's sockets and entry; only under the rules."""
        entry = self.read(stem)
        for endpoint in (*entry.pub, *entry.rpc) if entry else ():
            where = Path(socket_file(endpoint) or "")
            if where.parent == self.folder.sockets and _SOCKET.fullmatch(where.name):
                where.unlink(missing_ok=True)
        self.entry_path(stem).unlink(missing_ok=True)
        self._reported.pop(stem, None)

    def clear(self) -> bool:
        """Remove the domain's folder if nobody is in it; whether it is gone. One without an anchor is no domain's."""
        folder = self.folder
        try:
            if not folder.anchor.exists():
                folder.path.rmdir()
                return True
            alone = ofd.LockFile(folder.anchor, folder.file_mode)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            if not alone.lock(ofd.EXCLUSIVE, clock.USE) or not alone.is_at(folder.anchor):
                return False
            self.tidy_strays(alone=True)
            for path in (folder.nodes, folder.sockets):
                with contextlib.suppress(FileNotFoundError):
                    path.rmdir()
            folder.anchor.unlink()
            folder.path.rmdir()  # fails when somebody has come, and made a new anchor
        except OSError:
            return False
        finally:
            alone.close()
        return True

    def tidy_strays(self, *, alone: bool = False) -> None:
        """Remove what processes left that died between two steps, and sockets that nobody listens on.

        Unless we are `alone` in the domain, what is young may belong to somebody who is about to say so.
        """
        for stem in {*self.stems(".lock"), *self.stems()}:
            if not self.alive(stem):
                self.tidy(stem)
        before = math.inf if alone else time.time() - STRAY_S
        # a living node's sockets are not asked: it would count the question as a connection that speaks no ZMTP
        owned = {
            Path(endpoint).name
            for entry in map(self.living, self.stems())
            if entry is not None
            for endpoint in (*entry.pub, *entry.rpc)
        }
        for folder in (self.folder.nodes, self.folder.sockets):
            with contextlib.suppress(FileNotFoundError), os.scandir(folder) as found:
                for file in found:
                    with contextlib.suppress(OSError):
                        old = file.stat(follow_symlinks=False).st_mtime < before
                        if old and file.name not in owned and _is_stray(file):
                            os.unlink(file.path)


def _wait(ends_ns: int, path: Path) -> None:
    if time.monotonic_ns() > ends_ns:
        raise TimeoutError(
            f"{path}: for {TIDYING_S:g} s another process has been about to take this name, or to tidy up after it. "
            "A stopped one (SIGSTOP)? Continue it, or end it"
        )
    select.select([], [], [], 0.001)


def _is_stray(file: os.DirEntry[str]) -> bool:
    if stat.S_ISSOCK(file.stat(follow_symlinks=False).st_mode):
        return not _listens(file.path)
    return file.name.startswith(".") or file.name.endswith(".left")


def _listens(path: str) -> bool:
    """Whether a process listens on a socket file: connecting is the one question that other containers answer too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        return asking.connect_ex(path) != errno.ECONNREFUSED


class Registration:
    """A name taken, until `close` or death; made by `Register.take`."""

    def __init__(self, register: Register, entry: Entry, file: ofd.LockFile) -> None:
        self.entry = entry
        self._register = register
        self._file = file
        self._write()
        # a shared flock on the folder has systemd-tmpfiles pass it over when it clears old files out of /tmp
        self._folder = os.open(register.folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._folder, fcntl.LOCK_SH | fcntl.LOCK_NB)

    @property
    def intact(self) -> bool:
        """False once somebody has removed our files: the node still works, but nobody new can find it."""
        return self._file.fd >= 0 and self._file.is_at(self._register.lock_path(_stem(self.entry.name)))

    def update(self, entry: Entry) -> None:
        """Say something new under the same name and publisher_id.

        Raises:
            ValueError: the entry is another node's, or this one has left.
        """
        if (entry.name, entry.publisher_id) != (self.entry.name, self.entry.publisher_id):
            raise ValueError(f"{self.entry.name} cannot turn into {entry.name}, nor into another start of itself")
        if self._file.fd < 0:
            raise ValueError(f"{self.entry.name} has left (or this is a forked child, which has no name)")
        self.entry = entry
        if self.intact:
            self._write()

    def close(self) -> None:
        """Leave: entry and lock are removed, and watchers learn that it was meant. The sockets are the caller's.

        Does nothing the second time, or in a forked child.
        """
        if self._file.fd < 0:
            return
        stem = _stem(self.entry.name)
        if self.intact:  # else the name may be another's by now
            entry = self._register.entry_path(stem)
            left = entry.with_name(f"{stem}.{self.entry.publisher_id:016x}.left")
            with contextlib.suppress(FileNotFoundError):
                entry.rename(left)
                left.unlink()
            self._register.lock_path(stem).unlink(missing_ok=True)
        self._file.close()
        os.close(self._folder)
        self._register.clear()  # the Directory may have been closed before

    def _write(self) -> None:
        folder, text = self._register.folder, self.entry.to_json()
        new = folder.nodes / f".{os.urandom(8).hex()}"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, folder.file_mode), "wb") as file:
            if folder.shared:  # umask must not shut the group out, of the entry or of the sockets
                for path in (str(new), *filter(None, map(socket_file, (*self.entry.pub, *self.entry.rpc)))):
                    with contextlib.suppress(FileNotFoundError):
                        os.chmod(path, 0o660)
            file.write(text.encode())
        new.rename(self._register.entry_path(_stem(self.entry.name)))


def _stem(name: str) -> str:
    return name.replace("/", ".")
