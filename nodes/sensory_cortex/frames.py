"""Counted frames of a data acquisition device: bytes in, frames out; garbage is skipped and counted.

A frame, little-endian:

    offset  bytes  field
    0       4      magic "DAQF"
    4       1      version: 1
    5       1      format of the rows: 1 float32, 2 int16
    6       2      channels: 1..256
    8       2      rows: at least 1
    10      2      0
    12      4      period: ns from row to row, at least 1
    16      8      counter: number of the first row since the device started
    24      8      stamp: the device's clock at the first row, ns since 1970; 0 has none
    32      4      CRC-32 (zlib) of bytes 0..31
    36             int16 only: scale of each channel, then offset of each channel, float32
                   rows: channels values each; value = raw * scale + offset
    end     4      CRC-32 (zlib) of everything behind the header

A header has a sum of its own, so that nobody waits for the megabyte that a damaged length promises. The counter is what
makes a loss visible: on UDP, on a serial line, and where the device itself had no room.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

MAGIC = b"DAQF"
VERSION = 1
FLOAT32, INT16 = 1, 2
HEADER = struct.Struct("<4sBBHHHIQqI")
SUMMED = HEADER.size - 4
SUM = struct.Struct("<I")
CHANNELS_MOST = 256
FRAME_MOST = 1 << 20
COUNTER_MOST = 1 << 62

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Frame:
    """Consecutive rows of all channels."""

    counter: int
    period_ns: int
    stamp_ns: int
    data: Array
    """float32 [rows, channels]; what is infinite is no reading: NaN"""

    @property
    def end(self) -> int:
        """The counter behind the last row."""
        return self.counter + len(self.data)


class FrameParser:
    """Cuts a stream of bytes into frames; after garbage it finds the next one."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lost_step = False
        self.garbage_bytes = 0
        """bytes that belong to no frame"""
        self.resynced = 0
        """how often the next frame had to be looked for"""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end in these bytes."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        at = 0
        while True:
            begin = buffer.find(MAGIC, at)
            if begin < 0:
                begin = len(buffer) - _begun(buffer)
            if begin > at:
                self._skip(begin - at)
                at = begin
            if len(buffer) - at < HEADER.size:
                break
            size = _frame_bytes(buffer, at)
            if size == 0:
                self._skip(1)
                at += 1
            elif len(buffer) - at < size:
                break
            elif (frame := _frame(buffer, at, size)) is None:
                self._skip(HEADER.size)  # what follows may hold the next one: bytes are missing as often as wrong
                at += HEADER.size
            else:
                frames.append(frame)
                self._lost_step = False
                at += size
        del buffer[:at]
        return frames

    def end(self) -> None:
        """No more bytes follow: of a datagram, of a connection."""
        if self._buffer:
            self._skip(len(self._buffer))
            self._buffer.clear()
        self._lost_step = False

    def _skip(self, count: int) -> None:
        self.garbage_bytes += count
        self.resynced += not self._lost_step
        self._lost_step = True


def _begun(buffer: bytearray) -> int:
    """How many bytes at the end may be the beginning of a magic."""
    return next((n for n in (3, 2, 1) if buffer.endswith(MAGIC[:n])), 0)


def _frame_bytes(buffer: bytearray, at: int) -> int:
    """The size of the frame whose header stands there; 0 when it is no header."""
    _, version, form, channels, rows, zero, period, counter, stamp, checksum = HEADER.unpack_from(buffer, at)
    if zlib.crc32(memoryview(buffer)[at : at + SUMMED]) != checksum or version != VERSION or zero:
        return 0
    if not (
        1 <= channels <= CHANNELS_MOST and rows and period and counter < COUNTER_MOST and abs(stamp) < COUNTER_MOST
    ):
        return 0
    if form not in (FLOAT32, INT16):
        return 0
    body = rows * channels * 4 if form == FLOAT32 else channels * 8 + rows * channels * 2
    size = HEADER.size + body + SUM.size
    return size if size <= FRAME_MOST else 0


def _frame(buffer: bytearray, at: int, size: int) -> Frame | None:
    _, _, form, channels, rows, _, period, counter, stamp, _ = HEADER.unpack_from(buffer, at)
    body = bytes(memoryview(buffer)[at + HEADER.size : at + size - SUM.size])
    if SUM.unpack_from(buffer, at + size - SUM.size)[0] != zlib.crc32(body):
        return None
    if form == FLOAT32:
        data = np.frombuffer(body, "<f4").reshape(rows, channels)
    else:
        scale, offset = np.frombuffer(body, "<f4", 2 * channels).reshape(2, channels)
        raw = np.frombuffer(body, "<i2", offset=channels * 8).reshape(rows, channels)
        with np.errstate(all="ignore"):
            data = raw.astype(np.float32) * scale + offset
    return Frame(counter, period, stamp, readings(data))


def readings(values: Array) -> Array:
    """The values as float32, with NaN where they are infinite: no reading is."""
    with np.errstate(all="ignore"):
        data = values.astype(np.float32)
    infinite = np.isinf(data)
    if infinite.any():
        data[infinite] = np.nan
    return data


def encode(counter: int, period_ns: int, rows: Array, *, stamp_ns: int = 0) -> bytes:
    """The frame of these rows as a device sends it: float32 for floating point, else int16 with scale 1, offset 0.

    Raises:
        struct.error: a value does not fit its field.
    """
    count, channels = rows.shape
    if np.issubdtype(rows.dtype, np.floating):
        return _packed(FLOAT32, counter, period_ns, stamp_ns, count, channels, rows.astype("<f4").tobytes())
    ones, zeros = np.ones(channels, "<f4"), np.zeros(channels, "<f4")
    return encode_int16(counter, period_ns, rows, ones, zeros, stamp_ns=stamp_ns)


def encode_int16(counter: int, period_ns: int, raw: Array, scale: Array, offset: Array, *, stamp_ns: int = 0) -> bytes:
    """The frame of raw converter values with what each channel is to be multiplied by and moved by."""
    count, channels = raw.shape
    body = scale.astype("<f4").tobytes() + offset.astype("<f4").tobytes() + raw.astype("<i2").tobytes()
    return _packed(INT16, counter, period_ns, stamp_ns, count, channels, body)


def _packed(form: int, counter: int, period: int, stamp: int, rows: int, channels: int, body: bytes) -> bytes:
    head = HEADER.pack(MAGIC, VERSION, form, channels, rows, 0, period, counter, stamp, 0)[:SUMMED]
    return b"".join((head, SUM.pack(zlib.crc32(head)), body, SUM.pack(zlib.crc32(body))))
