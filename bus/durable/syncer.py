"""Brings what was written to the disk: one thread for all logs and cursors of a process, grouped, off the node's."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

SYNC_EVERY_S = 0.1
"""what a power failure takes at most, while the disk keeps up"""
END_WITHIN_S = 5.0
"""how long a process that ends waits for a disk that hangs"""


class SyncedFile:
    """A file written by the node's thread and synced by the other; whoever writes calls `Syncer.dirty` after it."""

    __slots__ = ("dirty", "error", "fd", "retired")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.dirty = False
        self.retired = False
        """nobody writes any more: to be synced once more and closed"""
        self.error = ""
        """why the last sync failed; empty when it did not"""


class Syncer:
    """The thread begins with the first file that is dirty, and ends with `stop`."""

    def __init__(self, every_s: float = SYNC_EVERY_S) -> None:
        self._every_s = every_s
        self._files: set[SyncedFile] = set()
        self._jobs: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self.syncs = 0
        """calls of fdatasync"""

    def open(self, fd: int) -> SyncedFile:
        """Look after a descriptor. It is closed by `retire`, or by its owner after `stop`."""
        file = SyncedFile(fd)
        with self._lock:
            self._files.add(file)
        return file

    def dirty(self, file: SyncedFile) -> None:
        """The file was written: sync it within `every_s`."""
        if file.dirty:
            return
        file.dirty = True
        self._want()

    def retire(self, file: SyncedFile) -> None:
        """Sync it once more, then close it."""
        file.retired = file.dirty = True
        self._want()

    def sync_directory(self, path: Path) -> None:
        """Names made in a directory survive a power failure once it is synced."""
        self.do(lambda: sync_directory(path))

    def do(self, job: Callable[[], None]) -> None:
        """Run something that waits for the disk on the other thread; its OSError is nobody's."""
        self._jobs.append(job)
        self._want()

    def _want(self) -> None:
        self._wanted.set()
        if self._thread is None and not self._ending.is_set():
            self._thread = threading.Thread(target=self._run, name="syncer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._wanted.wait()
            self._ending.wait(self._every_s)  # what is written meanwhile is synced with it
            self._wanted.clear()
            self.sync()

    def sync(self) -> None:
        """Sync everything that is dirty, now, on this thread."""
        with self._lock:
            files = [f for f in self._files if f.dirty]
        for file in files:
            file.dirty = False  # before the sync: what is written during it is dirty again
            retired = file.retired  # and who is retired during it may have been written to: it is synced once more
            self.syncs += 1
            try:
                os.fdatasync(file.fd)
                file.error = ""
            except OSError as error:
                file.error = error.strerror or str(error)
            if retired:
                with self._lock:
                    self._files.discard(file)
                with contextlib.suppress(OSError):
                    os.close(file.fd)
        while self._jobs:
            with contextlib.suppress(OSError):
                self._jobs.popleft()()

    def stop(self) -> bool:
        """End the thread after a last sync; False when the disk hangs: then no file may be closed under it."""
        self._ending.set()
        if self._thread is not None:
            self._wanted.set()
            self._thread.join(END_WITHIN_S)
            if self._thread.is_alive():
                return False
        self.sync()
        return True


def sync_directory(path: Path) -> None:
    """Bring the names in a directory to the disk, on this thread. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
