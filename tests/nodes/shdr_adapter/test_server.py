"""The server with real sockets; its time is what is posted, so nothing here waits for a clock."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from queue import Empty, Queue

import pytest

from nodes.shdr_adapter.clients import CLIENTS_MAX, QUEUE_MAX_BYTES, SLOW_NS, PeerEvent, PeerKind
from nodes.shdr_adapter.server import POSTS_MAX, Post, Server

PONG = b"* PONG 10000\n"


class Running:
    """A server in a thread; its events in a queue."""

    def __init__(self) -> None:
        self.server = Server("127.0.0.1", 0, PONG)
        self.events: Queue[PeerEvent] = Queue()
        self.end = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.port = self.next(PeerKind.LISTENING).client

    def _run(self) -> None:
        for event in self.server.run(self.end):
            self.events.put(event)

    def next(self, kind: PeerKind) -> PeerEvent:
        event = self.events.get(timeout=10)
        assert event.kind is kind
        return event

    def connect(self, dump: bytes = b"dump\n") -> tuple[socket.socket, int]:
        client = socket.create_connection(("127.0.0.1", self.port), 10)
        number = self.next(PeerKind.CAME).client
        self.server.post(Post(0, dump, number))
        return client, number

    def close(self) -> None:
        self.end.set()
        self.thread.join(5)
        assert not self.thread.is_alive()


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.close()


def test_a_client_gets_everything_and_then_what_is_new(running: Running) -> None:
    running.server.post(Post(0, b"before\n"))
    first, _ = running.connect()
    second, _ = running.connect()
    running.server.post(Post(0, b"new\n"))
    for client in (first, second):
        with client, client.makefile("rb") as lines:
            assert [lines.readline(), lines.readline()] == [b"dump\n", b"new\n"]
            client.sendall(b"* PI")
            client.sendall(b"NG\nnonsense\n* PING\r\n" + b"x" * 5000 + b"* PING\n")
            assert [lines.readline(), lines.readline()] == [PONG, PONG]
        running.next(PeerKind.LEFT)


def test_a_slow_client_loses_lines_is_told_everything_anew_or_cut(running: Running) -> None:
    line = b"x" * 9999 + b"\n"
    slow, number = running.connect()
    quick, _ = running.connect()
    with slow, quick, quick.makefile("rb") as lines:
        assert lines.readline() == b"dump\n"
        sent = 0
        while sent < 20_000_000:  # more than the kernel holds and the queue takes
            for _ in range(20):
                running.server.post(Post(0, line))
            for _ in range(20):
                assert lines.readline() == line
            sent += 20 * len(line)
        with slow.makefile("rb") as late:
            assert late.readline() == b"dump\n"
            got = 0
            event: PeerEvent | None = None
            while event is None:
                assert late.readline() == line
                got += 1
                event = running.events.get() if not running.events.empty() else None
            assert (event.kind, event.client) == (PeerKind.LOST_LINES, number)
            running.server.post(Post(0, b"everything\n", number))
            running.server.post(Post(0, b"new\n"))
            while (heard := late.readline()) == line:
                got += 1
            assert heard == b"everything\n"
            assert late.readline() == b"new\n"
    left = {(gone := running.events.get(timeout=10)).client: gone for _ in range(2)}
    assert got + left[number].lost_lines == sent // len(line)


def test_a_client_that_takes_nothing_is_cut_off(running: Running) -> None:
    line = b"x" * 9999 + b"\n"
    stuck, number = running.connect()
    with stuck:
        for _ in range(POSTS_MAX - 10):  # 40 MB
            running.server.post(Post(0, line))
        event: PeerEvent | None = None
        for n in range(1, 200):
            running.server.post(Post(n * (SLOW_NS + 1)))
            with contextlib.suppress(Empty):
                event = running.events.get(timeout=0.1)
                if event.kind is PeerKind.CUT:
                    break
                # the kernel took all there was: more than it can ever hold
                running.server.post(Post(n * (SLOW_NS + 1), line * 1000, number))
        assert event is not None
        assert (event.kind, event.client) == (PeerKind.CUT, number)
        assert event.lost_lines > 0


def test_only_so_many_clients(running: Running) -> None:
    clients = [running.connect()[0] for _ in range(CLIENTS_MAX)]
    with socket.create_connection(("127.0.0.1", running.port), 10) as one_more:
        running.next(PeerKind.REFUSED)
        assert one_more.recv(1) == b""
    for client in clients:
        client.close()


def test_a_port_that_is_taken_is_told_once(running: Running) -> None:
    second = Server("127.0.0.1", running.port, PONG)
    events: Queue[PeerEvent] = Queue()
    end = threading.Event()

    def run() -> None:
        for event in second.run(end):
            events.put(event)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    event = events.get(timeout=10)
    assert (event.kind, f"127.0.0.1:{running.port}" in event.text) == (PeerKind.FAILED, True)
    end.set()
    thread.join(5)
    assert not thread.is_alive()


def test_what_nobody_takes_is_bounded() -> None:
    server = Server("127.0.0.1", 0, PONG)
    for _ in range(POSTS_MAX + 10):
        server.post(Post(0, b"x\n"))
    assert len(server._posts) == POSTS_MAX
    assert server._lost_posts == 10
    assert QUEUE_MAX_BYTES > 0
