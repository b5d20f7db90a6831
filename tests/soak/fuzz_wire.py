"""What comes through a socket: messages, frames, control messages, and the records of a lane."""

from __future__ import annotations

import math
import socket
import types
import typing
from collections.abc import Callable
from enum import StrEnum
from typing import Any, get_args, get_origin

import numpy as np

from bus import frame as bus_frame
from bus.bag.types import known_types
from bus.lane import Lanes
from bus.poll import Poller
from bus.stream import BadRecord, Stream, record
from schemas.base import Message, Samples
from schemas.codec import SPLIT_BYTES, DecodeError
from schemas.codec import codec as codec_of
from schemas.grammar import fields
from tests.soak.fuzz_mutate import Grammar
from tests.soak.fuzz_target import Target, scratch

TYPES: tuple[type[Message], ...] = tuple(sorted(known_types().values(), key=lambda cls: cls.__name__))
TAIL, ANNOUNCED = 1, 2
"""the second byte of the codec's input: a second frame, and whether the first one announces it"""


def example(cls: type[Message], *, empty: bool = False) -> Message:
    """A message with something in every field, or with as little as there can be."""
    return cls(**{f.name: _example(f.type, empty) for f in fields(cls) if f.required or not empty})


def _example(annotation: Any, empty: bool) -> Any:
    plain: dict[Any, Any] = {int: 7, float: 1.5, bool: True, str: "vmc1/x", bytes: b"\x81\xa1a\x01"}
    if annotation in plain:
        return type(plain[annotation])() if empty else plain[annotation]
    if annotation is Samples:
        return Samples(np.zeros((0,) if empty else (2, 3), np.float32))
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _example(args[0], empty)
    if origin is tuple:
        return () if empty else (_example(args[0], empty),) * 2
    if origin in (typing.Union, types.UnionType):
        return None if empty else _example(args[0] if args[1] is type(None) else args[1], empty)
    if issubclass(annotation, StrEnum):
        return next(iter(annotation))
    return example(annotation, empty=empty)


