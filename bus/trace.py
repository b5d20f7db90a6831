"""What a node's thread did, packed: one record per callback, in order. The executor writes it, replay follows it.

While recorded, a node publishes blocks of these as `<node>/trace`. A record says which callback ran, on which message
and at which `now_ns()`; the messages themselves are in the bag under (publisher_id, topic, seq), so a record
is 31 bytes. What is nowhere else in the bag is the record's payload: requests, answers, workers' messages, link events.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec

from bus.node import CallError, Gone, LinkEvent, LogLost, Lost, Source, Stale, Synced
from schemas.sayable import sayable
from schemas.system import TraceBlock

_RECORD = struct.Struct("<BHQQqI")
_BATCH_ITEM = struct.Struct("<HQQ")
_pack = _RECORD.pack

BLOCK_RECORDS = 2000
"""a block is due when it holds so many"""
BLOCK_PAYLOAD_BYTES = 1 << 20
MAX_BLOCKS = 16
"""records beyond so many blocks that nobody took are lost, and counted"""


class Kind(IntEnum):
    """What ran. The comment is what the record holds besides `now_ns`."""

    CONFIGURE = 1  # on_configure; publisher_id is the node's own
    MESSAGE = 2  # name `<method> <full topic>`, publisher_id, seq
    BATCH = 3  # name `<method>`, payload pack_batch
    TIMER = 4  # name `<method>`
    LINK = 5  # name `<method> <full topic>`, payload pack_link
    REQUEST = 6  # name `<method> <client>`, seq the client's number of the call, payload the encoded request
    REPLY = 7  # name `<full service name>`, seq the ordinal of the call from 1, payload pack_outcome
    WORKER = 8  # name `<method>`, payload the encoded message
    SUBMIT = 9  # name of the function, payload pack_arguments
    PARAMETER = 10  # name of the parameter, payload its JSON
    SHUTDOWN = 11  # on_shutdown
    CALL = 12  # no callback: the node asked; as REPLY, payload the encoded request


class Record(NamedTuple):
    """One callback of a node."""

    kind: int
    name: str
    now_ns: int
    publisher_id: int
    seq: int
    payload: bytes


class BadTrace(ValueError):
    """A trace that cannot be followed: a block is missing or damaged. Says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(sayable(reason))


class TraceWriter:
    """Collects records until the executor takes them as a block: every 100 ms, or as soon as `record` says True.

    Memory is bounded: what nobody takes beyond `MAX_BLOCKS` blocks is counted in `lost`, and the next block's `first`
    shows the gap.
    """

    __slots__ = (
        "_first",
        "_names",
        "_parameters",
        "_parameters_json",
        "_payload_bytes",
        "_payloads",
        "_pending_lost",
        "_records",
        "lost",
    )

    def __init__(self, parameters: Callable[[], str] = str) -> None:
        self.lost = 0
        self._parameters = parameters
        """gives the values in force, as JSON: a node may also set its own"""
        self._first = 0
        self._pending_lost = 0
        self._clear()

    def _clear(self) -> None:
        self._records = bytearray()
        self._names: dict[str, int] = {}
        self._payloads: list[bytes] = []
        self._payload_bytes = 0
        self._parameters_json = self._parameters()

    def record(
        self, kind: int, name: str, now_ns: int, publisher_id: int = 0, seq: int = 0, payload: bytes = b""
    ) -> bool:
        """Note a callback; True when a block is due to be taken."""
        records = self._records
        filled = len(records) // 31
        if filled >= BLOCK_RECORDS * MAX_BLOCKS or self._payload_bytes >= BLOCK_PAYLOAD_BYTES * MAX_BLOCKS:
            self._pending_lost += 1
            self.lost += 1
            return True
        index = self._names.get(name)
        if index is None:
            index = self._names[name] = len(self._names)
        at = 0
        if payload:
            self._payloads.append(payload)
            self._payload_bytes += len(payload)
            at = len(self._payloads)
        records += _pack(kind, index, publisher_id, seq, now_ns, at)
        return filled + 1 >= BLOCK_RECORDS or self._payload_bytes >= BLOCK_PAYLOAD_BYTES

    def take(self) -> TraceBlock | None:
        """Everything noted since the last call; None when that is nothing."""
        count = len(self._records) // _RECORD.size
        if not count:
            return None
        block = TraceBlock(
            first=self._first,
            names=tuple(self._names),
            payloads=tuple(self._payloads),
            records=bytes(self._records),
            parameters_json=self._parameters_json,
        )
        self._first += count + self._pending_lost
        self._pending_lost = 0
        self._clear()
        return block


