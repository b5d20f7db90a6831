"""Files that nobody but this user may read: written whole or not at all, and refused when they are open to others."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

MAX_BYTES = 4 * 1024 * 1024


class NotPrivate(OSError):
    """The file cannot be used: not there, open to others, too long, or kept by another process."""


def read_private(path: Path) -> bytes:
    """What the file holds.

    Raises:
        FileNotFoundError: there is none.
        NotPrivate: it is there, and cannot be trusted or read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotPrivate(f"{path} cannot be read: {error.strerror}") from None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise NotPrivate(f"{path} is no file")
        if found.st_mode & 0o077 or found.st_uid != os.geteuid():
            raise NotPrivate(f"{path} is open to other users: chmod 600 it, and make it this user's")
        if found.st_size > MAX_BYTES:
            raise NotPrivate(f"{path} has {found.st_size} bytes; at most {MAX_BYTES} are read")
        with open(fd, "rb", closefd=False) as file:
            return file.read(MAX_BYTES)
    except NotPrivate:
        raise
    except OSError as error:
        raise NotPrivate(f"{path} cannot be read: {error.strerror}") from None
    finally:
        os.close(fd)


def write_private(path: Path, data: bytes) -> None:
    """Put `data` in the file's place at once: whoever reads sees the old or the new, also after a power failure.

    Raises:
        NotPrivate: the disk says no; the old file is as it was.
    """
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.replace(new, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise NotPrivate(f"{path} cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def kept(path: Path) -> Iterator[None]:
    """Keep other processes from changing the file while the block runs, by a lock beside it.

    Raises:
        NotPrivate: another process keeps it, or the lock cannot be made. Nobody waits.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NotPrivate(f"{lock} cannot be made: {error.strerror}") from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NotPrivate(f"{path} is being changed by another process: try again") from None
        yield
    finally:
        os.close(fd)
