"""Locks on bytes of a file that belong to the open file (OFD locks), not to the process that took them.

They end with the last descriptor of the open file: at close, at exit, at kill -9, and not one instruction earlier; a
stopped process keeps them. Who wants to know whether a byte is locked asks with `held`, which takes nothing.
A descriptor is closed by exec (O_CLOEXEC), and `hold` has a forked child close it too, or the child would keep
its dead parent's locks alive.
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

_held: set[int] = set()


def _close_in_child() -> None:
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_close_in_child)


def hold(path: Path, mode: int = 0o600) -> int:
    """Open (and create) a file for locking; the descriptor survives neither exec nor fork. Close it with `release`."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    _held.add(fd)
    return fd


def release(fd: int) -> None:
    """Close, and with it give up every lock taken through `fd`. In a forked child it is closed already."""
    if fd in _held:
        _held.remove(fd)
        os.close(fd)


def lock(fd: int, kind: int, byte: int) -> bool:
    """Take, change or give up the lock on one byte; False when someone else's lock is in the way."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def held(fd: int, byte: int) -> bool:
    """Whether somebody else (another open file) has `byte` locked. Takes nothing; a read-only descriptor will do."""
    asked = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _FLOCK.pack(EXCLUSIVE, os.SEEK_SET, byte, 1, 0))
    return bool(_FLOCK.unpack(asked[: _FLOCK.size])[0] != NONE)


def names(fd: int, path: Path) -> bool:
    """Whether `path` still is the file behind `fd`: it may have been removed, or made anew, since it was opened."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)