def records(block: TraceBlock) -> Iterator[Record]:
    """The records of one block.

    Raises:
        BadTrace: cut short, or an index points outside the block.
    """
    if len(block.records) % _RECORD.size:
        raise BadTrace(f"trace block {block.first}: {len(block.records)} bytes are no whole number of records")
    names, payloads = block.names, (b"", *block.payloads)
    new = tuple.__new__
    try:
        for kind, name, publisher_id, seq, now_ns, at in _RECORD.iter_unpack(block.records):
            yield new(Record, (kind, names[name], now_ns, publisher_id, seq, payloads[at]))
    except IndexError:
        raise BadTrace(f"trace block {block.first}: a record points to a name or payload that is not there") from None


def count(block: TraceBlock) -> int:
    """How many records the block holds."""
    return len(block.records) // _RECORD.size


def read(blocks: Iterable[TraceBlock]) -> Iterator[Record]:
    """The records of consecutive blocks; the first block may start anywhere.

    Raises:
        BadTrace: a block is missing or damaged.
    """
    expected: int | None = None
    for block in blocks:
        if expected is not None and block.first != expected:
            raise BadTrace(f"trace: callbacks {expected}..{block.first - 1} are missing")
        yield from records(block)
        expected = block.first + count(block)


# --- what the payloads hold ---------------------------------------------------------------------------------------

_encode = msgspec.msgpack.Encoder().encode
_DAMAGED = (msgspec.DecodeError, struct.error, ValueError, IndexError, RecursionError)
_decode_link = msgspec.msgpack.Decoder(tuple[str, str, str, int, int, int, int | float, int]).decode
"""kind, source, and two numbers: the first and last lost; or the seconds of silence; or whether it went cleanly"""
_decode_outcome = msgspec.msgpack.Decoder(tuple[str, str, bytes | None]).decode
_decode_batch = msgspec.msgpack.Decoder(tuple[list[str], bytes]).decode
_decode_arguments = msgspec.msgpack.Decoder(list[Any]).decode


def pack_batch(items: Iterable[tuple[str, int, int]]) -> bytes:
    """The messages of a batch as (full topic, publisher_id, seq)."""
    topics: dict[str, int] = {}
    packed = b"".join([_BATCH_ITEM.pack(topics.setdefault(t, len(topics)), p, s) for t, p, s in items])
    return _encode((list(topics), packed))


def unpack_batch(payload: bytes) -> list[tuple[str, int, int]]:
    """Raises BadTrace."""
    try:
        topics, packed = _decode_batch(payload)
        return [(topics[t], p, s) for t, p, s in _BATCH_ITEM.iter_unpack(packed)]
    except _DAMAGED as error:
        raise BadTrace(f"trace: damaged batch: {error}") from None


def pack_link(event: LinkEvent) -> bytes:
    """A link event with its source."""
    s = event.source
    a: int | float = 0
    b = 0
    if isinstance(event, Lost):
        a, b = event.first, event.last
    elif isinstance(event, Stale):
        a = event.silent_s
    elif isinstance(event, Gone):
        b = int(event.clean)
    elif isinstance(event, LogLost):
        b = event.handled
    return _encode((type(event).__name__, s.node, s.topic, s.seq, s.stamp_ns, s.publisher_id, a, b))


def unpack_link(payload: bytes) -> LinkEvent:
    """Raises BadTrace."""
    try:
        kind, node, topic, seq, stamp_ns, publisher_id, a, b = _decode_link(payload)
    except _DAMAGED as error:
        raise BadTrace(f"trace: damaged link event: {error}") from None
    source = Source(node, topic, seq, stamp_ns, publisher_id)
    match kind:
        case "Lost" if isinstance(a, int):
            return Lost(source, a, b)
        case "Stale":
            return Stale(source, a)
        case "Gone":
            return Gone(source, bool(b))
        case "Synced":
            return Synced(source)
        case "LogLost":
            return LogLost(source, b)
    raise BadTrace(f"trace: {kind!r} is no link event")


def pack_outcome(error: CallError | None, text: str, reply: bytes | None) -> bytes:
    """What became of a call; `reply` is the encoded message."""
    return _encode((error or "", text, reply))


def unpack_outcome(payload: bytes) -> tuple[CallError | None, str, bytes | None]:
    """Raises BadTrace."""
    try:
        error, text, reply = _decode_outcome(payload)
        return CallError(error) if error else None, text, reply
    except _DAMAGED as bad:
        raise BadTrace(f"trace: damaged outcome of a call: {bad}") from None


def pack_arguments(args: tuple[Any, ...]) -> bytes:
    """The arguments of a submitted call; empty when they are no plain data: replay then says what it skipped."""
    try:
        return _encode(list(args))
    except (TypeError, OverflowError, ValueError, RecursionError):  # ValueError: text that is no UTF-8
        return b""


def unpack_arguments(payload: bytes) -> list[Any]:
    """Raises BadTrace."""
    try:
        return _decode_arguments(payload)
    except _DAMAGED as error:
        raise BadTrace(f"trace: damaged arguments: {error}") from None
