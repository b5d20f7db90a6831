"""Who is connected and what is still to be sent to whom: pure, bytes in, bytes out.

A client gets what everybody gets. When it reads so slowly that its queue is full, lines are left out and counted, and
once the queue is empty it is told everything anew, so that what it knows is true again. One that takes nothing for
seconds is cut off.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from schemas.base import Message

QUEUE_MAX_BYTES = 256 * 1024
SLOW_NS = 5_000_000_000
LINE_MAX_BYTES = 1024
"""of what a client says"""
CLIENTS_MAX = 16


class PeerKind(StrEnum):
    LISTENING = "LISTENING"
    """`text` says where"""
    FAILED = "FAILED"
    """the port cannot be had; `text` says why"""
    CAME = "CAME"
    """a client wants everything that is known"""
    LOST_LINES = "LOST_LINES"
    """it left out lines and is ready for everything anew"""
    LEFT = "LEFT"
    CUT = "CUT"
    """it took nothing and was cut off"""
    REFUSED = "REFUSED"
    """there are too many"""


class PeerEvent(Message):
    """What became of a client; from the worker to the node."""

    kind: PeerKind
    client: int = 0
    lost_lines: int = 0
    text: str = ""


class Standing(Enum):
    """What a client knows."""

    NEW = auto()
    """nothing yet: everything is asked for, and will hold what comes meanwhile"""
    CURRENT = auto()
    BEHIND = auto()
    """it left out lines; when its queue is empty, everything is asked for"""


@dataclass(slots=True)
class Client:
    """One connection."""

    number: int
    name: str
    moved_ns: int
    """when it last took something, or had nothing to take"""
    standing: Standing = Standing.NEW
    lost_lines: int = 0
    asked: bool = False
    """BEHIND: everything is on its way"""
    out: bytearray = field(default_factory=bytearray)
    """to be sent"""
    line: bytearray = field(default_factory=bytearray)


def offer(client: Client, data: bytes) -> None:
    """Something new for everybody."""
    if client.standing is Standing.CURRENT and len(client.out) + len(data) > QUEUE_MAX_BYTES:
        client.standing, client.asked = Standing.BEHIND, False
    if client.standing is Standing.CURRENT:
        client.out += data
    elif client.standing is Standing.BEHIND:
        client.lost_lines += data.count(b"\n")


def missed(client: Client, lines: int) -> None:
    """Lines that were lost on the way here."""
    if client.standing is not Standing.NEW:
        client.standing, client.asked = Standing.BEHIND, False
        client.lost_lines += lines


def everything(client: Client, data: bytes) -> None:
    """All that is known, as asked for."""
    client.out += data
    client.standing = Standing.CURRENT


def heard(client: Client, data: bytes, pong: bytes) -> None:
    """What a client says: each PING is answered, all else is none of our business."""
    *lines, rest = data.split(b"\n")
    for line in lines:
        client.line += line[:LINE_MAX_BYTES]
        if client.line.strip().startswith(b"* PING") and len(client.out) < QUEUE_MAX_BYTES:
            client.out += pong
        client.line.clear()
    client.line += rest
    del client.line[LINE_MAX_BYTES:]


def sent(client: Client, count: int, now_ns: int) -> bool:
    """So many bytes went out; True when it was behind and is ready to be told everything anew."""
    del client.out[:count]
    if count or not client.out:
        client.moved_ns = now_ns
    if client.standing is not Standing.BEHIND or client.asked or client.out:
        return False
    client.asked = True
    return True


def is_slow(client: Client, now_ns: int) -> bool:
    """It has something to take and took nothing for too long."""
    return bool(client.out) and now_ns - client.moved_ns > SLOW_NS
