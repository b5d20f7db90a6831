"""Where a stream comes from: TCP, UDP or a serial line, opened from a URL, read with a deadline.

tcp://10.0.0.9:5000                          this side connects
udp://0.0.0.0:5000?from=10.0.0.9             this side binds; datagrams of others than `from` are left out
serial:///dev/ttyUSB0?baud=115200&framing=8N1
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from bus.poll import writable
from bus.site import did_you_mean
from schemas.sayable import shown

if TYPE_CHECKING:
    from serial import Serial

WAIT_S = 0.1
"""the longest a read waits before it looks whether it is to end"""
CONNECT_WAITS = 30
READ_MOST = 1 << 18
RECEIVE_BUFFER = 1 << 22
"""of UDP: what may wait while this process is busy"""
KEYS = {"tcp": (), "udp": ("from",), "serial": ("baud", "framing")}


class BadUrl(ValueError):
    """A URL that names no place to read from; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place to read from."""

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""
    sender: str = ""
    baud: int = 115_200
    framing: str = "8N1"

    @property
    def ordered(self) -> bool:
        """What comes keeps its order."""
        return self.kind != "udp"


def endpoint(url: str) -> Endpoint:
    """The place that a URL names.

    Raises:
        BadUrl: it names none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 0
        query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError as error:
        raise BadUrl(f"{shown(url)} is no URL: {error}") from None
    kind = parts.scheme
    if kind not in KEYS:
        expected = "tcp://HOST:PORT, udp://BIND:PORT or serial:///dev/DEVICE?baud=N"
        raise BadUrl(f"{shown(url)}: expected {expected}")
    for key in query:
        if key not in KEYS[kind]:
            raise BadUrl(f"{shown(url)}: {kind} takes no {key!r}; {did_you_mean(key, KEYS[kind])}")
    if kind == "serial":
        framing, baud = query.get("framing", "8N1").upper(), query.get("baud", "115200")
        if not parts.path or host:
            raise BadUrl(f"{shown(url)}: expected serial:///dev/DEVICE, with three slashes")
        if not (baud.isascii() and baud.isdigit() and 50 <= int(baud[:9]) <= 4_000_000):
            raise BadUrl(f"{shown(url)}: baud is 50..4000000, not {shown(baud)}")
        if len(framing) != 3 or framing[0] not in "78" or framing[1] not in "NEO" or framing[2] not in "12":
            raise BadUrl(f"{shown(url)}: framing is 8N1, 7E2 and the like, not {shown(framing)}")
        return Endpoint(kind, path=parts.path, baud=int(baud), framing=framing)
    if not host or not port:
        raise BadUrl(f"{shown(url)}: expected {kind}://{'HOST' if kind == 'tcp' else 'BIND'}:PORT")
    return Endpoint(kind, host, port, sender=query.get("from", ""))


def packets(where: Endpoint, end: threading.Event) -> Iterator[bytes]:
    """What comes, as it comes; `b""` where nothing did for WAIT_S, so that the first one says that it is open.

    Raises:
        OSError: it cannot be opened, or was closed by the other side.
    """
    read = {"tcp": _tcp, "udp": _udp, "serial": _serial}[where.kind]
    yield from read(where, end)


def _tcp(where: Endpoint, end: threading.Event) -> Iterator[bytes]:
    family, kind, protocol, _, address = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as sock:
        sock.setblocking(False)
        waiting = sock.connect_ex(address)
        for _ in range(CONNECT_WAITS):
            if waiting not in (errno.EINPROGRESS, errno.EAGAIN) or end.is_set():
                break
            if writable(sock.fileno(), WAIT_S):
                waiting = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if waiting:
            raise OSError(waiting, os.strerror(errno.ETIMEDOUT if waiting == errno.EINPROGRESS else waiting))
        # a cable that is cut says nothing: the kernel asks, and gives up after four seconds
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 3)):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        sock.settimeout(WAIT_S)
        while not end.is_set():
            try:
                data = sock.recv(READ_MOST)
            except TimeoutError as error:
                if error.errno == errno.ETIMEDOUT:  # of the kernel, not of this wait
                    raise
                yield b""
                continue
            if not data:
                raise OSError("closed by the other side")
            yield data


def _udp(where: Endpoint, end: threading.Event) -> Iterator[bytes]:
    found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as sock:
        with contextlib.suppress(OSError):  # the kernel gives what it allows
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.bind(address)
        sock.settimeout(WAIT_S)
        while not end.is_set():
            try:
                data, sender = sock.recvfrom(READ_MOST)
            except TimeoutError:
                yield b""
                continue
            if data and (not where.sender or sender[0] == where.sender):
                yield data


def _serial(where: Endpoint, end: threading.Event) -> Iterator[bytes]:
    with _open_serial(where.path, where.baud, where.framing) as port:
        while not end.is_set():
            yield port.read(max(1, min(port.in_waiting, READ_MOST)))


def _open_serial(path: str, baud: int, framing: str) -> Serial:
    from serial import Serial  # only here: nobody else pays for it

    bits, parity, stop = int(framing[0]), framing[1], int(framing[2])
    # everything at once: to change the framing of an open pseudo-terminal is EINVAL
    return Serial(path, baud, bytesize=bits, parity=parity, stopbits=stop, timeout=WAIT_S, exclusive=True)
