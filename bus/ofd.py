"""Locks on bytes of a file that belong to the open file (OFD locks), not to the process that took them.

They end with the last descriptor of the open file: at close, at exit, at kill -9, and not one instruction earlier; a
stopped process keeps them. Who wants to know whether a byte is locked asks with `held`, which takes nothing.

A descriptor is closed by exec (O_CLOEXEC). A forked child that does not exec shares the parent's open files, and would
keep its locks alive after the parent's death: so the child closes every LockFile first thing (the parent's locks stay,
they end with the last descriptor).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Final

# struct flock: l_type, l_whence, l_start, l_len, l_pid; l_pid must be 0 for OFD locks
_FLOCK = struct.Struct("hhqqi4x")
EXCLUSIVE: Final = fcntl.F_WRLCK
SHARED: Final = fcntl.F_RDLCK
NONE: Final = fcntl.F_UNLCK


class LockFile:
    """A file opened (and created) for its locks. Every lock taken through it ends with `close`."""

    __slots__ = ("fd",)

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
        _open.add(self)

    def lock(self, kind: int, byte: int) -> bool:
        """Take, change or give up the lock on one byte; False when someone else's lock is in the way."""
        try:
            fcntl.fcntl(self.fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def held(self, byte: int) -> bool:
        """Whether somebody else has `byte` locked."""
        return held(self.fd, byte)

    def is_at(self, path: Path) -> bool:
        """Whether `path` still is this file: it may have been removed, or made anew, since it was opened."""
        try:
            there = os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        mine = os.fstat(self.fd)
        return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)

    def close(self) -> None:
        """Give up every lock. Does nothing in a forked child, where the file is closed already."""
        _open.discard(self)
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


_open: set[LockFile] = set()


def _close_in_child() -> None:
    for file in list(_open):
        file.close()


os.register_at_fork(after_in_child=_close_in_child)


def held(fd: int, byte: int) -> bool:
    """Whether another open file than `fd` has `byte` locked. Takes nothing; a read-only descriptor will do."""
    asked = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _FLOCK.pack(EXCLUSIVE, os.SEEK_SET, byte, 1, 0))
    return bool(_FLOCK.unpack(asked[: _FLOCK.size])[0] != NONE)
