"""What reaches the sockets from strangers, and what libzmq promises without writing it down."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from bus import doors, frame
from bus.discovery import Directory
from bus.entry import Entry, ServiceEntry, TopicEntry
from bus.executor import Executor
from bus.host import Spec
from bus.node import Node, client
from bus.runtime import BadRuntimeDirectory
from bus.testing import Domain
from bus.transport import Transport, Unreachable, end
from schemas.codec import codec
from schemas.grammar import type_hash
from tests.bus.live import counts, node, until
from tests.bus.toys.talk import ASK, SAID, SENSED, Answer, Listener, Question, Talker, Word

TEN_MB = 10_000_000


class Asking(Node):
    """Means to ask."""

    ask = client(ASK)


class Sockets:
    """ZeroMQ as strangers use it."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._made: list[zmq.Socket[bytes]] = []

    def __call__(self, kind: int) -> zmq.Socket[bytes]:
        self._made.append(self._context.socket(kind))
        return self._made[-1]

    def close(self) -> None:
        for made in self._made:
            made.close(linger=0)
        end(self._context)


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    made = Sockets()
    yield made
    made.close()


def greeting(kind: bytes) -> bytes:
    """How a ZMTP 3 connection begins."""
    ready = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    hello = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    return hello + b"\x04" + bytes((len(ready),)) + ready


def by_hand(where: str, kind: bytes) -> socket.socket:
    """A connection that has greeted in ZMTP 3: a library's own socket refuses to send the worst."""
    greeted = socket.socket(socket.AF_UNIX)
    greeted.settimeout(10)
    greeted.connect(where)
    greeted.sendall(greeting(kind))
    return greeted


def path(executor: Executor, which: str) -> str:
    endpoints = executor.transport.pub_endpoints if which == "pub" else executor.transport.rpc_endpoints
    return endpoints[0].removeprefix("ipc://")


def still_talks(listener: Executor, talker: Executor) -> None:
    """The two understand each other, whatever happened."""
    before = sum(map(len, node(listener).of("talk/said")))
    talker.hosts[0].submit(node(talker).say, 5)
    until(lambda: sum(map(len, node(listener).of("talk/said"))) == before + 5)


# --- what libzmq does and does not say it does ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_subscriptions_come_in_byte_order_with_the_token_last(domain: Domain, sockets: Sockets, seed: int) -> None:
    """The sync stands on this; see the head of bus/peers.py."""
    names = [frame.prefix(f"vmc{n}/machine/samples") for n in range(500)] + [frame.BEACON]
    random.Random(seed).shuffle(names)
    sub = sockets(zmq.SUB)
    sub.sndhwm = 0
    endpoint = f"ipc://{Directory(domain.name).socket_path()}"
    sub.subscribe(frame.SYNC + b"0123abcd/1\0")
    for name in names:
        sub.subscribe(name)
    sub.connect(endpoint)
    for _ in range(2):  # at the connection, and at every reconnection
        pub = sockets(zmq.XPUB)
        pub.rcvhwm = 0
        pub.setsockopt(zmq.XPUB_VERBOSE, 1)
        pub.bind(endpoint)
        came: list[bytes] = []
        while len(came) < 502:
            sub.poll(0)  # resubscribing is done by the thread that has the socket
            if pub.poll(10):
                came.append(pub.recv()[1:])
        assert came == sorted(came)
        assert came[-1].startswith(frame.SYNC)
        pub.close(linger=0)


# --- addresses ------------------------------------------------------------------------------------------------------


def test_a_socket_path_that_is_too_long_is_refused_with_what_to_do(tmp_path: object) -> None:

    with pytest.raises(BadRuntimeDirectory, match="107: set RISE_RUNTIME_DIR to a shorter directory"):
        Directory("test", Path(str(tmp_path)) / ("x" * 100)).socket_path()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "*", "localhost", "", "::1"])
