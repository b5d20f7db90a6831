"""Where the domains of this host live on disk."""

from __future__ import annotations

import contextlib
import os
import stat
from functools import cached_property
from pathlib import Path

from bus import clock, ofd
from schemas.names import BadName, check_name

MAX_SOCKET_PATH_BYTES = 107
"""sun_path has 108, one of them for the closing NUL"""
MOST_REMOVALS = 100
"""times that a domain's folder is removed under somebody who is entering it"""


class BadRuntimeDirectory(OSError):
    """The runtime directory cannot be used: another user's, open to others, or its path too long for a socket."""


def runtime_root() -> Path:
    """The folder of all domains: `$RISE_RUNTIME_DIR`, or `/run/fanuc-rise` when it belongs to group rise and this user
    may write there, or `$XDG_RUNTIME_DIR/fanuc-rise`, or `/tmp/fanuc-rise-<uid>`. Creates nothing.
    """
    given = os.environ.get("RISE_RUNTIME_DIR")
    if given:
        return Path(given).absolute()
    system = Path("/run/fanuc-rise")
    if group_of(system) == "rise" and os.access(system, os.W_OK | os.X_OK):
        return system
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    if session.startswith("/"):
        with contextlib.suppress(OSError):  # set but gone, or kept from another user by sudo: not ours to use
            if os.stat(session).st_uid == os.geteuid():
                return Path(session) / "fanuc-rise"
    return _last_resort()


def _last_resort() -> Path:
    return Path(f"/tmp/fanuc-rise-{os.geteuid()}")


def check_private(path: Path) -> None:
    """Refuse a directory that another user made, or that others may enter: anybody may make names in /tmp.

    Raises:
        BadRuntimeDirectory: saying what to do.
    """
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise BadRuntimeDirectory(f"{path} is not a directory of this user: remove it, or set RISE_RUNTIME_DIR")
    if found.st_mode & 0o077:
        raise BadRuntimeDirectory(f"{path} is open to other users: chmod 700 it, or set RISE_RUNTIME_DIR")


def is_segment(name: str) -> bool:
    """Whether `name` is one segment of a name, as a domain's must be."""
    try:
        return "/" not in check_name(name)
    except BadName:
        return False


def group_of(path: Path) -> str:
    """The name of the group that owns `path`; empty when there is none."""
    import grp

    try:
        return grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return ""


class DomainFolder:
    """A domain's folder: `nodes/`, `s/` for sockets, the anchor. Made for the user or group rise by who comes first,
    removed by who leaves last (Register.clear).

    Raises:
        BadName: the domain's name is no segment.
    """

    def __init__(self, domain: str, root: Path) -> None:
        if not is_segment(domain):
            raise BadName(f"bad name of a domain: {domain!r}; it is one segment, [a-z_][a-z0-9_]*")
        self.root = root
        self.path = root / domain
        self.nodes = self.path / "nodes"
        self.sockets = self.path / "s"
        self.anchor = self.path / "anchor.json"

    def enter(self) -> tuple[int, ofd.LockFile]:
        """Make the folder, and keep it from being removed until the returned file is closed; with the time anchor.

        Raises:
            BadRuntimeDirectory: see `check_private`.
            OSError: the disk says no.
            TimeoutError: see `clock.anchor`.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.root == _last_resort():
            check_private(self.root)
        for _ in range(MOST_REMOVALS):
            try:
                self._make(self.path)
                anchor_ns, kept = clock.anchor(self.anchor, self.file_mode)
            except FileNotFoundError:
                continue  # whoever left last removed it between two steps
            # only now: nobody removes them any more
            self._make(self.nodes)
            self._make(self.sockets)
            return anchor_ns, kept
        raise BadRuntimeDirectory(f"{self.path} is removed again and again: by what?")

    def _make(self, path: Path) -> None:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            if self.shared:
                path.chmod(0o2770)  # setgid: what is made inside belongs to the group too

    @cached_property
    def shared(self) -> bool:
        """Whether every member of group rise may come and go here."""
        return group_of(self.root) == "rise"

    @property
    def file_mode(self) -> int:
        return 0o660 if self.shared else 0o600

    def socket_path(self) -> str:
        """A path for a new socket, which nothing has used before; for who has entered.

        Raises:
            BadRuntimeDirectory: the path is longer than a socket's address may be.
        """
        while True:
            path = f"{self.sockets}/{os.urandom(4).hex()}"
            size = len(os.fsencode(path))
            if size > MAX_SOCKET_PATH_BYTES:
                raise BadRuntimeDirectory(
                    f"{path} has {size} bytes, a socket's path at most {MAX_SOCKET_PATH_BYTES}: "
                    "set RISE_RUNTIME_DIR to a shorter directory, or shorten the domain's name"
                )
            if not os.path.lexists(path):
                return path
