"""The log of one topic of one publisher: append before sending, read again by number, retain so long and so much.

    folder/lock                       held by the one who writes
    folder/numbers                    see numbers.py
    folder/<first number>.log         segments, see segment.py

A log never stops its node. What the disk refuses is not in the log (`append` says False, `problem` why) and is tried
again with later events; what a crash left behind is put right at the next start, and what that meant is in `notes`.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bus import ofd
from bus.durable import numbers
from bus.durable.numbers import Numbers
from bus.durable.recovery import Found, recover
from bus.durable.segment import HEADER_BYTES, pack_head, pack_header, seed
from bus.durable.segments import Segment
from bus.durable.syncer import SyncedFile, Syncer

SEGMENT_BYTES = 4 * 1024 * 1024
SEGMENT_S = 24 * 3600.0
KEEP_BYTES = 1024 * 1024 * 1024
KEEP_S = 30 * 24 * 3600.0
RESERVE = 65_536
"""numbers reserved ahead: so many are in doubt after a power failure. Half of them must last until the next sync"""
TRY_AGAIN_NS = 1_000_000_000
GIVE_UP_NS = 600 * 1_000_000_000
"""what the disk has not given for so long (EIO) is lost, because consumers wait behind it"""
Frames = tuple[bytes, bytes | memoryview]


class Limits(NamedTuple):
    """When a segment is full, and what is kept."""

    segment_bytes: int = SEGMENT_BYTES
    segment_s: float = SEGMENT_S
    keep_bytes: int = KEEP_BYTES
    keep_s: float = KEEP_S
    reserve: int = RESERVE


LIMITS = Limits()


class Log:
    """Opens what is there, or begins anew; never raises for what it finds on the disk.

    Args:
        time_ns: wall time of the computer, for the age of segments.
        boot_id: see numbers.py.
    """

    def __init__(
        self, folder: Path, syncer: Syncer, limits: Limits = LIMITS, *, boot_id: str | None = None,
        time_ns: Callable[[], int] = time.time_ns, try_again_ns: int = TRY_AGAIN_NS, give_up_ns: int = GIVE_UP_NS,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.limits = limits
        self.notes: list[str] = []
        """what a crash or damage meant for events that had been accepted; whoever tells it empties the list"""
        self.news = ""
        """that the disk takes events again; whoever tells it empties it"""
        self.problem = ""
        """why events are not kept at the moment; empty when they are"""
        self.refused = 0
        """events that the disk did not take"""
        self._syncer = syncer
        self._time_ns = time_ns
        self._try_again_ns = try_again_ns
        self._retry_ns = 0
        self._boot_id = numbers.boot_id() if boot_id is None else boot_id
        self._lock: ofd.LockFile | None = None
        self._numbers: SyncedFile | None = None
        self._active: SyncedFile | None = None
        """the newest segment, open for writing"""
        self._active_since_ns = 0
        self._over_age = False
        self._segments: list[Segment] = []
        self._reserved = 0
        self._give_up_ns = give_up_ns
        self._unreadable: dict[Path, tuple[int, str]] = {}
        """segments that cannot be read: since when, and why; no reason where they are given up"""
        self._first = 1
        self._seed = 0
        self.log_id = 0
        """of this log for as long as it lives; 0: there is one, and it cannot be used"""
        self.next_seq = 1
        found: Found | None = None
        try:
            self._take()
            found = recover(folder, self._boot_id, limits.reserve)
        except OSError as error:
            self.problem = f"{folder} cannot be read: {_why(error)}; it is tried again when the node starts again"
        except _Held as held:
            self.problem = str(held)
        if found is not None:
            self._go_on(found)

    # --- opening -----------------------------------------------------------------------------------------------------

    def _take(self) -> None:
        """Make the folder and take its lock; a folder that cannot be made is tried again with the first event."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = ofd.LockFile(self.folder / "lock")
        except OSError as error:
            if self.folder.exists() and any(self.folder.iterdir()):
                raise
            self._refuse(error)
            return
        if not self._lock.lock(ofd.EXCLUSIVE, 0):
            self._lock.close()
            self._lock = None
            raise _Held(f"{self.folder} is written by another process: these events are not kept")
        if self.log_id and any(p.name != "lock" for p in self.folder.iterdir()):
            raise FileExistsError(
                errno.EEXIST, "another log came into its place; it is read when the node starts again"
            )

    def _go_on(self, found: Found) -> None:
        self.log_id, self.next_seq = found.log_id, found.next_seq
        self.notes += found.notes
        self._first = found.next_seq
        self._seed = seed(self.log_id)
        self._segments = found.segments
        if self.problem:
            return
        try:
            self._reserve()
            assert self._numbers is not None
            os.fdatasync(self._numbers.fd)
            if found.writable_since_ns:
                self._active = self._syncer.open(os.open(found.segments[-1].path, os.O_RDWR | os.O_CLOEXEC))
                self._active_since_ns = found.writable_since_ns
        except OSError as error:
            self._refuse(error)
        self._syncer.sync_directory(self.folder)
        self.retain()

    def _reserve(self) -> None:
        """Say which numbers may be given from now on, and whether they are in the log. Raises OSError."""
        if self._lock is None:
            self._take()
        if self._numbers is None:
            fd = os.open(self.folder / "numbers", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._numbers = self._syncer.open(fd)
        reserved = self.next_seq - 1 + self.limits.reserve
        state = numbers.REFUSED if self.problem else numbers.OPEN
        numbers.write(self._numbers.fd, Numbers(self.log_id, self._boot_id, self._first, reserved, state))
        self._reserved = reserved
        self._syncer.dirty(self._numbers)

    # --- writing -----------------------------------------------------------------------------------------------------

    def append(self, seq: int, wall_ns: int, frame: bytes, tail: bytes | memoryview = b"") -> bool:
        """Write an event; False when it is not kept. Numbers must rise; `next_seq` says where they go on."""
        self.next_seq = seq + 1
        if self.problem and not self._may_try_again(seq):
            self.refused += 1
            return False
        head = pack_head(self._seed, seq, wall_ns, frame, tail)
        size = len(head) + len(frame) + len(tail)
        try:
            if seq > self._reserved - self.limits.reserve // 2:
                self._reserve()
            active = self._active
            if active is None or self._over_age or self._is_full(size):
                active = self._roll(seq)
            segment = self._segments[-1]
            end = segment.end
            written = (
                os.pwritev(active.fd, (head, frame, tail), end) if tail else os.pwrite(active.fd, head + frame, end)
            )
            if written < size:
                self._write_rest(active.fd, b"".join((head, frame, tail)), written, end)
        except OSError as error:
            self._refuse(error)
            self.refused += 1
            return False
        segment.note(seq, end, size)
        if not active.dirty:
            self._syncer.dirty(active)
        if self.problem:
            self._accept_again(seq)
        return True

    def _is_full(self, size: int) -> bool:
        end = self._segments[-1].end
        if end == HEADER_BYTES:
            return False
        return end + size > self.limits.segment_bytes

    def _write_rest(self, fd: int, data: bytes, written: int, end: int) -> None:
        """What a write left out; the disk says why it does not take it."""
        while written < len(data):
            written += os.pwrite(fd, data[written:], end + written)

    def _roll(self, first_seq: int) -> SyncedFile:
        """Begin a segment. Raises OSError, and has then changed nothing."""
        if self._numbers is None:
            self._reserve()
        now_ns = self._time_ns()
        path = self.folder / f"{first_seq:020d}.log"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self._write_rest(fd, pack_header(self.log_id, first_seq, now_ns), 0, 0)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        if self._active is not None:
            self._syncer.retire(self._active)
            self._segments[-1].written_ns = now_ns
        self._active = self._syncer.open(fd)
        self._active_since_ns = now_ns
        self._segments.append(Segment(first_seq, path, HEADER_BYTES, now_ns))
        self._syncer.sync_directory(self.folder)
        self.retain()
        return self._active

    # --- when the disk refuses ----------------------------------------------------------------------------------------

    def _refuse(self, error: OSError) -> None:
        """Take back what was written of an event, and remember why."""
        self._retry_ns = time.monotonic_ns() + self._try_again_ns
        first = not self.problem
        self.problem = f"{self.folder}: {_why(error)}"
        if self._active is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._active.fd, self._segments[-1].end)
        if first and self._numbers is not None:
            try:
                self._reserve()
            except OSError:
                self.problem += ", and not even that can be noted: after a crash numbers may be given twice"

    def _may_try_again(self, seq: int) -> bool:
        if not self.log_id:
            return False
        if time.monotonic_ns() >= self._retry_ns:
            return True
        if seq > self._reserved - self.limits.reserve // 2 and self._numbers is not None:
            with contextlib.suppress(OSError):
                self._reserve()
        return False

    def _accept_again(self, seq: int) -> None:
        self.news = (
            f"{self.folder} takes events again from #{seq} on; {self.refused} were sent and not kept ({self.problem})"
        )
        self.problem = ""
        self.refused = 0
        with contextlib.suppress(OSError):
            self._reserve()

    # --- reading -----------------------------------------------------------------------------------------------------

    @property
    def first_seq(self) -> int:
        """The number of the oldest event that is kept; `next_seq` when none is."""
        return self._segments[0].first_seq if self._segments else self.next_seq

    @property
    def size_bytes(self) -> int:
        return sum(s.end for s in self._segments)

    def read(self, first: int, last: int, max_bytes: int) -> tuple[int, list[Frames]]:
        """The number of the first event kept at or behind `first`, and a run of events without a hole from there.

        The run ends at `last`, at a hole, or before `max_bytes` are exceeded (one event is given however large it is).
        Where nothing is kept behind `first` the number is `next_seq`.

        Raises:
            OSError: it cannot be read now; what the disk has not given for `give_up_ns` is a hole.
        """
        run: list[Frames] = []
        kept, size = self.next_seq, 0
        at = max(bisect.bisect_right(self._segments, first, key=lambda s: s.first_seq) - 1, 0)
        for segment in self._segments[at:]:
            try:
                for record in segment.records(first, self._seed):
                    if not run:
                        kept = record.seq
                    size += len(record.frame) + len(record.tail)
                    if record.seq > last or (run and (record.seq != kept + len(run) or size > max_bytes)):
                        self._is_read(segment)
                        return kept, run
                    run.append((record.frame, record.tail))
                self._is_read(segment)
            except OSError as error:
                if run:
                    return kept, run  # what lies before it; it is come to next time
                if not self._is_lost(segment, error):
                    raise
        return kept, run

    def _is_lost(self, segment: Segment, error: OSError) -> bool:
        """Whether what a segment does not give is gone, and not only at the moment."""
        now_ns = time.monotonic_ns()
        since_ns, why = self._unreadable.get(segment.path, (now_ns, "?"))
        if error.errno == errno.EIO and now_ns - since_ns >= self._give_up_ns:
            if why:
                text = (
                    f"{segment.path}: {_why(error)} for {self._give_up_ns / 1e9:.0f} s: what is not read of it is lost"
                )
                self.notes.append(text)
            self._unreadable[segment.path] = (since_ns, "")
            return True
        self._unreadable[segment.path] = (since_ns, _why(error))
        return False

    def _is_read(self, segment: Segment) -> None:
        if self._unreadable and self._unreadable.pop(segment.path, ("", ""))[1]:
            self.news = f"{segment.path} can be read again: nothing of it is lost"

    @property
    def unreadable(self) -> str:
        """Segments that cannot be read at the moment, and why; consumers wait for what is in them."""
        there = {s.path for s in self._segments} if self._unreadable else ()
        return "; ".join(f"{path}: {why}" for path, (_, why) in self._unreadable.items() if why and path in there)

    # --- retention and end --------------------------------------------------------------------------------------------

    def retain(self) -> None:
        """Delete the oldest segments beyond the limits, never the newest; have one that is too old followed by another.

        Call it now and then: a log that is not written to grows older too.
        """
        now_ns = self._time_ns()
        self._over_age = self._active is not None and now_ns - self._active_since_ns > self.limits.segment_s * 1e9
        self._over_age &= bool(self._segments) and self._segments[-1].end > HEADER_BYTES
        size = self.size_bytes
        while len(self._segments) > 1:
            oldest = self._segments[0]
            if size <= self.limits.keep_bytes and now_ns - oldest.written_ns <= self.limits.keep_s * 1e9:
                break
            del self._segments[0]
            size -= oldest.end
            self._syncer.do(oldest.path.unlink)

    @property
    def sync_error(self) -> str:
        """Why the last sync failed; empty when it did not."""
        return next((f.error for f in (self._active, self._numbers) if f is not None and f.error), "")

    def close(self) -> None:
        """Note that all is on the disk, so that numbers go on without a gap; after `Syncer.stop`."""
        if self._numbers is not None and not self.sync_error:
            with contextlib.suppress(OSError):
                if self._active is not None:
                    os.fdatasync(self._active.fd)
                clean = Numbers(self.log_id, self._boot_id, self._first, self.next_seq - 1, numbers.CLEAN)
                numbers.write(self._numbers.fd, clean)
                os.fdatasync(self._numbers.fd)
        for file in (self._active, self._numbers):
            if file is not None:
                os.close(file.fd)
        self._active = self._numbers = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


class _Held(RuntimeError):
    """Another process writes the log."""


def _why(error: OSError) -> str:
    return error.strerror or str(error)
