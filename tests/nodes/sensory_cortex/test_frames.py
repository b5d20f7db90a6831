"""Counted frames: what is sent is read, whatever stands between, however the bytes are cut."""

from __future__ import annotations

import itertools
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nodes.sensory_cortex.frames import FRAME_MOST, HEADER, MAGIC, Frame, FrameParser, encode, encode_int16

ROWS = arrays(
    np.float32,
    st.tuples(st.integers(1, 20), st.integers(1, 4)),
    elements=st.floats(width=32, allow_infinity=False, allow_nan=False),
)


def parsed(*pieces: bytes) -> tuple[list[Frame], FrameParser]:
    parser = FrameParser()
    return [frame for piece in pieces for frame in parser.feed(piece)], parser


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(a % (len(data) + 1) for a in at), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(st.tuples(st.integers(0, 2**40), ROWS), max_size=4), st.lists(st.integers(0, 5000), max_size=8))
def test_what_is_sent_is_read_however_it_is_cut(sent: list[tuple[int, np.ndarray[Any, Any]]], at: list[int]) -> None:
    data = b"".join(encode(counter, 100_000, rows, stamp_ns=counter) for counter, rows in sent)
    frames, parser = parsed(*cut(data, at))
    assert [f.counter for f in frames] == [f.stamp_ns for f in frames] == [c for c, _ in sent]
    for frame, (_, rows) in zip(frames, sent, strict=True):
        assert frame.data.tobytes() == rows.tobytes()
    assert (parser.garbage_bytes, parser.resynced) == (0, 0)


@given(st.lists(st.binary(max_size=60), min_size=3, max_size=3), st.lists(st.integers(0, 5000), max_size=8))
def test_garbage_between_frames_costs_no_frame(garbage: list[bytes], at: list[int]) -> None:
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    first, second = encode(10, 1000, rows), encode(12, 1000, rows + 6)
    data = garbage[0] + first + garbage[1] + second + garbage[2]
    frames, parser = parsed(*cut(data, at))
    assert [f.counter for f in frames] == [10, 12]
    parser.end()
    assert parser.garbage_bytes == sum(map(len, garbage))
    assert parser.resynced == sum(map(bool, garbage))


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_damaged_frame_is_left_out_and_the_next_is_read(at: int, by: int) -> None:
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    frame = bytearray(encode(0, 1000, rows))
    frame[at % len(frame)] ^= by
    frames, parser = parsed(bytes(frame), encode(20, 1000, rows))
    assert [f.counter for f in frames] == [20]
    assert parser.garbage_bytes == len(frame)
    assert parser.resynced >= 1


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4))
def test_any_bytes_are_parsed_and_cost_no_memory(data: bytes, at: list[int]) -> None:
    frames, parser = parsed(*cut(MAGIC + data, at))
    assert frames == []
    assert len(parser._buffer) <= max(len(data) + 4, HEADER.size)


def test_a_frame_cut_off_by_another_costs_only_itself() -> None:
    """A serial line loses bytes: behind a header the next frame begins too early."""
    rows = np.zeros((50, 3), dtype=np.float32)
    whole = [encode(n * 50, 1000, rows) for n in range(3)]
    frames, parser = parsed(whole[0][:100] + whole[1] + whole[2])
    assert [f.counter for f in frames] == [50, 100]
    assert parser.resynced == 1


def test_int16_is_scaled_and_moved_per_channel() -> None:
    raw = np.array([[-32768, 0], [32767, 5]], dtype=np.int16)
    scale, offset = np.array([0.5, 10.0], dtype=np.float32), np.array([1.0, -3.0], dtype=np.float32)
    ((frame,), _) = parsed(encode_int16(0, 1000, raw, scale, offset))
    assert frame.data.tolist() == [[-16383.0, -3.0], [16384.5, 47.0]]


def test_what_is_infinite_is_no_reading() -> None:
    big = np.array([1e30, 1e30], dtype=np.float32)
    ((frame,), _) = parsed(encode_int16(0, 1, np.full((1, 2), 32000, dtype=np.int16), big * 1e8, big))
    assert np.isnan(frame.data).all()
    ((frame,), _) = parsed(encode(0, 1, np.array([[np.inf, 2.0]], dtype=np.float32)))
    assert frame.data[0, 1] == 2.0
    assert np.isnan(frame.data[0, 0])


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [
        (4, "<B", 2), (5, "<B", 3), (6, "<H", 0), (6, "<H", 257), (8, "<H", 0), (10, "<H", 1), (12, "<I", 0),
        (16, "<Q", 2**63), (24, "<q", 2**62),
    ],
)  # fmt: skip
def test_a_header_that_makes_no_sense_is_none(at: int, form: str, value: int) -> None:
    frame = bytearray(encode(0, 1000, np.zeros((1, 1), dtype=np.float32)))
    struct.pack_into(form, frame, at, value)
    struct.pack_into("<I", frame, 32, zlib.crc32(frame[:32]))
    frames, parser = parsed(bytes(frame))
    assert frames == []
    assert parser.garbage_bytes >= len(frame) - 3


def test_nobody_waits_for_a_frame_that_is_too_long() -> None:
    head = HEADER.pack(MAGIC, 1, 1, 256, 65535, 0, 1, 0, 0, 0)[:32]
    assert FRAME_MOST < 256 * 65535 * 4
    good = encode(7, 1000, np.zeros((1, 1), dtype=np.float32))
    frames, _ = parsed(head + struct.pack("<I", zlib.crc32(head)) + good)
    assert [f.counter for f in frames] == [7]
