"""Records over a UNIX stream socket: cut and joined, queued with a bound, never waited for.

record = head_bytes u32 | tail_bytes u32 | head | tail          little-endian
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_BYTES = 64 * 1024
CHUNKS_MAX = 4
"""read from one connection before the others, and what has come already, have their turn"""
QUEUE_MESSAGES = 100_000
QUEUE_BYTES = 64 * 1024 * 1024
"""what waits for a slow reader beyond the kernel's own buffer; past either bound a message is dropped, and its number
is missing at the reader"""
SEND_BUFFER_BYTES = 2 * 1024 * 1024
"""asked of the kernel, which grants at most net.core.wmem_max: a picture sent in one piece costs fewer wake-ups"""
TRY_EVERY = 128
JOIN_BYTES = 256 * 1024
_LENGTHS = struct.Struct("<II")
_MIN = _LENGTHS.size
_unpack_lengths = _LENGTHS.unpack_from

Record = tuple[bytes, bytes | memoryview | None]
"""(head, tail); the tail is None where there is none"""


class BadRecord(ValueError):
    """The other side does not speak as a lane does; the connection is of no more use."""


def record(head: bytes, tail: bytes | memoryview = b"") -> bytes:
    """The beginning of a record: all of it but the tail."""
    return _LENGTHS.pack(len(head), len(tail)) + head


class Stream:
    """One end of a connection: records out through a bounded queue, records in. Never blocks.

    Args:
        record_max_bytes: a longer record is refused before it takes memory.
    """

    __slots__ = (
        "_big", "_big_head", "_chunk_bytes", "_filled", "_head", "_out_bytes", "_recv", "_rest", "_send", "_sock",
        "_tail_bytes", "dropped", "ended", "fd", "record_max_bytes", "waiting", "watched",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, record_max_bytes: int) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._sock = sock
        self._recv, self._send = sock.recv, sock.send
        self.fd = sock.fileno()
        self.record_max_bytes = record_max_bytes
        self.watched = False
        """whether somebody waits for room to `flush`"""
        self.dropped = 0
        self.ended = False
        """the other side is gone, and everything it sent has been read"""
        self.waiting: deque[bytes | memoryview] = deque()
        """what waits for room on the way out"""
        self._out_bytes = 0
        self._rest = b""
        self._big: NDArray[np.uint8] | None = None
        """a record longer than a chunk, as far as it has come"""
        self._big_head = 0
        self._filled = 0
        self._chunk_bytes = CHUNK_BYTES
        """of the next read. After a big record only so much as was before its tail: if the next one is of the same
        shape, its tail then comes in one piece, without a copy"""
        self._head = b""
        self._tail_bytes = 0
        """a big record of which the head has come, and nothing of the tail"""

    # --- out ---------------------------------------------------------------------------------------------------------

    def send(self, head: bytes, tail: bytes | memoryview = b"") -> bool:
        """Send the parts of one record, or keep them until there is room; with the queue full the record is dropped.

        Returns whether something waits; then somebody must `flush` when there is room.
        """
        if not self.waiting:
            try:
                if not tail:
                    sent = self._send(head)
                    if sent == len(head):
                        return False
                else:
                    sent = self._sock.sendmsg((head, tail))
            except BlockingIOError:
                sent = 0
            except OSError:
                return False  # the other side is gone: reading tells
            self._keep(head, tail, sent)
        elif len(self.waiting) >= QUEUE_MESSAGES or self._out_bytes > QUEUE_BYTES:
            self.dropped += 1
        else:
            self._keep(head, tail, 0)
            if len(self.waiting) % TRY_EVERY == 0:
                self.flush()  # within one long callback the reader would else run dry
        return bool(self.waiting)

    def _keep(self, head: bytes, tail: bytes | memoryview, sent: int) -> None:
        for part in (head, tail):
            if sent >= len(part):
                sent -= len(part)
                continue
            left = memoryview(part)[sent:] if sent else part
            sent = 0
            self.waiting.append(left)
            self._out_bytes += len(left)

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        out = self.waiting
        while out:
            parts: list[bytes | memoryview] = []
            size = 0
            for part in out:
                if parts and size + len(part) > JOIN_BYTES:
                    break
                parts.append(part)
                size += len(part)
            try:
                sent = self._send(parts[0] if len(parts) == 1 else b"".join(parts))
            except BlockingIOError:
                return
            except OSError:
                out.clear()
                self._out_bytes = 0
                return
            self._out_bytes -= sent
            for part in parts:
                if sent < len(part):
                    if sent:
                        out[0] = memoryview(part)[sent:]
                    break
                sent -= len(part)
                out.popleft()

    # --- in ----------------------------------------------------------------------------------------------------------

    def read(self) -> list[Record]:
        """The whole records that are there.

        Raises:
            BadRecord: a length that no record has. What came before it is lost with it: nobody of ours sends such.
        """
        records: list[Record] = []
        for _ in range(CHUNKS_MAX):
            try:
                if self._big is not None or self._head:
                    got = self._read_big(records)
                    if records:
                        break  # what is behind them rings again: asking would cost more than waiting
                else:
                    asked = self._chunk_bytes
                    data = self._recv(asked)
                    got = len(data)
                    if got > _MIN and not self._rest:
                        head_bytes, tail_bytes = _unpack_lengths(data)
                        if head_bytes + _MIN == got and not tail_bytes and head_bytes <= self.record_max_bytes:
                            records.append((data[_MIN:], None))
                            return records  # the usual case: one small record, and nothing behind it
                    if got:
                        self._chunk_bytes = CHUNK_BYTES
                        self._split(self._rest + data, records)
                        if got < asked and self._big is None and not self._head:
                            break
            except BlockingIOError:
                break
            except OSError:
                got = 0
            if not got:
                self.ended = True
                break
        return records

    def _read_big(self, records: list[Record]) -> int:
        """Some of a record that is longer than a chunk; how many bytes came."""
        if self._big is not None:
            got = self._sock.recv_into(self._big[self._filled :].data)
            self._filled += got
            if self._filled == len(self._big):
                records.append(self._whole_big())
            return got
        data = self._recv(self._tail_bytes)
        if len(data) == self._tail_bytes:
            records.append((self._head, data))
            self._head = b""
        elif data:
            self._begin_big(self._head + data, len(self._head), self._tail_bytes)
            self._head = b""
        return len(data)

    def _split(self, data: bytes, records: list[Record]) -> None:
        at, end = 0, len(data)
        while end - at >= _MIN:
            head_bytes, tail_bytes = _unpack_lengths(data, at)
            total = head_bytes + tail_bytes
            if total > self.record_max_bytes or not head_bytes:
                raise BadRecord(f"a record of {head_bytes} + {tail_bytes} bytes, at most {self.record_max_bytes}")
            body = at + _MIN
            if body + total > end:
                if total <= CHUNK_BYTES:
                    break
                if body + head_bytes == end:
                    self._head, self._tail_bytes = data[body:], tail_bytes
                else:
                    self._begin_big(data[body:], head_bytes, tail_bytes)
                if tail_bytes:
                    self._chunk_bytes = _MIN + head_bytes
                at = end
                break
            at = body + total
            tail = memoryview(data)[body + head_bytes : at] if tail_bytes else None
            records.append((data[body : body + head_bytes], tail))
        self._rest = data[at:]

    def _begin_big(self, data: bytes, head_bytes: int, tail_bytes: int) -> None:
        self._big = np.empty(head_bytes + tail_bytes, np.uint8)
        self._big_head, self._filled = head_bytes, len(data)
        self._big[: len(data)] = np.frombuffer(data, np.uint8)

    def _whole_big(self) -> Record:
        big, self._big = self._big, None
        assert big is not None
        big.flags.writeable = False
        whole = big.data
        tail = whole[self._big_head :]
        return bytes(whole[: self._big_head]), tail if len(tail) else None

    def close(self) -> None:
        self._sock.close()
