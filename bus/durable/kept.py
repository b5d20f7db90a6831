"""The values of one LATCHED topic with `persist=True` on disk: they survive the publisher, whatever ends it.

    kept/<node>/<topic>/<key, hashed>-<number>      magic 8 | crc u32 | frame bytes u32 | frame | tail

A value is written by one write(2) on the node's thread, so it outlives the process at once; the sync, and the removal
of the value before, come at most 100 ms later, off that thread. No file is written twice: of a key the highest number
that is whole counts, so whatever is torn or damaged leaves the value before. A file without a frame is a tombstone.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from bus.durable.syncer import Syncer, sync_directory

MAGIC = b"RISEKEP\x01"
_HEADER = struct.Struct("<8sII")
HEADER_BYTES = _HEADER.size
VALUE_MAX_BYTES = 1 << 30
BEHIND_MAX = 1000
"""values of one key that wait for the disk to say that it has them; one more is not written"""
_NAME = re.compile(r"([0-9a-f]{16})-([0-9]{20})")
Frames = tuple[bytes, bytes | memoryview]


class Value(NamedTuple):
    """What a publisher said: the frame and its tail, as they were sent."""

    frame: bytes
    tail: bytes


def pack(frame: bytes, tail: bytes | memoryview = b"") -> bytes:
    """The content of a file; of a tombstone without a frame."""
    crc = crc32(tail, crc32(frame, len(frame)))
    return b"".join((_HEADER.pack(MAGIC, crc, len(frame)), frame, tail))


def parse(data: bytes) -> Value | None:
    """The value in a file; None when its bytes are not those that were written."""
    if len(data) < HEADER_BYTES:
        return None
    magic, crc, size = _HEADER.unpack_from(data)
    frame, tail = data[HEADER_BYTES : HEADER_BYTES + size], data[HEADER_BYTES + size :]
    whole = magic == MAGIC and len(frame) == size and crc == crc32(tail, crc32(frame, size))
    return Value(frame, tail) if whole else None


class Kept:
    """What is on the disk of one topic of one publisher. Opening it only reads, and never raises."""

    def __init__(self, folder: Path, syncer: Syncer) -> None:
        self.folder = folder
        self.problem = ""
        """why values are not kept at the moment; empty when they are"""
        self.notes: list[str] = []
        """what of the last life could not be read; whoever tells it empties the list"""
        self._syncer = syncer
        self._files: dict[str, list[int]] = {}
        """by hashed key the numbers of its files, rising; the syncer's thread takes away from the front"""
        self._number = 0
        self._unsaved: dict[str, Frames | None] = {}
        """by key what the disk did not take; None: that it was withdrawn"""
        self._sync_error = ""

    # --- the last life -----------------------------------------------------------------------------------------------

    def values(self) -> list[Value]:
        """What was said last of each key, oldest first."""
        try:
            found = [m for entry in os.scandir(self.folder) if (m := _NAME.fullmatch(entry.name))]
        except FileNotFoundError:
            return []
        except OSError as error:
            self.notes.append(f"{self.folder} cannot be read: {_why(error)}: nothing of it is offered again")
            return []
        for m in sorted(found, key=lambda m: int(m[2])):
            self._files.setdefault(m[1], []).append(int(m[2]))
            self._number = int(m[2])
        newest = [v for hashed, numbers in self._files.items() if (v := self._newest(hashed, numbers)) is not None]
        return [value for _, value in sorted(newest) if value.frame]

    def _newest(self, hashed: str, numbers: list[int]) -> tuple[int, Value] | None:
        for number in reversed(numbers):
            path = self._path(hashed, number)
            try:
                value = parse(path.read_bytes()) if path.stat().st_size <= VALUE_MAX_BYTES else None
            except OSError as error:
                self.notes.append(f"{path} cannot be read: {_why(error)}: it counts as never written")
                continue
            if value is not None:
                return number, value
            self.notes.append(f"{path} is damaged: it counts as never written")
        return None

    def _path(self, hashed: str, number: int) -> Path:
        return self.folder / f"{hashed}-{number:020d}"

    # --- this life ---------------------------------------------------------------------------------------------------

    def save(self, key: str, frames: Frames) -> None:
        """This is the value of `key` from now on."""
        self._put(key, frames)

    def drop(self, key: str) -> None:
        """`key` has no value any more."""
        if self._files.get(_hashed(key)) or key in self._unsaved:
            self._put(key, None)

    def _put(self, key: str, frames: Frames | None) -> None:
        hashed = _hashed(key)
        files = self._files.setdefault(hashed, [])
        if len(files) > BEHIND_MAX:
            self._refuse(key, frames, f"{self.folder}: the disk is {BEHIND_MAX} values behind")
            return
        number = self._number + 1
        try:
            self._write(self._path(hashed, number), pack(b"") if frames is None else pack(*frames))
        except OSError as error:
            self._refuse(key, frames, f"{self.folder}: {_why(error)}")
            return
        self._number = number
        files.append(number)
        self._unsaved.pop(key, None)
        if not self._unsaved:
            self.problem = ""
        self._syncer.do(lambda: self._settle(hashed, number, tombstone=frames is None))

    def _write(self, path: Path, data: bytes) -> None:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            written = 0
            while written < len(data):  # the second write of one cut short says why
                written += os.write(fd, data[written:] if written else data)
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        finally:
            os.close(fd)

    def _refuse(self, key: str, frames: Frames | None, why: str) -> None:
        self._unsaved[key] = frames
        self.problem = why

    def retry(self) -> None:
        """Write what the disk did not take; call it now and then."""
        self._files = {hashed: numbers for hashed, numbers in self._files.items() if numbers}
        for key, frames in list(self._unsaved.items()):
            self._put(key, frames)
            if self._unsaved.get(key, ()) is frames:
                return  # it still does not

    @property
    def sync_error(self) -> str:
        """Why the disk does not say that it has the values; empty when it does."""
        return self._sync_error

    def _settle(self, hashed: str, number: int, *, tombstone: bool) -> None:
        """On the syncer's thread: bring a value to the disk, then remove the ones before it."""
        files = self._files[hashed]
        if files[-1] > number:
            return  # one that followed is synced next, and removes this one too
        try:
            _sync(self._path(hashed, number))
            sync_directory(self.folder)
            self._sync_error = ""
            while files[0] < number:  # oldest first: else one that is left would come to life behind its tombstone
                _unlink(self._path(hashed, files[0]))
                del files[0]
            if tombstone and files == [number]:
                _unlink(self._path(hashed, number))
                files.clear()
        except OSError as error:
            self._sync_error = f"{self.folder}: {_why(error)}"


def namespaces(folder: Path, base: str) -> Iterable[str]:
    """In which namespaces a node with this folder has kept values of the topic `base`."""
    ending = "." + base.replace("/", ".")
    with contextlib.suppress(OSError):
        for entry in sorted(os.scandir(folder), key=lambda e: e.name):
            namespace = entry.name.removesuffix(ending)
            if entry.name.endswith(ending) and re.fullmatch(r"[a-z][a-z0-9_]*", namespace):
                yield namespace


def _hashed(key: str) -> str:
    """A key may hold anything; the name of a file may not."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unlink(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def _why(error: OSError) -> str:
    return error.strerror or str(error)
