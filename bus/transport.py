"""The sockets of a process: one XPUB and one ROUTER bound, one SUB and a DEALER per peer connected, all in one epoll.

Beside the XPUB every process offers a lane (bus/lane.py): the same publish and subscribe for processes of this host
without ZeroMQ's threads. A subscriber takes the lane where it can, anybody else ZeroMQ.

The rest of the bus sees only this seam: send, subscribe, ask, answer, wait, and who is called for what arrives.
Nothing here knows a node, a topic's meaning or a file beyond the socket paths it is given.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import select
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import zmq

from bus import lane
from bus.entry import socket_file
from bus.lane import BadRecord, Lanes, Record, Stream

HIGH_WATER_MARK = 100_000
"""Messages per subscriber that libzmq queues before it drops the newest; every drop shows as a gap in the numbers."""
LINGER_MS = 500
SUBSCRIPTION_MAX_BYTES = 4096
SUBSCRIPTIONS_MAX = 65_536
DRAIN_MAX = 1000
MESSAGE_MAX_BYTES = 64 * 1024 * 1024
_MONITOR_EVENTS = (
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL | zmq.Event.HANDSHAKE_FAILED_PROTOCOL | zmq.Event.HANDSHAKE_FAILED_AUTH
)

_libc = ctypes.CDLL(None, use_errno=True)
_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK_CLOEXEC = 0o2000000 | 0o4000
_TFD_TIMER_ABSTIME = 1
_ITIMERSPEC = struct.Struct("qqqq")
_libc.timerfd_settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class Unreachable(ValueError):
    """An address to bind or connect that this bus refuses; says why."""


class Alarm:
    """A timerfd: wakes the poll at a monotonic time with microsecond accuracy (zmq_poll's own timeout counts in ms)."""

    def __init__(self) -> None:
        self.fd = _libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = ctypes.create_string_buffer(32)
        self.set_ns: int | None = None
        """what it is set to; -1 after it rang"""

    def set(self, mono_ns: int | None) -> None:
        """Wake at `mono_ns`; None never."""
        self.set_ns = mono_ns
        seconds, ns = divmod(max(mono_ns, 1), 1_000_000_000) if mono_ns is not None else (0, 0)
        _ITIMERSPEC.pack_into(self._spec, 0, 0, 0, seconds, ns)
        if _libc.timerfd_settime(self.fd, _TFD_TIMER_ABSTIME, self._spec, None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def clear(self) -> None:
        """Take note that it rang: the next `set` arms it anew, which also takes back that it is readable."""
        self.set_ns = -1

    def close(self) -> None:
        os.close(self.fd)


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


class Transport:
    """The sockets of one process. Used by one thread, except `wake`.

    Args:
        pub_path, rpc_path: socket files to bind, at most 107 bytes (see Directory.socket_path).
        lane_path: one more, for the lane; without it this process neither offers nor takes one.
        tcp_host: also bind tcp on this loopback address.

    Raises:
        Unreachable: tcp_host is not a loopback address: leaving the host needs encryption, which does not exist yet.
    """

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
        self.alarm = Alarm()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._wake_lock = threading.RLock()  # not Lock: a signal handler may come in the middle of `wake` or `close`
        self._endings = self.sub.get_monitor_socket(zmq.Event.CONNECTED | zmq.Event.DISCONNECTED)
        self._ended: set[str] = set()
        self._monitors = [s.get_monitor_socket(_MONITOR_EVENTS) for s in (self.pub, self.router)]
        # epoll on the sockets' descriptors: zmq_poll asks every socket before and after it sleeps, 5 us a wake-up
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._touched: set[zmq.Socket[bytes]] = set()
        """sockets used since the last look: their news may no longer show on the descriptor"""
        self._unread = False
        self._subscribed: set[bytes] = set()
        self._foreign: set[bytes] = set()
        """what is subscribed to by ZeroMQ"""
        self._lanes: Lanes | None = None
        self._by_prefix: dict[bytes, list[Stream]] = {}
        self._heard: dict[str, Stream | None] = {}
        """by endpoint the lanes we listen to; None while nobody answers there"""
        self._on_frames: Callable[[Iterable[Record]], None] = lambda frames: None
        self._on_subscription: Callable[[bool, bytes], None] = lambda subscribed, prefix: None
        self._on_request: Callable[[bytes, bytes], None] = lambda identity, data: None
        self._on_reply: Callable[[bytes], None] = lambda data: None
        self._on_bad: Callable[[str], None] = lambda text: None
        self.watch(self.alarm.fd, self.alarm.clear)
        self.watch(self._wake_fd, self._woken)
        self.watch(self.sub, self.drain)
        self.watch(self.pub, self._drain_subscriptions)
        self.watch(self.router, self._drain_requests)
        if lane_path is not None:
            self._lanes = Lanes(lane_path, SUBSCRIPTION_MAX_BYTES)
            self._by_prefix = self._lanes.by_prefix
            self.pub_endpoints += (self._lanes.endpoint,)
            self.watch(self._lanes.fd, self._accept)

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

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        s = self._context.socket(kind)
        # subscriptions obey the high-water mark too: unlimited on the way to the publisher, or some are lost
        s.setsockopt(zmq.SNDHWM, 0 if kind == zmq.SUB else HIGH_WATER_MARK)
        s.setsockopt(zmq.RCVHWM, 0 if kind == zmq.XPUB else HIGH_WATER_MARK)
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
        streams = self._by_prefix.get(prefix)
        if streams is not None:
            head = lane.record(frame, tail)
            for stream in streams:
                if stream.send(head, tail) and not stream.watched:
                    self._watch_for_room(stream)
        if self._foreign and any(prefix.startswith(wanted) for wanted in self._foreign):
            self._touched.add(self.pub)
            if tail:
                self.pub.send(frame, zmq.SNDMORE)
                self.pub.send(tail, copy=False)
            else:
                self.pub.send(frame)

    def connect(self, endpoint: str) -> None:
        if endpoint.startswith(lane.SCHEME):
            self._heard[endpoint] = None
            self.reconnect()
        else:
            self._unread = True  # the call may take the news of a message from the descriptor
            self.sub.connect(endpoint)

    def reconnect(self) -> None:
        """Try again where a lane ended, or nobody answered: the publisher may only have been short of descriptors."""
        for endpoint in [e for e, stream in self._heard.items() if stream is None]:
            stream = lane.connect(endpoint, MESSAGE_MAX_BYTES)
            if stream is not None:
                self._ended.discard(endpoint)
                self._heard[endpoint] = stream
                self.watch(stream.fd, partial(self._read_lane, endpoint, stream))
                for prefix in sorted(self._subscribed):  # the sync token, which begins with \xff, last
                    self._say(stream, b"\x01" + prefix)

    def disconnect(self, endpoint: str) -> None:
        self._ended.discard(endpoint)
        if endpoint in self._heard:
            stream = self._heard.pop(endpoint)
            if stream is not None:
                self._leave(stream)
            return
        self._unread = True
        with contextlib.suppress(zmq.ZMQError):
            self.sub.disconnect(endpoint)

    def subscribe(self, prefix: bytes) -> None:
        self.reconnect()
        self._subscribed.add(prefix)
        self._unread = True  # the call may take the news of a message from the descriptor
        self.sub.setsockopt(zmq.SUBSCRIBE, prefix)
        self._say_all(b"\x01" + prefix)

    def unsubscribe(self, prefix: bytes) -> None:
        self._subscribed.discard(prefix)
        self._unread = True  # the call may take the news of a message from the descriptor
        self.sub.setsockopt(zmq.UNSUBSCRIBE, prefix)
        self._say_all(b"\x00" + prefix)

    def _say_all(self, text: bytes) -> None:
        for stream in self._heard.values():
            if stream is not None:
                self._say(stream, text)

    def _say(self, stream: Stream, text: bytes) -> None:
        if stream.send(lane.record(text)) and not stream.watched:
            self._watch_for_room(stream)

    def _watch_for_room(self, stream: Stream) -> None:
        stream.watched = True
        self._epoll.modify(stream.fd, select.EPOLLIN | select.EPOLLOUT)

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

    def _read_lane(self, endpoint: str, stream: Stream) -> None:
        if stream.watched:
            self._flush(stream)
        try:
            records = stream.read()
        except BadRecord as error:
            self._on_bad(f"{error} from a publisher")
            records, stream.ended = [], True
        if records:
            self._on_frames(records)
        if stream.ended:
            self._leave(stream)
            self._heard[endpoint] = None
            self._ended.add(endpoint)

    def _flush(self, stream: Stream) -> None:
        stream.flush()
        if not stream.waiting:
            stream.watched = False
            self._epoll.modify(stream.fd, select.EPOLLIN)

    def _leave(self, stream: Stream) -> None:
        self.unwatch(stream.fd)
        stream.close()

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
        return self._ended

    # --- who subscribes here -------------------------------------------------------------------------------------

    def _accept(self) -> None:
        assert self._lanes is not None
        for stream in self._lanes.accept():
            self.watch(stream.fd, partial(self._read_subscriber, stream))

    def _read_subscriber(self, stream: Stream) -> None:
        assert self._lanes is not None
        if stream.watched:
            self._flush(stream)
        try:
            for subscribed, prefix in self._lanes.changes(stream):
                if subscribed or prefix not in self._foreign:
                    self._on_subscription(subscribed, prefix)
        except BadRecord as error:
            self._on_bad(f"{error} from a subscriber")
            stream.ended = True
        if stream.ended:
            self.unwatch(stream.fd)
            for prefix in self._lanes.drop(stream):
                if prefix not in self._foreign:
                    self._on_subscription(False, prefix)

    def _drain_subscriptions(self) -> None:
        while True:
            try:
                data = self.pub.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            subscribed, prefix = data[:1] == b"\x01", data[1:]
            if data[:1] not in (b"\x00", b"\x01"):
                self._on_bad("bytes that are no subscription")
            elif not subscribed:
                self._foreign.discard(prefix)
                if prefix not in self._by_prefix:
                    self._on_subscription(False, prefix)
            elif len(self._foreign) >= SUBSCRIPTIONS_MAX:
                self._on_bad(f"one of more than {SUBSCRIPTIONS_MAX} subscriptions")
            else:
                self._foreign.add(prefix)
                self._on_subscription(True, prefix)

    # --- requests and answers ----------------------------------------------------------------------------------

    def ask(self, endpoint: str, data: bytes) -> bool:
        """Send a control message to a peer; False when its queue is full."""
        self.prepare(endpoint)
        dealer = self._dealers[endpoint]
        self._touched.add(dealer)
        try:
            dealer.send(data, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def prepare(self, endpoint: str) -> None:
        """Connect ahead of the first request, so that it does not pay for the connection."""
        if endpoint not in self._dealers:
            dealer = self._socket(zmq.DEALER)
            dealer.connect(endpoint)
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
        fd = source if isinstance(source, int) else int(source.getsockopt(zmq.FD))
        self._handlers[fd] = handle
        self._epoll.register(fd, select.EPOLLIN)
        if not isinstance(source, int):
            self._touched.add(source)

    def unwatch(self, source: zmq.Socket[bytes] | int) -> None:
        fd = source if isinstance(source, int) else int(source.getsockopt(zmq.FD))
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)
        if not isinstance(source, int):
            self._touched.discard(source)

    def wait(self, until_mono_ns: int | None) -> None:
        """Sleep until something arrives, `wake` is called, or the time has come; then call who watches it."""
        if until_mono_ns != self.alarm.set_ns:
            self.alarm.set(until_mono_ns)
        self._call_watchers(0 if (self._unread or self._touched) and self._leftovers() else -1)

    def look(self) -> None:
        """As `wait`, without waiting."""
        self._leftovers()
        self._call_watchers(0)

    def _call_watchers(self, timeout: float) -> None:
        for fd, _ in self._epoll.poll(timeout):
            handle = self._handlers.get(fd)
            if handle is not None:
                handle()

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
                self._handlers[int(source.getsockopt(zmq.FD))]()
                found = True
        return found

    def wake(self) -> None:
        """End a `wait`; from any thread, or a signal handler."""
        with self._wake_lock:
            if self._wake_fd >= 0:
                os.eventfd_write(self._wake_fd, 1)

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)

    def bad_handshakes(self) -> int:
        """How many connections spoke no ZMTP since the last call. Not polled for: that would slow every wait."""
        count = 0
        for monitor in self._monitors:
            with contextlib.suppress(zmq.Again):
                while True:
                    monitor.recv_multipart(zmq.NOBLOCK)
                    count += 1
        return count

    def close(self) -> None:
        """Let the last messages leave (at most LINGER_MS), then free everything."""
        if self._lanes is not None:
            _linger(self._lanes)
            self._lanes.close()
        for stream in self._heard.values():
            if stream is not None:
                stream.close()
        for s in (self.pub, self.router, self.sub):
            s.disable_monitor()
        for s in (*self._monitors, self._endings, self.sub, *self._dealers.values()):
            s.close(linger=0)
        self.pub.close(linger=LINGER_MS)
        self.router.close(linger=LINGER_MS)
        self._context.term()
        for endpoint in (*self.pub_endpoints, *self.rpc_endpoints):
            path = socket_file(endpoint)
            if path is not None:  # libzmq leaves the file
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        self._epoll.close()
        self.alarm.close()
        with self._wake_lock:
            wake_fd, self._wake_fd = self._wake_fd, -1
            os.close(wake_fd)


def _linger(lanes: Lanes) -> None:
    ends_ns = time.monotonic_ns() + LINGER_MS * 1_000_000
    poll = select.poll()
    slow = [s for s in lanes.streams.values() if s.waiting]
    for stream in slow:
        poll.register(stream.fd, select.POLLOUT)
    while slow and (left_ns := ends_ns - time.monotonic_ns()) > 0:
        ready = {fd for fd, _ in poll.poll(left_ns / 1e6)}
        for stream in [s for s in slow if s.fd in ready]:
            stream.flush()
            if not stream.waiting:
                poll.unregister(stream.fd)
                slow.remove(stream)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False
