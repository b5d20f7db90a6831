"""The byte layout of what crosses a socket. Sans-IO: bytes in, values out.

Published messages:

    full/topic \\0 | version u8 | flags u8 | reserved u16 | publisher_id u64 | seq u64 | mono_ns i64 | wall_ns i64 |
    payload

little-endian, one frame. With flag SPLIT the bytes of the payload's last value, a large array, are a second frame, and
the concatenation of the two payloads is one msgpack map. Subscriptions are prefixes that include the `\\0`, so a name
never matches a longer one. Flag STALE says that an earlier life of the publisher said it, and this one nothing yet.

Between two nodes (requests, replies, repair) the frames are the msgpack arrays below.
"""

from __future__ import annotations

import struct
from typing import Annotated, NamedTuple

import msgspec

from schemas.names import MAX_NAME_BYTES
from schemas.sayable import sayable

VERSION = 1
SPLIT = 0x01
STALE = 0x02
_HEADER = struct.Struct("<BBHQQqq")
HEADER_BYTES = _HEADER.size
_pack = _HEADER.pack
_unpack_from = _HEADER.unpack_from

FULL_NAME_MAX_BYTES = 2 * MAX_NAME_BYTES + 100
"""a namespace, a name below it, and what the bus adds"""
MESSAGE_MAX_BYTES = 64 * 1024 * 1024
"""what is longer ends the connection on which it comes, before it takes memory"""
PUBLISHED_MAX_BYTES = MESSAGE_MAX_BYTES - 64 * 1024
"""frame and tail of one message; the rest is for what may be around them: an answer to a repair, or to a sync token"""
KEY_BYTES = 13
"""From the zero byte on: what is the same in every message of one publisher on one topic"""
NUMBERS = struct.Struct("<Qqq")
"""seq, mono_ns, wall_ns: what follows it"""

SYNC = b"\xff"
"""First byte of a sync token: sorts after every topic, so libzmq sends it last on (re)connect."""
BEACON = b"\xfebeacon\x00"


class BadFrame(ValueError):
    """The bytes are not a frame of this bus; says at which point they stopped making sense."""

    def __init__(self, reason: str) -> None:
        super().__init__(sayable(reason))


Number = Annotated[int, msgspec.Meta(ge=0)]
"""A sequence number, publisher id or number of a call: what a header holds in 64 bits."""
Name = Annotated[str, msgspec.Meta(max_length=FULL_NAME_MAX_BYTES)]
"""A full name. Bounded, because names are kept where messages are not: in traces, feeds, and who asked what."""


class Published(NamedTuple):
    """A parsed frame; `payload` is what the codec decodes."""

    topic: bytes
    flags: int
    publisher_id: int
    seq: int
    mono_ns: int
    wall_ns: int
    payload: bytes


def prefix(full_name: str) -> bytes:
    """What to subscribe to, and how a frame starts: the name and a zero byte."""
    return full_name.encode("ascii") + b"\0"


def pack(
    topic_prefix: bytes, publisher_id: int, seq: int, mono_ns: int, wall_ns: int, payload: bytes, flags: int = 0
) -> bytes:
    """One frame."""
    return topic_prefix + _pack(VERSION, flags, 0, publisher_id, seq, mono_ns, wall_ns) + payload


def parse(frame: bytes) -> Published:
    """The parts of a frame.

    Raises:
        BadFrame: no zero byte, a header cut short, or another version.
    """
    end = frame.find(b"\0")
    if end < 0:
        raise BadFrame(f"{len(frame)} bytes without the zero byte that ends the topic")
    try:
        version, flags, _, publisher_id, seq, mono_ns, wall_ns = _unpack_from(frame, end + 1)
    except struct.error:
        raise BadFrame(f"header cut short: {len(frame) - end - 1} of {HEADER_BYTES} bytes") from None
    if version != VERSION:
        raise BadFrame(f"version {version} of the frame layout, this node speaks {VERSION}")
    return Published(frame[:end], flags, publisher_id, seq, mono_ns, wall_ns, frame[end + 1 + HEADER_BYTES :])


class NodeSync(msgspec.Struct, array_like=True):
    """One publisher's part of the answer to a sync token."""

    publisher_id: Number
    name: Name
    next_seq: dict[Name, Number]
    """per full topic the sequence number that comes next"""
    logs: dict[Name, tuple[int, int]] = {}
    """per full name of a DURABLE topic the id of its log, and the lowest number that is kept in it"""


class Sync(msgspec.Struct, array_like=True):
    """The answer to a sync token: from these sequence numbers on the subscriber misses nothing unnoticed."""

    endpoint: str
    nodes: list[NodeSync]
    latched: list[tuple[bytes, bytes]]
    """(frame, tail) of every latched value; the tail is empty unless the frame is split"""


class Beacon(msgspec.Struct, array_like=True):
    """The last sequence number of every repaired topic, so that a lost tail is noticed."""

    publisher_id: Number
    last_seq: dict[Name, Number]


class Request(msgspec.Struct, array_like=True, tag=1):
    """A call. The same (client_id, call_id) sent again is the same call."""

    service: Name
    client: Name
    client_id: Number
    call_id: Number
    attempt: Number
    server_id: Number
    """publisher_id of the server the first attempt went to"""
    remaining_ms: int
    payload: bytes
    sent_mono_ns: int = 0
    """CLOCK_MONOTONIC when it was sent: what a request waited at a stopped server counts too"""


class Reply(msgspec.Struct, array_like=True, tag=2):
    """What became of a call; `error` is empty or a CallError."""

    call_id: Number
    error: str
    text: str
    payload: bytes
    server_id: Number


class Repair(msgspec.Struct, array_like=True, tag=3):
    """Send sequence numbers `first`..`last` of a topic again."""

    publisher_id: Number
    topic: Name
    first: Number
    last: Number


class Repaired(msgspec.Struct, array_like=True, tag=4):
    """What is still there of a repair, up to `last`: frames in order; what is below `first_kept` is gone for good."""

    publisher_id: Number
    topic: Name
    first: Number
    last: Number
    first_kept: Number
    frames: list[tuple[bytes, bytes]]


Control = Request | Reply | Repair | Repaired

encode = msgspec.msgpack.Encoder().encode
_control = msgspec.msgpack.Decoder(Control)
_sync = msgspec.msgpack.Decoder(Sync)
_beacon = msgspec.msgpack.Decoder(Beacon)


def decode_control(data: bytes) -> Control:
    """Raises BadFrame."""
    try:
        message: Control = _control.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadFrame(f"not a control message: {error}") from None
    return message


def decode_sync(data: bytes) -> Sync:
    """Raises BadFrame."""
    try:
        return _sync.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadFrame(f"not a sync answer: {error}") from None


def decode_beacon(data: bytes) -> Beacon:
    """Raises BadFrame."""
    try:
        return _beacon.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadFrame(f"not a beacon: {error}") from None
