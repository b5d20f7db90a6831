"""The short way between processes of one host: UNIX stream sockets that the nodes' own threads write and read.

ZeroMQ gives every message to a thread of its own on both sides, and the two wake-ups are most of the price of a small
message. A lane has neither. It speaks as XPUB and SUB do, so the bus above sees one bus: the subscriber sends prefixes,
the publisher sends the frames of the topics that were named. Both are records of bus/stream.py: from the publisher head
and tail are a message's one or two frames; from the subscriber the head is 1 (subscribe) or 0 (unsubscribe) and a
prefix up to its zero byte: a whole topic, a sync token or the beacon.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial

from bus.frame import FULL_NAME_MAX_BYTES, MESSAGE_MAX_BYTES
from bus.poll import Poller
from bus.stream import BadRecord, Record, Stream, record

SCHEME = "unix://"
LINGER_MS = 500
SUBSCRIPTION_MAX_BYTES = 1 + FULL_NAME_MAX_BYTES + 11
"""what a subscription begins with, a name, and room for a token's number: nobody subscribes to a name of kilobytes"""
PREFIXES_MAX = 65_536
"""of one process"""


class Lanes:
    """The publisher's side: everybody who is connected, and what each wants to hear.

    Args:
        path: of the socket file to bind, at most 107 bytes.
        most: connections; who comes then is shown the door.
    """

    def __init__(self, path: str, poller: Poller, most: int = 1024) -> None:
        self.changed: Callable[[bool, bytes], None] = lambda subscribed, prefix: None
        """called with (subscribed, prefix); False when nobody on a lane is left who wants it"""
        self.bad: Callable[[str], None] = lambda text: None
        """called with what a stranger sent, in words"""
        self.endpoint = SCHEME + path
        self.by_prefix: dict[bytes, list[Stream]] = {}
        self.streams: dict[Stream, set[bytes]] = {}
        """what each subscriber wants"""
        self.most = most
        self._poller = poller
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.bind(path)
        self._socket.listen(4096)
        self._accepting = False
        self.resume()

    def send(self, prefix: bytes, frame: bytes, tail: bytes | memoryview) -> None:
        """To everybody who wants the prefix; never blocks: past its queue's bound a slow subscriber misses it."""
        streams = self.by_prefix.get(prefix)
        if streams is not None:
            head = record(frame, tail)
            for stream in streams:
                if stream.send(head, tail) and not stream.watched:
                    watch_room(self._poller, stream)

    def resume(self) -> None:
        """Accept again, after descriptors or memory had run out."""
        if not self._accepting:
            self._accepting = True
            self._poller.watch(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:  # those who wait would ring without end
                self._accepting = False
                self._poller.unwatch(self._socket.fileno())
                self.bad(f"a connection could not be accepted: {error.strerror}")
                return
            if len(self.streams) >= self.most:
                sock.close()
                self.bad(f"one of more than {self.most} connections to the lane")
                continue
            stream = Stream(sock, SUBSCRIPTION_MAX_BYTES)
            self.streams[stream] = set()
            self._poller.watch(stream.fd, partial(self._read, stream))

    def _read(self, stream: Stream) -> None:
        if stream.watched:
            flush(self._poller, stream)
        try:
            for head, tail in stream.read():
                self._subscription(stream, head, tail)
        except BadRecord as error:
            self.bad(f"{error} from a subscriber")
            stream.ended = True
        if stream.ended:
            self._poller.unwatch(stream.fd)
            stream.close()
            for prefix in self.streams.pop(stream):
                self._forget(stream, prefix)

    def _subscription(self, stream: Stream, head: bytes, tail: bytes | memoryview | None) -> None:
        prefix, wanted = head[1:], self.streams[stream]
        if tail is not None or head[0] > 1 or not prefix.endswith(b"\0"):
            raise BadRecord(f"{head[:80]!r} is no subscription")
        if not head[0]:
            if prefix in wanted:
                wanted.remove(prefix)
                self._forget(stream, prefix)
            return
        if prefix not in wanted:
            if len(wanted) >= PREFIXES_MAX:
                raise BadRecord(f"more than {PREFIXES_MAX} subscriptions of one process")
            wanted.add(prefix)
            self.by_prefix.setdefault(prefix, []).append(stream)
        self.changed(True, prefix)

    def _forget(self, stream: Stream, prefix: bytes) -> None:
        wanting = self.by_prefix[prefix]
        wanting.remove(stream)
        if not wanting:
            del self.by_prefix[prefix]
            self.changed(False, prefix)

    def close(self) -> None:
        """Let the last messages leave (at most LINGER_MS); what the kernel has taken arrives anyway."""
        self._linger()
        for stream in self.streams:
            stream.close()
        self._socket.close()

    def _linger(self) -> None:
        ends_ns = time.monotonic_ns() + LINGER_MS * 1_000_000
        poll = select.poll()
        slow = {s.fd: s for s in self.streams if s.waiting}
        for fd in slow:
            poll.register(fd, select.POLLOUT)
        while slow and (left_ns := ends_ns - time.monotonic_ns()) > 0:
            for fd, _ in poll.poll(left_ns / 1e6):
                slow[fd].flush()
                if not slow[fd].waiting:
                    poll.unregister(fd)
                    del slow[fd]


class Ears:
    """The subscriber's side: the publishers listened to, and what is wanted of all of them."""

    def __init__(self, poller: Poller) -> None:
        self.frames: Callable[[Iterable[Record]], None] = lambda frames: None
        """called with the messages that came, as (frame, tail)"""
        self.bad: Callable[[str], None] = lambda text: None
        """called with what a publisher sent that is no record, in words"""
        self.ended: set[str] = set()
        """endpoints whose lane ended after all that came by it was handed over, and has not come back"""
        self._poller = poller
        self._wanted: set[bytes] = set()
        self._streams: dict[str, Stream | None] = {}
        """by endpoint; None while nobody answers there"""

    def connect(self, endpoint: str) -> None:
        self._streams[endpoint] = None
        self.reconnect()

    def reconnect(self) -> None:
        """Try again where a lane ended, or nobody answered: the publisher may only have been short of descriptors."""
        for endpoint in [e for e, stream in self._streams.items() if stream is None]:
            stream = dial(endpoint)
            if stream is not None:
                self.ended.discard(endpoint)
                self._streams[endpoint] = stream
                self._poller.watch(stream.fd, partial(self._read, endpoint, stream), patient=True)
                for prefix in sorted(self._wanted):  # the sync token, which begins with \xff, last
                    self._say(stream, b"\x01" + prefix)

    def disconnect(self, endpoint: str) -> None:
        self.ended.discard(endpoint)
        stream = self._streams.pop(endpoint, None)
        if stream is not None:
            self._leave(stream)

    def subscribe(self, prefix: bytes) -> None:
        self.reconnect()
        self._wanted.add(prefix)
        self._say_all(b"\x01" + prefix)

    def unsubscribe(self, prefix: bytes) -> None:
        self._wanted.discard(prefix)
        self._say_all(b"\x00" + prefix)

    def _say_all(self, text: bytes) -> None:
        for stream in self._streams.values():
            if stream is not None:
                self._say(stream, text)

    def _say(self, stream: Stream, text: bytes) -> None:
        if stream.send(record(text)) and not stream.watched:
            watch_room(self._poller, stream)

    def _read(self, endpoint: str, stream: Stream) -> None:
        if stream.watched:
            flush(self._poller, stream)
        try:
            records = stream.read()
        except BadRecord as error:
            self.bad(f"{error} from a publisher")
            records, stream.ended = [], True
        if records:
            self.frames(records)
        if stream.ended:
            self._leave(stream)
            if endpoint in self._streams:
                self._streams[endpoint] = None
                self.ended.add(endpoint)

    def _leave(self, stream: Stream) -> None:
        self._poller.unwatch(stream.fd)
        stream.close()

    def close(self) -> None:
        for stream in self._streams.values():
            if stream is not None:
                stream.close()


def dial(endpoint: str) -> Stream | None:
    """The subscriber's end; None when nobody answers there, too many wait to be accepted, or no descriptor is left."""
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError:  # no descriptor is left: it is tried again
        return None
    try:
        sock.connect(endpoint.removeprefix(SCHEME))
    except (OSError, ValueError):  # nobody there; or nothing that could be a path
        sock.close()
        return None
    return Stream(sock, MESSAGE_MAX_BYTES)


def watch_room(poller: Poller, stream: Stream) -> None:
    """Something waits on the way out: look out for room."""
    stream.watched = True
    poller.watch_room(stream.fd, True)


def flush(poller: Poller, stream: Stream) -> None:
    """There may be room: send what waits."""
    stream.flush()
    if not stream.waiting:
        stream.watched = False
        poller.watch_room(stream.fd, False)