def codec() -> Target:
    """Every message type: the first byte picks it, the second says what becomes of the last bytes; what is decoded is
    encoded again, and must come back the same."""

    def run(data: bytes) -> None:
        one = codec_of(TYPES[data[0] % len(TYPES)] if data else TYPES[0])
        how, payload, tail = data[1] if len(data) > 1 else 0, data[2:], None
        if how & TAIL:
            cut = len(payload) - min(len(payload), how)
            payload, tail = payload[:cut], memoryview(payload[cut:])
            if how & ANNOUNCED:
                payload += b"\xc6" + len(tail).to_bytes(4, "big")
        message = one.decode(payload, tail)
        again = one.encode(message)
        if one.encode(one.decode(again)) != again:
            raise AssertionError(f"{one.type.__name__}: what is decoded is not what was encoded")

    seeds = []
    for n, cls in enumerate(TYPES):
        seeds += [bytes((n, 0)) + codec_of(cls).encode(example(cls, empty=e)) for e in (False, True)]
        declared = fields(cls)
        if declared and declared[-1].type is Samples:
            split = cls(**{**example(cls).__dict__, declared[-1].name: Samples(np.zeros(SPLIT_BYTES // 8))})
            head, tail = codec_of(cls).encode_frames(split)
            assert tail is not None
            seeds.append(bytes((n, TAIL | 40)) + head[:-5] + b"\xc6" + (41).to_bytes(4, "big") + bytes(41))
            seeds.append(bytes((n, TAIL | ANNOUNCED | 40)) + head[:-5] + bytes(43))
    return Target("codec", run, (DecodeError,), seeds, Grammar("msgpack", 2))


def frame() -> Target:
    """A published frame."""
    head = bus_frame.prefix("vmc1/machine/samples")
    seeds = [
        bus_frame.pack(head, 1, 2, 3, 4, b"\x81\xa1a\x01"), bus_frame.pack(b"\0", 2**64 - 1, 0, -1, -(2**63), b""),
        bus_frame.pack(bus_frame.SYNC + b"0123abcd/1\0", 1, 0, 0, 0, b"\x93"), head, b"",
    ]  # fmt: skip
    return Target("frame", bus_frame.parse, (bus_frame.BadFrame,), seeds)


def _control_seeds() -> list[bytes]:
    f = bus_frame.pack(bus_frame.prefix("a/b"), 1, 2, 3, 4, b"\x80")
    messages = [
        bus_frame.Request("vmc1/machine/stop", "me", 1, 2, 0, 3, 1000, b"\x80", 5),
        bus_frame.Reply(1, "", "text", b"\x80", 3), bus_frame.Reply(1, "deadline", "text", b"", 3),
        bus_frame.Repair(1, "a/b", 1, 5), bus_frame.Repaired(1, "a/b", 1, 5, 1, [(f, b""), (f, b"tail")]),
    ]  # fmt: skip
    return [bus_frame.encode(m) for m in messages]


def _again(read: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    """What is decoded can be encoded, and is the same when it is decoded again."""

    def run(data: bytes) -> None:
        message = read(data)
        if bus_frame.encode(read(bus_frame.encode(message))) != bus_frame.encode(message):
            raise AssertionError("what is decoded is not what was encoded")

    return run


def control() -> Target:
    """Requests, replies, repair."""
    run = _again(bus_frame.decode_control)
    return Target("control", run, (bus_frame.BadFrame,), _control_seeds(), Grammar("msgpack"))


def sync() -> Target:
    """The answer to a sync token."""
    f = bus_frame.pack(bus_frame.prefix("a/b"), 1, 2, 3, 4, b"\x80")
    message = bus_frame.Sync("ipc://x", [bus_frame.NodeSync(1, "n", {"a/b": 3, "c": 1})], [(f, b""), (f, b"tail")])
    run = _again(bus_frame.decode_sync)
    return Target("sync", run, (bus_frame.BadFrame,), [bus_frame.encode(message)], Grammar("msgpack"))


def beacon() -> Target:
    """The last numbers of a publisher."""
    seeds = [bus_frame.encode(bus_frame.Beacon(1, {"a/b": 3, "c": 1}))]
    run = _again(bus_frame.decode_beacon)
    return Target("beacon", run, (bus_frame.BadFrame,), seeds, Grammar("msgpack"))


RECORD_MAX = 2000


def stream() -> Target:
    """Records of a lane, however they are cut: the first byte says into how many pieces."""

    def run(data: bytes) -> None:
        pieces, data = (data[0] % 4 + 1 if data else 1), data[1:]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        reading = Stream(ours, RECORD_MAX)
        got: list[bytes] = []
        try:
            step = max(1, math.ceil(len(data) / pieces))
            for at in range(0, len(data), step):
                theirs.sendall(data[at : at + step])
                for head, tail in reading.read():
                    got.append(record(head, tail or b"") + bytes(tail or b""))
                    if len(got[-1]) > RECORD_MAX + 8:
                        raise AssertionError(f"a record of {len(got[-1])} bytes was let through")
            theirs.close()
            reading.read()
            if not reading.ended or not data.startswith(b"".join(got)):
                raise AssertionError("what was read is not what was sent")
        finally:
            theirs.close()
            reading.close()

    words = (record(b"x"), record(b"x" * 5), record(b"ab", b"cd") + b"cd", b"\xff" * 8, bytes(8))
    seeds = [bytes((n,)) + words[n] * 3 for n in range(3)] + [b"\x02" + record(b"x" * 1900, b"y" * 80) + b"y" * 80]
    return Target("stream", run, (BadRecord,), seeds, Grammar("bytes", 1, words))


def lane() -> Target:
    """A stranger at the publisher's end of a lane: whatever it says, nothing of it is left when it is gone."""
    poller = Poller()
    path = str(scratch() / "lane")
    lanes = Lanes(path, poller)
    bad: list[str] = []
    lanes.bad = bad.append

    def run(data: bytes) -> None:
        bad.clear()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
            stranger.connect(path)
            stranger.send(data)
            poller.look()
            for _ in range(4):
                poller.look()
            lanes.send(b"a\0", b"a\0hello", b"")
        while lanes.streams:
            poller.look()
        if lanes.by_prefix:
            raise AssertionError(f"{lanes.by_prefix} is left of somebody who is gone")
        if bad:
            raise BadRecord(bad[0])

    words = tuple(record(t) for t in (b"\x01a\0", b"\x00a\0", b"\x01\xff0123abcd/1\0", b"\x01no end", b"\x07a\0"))
    seeds = [words[0], words[0] + words[1], words[2] * 2, words[3], words[4], record(b"\x01a\0", b"t")]

    def close() -> None:
        lanes.close()
        poller.close()

    return Target("lane", run, (BadRecord,), seeds, Grammar("bytes", 0, words), close=close)
