"""What a driver's worker hands over to the node's thread: the one message of the blocking side."""

from __future__ import annotations

from enum import StrEnum

from schemas.base import Message, Nanoseconds, Samples
from schemas.machine import Motion


class ChunkKind(StrEnum):
    ROWS = "ROWS"
    """consecutive rows of one source, evenly spaced"""
    MESSAGE = "MESSAGE"
    """a recorded message, undecoded"""
    END = "END"
    """everything was read once"""
    FAILED = "FAILED"
    """reading stopped; `text` says where and why"""
    BAD = "BAD"
    """nothing that came could be read: `bad_rows`, `text`"""
    LINK = "LINK"
    """a connection came (`text` is empty) or went, or could not be made (`text` says why); it is tried again"""
    BYTES = "BYTES"
    """what came through it, in `payload`, cut anywhere"""


class Chunk(Message):
    """A piece of a recording or of a stream. Times are offsets from its start."""

    kind: ChunkKind
    entry: int = 0
    """which of the machine's sources it comes from"""
    dropped: int = 0
    """chunks of this source that were dropped before it, because they were not taken"""
    session: int = 0
    """stream: changes when the device started anew, and with it its counter and its clock"""
    offset_ns: Nanoseconds = 0
    """of the first row"""
    period_ns: Nanoseconds = 0
    arrival_ns: Nanoseconds = -1
    """when the rows came in, where the recording says so; -1 where it does not. Stream: when the last of them came,
    wall time"""
    origin_ns: Nanoseconds = 0
    """MESSAGE: the recorded time that offset 0 stands for. Stream: the device's clock at the first row; 0 has none"""
    motion: Motion = Motion.UNKNOWN
    block: str = ""
    first_row: int = 0
    """of the recording's rows, bad ones counted"""
    bad_rows: int = 0
    """rows skipped so far. Stream: rows or frames that could not be read"""
    doubled_rows: int = 0
    """stream: rows that came again, or after they had been given up"""
    text: str = ""
    """what was wrong with the last bad row, or why reading stopped"""
    topic: str = ""
    payload: bytes = b""
    data: Samples = Samples([])
