"""The sockets of a process: one XPUB and one ROUTER bound, one SUB and a DEALER per peer connected, all in one epoll.

Beside the XPUB every process offers a lane (bus/lane.py): the same publish and subscribe for processes of this host
without ZeroMQ's threads. A subscriber takes the lane where it can, anybody else ZeroMQ.

The rest of the bus sees only this seam: send, subscribe, ask, answer, wait, and who is called for what arrives.
Nothing here knows a node, a topic's meaning or a file beyond the socket paths it is given.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import threading
from collections.abc import Callable, Iterable, Iterator

import zmq

from bus import lane
from bus.doors import Door, Foreign, most_connections
from bus.entry import socket_file
from bus.frame import MESSAGE_MAX_BYTES
from bus.lane import LINGER_MS, SUBSCRIPTION_MAX_BYTES, Ears, Lanes
from bus.poll import Poller
from bus.stream import Record
from schemas.sayable import sayable

HIGH_WATER_MARK = 100_000
"""Messages per subscriber that libzmq queues before it drops the newest; every drop shows as a gap in the numbers."""
REQUESTS_MAX = 64
"""Requests of one peer that libzmq holds for us; the rest wait at the peer: of a burst of megabytes not all is here."""
ANSWERS_MAX = 1024
"""Answers to one peer that it has not fetched; a call whose answer finds no room is repeated by its caller."""
DRAIN_MAX = 1000
ENDS_WITHIN_S = 1.5
"""LINGER_MS, and time for what libzmq does behind it"""


class Unreachable(ValueError):
    """An address to bind or connect that this bus refuses; says why."""


def reachable_first(endpoints: tuple[str, ...], *, lanes: bool = False) -> tuple[str, ...]:
    """A peer's endpoints, the one to connect to in front: a socket file that is there, else tcp.

    The file is not there where peers share the runtime directory's entries but not its sockets.

    Args:
        lanes: whether a lane may be taken; it goes before everything else.
    """
    files = {e: path for e in endpoints if (path := socket_file(e)) is not None}
    there = sorted((e for e in files if os.path.exists(files[e])), key=lambda e: not e.startswith(lane.SCHEME))
    ordered = (*there, *(e for e in endpoints if e not in files), *endpoints)
    return tuple(dict.fromkeys(e for e in ordered if lanes or not e.startswith(lane.SCHEME)))


def end(context: zmq.Context[zmq.Socket[bytes]]) -> bool:
    """End a context whose sockets are closed; returns whether it did in ENDS_WITHIN_S.

    zmq_ctx_term has no deadline, and libzmq 4.3.5 now and then waits in it for good: seen in 1 of 15 processes that
    closed a ROUTER while its peer was connecting again. What is left then goes with the process.
    """
    ending = threading.Thread(target=context.term, name="zmq_ctx_term", daemon=True)
    ending.start()
    ending.join(ENDS_WITHIN_S)
    return not ending.is_alive()


class Transport:
    """The sockets of one process. Used by one thread, except `wake`.

    Args:
        pub_path, rpc_path: socket files to bind, at most 107 bytes (see Directory.socket_path).
        lane_path: one more, for the lane; without it this process neither offers nor takes one.
        tcp_host: also bind tcp on this loopback address.

    Raises:
        Unreachable: tcp_host is not a loopback address: leaving the host needs encryption, which does not exist yet.
    """

    # what every wait and send touches lies together: at 1 kHz memory has gone cold since the last one
    __slots__ = ("__dict__", "_poller", "_touched", "_unread", "foreign", "lanes")

    def __init__(
        self, pub_path: str, rpc_path: str, *, lane_path: str | None = None, tcp_host: str | None = None
    ) -> None:
        if tcp_host is not None and not _is_loopback(tcp_host):
            raise Unreachable(
                f"tcp on {tcp_host}: only a loopback address such as 127.0.0.1 may be bound without encryption"
            )
        self._context = zmq.Context()
        self.pub = self._socket(zmq.XPUB)
        self.pub.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.sub = self._socket(zmq.SUB)
        self.router = self._socket(zmq.ROUTER)
        self._dealers: dict[str, zmq.Socket[bytes]] = {}
        self.pub_endpoints = self._bind(self.pub, pub_path, tcp_host)
        self.rpc_endpoints = self._bind(self.router, rpc_path, tcp_host)
        self._endings = self.sub.get_monitor_socket(zmq.Event.CONNECTED | zmq.Event.DISCONNECTED)
        self._ended: set[str] = set()
        # epoll on the sockets' descriptors: zmq_poll asks every socket before and after it sleeps, 5 us a wake-up
        self._poller = Poller()
        self.wake = self._poller.wake
        self._touched: set[zmq.Socket[bytes]] = set()
        """sockets used since the last look: their news may no longer show on the descriptor"""
        self._unread = False
        self.foreign = Foreign()
        self._on_frames: Callable[[Iterable[Record]], None] = lambda frames: None
        self._on_subscription: Callable[[bool, bytes], None] = lambda subscribed, prefix: None
        self._on_request: Callable[[bytes, bytes], None] = lambda identity, data: None
        self._on_reply: Callable[[bytes], None] = lambda data: None
        self._on_bad: Callable[[str], None] = lambda text: None
        self._poller.watch(int(self.sub.getsockopt(zmq.FD)), self.drain, patient=True)
        self._touched.add(self.sub)
        self.watch(self.pub, self._drain_subscriptions)
        self.watch(self.router, self._drain_requests)
        most = most_connections()
        self.doors = [Door(self._context, s, most) for s in (self.pub, self.router)]
        for door in self.doors:
            self.watch(door.events, door.look)
        self.lanes: Lanes | None = None
        self._ears: Ears | None = None
        if lane_path is not None:
            self.lanes, self._ears = Lanes(lane_path, self._poller, most), Ears(self._poller)
            self.pub_endpoints += (self.lanes.endpoint,)

    def hear(
        self, *, frames: Callable[[Iterable[Record]], None], subscription: Callable[[bool, bytes], None],
        request: Callable[[bytes, bytes], None], reply: Callable[[bytes], None], bad: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Who is called from `wait` for what arrives.

        Args:
            frames: published messages, as (frame, tail).
            subscription: (subscribed, prefix); False when nobody is left who wants it.
            request: (identity, control message) of a peer.
            reply: a control message that comes back.
            bad: what a stranger sent, in words.
        """
        self._on_frames, self._on_subscription = frames, subscription
        self._on_request, self._on_reply, self._on_bad = request, reply, bad
        for door in self.doors:
            door.bad = bad
        if self.lanes is not None and self._ears is not None:
            self.lanes.changed, self.lanes.bad = self._lane_changed, bad
            self._ears.frames, self._ears.bad = frames, bad

    def _socket(self, kind: zmq.SocketType) -> zmq.Socket[bytes]:
        s = self._context.socket(kind)
        # subscriptions obey the high-water mark too: unlimited on the way to the publisher, or some are lost
        many = HIGH_WATER_MARK
        bounds = {zmq.SUB: (0, many), zmq.XPUB: (many, 0), zmq.ROUTER: (ANSWERS_MAX, REQUESTS_MAX)}
        s.sndhwm, s.rcvhwm = bounds.get(kind, (many, many))
        # what is longer ends its connection before it takes memory: nobody subscribes to a name of kilobytes
        s.setsockopt(zmq.MAXMSGSIZE, SUBSCRIPTION_MAX_BYTES if kind == zmq.XPUB else MESSAGE_MAX_BYTES)
        s.setsockopt(zmq.LINGER, LINGER_MS)
        s.setsockopt(zmq.RECONNECT_IVL, 10)
        s.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        return s

    def _bind(self, socket: zmq.Socket[bytes], path: str, tcp_host: str | None) -> tuple[str, ...]:
        endpoints = [f"ipc://{path}"]
        socket.bind(endpoints[0])
        if tcp_host is not None:
            socket.bind(f"tcp://{tcp_host}:*")
            endpoints.append(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        return tuple(endpoints)

    # --- publish and subscribe ---------------------------------------------------------------------------------

    def send(self, prefix: bytes, frame: bytes, tail: bytes | memoryview = b"") -> None:
        """Hand a message to everybody who subscribes; never blocks: past its bound a slow subscriber misses it."""
        if self.lanes is not None:
            self.lanes.send(prefix, frame, tail)
        if self.foreign.prefixes and self.foreign.reaches(prefix):
            self._touched.add(self.pub)
            if tail:
                self.pub.send(frame, zmq.SNDMORE)
                self.pub.send(tail, copy=False)
            else:
                self.pub.send(frame)

    def connect(self, endpoint: str) -> None:
        """Listen to a publisher. What is no address of this bus is counted, and nothing is heard from there."""
        if self._ears is not None and endpoint.startswith(lane.SCHEME):
            self._ears.connect(endpoint)
            return
        self._unread = True  # the call may take the news of a message from the descriptor
        try:
            self.sub.connect(endpoint)
        except (zmq.ZMQError, ValueError) as error:
            self._on_bad(f"an entry names {sayable(endpoint, 100)!r} as its address: {error}")

    def tend(self) -> None:
        """Once a second: lanes that ended or could not be accepted are tried again. ZeroMQ looks after itself."""
        if self.lanes is not None and self._ears is not None:
            self.lanes.resume()
            self._ears.reconnect()

    def disconnect(self, endpoint: str) -> None:
        if self._ears is not None and endpoint.startswith(lane.SCHEME):
            self._ears.disconnect(endpoint)
        else:
            self._ended.discard(endpoint)
            self._unread = True
            with contextlib.suppress(zmq.ZMQError, ValueError):
                self.sub.disconnect(endpoint)

    def subscribe(self, prefix: bytes) -> None:
        self._unread = True  # the call may take the news of a message from the descriptor
        self.sub.setsockopt(zmq.SUBSCRIBE, prefix)
        if self._ears is not None:
            self._ears.subscribe(prefix)

    def unsubscribe(self, prefix: bytes) -> None:
        self._unread = True  # the call may take the news of a message from the descriptor
        self.sub.setsockopt(zmq.UNSUBSCRIBE, prefix)
        if self._ears is not None:
            self._ears.unsubscribe(prefix)

    def drain(self) -> None:
        """Hand over what has come by ZeroMQ."""
        self._on_frames(self._received())

    def _received(self) -> Iterator[Record]:
        for _ in range(DRAIN_MAX):
            try:
                frame = self.sub.recv(zmq.NOBLOCK)
            except zmq.Again:
                self._unread = False
                return
            self._unread = True
            tail = None
            if self.sub.get(zmq.RCVMORE):
                tail = memoryview(self.sub.recv(zmq.NOBLOCK, copy=False).buffer).toreadonly()
            yield frame, tail
            while self.sub.get(zmq.RCVMORE):
                yield self.sub.recv(zmq.NOBLOCK), None

    @property
    def unread(self) -> bool:
        """Whether a message has come by ZeroMQ that nobody has taken."""
        return bool(int(self.sub.get(zmq.EVENTS)) & zmq.POLLIN)

    def ended(self) -> set[str]:
        """The endpoints whose connection ended after all that came by it was handed over, and has not come back."""
        with contextlib.suppress(zmq.Again):
            while True:
                event, endpoint = self._endings.recv_multipart(zmq.NOBLOCK)
                if int.from_bytes(event[:2], "little") == zmq.Event.DISCONNECTED:
                    self._ended.add(endpoint.decode())
                else:
                    self._ended.discard(endpoint.decode())
        return self._ended if self._ears is None else self._ended | self._ears.ended

    # --- who subscribes here -------------------------------------------------------------------------------------

    def _lane_changed(self, subscribed: bool, prefix: bytes) -> None:
        if subscribed or prefix not in self.foreign.prefixes:
            self._on_subscription(subscribed, prefix)

    def _drain_subscriptions(self) -> None:
        while True:
            try:
                data = self.pub.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            subscribed, prefix = data[:1] == b"\x01", data[1:]
            if data[:1] not in (b"\x00", b"\x01"):
                self._on_bad("bytes that are no subscription")
            elif subscribed:
                if not self.foreign.add(prefix):
                    # libzmq gives the memory back with the connection only, and does not say whose subscription it was
                    self._on_bad("one of too many subscriptions: all are shown the door, ours come back by themselves")
                    self.doors[0].end_all()
                self._on_subscription(True, prefix)
            elif self.foreign.remove(prefix) and (self.lanes is None or prefix not in self.lanes.by_prefix):
                self._on_subscription(False, prefix)

    # --- requests and answers ----------------------------------------------------------------------------------

    def ask(self, endpoint: str, data: bytes) -> bool:
        """Send a control message to a peer; False when its queue is full, or there is no way to it now."""
        self.prepare(endpoint)
        dealer = self._dealers.get(endpoint)
        if dealer is None:
            return False
        self._touched.add(dealer)
        try:
            dealer.send(data, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def prepare(self, endpoint: str) -> None:
        """Connect ahead of the first request, so that it does not pay for the connection.

        What is no address of this bus is counted; without a descriptor left the next request tries again.
        """
        if endpoint in self._dealers:
            return
        dealer = None
        try:
            dealer = self._socket(zmq.DEALER)
            dealer.connect(endpoint)
        except (zmq.ZMQError, ValueError) as error:
            self._on_bad(f"no way to {sayable(endpoint, 100)!r}, the address of a node: {error}")
            if dealer is not None:
                dealer.close(linger=0)
            return
        self._dealers[endpoint] = dealer
        self.watch(dealer, lambda: self._drain_dealer(dealer))

    def forget(self, endpoint: str) -> None:
        """The peer is gone."""
        dealer = self._dealers.pop(endpoint, None)
        if dealer is not None:
            self.unwatch(dealer)
            dealer.close(linger=0)

    def answer(self, identity: bytes, data: bytes) -> None:
        """Reply to a peer's request; a peer that is gone gets nothing."""
        self._touched.add(self.router)
        with contextlib.suppress(zmq.Again):
            self.router.send_multipart([identity, data], zmq.NOBLOCK)

    def _drain_requests(self) -> None:
        for _ in range(DRAIN_MAX):
            try:
                frames = self.router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._on_request(frames[0], b"".join(frames[1:]))
        self._touched.add(self.router)  # there may be more

    def _drain_dealer(self, dealer: zmq.Socket[bytes]) -> None:
        while not dealer.closed:
            try:
                data = dealer.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._on_reply(b"".join(data))

    # --- waiting -----------------------------------------------------------------------------------------------

    def watch(self, source: zmq.Socket[bytes] | int, handle: Callable[[], None]) -> None:
        """Call `handle` from `wait` when a socket or file descriptor has something to read.

        A socket's handler must read until nothing is left, except SUB's, which may leave some for the next `wait`:
        a ZeroMQ socket's descriptor tells of changes, not of messages.
        """
        if isinstance(source, int):
            self._poller.watch(source, handle)
        else:
            self._poller.watch(int(source.getsockopt(zmq.FD)), handle)
            self._touched.add(source)

    def unwatch(self, source: zmq.Socket[bytes] | int) -> None:
        if isinstance(source, int):
            self._poller.unwatch(source)
        else:
            self._poller.unwatch(int(source.getsockopt(zmq.FD)))
            self._touched.discard(source)

    def wait(self, until_mono_ns: int | None) -> None:
        """Sleep until something arrives, `wake` is called, or the time has come; then call who watches it."""
        if (self._unread or self._touched) and self._leftovers():
            self._poller.look()
        else:
            self._poller.sleep(until_mono_ns)

    def rest(self, until_mono_ns: int) -> None:
        """As `wait`, but what others publish does not wake it: it is looked at when something else did."""
        if not self._unread and not self._touched:
            self._poller.sleep(until_mono_ns, patient=False)
        self.look()

    def look(self) -> None:
        """As `wait`, without waiting."""
        self._leftovers()
        self._poller.look()

    def _leftovers(self) -> bool:
        """Handle what no descriptor tells of: messages left unread, and news that a send took from the descriptor."""
        found = False
        if self._unread:
            # asking is half the price of a receive that finds nothing
            self._unread = found = bool(int(self.sub.get(zmq.EVENTS)) & zmq.POLLIN)
            if found:
                self.drain()
        while self._touched:
            source = self._touched.pop()
            if int(source.get(zmq.EVENTS)) & zmq.POLLIN:
                self._poller.handlers[int(source.getsockopt(zmq.FD))]()
                found = True
        return found

    def close(self) -> None:
        """Let the last messages leave (at most LINGER_MS), then free everything, in ENDS_WITHIN_S at most."""
        for way in (self.lanes, self._ears):
            if way is not None:
                way.close()
        for door in self.doors:
            self.unwatch(door.events)
            door.close()
        self.sub.disable_monitor()
        for s in (self._endings, self.sub, *self._dealers.values()):
            s.close(linger=0)
        self.pub.close(linger=LINGER_MS)
        self.router.close(linger=LINGER_MS)
        end(self._context)
        for endpoint in (*self.pub_endpoints, *self.rpc_endpoints):
            path = socket_file(endpoint)
            if path is not None:  # libzmq leaves the file
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        self._poller.close()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False
