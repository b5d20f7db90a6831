"""Who is at a bound socket: counted, told apart by who ended it, and shown the door when there are too many."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from bus import doors
from bus.doors import Door, Foreign, most_connections
from tests.bus.live import until
from tests.bus.test_transport import by_hand, greeting, long_frame


class Hall:
    """A bound socket with its door."""

    def __init__(self, folder: Path, most: int = 100) -> None:
        self.path = str(folder / "door")
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        self.router.setsockopt(zmq.MAXMSGSIZE, 1000)
        self.router.bind(f"ipc://{self.path}")
        self.door = Door(self.context, self.router, most)
        self.said: list[str] = []
        self.door.bad = self.said.append

    def until_in(self, count: int) -> None:
        def so_many() -> bool:
            self.door.look()
            return len(self.door) == count

        until(so_many)

    def close(self) -> None:
        self.door.close()
        self.router.close(linger=0)
        self.context.term()


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    made = Hall(tmp_path)
    yield made
    made.close()


def answered(connection: socket.socket) -> None:
    """The bound side has said all it says by itself: who leaves before it could has not greeted to the end."""
    with connection.makefile("rb") as said:
        *_, length = said.read(64 + 2)
        assert said.read(length).startswith(b"\x05READY")


def test_who_comes_and_leaves_is_nobodys_business(hall: Hall) -> None:
    for _ in range(3):
        with by_hand(hall.path, b"DEALER") as connection:
            hall.until_in(1)
            answered(connection)
        hall.until_in(0)
    assert hall.said == []


def test_a_frame_that_is_too_long_is_told_though_libzmq_does_not_tell(hall: Hall) -> None:
    with by_hand(hall.path, b"DEALER") as stranger:
        hall.until_in(1)
        stranger.sendall(long_frame(b"x", 10_000_000))
        hall.until_in(0)
    assert hall.said == ["a connection that broke off: a frame longer than allowed, or none of ZMTP"]


def test_what_speaks_no_zmtp_is_told_once(hall: Hall) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(hall.path)
        hall.until_in(1)
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    hall.until_in(0)
    assert hall.said == ["a connection that does not speak ZMTP"]


def test_a_kind_of_socket_that_does_not_belong_here_is_told(hall: Hall) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(hall.path)
        hall.until_in(1)
        stranger.sendall(greeting(b"PUSH"))
        hall.until_in(0)
    assert len(hall.said) == 1


def test_one_too_many_is_shown_the_door_and_the_others_stay(tmp_path: Path) -> None:
    hall = Hall(tmp_path, most=3)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(by_hand(hall.path, b"DEALER")) for _ in range(3)]
        hall.until_in(3)
        with by_hand(hall.path, b"DEALER") as late:

            def told() -> list[str]:
                hall.door.look()
                return hall.said

            until(told)
            with contextlib.suppress(ConnectionError):
                while late.recv(4096):
                    pass
        hall.until_in(3)
        held[0].sendall(b"\0\2hi")
        assert hall.router.poll(10_000)
    assert hall.said[0] == "one of more than 3 connections"
    hall.close()


def test_all_can_be_shown_the_door(hall: Hall) -> None:
    with by_hand(hall.path, b"DEALER") as one, by_hand(hall.path, b"DEALER") as two:
        hall.until_in(2)
        hall.door.end_all()
        hall.until_in(0)
        for each in (one, two):
            with contextlib.suppress(ConnectionError):
                while each.recv(4096):
                    pass
    assert hall.said == [], "we ended it"


def test_the_soft_limit_of_descriptors_is_raised_to_what_is_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        most = most_connections()
        assert most == min(hard, doors.DESCRIPTORS_MAX) // doors.SHARE
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, doors.DESCRIPTORS_MAX)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@given(
    st.lists(st.tuples(st.booleans(), st.binary(max_size=3)), max_size=30), st.lists(st.binary(max_size=5), max_size=5)
)
def test_what_is_subscribed_to_is_a_prefix_of_what_is_reached(
    said: list[tuple[bool, bytes]], topics: list[bytes]
) -> None:
    foreign, wanted = Foreign(), set[bytes]()
    for add, prefix in said:
        if add:
            assert foreign.add(prefix)
            wanted.add(prefix)
        else:
            assert foreign.remove(prefix) == (prefix in wanted)
            wanted.discard(prefix)
        for topic in topics:
            assert foreign.reaches(topic) == any(topic.startswith(w) for w in wanted)
