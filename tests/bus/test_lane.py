"""The short way on one host: records over a stream however it is cut, bounds, strangers, and ZeroMQ beside it."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from bus import frame, lane
from bus.host import Spec
from bus.lane import CHUNK_BYTES, BadRecord, Lanes, Stream, record
from bus.testing import Domain
from tests.bus.live import counts, node, until
from tests.bus.toys.talk import Listener, Talker

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


def plain(records: list[lane.Record]) -> list[tuple[bytes, bytes | None]]:
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
    monkeypatch.setattr(lane, "QUEUE_MESSAGES", 50)
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


def test_who_wants_what(tmp_path: Path) -> None:
    lanes = Lanes(str(tmp_path / "lane"), 100)
    try:
        clients = [lane.connect(lanes.endpoint, MAX) for _ in range(2)]
        one, two = lanes.accept()
        for client, texts in zip(clients, ([b"\x01a\0", b"\x01b\0"], [b"\x01a\0", b"\x00c\0"]), strict=True):
            assert client is not None
            for text in texts:
                client.send(record(text))
        assert list(lanes.changes(one)) == [(True, b"a\0"), (True, b"b\0")]
        assert list(lanes.changes(two)) == [(True, b"a\0")], "nobody had c"
        assert lanes.by_prefix == {b"a\0": [one, two], b"b\0": [one]}
        assert clients[0] is not None
        clients[0].send(record(b"\x00a\0"))
        assert list(lanes.changes(one)) == [], "the other one still wants a"
        assert lanes.drop(two) == [b"a\0"]
        for bad in (b"\x02a\0", b"\x01no zero byte"):
            clients[0].send(record(bad))
            with pytest.raises(BadRecord):
                list(lanes.changes(one))
        for client in clients:
            assert client is not None
            client.close()
    finally:
        lanes.close()
    assert lane.connect(lanes.endpoint, MAX) is None


# --- on a bus --------------------------------------------------------------------------------------------------------


def lane_path(executor: object) -> str:
    endpoints: tuple[str, ...] = executor.transport.pub_endpoints  # type: ignore[attr-defined] # an Executor
    return next(e for e in endpoints if e.startswith(lane.SCHEME)).removeprefix(lane.SCHEME)


def test_strangers_are_counted_and_the_node_lives(domain: Domain, capfd: pytest.CaptureFixture[str]) -> None:
    with domain.running(Spec(Talker)) as talker, domain.running(Spec(Listener)) as listener:
        worst = [
            os.urandom(2000) + b"\xff" * 8, b"GET / HTTP/1.1\r\n\r\n", record(b"\x01" + b"a" * 10_000_000),
            record(b"\x07junk\0"), record(b"\x01no end"), record(b"\x01a\0", b"tail") + b"tail",
        ]  # fmt: skip
        for n, data in enumerate(worst, 1):
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(lane_path(talker))
                with contextlib.suppress(ConnectionError):  # shown the door in the middle of it
                    stranger.sendall(data)
                until(lambda n=n: talker.intake.bad_frames == n)  # type: ignore[misc] # loop value bound as default
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(lane_path(talker))
            stranger.sendall(record(b"\x01only the beginning\0")[:15])
        talker.hosts[0].submit(node(talker).say, 5)
        until(lambda: node(listener).of("talk/said") == [[1, 2, 3, 4, 5]])
        until(lambda: "bad_frames" in talker.hosts[0].findings)
    assert capfd.readouterr().err.count("none of this bus") == 1, "logged once"


def test_a_publisher_that_speaks_nonsense_is_left_and_tried_again(domain: Domain) -> None:
    with domain.running(Spec(Talker)) as talker, domain.running(Spec(Listener)) as listener:
        (stream,) = talker.transport._lanes.streams.values()  # type: ignore[union-attr] # it has lanes
        until(lambda: node(listener).kinds("talk/said") == ["Synced"])
        talker.hosts[0].submit(stream.send, b"\xff" * 50)
        until(lambda: listener.intake.bad_frames == 1)
        for _ in range(3):
            talker.hosts[0].submit(node(talker).say, 5)
        until(lambda: [n for ns in node(listener).of("talk/said") for n in ns] == list(range(1, 16)))


def test_any_zeromq_program_listens_beside_the_lanes(domain: Domain) -> None:
    """What travels is plain ZeroMQ pub/sub and msgpack to whoever wants it so."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sub = context.socket(zmq.SUB)
    try:
        with domain.running(Spec(Talker)) as talker, domain.running(Spec(Listener)) as listener:
            sub.connect(talker.transport.pub_endpoints[0])
            sub.subscribe(b"talk/sa")  # a prefix that no node of ours would use
            until(lambda: b"talk/sa" in talker.transport._foreign)
            talker.hosts[0].submit(node(talker).say, 20)
            heard = [frame.parse(sub.recv()).seq for _ in range(20) if sub.poll(5000)]
            assert heard == list(range(1, 21))
            until(lambda: counts(listener, "talk/said")["received"] == 20)
            sub.unsubscribe(b"talk/sa")
            until(lambda: not talker.transport._foreign)
            assert talker.hosts[0].outlets["talk/said"].interest, "the listener on the lane still wants it"
            talker.hosts[0].submit(node(talker).say, 1)
            until(lambda: counts(listener, "talk/said")["received"] == 21)
            assert not sub.poll(0)
    finally:
        sub.close(linger=0)
        context.term()


def test_the_last_one_to_leave_ends_the_interest(domain: Domain) -> None:
    with domain.running(Spec(Talker)) as talker:
        outlet = talker.hosts[0].outlets["talk/said"]
        with domain.running(Spec(Listener)), domain.running(Spec(Listener, name="second")):
            assert outlet.interest
        until(lambda: not outlet.interest)
        assert not talker.transport._lanes.streams  # type: ignore[union-attr] # it has lanes
