"""The short way on one host: who wants what, strangers at the door, and ZeroMQ beside it."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from pathlib import Path

import pytest
import zmq

from bus import frame, lane
from bus.executor import Executor
from bus.host import Spec
from bus.lane import Ears, Lanes, dial
from bus.poll import Poller
from bus.stream import record
from bus.testing import Domain
from tests.bus.live import counts, node, until
from tests.bus.toys.talk import Listener, Talker


def test_who_wants_what(tmp_path: Path) -> None:
    poller = Poller()
    lanes, (one, two) = Lanes(str(tmp_path / "lane"), poller), (Ears(poller), Ears(poller))
    said: list[tuple[bool, bytes]] = []
    bad: list[str] = []
    lanes.changed, lanes.bad = lambda subscribed, prefix: said.append((subscribed, prefix)), bad.append

    def news() -> list[tuple[bool, bytes]]:
        for _ in range(3):
            poller.look()
        new = said.copy()
        said.clear()
        return new

    for ears in (one, two):
        ears.subscribe(b"a\0")
        ears.connect(lanes.endpoint)
    one.subscribe(b"b\0")
    assert news() == [(True, b"a\0"), (True, b"b\0"), (True, b"a\0")]
    two.unsubscribe(b"c\0")
    one.unsubscribe(b"a\0")
    assert news() == [], "nobody had c, and the other one still wants a"
    heard: list[bytes] = []
    one.frames = two.frames = lambda frames: heard.extend(f for f, _ in frames)
    for prefix in (b"a\0", b"b\0", b"c\0"):
        lanes.send(prefix, prefix + b"x", b"")
    news()
    assert sorted(heard) == [b"a\0x", b"b\0x"]
    two.disconnect(lanes.endpoint)
    assert news() == [(False, b"a\0")]
    one.subscribe(b"no zero byte")
    assert news() == [(False, b"b\0")], "who does not speak as a lane is shown the door"
    assert len(bad) == 1
    assert one.ended == {lanes.endpoint}
    lanes.close()
    one.reconnect()
    assert one.ended == {lanes.endpoint}
    poller.close()


def test_without_descriptors_connections_wait_and_nothing_spins(tmp_path: Path) -> None:
    poller = Poller()
    lanes, ears = Lanes(str(tmp_path / "lane"), poller), Ears(poller)
    bad: list[str] = []
    lanes.bad = bad.append
    ears.connect(lanes.endpoint)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        for _ in range(3):
            poller.look()
        assert bad == ["a connection could not be accepted: Too many open files"], "once, not at every look"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert not lanes.streams
    lanes.resume()
    poller.look()
    assert len(lanes.streams) == 1
    for made in (lanes, ears, poller):
        made.close()


def test_without_descriptors_nobody_is_dialled_and_it_is_tried_again(tmp_path: Path) -> None:
    poller = Poller()
    lanes, ears = Lanes(str(tmp_path / "lane"), poller), Ears(poller)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        ears.connect(lanes.endpoint)
        ears.reconnect()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    poller.look()
    assert not lanes.streams
    ears.reconnect()
    poller.look()
    assert len(lanes.streams) == 1
    for made in (lanes, ears, poller):
        made.close()


def test_one_too_many_is_shown_the_door(tmp_path: Path) -> None:
    poller = Poller()
    lanes, bad = Lanes(str(tmp_path / "lane"), poller, most=2), list[str]()
    lanes.bad = bad.append
    held = [dial(lanes.endpoint) for _ in range(3)]
    poller.look()
    assert len(lanes.streams) == 2
    assert bad == ["one of more than 2 connections to the lane"]
    for stream in held:
        assert stream is not None
        stream.close()
    poller.look()
    assert not lanes.streams
    lanes.close()
    poller.close()


# --- on a bus --------------------------------------------------------------------------------------------------------


def lane_path(executor: Executor) -> str:
    return next(e for e in executor.transport.pub_endpoints if e.startswith(lane.SCHEME)).removeprefix(lane.SCHEME)


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
        assert talker.transport.lanes is not None
        (stream,) = talker.transport.lanes.streams
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
            until(lambda: b"talk/sa" in talker.transport.foreign.prefixes)
            talker.hosts[0].submit(node(talker).say, 20)
            heard = [frame.parse(sub.recv()).seq for _ in range(20) if sub.poll(5000)]
            assert heard == list(range(1, 21))
            until(lambda: counts(listener, "talk/said")["received"] == 20)
            sub.unsubscribe(b"talk/sa")
            until(lambda: not talker.transport.foreign.prefixes)
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
        assert talker.transport.lanes is not None
        assert not talker.transport.lanes.streams
