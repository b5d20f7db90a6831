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
    OPENED = "OPENED"
    """a connection was made; `text` says with whom"""
    BYTES = "BYTES"
    """what came through it, in `payload`, cut anywhere"""
    CLOSED = "CLOSED"
    """it ended, or could not be made; `text` says why"""


class Chunk(Message):
    """A piece of a recording. Times are offsets from the recording's start."""

    kind: ChunkKind
    offset_ns: Nanoseconds = 0
    """of the first row"""
    period_ns: Nanoseconds = 0
    arrival_ns: Nanoseconds = -1
    """when the rows came in, where the recording says so; -1 where it does not"""
    origin_ns: Nanoseconds = 0
    """MESSAGE: the recorded time that offset 0 stands for"""
    motion: Motion = Motion.UNKNOWN
    block: str = ""
    first_row: int = 0
    """of the recording's rows, bad ones counted"""
    bad_rows: int = 0
    """rows skipped so far"""
    text: str = ""
    """what was wrong with the last bad row, or why reading stopped"""
    topic: str = ""
    payload: bytes = b""
    data: Samples = Samples([])
