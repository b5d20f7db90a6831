"""Records over a stream however it is cut, bounds, and what is no record."""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import stream as bus_stream
from bus.stream import CHUNK_BYTES, BadRecord, Record, Stream, record

MAX = 8 * 1024 * 1024


@contextmanager
def pair(record_max_bytes: int = MAX) -> Iterator[tuple[Stream, socket.socket]]:
    """A reading end, and the bare socket at its other side."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    stream = Stream(ours, record_max_bytes)
    try:
        yield stream, theirs
    finally:
        stream.close()
        theirs.close()


def plain(records: list[Record]) -> list[tuple[bytes, bytes | None]]:
    return [(head, None if tail is None else bytes(tail)) for head, tail in records]


@given(
    sizes=st.lists(st.tuples(st.integers(1, 400), st.sampled_from([0, 0, 1, 500, 3 * CHUNK_BYTES])), max_size=12),
    cuts=st.lists(st.integers(0, 400_000), max_size=20),
    seed=st.integers(0, 2**32 - 1),
)
def test_records_arrive_whole_however_the_stream_is_cut(
    sizes: list[tuple[int, int]], cuts: list[int], seed: int
) -> None:
    rng = random.Random(seed)
    sent = [(rng.randbytes(head), rng.randbytes(tail)) for head, tail in sizes]
    data = b"".join(record(head, tail) + tail for head, tail in sent)
    edges = sorted({0, len(data), *(c for c in cuts if c < len(data))})
    got: list[tuple[bytes, bytes | None]] = []
    with pair() as (stream, theirs):
        theirs.setblocking(False)
        for start, end in itertools.pairwise(edges):
            at = start
            while at < end:
                try:
                    at += theirs.send(data[at:end])
                except BlockingIOError:
                    got += plain(stream.read())
            got += plain(stream.read())
        while more := stream.read():
            got += plain(more)
        assert not stream.ended
        theirs.close()
        assert stream.read() == []
        assert stream.ended
    assert got == [(head, tail or None) for head, tail in sent]


@given(data=st.binary(min_size=9, max_size=2000))
def test_any_bytes_are_records_or_refused(data: bytes) -> None:
    with pair(record_max_bytes=1000) as (stream, theirs):
        theirs.sendall(data)
        try:
            records = stream.read()
        except BadRecord as refused:
            assert "at most 1000" in str(refused)
        else:
            assert b"".join(record(h, t or b"") + bytes(t or b"") for h, t in records) == data[: _whole(data)]


def _whole(data: bytes) -> int:
    """How many bytes the complete records of `data` take."""
    at = 0
    while len(data) - at >= 8:
        size = 8 + int.from_bytes(data[at : at + 4], "little") + int.from_bytes(data[at + 4 : at + 8], "little")
        if at + size > len(data):
            break
        at += size
    return at


@pytest.mark.parametrize("head", [b"\xff" * 8, bytes(8), b"GET / HTTP/1.1\r\n\r\n"])
def test_a_length_that_no_record_has_is_refused(head: bytes) -> None:
    with pair() as (stream, theirs):
        theirs.sendall(head + b"x")
        with pytest.raises(BadRecord):
            stream.read()


def test_a_slow_reader_costs_a_bounded_queue_and_every_drop_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_stream, "QUEUE_MESSAGES", 50)
    theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    sender, reader = Stream(ours, MAX), Stream(theirs, MAX)
    sent = 0
    while sender.dropped < 10:
        sent += 1
        sender.send(record(sent.to_bytes(4, "little") + bytes(30_000)))
    assert len(sender.waiting) <= 51
    got: list[int] = []
    while sender.waiting:
        got += [int.from_bytes(head[:4], "little") for head, _ in reader.read()]
        sender.flush()
    while records := reader.read():
        got += [int.from_bytes(head[:4], "little") for head, _ in records]
    assert got == sorted(set(got))
    assert len(got) == sent - sender.dropped
    sender.close()
    reader.close()


def test_a_reader_that_is_gone_is_no_error_for_the_sender() -> None:
    with pair() as (stream, theirs):
        theirs.close()
        assert stream.send(record(b"x")) is False
        assert stream.read() == []
        assert stream.ended


@pytest.mark.parametrize("head", [1001, 5000, CHUNK_BYTES - 8])
def test_a_record_beyond_the_bound_is_refused_also_when_it_comes_alone(head: int) -> None:
    with pair(record_max_bytes=1000) as (stream, theirs):
        theirs.sendall(record(b"x" * head))
        with pytest.raises(BadRecord, match="at most 1000"):
            stream.read()


@pytest.mark.parametrize("cut", [0, 8, 20, 28, 29, 100, CHUNK_BYTES + 28])
def test_a_big_record_of_the_same_shape_as_the_last_comes_without_a_copy_unless_it_is_cut(cut: int) -> None:
    head, tails = b"h" * 20, [bytes([n]) * 3 * CHUNK_BYTES for n in range(3)]
    with pair() as (stream, theirs):
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        got: list[Record] = []
        for tail in tails:
            data = record(head, tail) + tail
            for part in (data[:cut], data[cut:]):
                theirs.sendall(part)
                got += stream.read()
        assert plain(got) == [(head, tail) for tail in tails]
        in_one_piece = [type(tail) is bytes for _, tail in got]
        assert in_one_piece == [cut == 28, *[cut in (0, 28)] * 2]


def test_small_records_behind_a_big_one_come_too() -> None:
    sent = [(b"h" * 20, b"t" * 3 * CHUNK_BYTES), (b"small", b""), (b"x" * 3000, b""), (b"y", b"z"), (b"small", b"")]
    with pair() as (stream, theirs):
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        theirs.sendall(b"".join(record(head, tail) + tail for head, tail in sent))
        got: list[Record] = []
        while more := stream.read():
            got += more
    assert plain(got) == [(head, tail or None) for head, tail in sent]