def test_tcp_never_leaves_the_host(domain: Domain, host: str) -> None:
    directory = Directory(domain.name)
    with pytest.raises(Unreachable, match="may be bound without encryption"):
        Transport(directory.socket_path(), directory.socket_path(), tcp_host=host)


# --- its end --------------------------------------------------------------------------------------------------------


def test_a_context_that_does_not_end_holds_nobody_up() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    open_still = context.socket(zmq.PAIR)
    assert not end(context)
    open_still.close(linger=0)
    until(lambda: context.closed)
    assert end(zmq.Context())


# --- strangers at the doors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["pub", "rpc"])
def test_bytes_that_are_no_zmtp_are_counted(domain: Domain, which: str, capfd: pytest.CaptureFixture[str]) -> None:
    with domain.running(Spec(Talker)) as talker, domain.running(Spec(Listener)) as listener:
        for n in range(5):
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(path(talker, which))
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" if n % 2 else os.urandom(2000))
        until(lambda: "bad_frames" in talker.hosts[0].findings)
        assert talker.intake.bad_frames >= 1
        still_talks(listener, talker)
    assert capfd.readouterr().err.count("none of this bus") == 1, "logged once"


def test_odd_subscriptions(domain: Domain, sockets: Sockets) -> None:
    with domain.running(Spec(Talker)) as talker, domain.running(Spec(Listener)) as listener:
        stranger = sockets(zmq.XSUB)
        stranger.connect(talker.transport.pub_endpoints[0])
        odd = [b"", b"\x07junk", os.urandom(300), b"\x01", b"\x00never", b"\x01\xff", b"\x01\xff\xff\x00\xfe"]
        for data in [*odd, b"\x01" + os.urandom(200)]:
            stranger.send(data)
        until(lambda: talker.intake.bad_frames >= 2)
        still_talks(listener, talker)
        stranger.close(linger=0)
        still_talks(listener, talker)


def long_frame(body: bytes, announced: int | None = None) -> bytes:
    return b"\x02" + (len(body) if announced is None else announced).to_bytes(8, "big") + body


@pytest.mark.parametrize("announced", [TEN_MB + 1, 2**40, 2**63])
def test_a_subscription_of_megabytes_ends_its_connection(domain: Domain, announced: int) -> None:
    """libzmq keeps a tree node for every byte of a subscription: it would take hundreds of times its size."""
    with domain.running(Spec(Talker)) as talker, domain.running(Spec(Listener)) as listener:
        with by_hand(path(talker, "pub"), b"SUB") as stranger, contextlib.suppress(ConnectionError):
            until(lambda: len(talker.transport.doors[0]) == 1)  # who comes and goes unseen is not counted
            stranger.sendall(long_frame(b"\x01" + b"a" * TEN_MB, announced))
            while stranger.recv(4096):
                pass
        until(lambda: talker.intake.bad_frames == 1)
        still_talks(listener, talker)


def test_requests_of_megabytes_and_cut_in_half(domain: Domain) -> None:
    with domain.running(Spec(Talker)) as talker, domain.running(Spec(Listener)) as listener:
        with by_hand(path(talker, "rpc"), b"DEALER") as stranger:
            stranger.sendall(long_frame(os.urandom(TEN_MB)))
            stranger.sendall(long_frame(b"only the beginning", 5000))
        until(lambda: talker.intake.bad_frames == 1 and not len(talker.transport.doors[1]))
        with by_hand(path(talker, "rpc"), b"DEALER") as stranger, contextlib.suppress(ConnectionError):
            until(lambda: len(talker.transport.doors[1]) == 1)
            stranger.sendall(long_frame(b"too long for anybody", 2**40))
            while stranger.recv(4096):
                pass
        until(lambda: talker.intake.bad_frames == 2)
        still_talks(listener, talker)


