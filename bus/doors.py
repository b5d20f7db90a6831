"""The doors of a process: who is connected to its bound ZeroMQ sockets, and who has to leave.

libzmq says on a monitor that a connection was accepted (and on which descriptor) and that it is over, and no more: not
whether the peer left or was shown the door, for a frame longer than allowed say. It keeps whatever a stranger
subscribes to, without a bound, as long as the connection lasts. And a process whose descriptors are used up is aborted
by libzmq when one more connects to a socket file. So each connection's descriptor is duplicated here, which tells who
ended it (a peer that left has nothing more to say), and lets this process end it. Of one that came and went between two
looks nothing is known, and nothing counted.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Callable

import zmq

_EVENTS = (
    zmq.Event.ACCEPTED | zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL | zmq.Event.HANDSHAKE_FAILED_PROTOCOL | zmq.Event.HANDSHAKE_FAILED_AUTH
)  # fmt: skip
DESCRIPTORS_MAX = 65_536
SHARE = 8
"""of the descriptors, one in so many may be a connection to one socket"""
FOREIGN_MAX_BYTES = 2 * 1024 * 1024
REACHED_MAX = 10_000
UNREAD_MAX = 100_000
"""events: were there no room for one, libzmq's own thread would wait"""


def most_connections() -> int:
    """How many connections one socket of this process may have; raises the soft limit of descriptors on the way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            soft = allowed
    return (DESCRIPTORS_MAX if soft == resource.RLIM_INFINITY else min(soft, DESCRIPTORS_MAX)) // SHARE


class Foreign:
    """What is subscribed to by ZeroMQ, by everybody together."""

    def __init__(self) -> None:
        self.prefixes: set[bytes] = set()
        self._bytes = 0
        self._reached: dict[bytes, bool] = {}
        """whether a topic is subscribed to, as far as it was asked since `prefixes` changed"""

    def add(self, prefix: bytes) -> bool:
        """Returns whether it is within bounds: what libzmq keeps for it is about 35 times as long."""
        if prefix not in self.prefixes:
            self.prefixes.add(prefix)
            self._bytes += len(prefix)
            self._reached.clear()
        return self._bytes <= FOREIGN_MAX_BYTES

    def remove(self, prefix: bytes) -> bool:
        """Nobody is left who wants it; returns whether somebody had."""
        if prefix not in self.prefixes:
            return False
        self.prefixes.remove(prefix)
        self._bytes -= len(prefix)
        self._reached.clear()
        return True

    def reaches(self, topic: bytes) -> bool:
        """Whether somebody gets what is sent on it; what it costs does not grow with what strangers subscribe to."""
        found = self._reached.get(topic)
        if found is None:
            if len(self._reached) >= REACHED_MAX:
                self._reached.clear()
            found = self._reached[topic] = any(topic[:n] in self.prefixes for n in range(len(topic) + 1))
        return found


class Door:
    """One bound socket. Used by one thread: it calls `look` when there is something to read on `events`."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], bound: zmq.Socket[bytes], most: int) -> None:
        self.most = most
        self.bad: Callable[[str], None] = lambda text: None
        """called with what a stranger did, in words"""
        self._bound = bound
        self._connections: dict[int, socket.socket | None] = {}
        """by libzmq's descriptor; None where it could not be duplicated"""
        self._ended: set[int] = set()
        """of them those whom we showed the door"""
        self._failed = False
        """the handshake of the one whose end comes next"""
        where = f"inproc://monitor-{id(bound):x}"
        bound.monitor(where, _EVENTS)
        self.events = context.socket(zmq.PAIR)
        self.events.setsockopt(zmq.RCVHWM, UNREAD_MAX)
        self.events.connect(where)

    def __len__(self) -> int:
        """How many are connected."""
        return len(self._connections)

    def look(self) -> None:
        """Take note of who came and who went."""
        told: list[tuple[int, int]] = []
        with contextlib.suppress(zmq.Again):
            while True:
                event, _ = self.events.recv_multipart(zmq.NOBLOCK)
                told.append((int.from_bytes(event[:2], "little"), int.from_bytes(event[2:6], "little")))
        # of who came and has gone again meanwhile the descriptor may be another's by now
        gone = {value for what, value in told if what == zmq.Event.DISCONNECTED}
        for what, value in told:
            if what == zmq.Event.ACCEPTED:
                self._came(value, stays=value not in gone)
            elif what == zmq.Event.DISCONNECTED:
                self._went(value, failed=self._failed)
                self._failed = False
            else:  # whose it was, the next event says: its end
                self._failed = True

    def _came(self, fd: int, *, stays: bool) -> None:
        connection = _duplicate(fd) if stays else None
        self._connections[fd] = connection
        if len(self._connections) > self.most:
            self.bad(f"one of more than {self.most} connections")
            _end(connection)

    def _went(self, fd: int, *, failed: bool) -> None:
        connection = self._connections.pop(fd, None)
        if failed and fd not in self._ended:
            self.bad("a connection that does not speak ZMTP")
        self._ended.discard(fd)
        if connection is None:
            return
        if not failed and _still_there(connection):
            self.bad("a connection that broke off: a frame longer than allowed, or none of ZMTP")
        connection.close()

    def end_all(self) -> None:
        """Show everybody the door, and with them goes what libzmq keeps for them. Our own come back by themselves."""
        self._ended.update(self._connections)  # who was still greeting fails at it, and it is our doing
        for connection in self._connections.values():
            _end(connection)

    def close(self) -> None:
        """Let go of everything; the bound socket is the caller's."""
        self._bound.disable_monitor()
        self.events.close(linger=0)
        for connection in self._connections.values():
            if connection is not None:
                connection.close()


def _duplicate(fd: int) -> socket.socket | None:
    try:
        return socket.socket(fileno=os.dup(fd))
    except OSError:
        return None


def _end(connection: socket.socket | None) -> None:
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _still_there(connection: socket.socket) -> bool:
    """Whether the peer has neither left nor said everything."""
    try:
        return bool(connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return True
    except OSError:
        return False
