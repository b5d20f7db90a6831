"""What a log is at the start of its publisher, whatever ended the last one. Cuts the torn tail, counts on.

    killed          at most one record is cut in mid-write, whose `publish` never returned: it is removed, and its
                    number is given again
    power failure   what was not on the disk is gone though consumers may have it: numbers go on behind all that may
                    have been given, so that none means two events
    damage          a record that is not as written is passed over; what lies behind it stays, under its own numbers.
                    At the tail it counts as a power failure does

Numbers that are passed over show as a hole, which a consumer is told of as `Lost`. Damage is evidence of them, so what
it means is noted in `numbers` before anything is put right: who dies in between begins again with the evidence, or with
the note.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from bus.durable import numbers
from bus.durable.segment import HEADER_BYTES, is_cut_short, scan, seed
from bus.durable.segments import Segment, header_of, id_of, listed


@dataclass(slots=True)
class Found:
    """A log to go on with."""

    log_id: int
    next_seq: int
    segments: list[Segment] = field(default_factory=list)
    writable_since_ns: int = 0
    """when the newest segment was begun; 0: it is not to be appended to"""
    notes: list[str] = field(default_factory=list)


def recover(folder: Path, boot_id: str, reserve: int) -> Found:
    """Put right what is there; for the one who holds the lock.

    Raises:
        OSError: it cannot be read.
    """
    if not folder.exists():
        return _fresh()
    segments = listed(folder)
    before = numbers.read(folder / "numbers")
    log_id = id_of(folder, segments)
    if not log_id:
        found = _fresh()
        if _set_aside(segments, found.notes):
            found.notes.append(f"{folder}: nothing legible is left of the log; a new one begins")
        return found
    if before is not None and before.log_id != log_id:
        before = None
    found = Found(log_id, 1)
    crc_seed = seed(log_id)
    strange: list[Segment] = []
    for segment in segments:
        header = header_of(segment)
        if header is None and _has_records(segment, crc_seed):
            found.notes.append(f"{segment.path}: its head is damaged; its events are read all the same")
        elif header is None or header[0] != log_id:
            strange.append(segment)
            continue
        found.segments.append(segment)
    in_doubt = any(segment.end >= HEADER_BYTES for segment in strange)
    last = tail = 0
    if found.segments:
        newest = found.segments[-1]
        header = header_of(newest)
        found.writable_since_ns = header[2] if header is not None else 0
        last, tail, damaged = _tail(newest, crc_seed, found.notes)
        last = max(last, newest.first_seq - 1)
        in_doubt |= damaged
    found.next_seq, why = _next_seq(before, last, in_doubt, boot_id, reserve)
    if found.next_seq > last + 1 and why:
        found.notes.append(f"{folder}: {why}; events after #{last} may be gone, numbers go on with #{found.next_seq}")
    if in_doubt and before is not None:
        _note(folder, numbers.Numbers(log_id, boot_id, found.next_seq, found.next_seq - 1, numbers.OPEN))
    _set_aside(strange, found.notes)
    if found.segments and tail < newest.end:
        os.truncate(newest.path, tail)
        newest.end = tail
    return found


def _fresh() -> Found:
    return Found(int.from_bytes(os.urandom(8), "little") >> 1 or 1, 1)


def _next_seq(before: numbers.Numbers | None, last: int, in_doubt: bool, boot_id: str, reserve: int) -> tuple[int, str]:
    """The number to go on with, and why it may not follow the last one; empty when that was told already."""
    if before is None:
        return last + 1 + 2 * reserve, "it does not say which numbers were given"
    behind = max(before.reserved, last) + 1
    if before.state == numbers.CLEAN:
        return behind, "" if not in_doubt else "it is damaged at its end"
    if before.state == numbers.REFUSED:
        return behind, "the disk took no more events when it ended"
    if in_doubt:
        return behind, "it is damaged at its end"
    if before.boot_id != boot_id:
        return behind, "the computer stopped without ending it"
    return max(last + 1, before.first), ""


def _has_records(segment: Segment, crc_seed: int) -> bool:
    return next(segment.records(1, crc_seed), None) is not None


def _set_aside(segments: list[Segment], notes: list[str]) -> bool:
    """Out of the way with what is no segment of this log; whether there may have been an event in it."""
    found = False
    for segment in segments:
        if segment.end < HEADER_BYTES:
            segment.path.unlink()  # begun, and never written to
            continue
        found = True
        aside = segment.path.with_suffix(".damaged")
        segment.path.rename(aside)
        notes.append(f"{segment.path}: not of this log, or damaged throughout; set aside as {aside.name}")
    return found


def _note(folder: Path, found: numbers.Numbers) -> None:
    """On the disk before the evidence goes."""
    fd = os.open(folder / "numbers", os.O_RDWR | os.O_CLOEXEC)
    try:
        numbers.write(fd, found)
        os.fdatasync(fd)
    finally:
        os.close(fd)


def _tail(segment: Segment, crc_seed: int, notes: list[str]) -> tuple[int, int, bool]:
    """The number of the last whole record, its end, and whether more than a torn write lies behind it."""
    fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        last, end = 0, HEADER_BYTES
        for record in scan(fd, HEADER_BYTES, segment.end, crc_seed):
            if last and record.start != end:
                notes.append(f"{segment.path}: damaged between #{last} and #{record.seq}")
            last, end = record.seq, record.end
            segment.mark(record.seq, record.start)
        return last, end, end < segment.end and not is_cut_short(fd, end, segment.end, crc_seed)
    finally:
        os.close(fd)