class Rogue:
    """Says that it is a node that publishes, and then sends what it is told to."""

    def __init__(self, domain: Domain, sockets: Sockets) -> None:
        self.directory = Directory(domain.name)
        endpoint = f"ipc://{self.directory.socket_path()}"
        self.pub = sockets(zmq.XPUB)
        self.pub.bind(endpoint)
        topics = tuple(TopicEntry(t.name, "Word", type_hash(Word), t.qos.name, None) for t in (SAID, SENSED))
        self.id = 666
        entry = Entry(name="rogue", publisher_id=self.id, pub=(endpoint,), publishes=topics, ready=True)
        self.registration = self.directory.register(entry)
        self.endpoint = endpoint

    def until_subscribed(self) -> bytes:
        """The sync token of the one who came."""
        while True:
            assert self.pub.poll(10_000)
            data: bytes = self.pub.recv()
            if data[1:2] == frame.SYNC:
                return data[1:]

    def close(self) -> None:
        self.pub.close(linger=0)
        self.registration.close()


def word(rogue: Rogue, seq: int, topic: str = "talk/said") -> bytes:
    payload = codec(Word).encode(Word(number=seq, text=""))
    return frame.pack(frame.prefix(topic), rogue.id, seq, 0, 0, payload)


def send_in_parts(rogue: Rogue, good: bytes) -> None:
    rogue.pub.send_multipart([good, b"tail nobody announced"])
    rogue.pub.send_multipart([good[: len(good) // 2], b"", b"\0" * 100, good])


def junk(rogue: Rogue, token: bytes) -> Iterator[bytes]:
    """Frames on prefixes that are subscribed, and nothing right behind them."""
    rng = random.Random(3)
    head = frame.prefix("talk/said")
    for size in (0, 1, frame.HEADER_BYTES - 1, frame.HEADER_BYTES, 300):
        yield from (start + rng.randbytes(size) for start in (head, token, frame.BEACON))
    for body in (b"", b"\x91" * 50_000, frame.encode([1, 2, 3]), b"\xff" * 100, b"\x00" * TEN_MB):
        for start in (token, frame.BEACON, head):
            yield frame.pack(start, rogue.id, 1, 0, 0, body)
        yield frame.pack(head, rogue.id, 1, 0, 0, body, frame.SPLIT)
        yield frame.pack(head, rng.getrandbits(64), 1, 0, 0, body)
    yield frame.pack(frame.BEACON, rogue.id, 0, 0, 0, frame.encode(frame.Beacon(rogue.id, {"talk/said": 2**64 - 1})))
    lies = frame.Sync(rogue.endpoint, [frame.NodeSync(rogue.id, "x", {"talk/said": 2**63, "no": -4})], [(b"", b"")])
    yield frame.pack(token, rogue.id, 0, 0, 0, frame.encode(lies))


def test_a_publisher_that_sends_garbage(domain: Domain, sockets: Sockets, capfd: pytest.CaptureFixture[str]) -> None:
    with domain.running(Spec(Talker)) as talker, domain.running(Spec(Listener)) as listener:
        rogue = Rogue(domain, sockets)
        try:
            token = rogue.until_subscribed()
            sent = 0
            for data in junk(rogue, token):
                rogue.pub.send(data)
                sent += 1
            send_in_parts(rogue, word(rogue, 1))
            until(lambda: "bad_frames" in listener.hosts[0].findings)
            assert listener.intake.bad_frames > sent // 2
            assert len(listener.intake.feeds) < 12, "numbers that nobody has make no feeds"
            still_talks(listener, talker)
        finally:
            rogue.close()
        assert counts(listener, "talk/said")["lost"] < 10
        still_talks(listener, talker)
    said = capfd.readouterr().err
    assert said.count("none of this bus") == 1, "logged once"
    assert "Traceback" not in said


def test_undecodable_messages_are_counted_and_logged_once(
    domain: Domain, sockets: Sockets, capfd: pytest.CaptureFixture[str]
) -> None:
    with domain.running(Spec(Listener)) as listener:
        rogue = Rogue(domain, sockets)
        try:
            rogue.until_subscribed()
            bodies = [b"", b"\x91" * 100_000, b"\x81\xa6number\xa1x", os.urandom(500), b"\x81\xa1a" * 100_000]
            for seq, body in enumerate(bodies, 1):
                rogue.pub.send(frame.pack(frame.prefix("talk/sensed"), rogue.id, seq, 2**62, 2**62, body))
            rogue.pub.send(word(rogue, len(bodies) + 1, "talk/sensed"))
            until(lambda: node(listener).of("talk/sensed"))
            assert node(listener).of("talk/sensed") == [[6]]
            assert counts(listener, "talk/sensed")["undecodable"] == 5
        finally:
            rogue.close()
    assert capfd.readouterr().err.count("talk/sensed from rogue: not a Word") == 1


def test_who_never_answers_is_named_and_holds_nobody_up(domain: Domain, sockets: Sockets) -> None:
    rogue = Rogue(domain, sockets)
    try:
        with domain.running(Spec(Listener)) as listener:
            assert listener.not_answered == ["rogue"]
    finally:
        rogue.close()


@pytest.mark.parametrize(
    "address", ["", "nonsense", "ipc://" + "x" * 500, "tcp://127.0.0.1:99999", "unix://\0", "tcp://\0"]
)
def test_an_entry_with_an_address_that_is_none_stops_nobody(domain: Domain, address: str) -> None:
    serves = (ServiceEntry(ASK.name, "Question", type_hash(Question), "Answer", type_hash(Answer)),)
    topics = (TopicEntry(SAID.name, "Word", type_hash(Word), SAID.qos.name),)
    entry = Entry("rogue", publisher_id=6, pub=(address,), rpc=(address,), publishes=topics, serves=serves, ready=True)
    with domain.running(Spec(Talker)) as talker, domain.running(Spec(Listener), Spec(Asking)) as listener:
        registration = Directory(domain.name).register(entry)
        until(lambda: "rogue" in listener.peers.entries)
        asking = listener.hosts[1]
        future = asking.submit(lambda: node(listener, 1).ask.call(Question(number=1), timeout_s=0.05)).result(10)
        assert future.result(10).error is not None
        if not address.startswith(("unix", "tcp://127")):
            assert listener.intake.bad_frames
        registration.close()
        until(lambda: "rogue" not in listener.peers.entries)
        still_talks(listener, talker)


def test_a_stranger_cannot_make_a_latched_topic_count_for_ever(domain: Domain, sockets: Sockets) -> None:
    with domain.running(Spec(Talker, parameters={"burst": 1})) as talker, domain.running(Spec(Listener)) as listener:
        until(lambda: node(listener).of("talk/kept"))
        stranger = sockets(zmq.DEALER)
        stranger.connect(listener.transport.rpc_endpoints[0])
        for last in (2**40, 2**63, 2**64 - 1):
            answer = frame.Repaired(talker.hosts[0].publisher_id, "talk/kept", 1, last, 1, [])
            stranger.send(frame.encode(answer))
        stranger.send(b"the last of it")
        until(lambda: listener.intake.bad_frames == 1)
        still_talks(listener, talker)


def test_what_strangers_subscribe_to_is_bounded_and_costs_no_message_more(
    domain: Domain, sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libzmq keeps it as long as the connection lasts: past the bound all connections end, and ours come back."""
    monkeypatch.setattr(doors, "FOREIGN_MAX_BYTES", 20_000)
    monkeypatch.setenv("RISE_LANES", "0")
    with domain.running(Spec(Talker)) as talker, domain.running(Spec(Listener)) as listener:
        until(lambda: frame.prefix("talk/said") in talker.transport.foreign.prefixes)
        with by_hand(path(talker, "pub"), b"SUB") as stranger, contextlib.suppress(ConnectionError):
            for n in range(2000):
                body = b"\x01" + b"stranger/topic/%d" % n
                stranger.sendall(bytes((0, len(body))) + body)
            while stranger.recv(4096):
                pass
        until(lambda: talker.intake.bad_frames and len(talker.transport.foreign.prefixes) < 100)
        until(lambda: frame.prefix("talk/said") in talker.transport.foreign.prefixes)
        still_talks(listener, talker)
