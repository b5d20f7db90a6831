"""The blocking side of the adapter: accepts, reads, writes. It knows no time but what the node posts."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from nodes.shdr_adapter.clients import (
    CLIENTS_MAX,
    Client,
    PeerEvent,
    PeerKind,
    everything,
    heard,
    is_slow,
    missed,
    offer,
    sent,
)

POSTS_MAX = 4096
AGAIN_S = 1.0
"""until the port is asked for again"""


class Post(NamedTuple):
    """From the node: something for everybody, or (with a client's number) everything for one; and what time it is."""

    now_ns: int
    data: bytes = b""
    client: int = 0


class Server:
    """Serves lines on a TCP port; `post` from the node's thread, `run` in the worker's."""

    def __init__(self, host: str, port: int, pong: bytes) -> None:
        self._where = (host, port)
        self._pong = pong
        self._posts: deque[Post] = deque()
        self._lock = threading.Lock()
        self._woken = -1
        self._lost_posts = 0
        """the worker did not keep up: its clients are told everything anew"""
        self._clients: dict[int, tuple[socket.socket, Client]] = {}
        self._count = 0
        self._now_ns = 0

    def post(self, post: Post) -> None:
        """Hand something over; never blocks."""
        with self._lock:
            if len(self._posts) >= POSTS_MAX:
                self._lost_posts += 1
                return
            self._posts.append(post)
            if self._woken >= 0:
                os.eventfd_write(self._woken, 1)

    def run(self, end: threading.Event) -> Iterator[PeerEvent]:
        """Serve until the end; a port that cannot be had is asked for again and again."""
        told = ""
        while not end.is_set():
            try:
                listener = socket.create_server(
                    self._where, family=socket.AF_INET6 if ":" in self._where[0] else socket.AF_INET
                )
            except OSError as error:
                text = f"{self._where[0]}:{self._where[1]}: {error.strerror or error}"
                if text != told:
                    told = text
                    yield PeerEvent(kind=PeerKind.FAILED, text=text)
                with self._lock:
                    self._posts.clear()  # nobody is there to be told
                end.wait(AGAIN_S)
                continue
            told = ""
            with listener, selectors.DefaultSelector() as selector:
                host, port = listener.getsockname()[:2]
                yield PeerEvent(kind=PeerKind.LISTENING, client=port, text=f"{host}:{port}")
                try:
                    yield from self._serve(listener, selector, end)
                finally:
                    for line, _ in self._clients.values():
                        line.close()
                    self._clients.clear()
                    with self._lock:
                        woken, self._woken = self._woken, -1
                    os.close(woken)

    def _serve(
        self, listener: socket.socket, selector: selectors.BaseSelector, end: threading.Event
    ) -> Iterator[PeerEvent]:
        with self._lock:
            self._woken = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)
        selector.register(self._woken, selectors.EVENT_READ)
        while not end.is_set():
            for key, _ in selector.select(0.2):
                if key.fileobj is listener:
                    yield from self._accept(listener, selector)
                elif key.fileobj == self._woken:
                    os.eventfd_read(self._woken)
                elif key.data in self._clients:
                    yield from self._hear(key.data, selector)
            self._take()
            for number in list(self._clients):
                yield from self._send(number, selector)

    def _accept(self, listener: socket.socket, selector: selectors.BaseSelector) -> Iterator[PeerEvent]:
        try:
            line, address = listener.accept()
        except OSError:  # it left again
            return
        name = f"{address[0]}:{address[1]}"
        if len(self._clients) >= CLIENTS_MAX:
            line.close()
            yield PeerEvent(kind=PeerKind.REFUSED, text=name)
            return
        line.setblocking(False)
        self._count += 1
        self._clients[self._count] = line, Client(self._count, name, self._now_ns)
        selector.register(line, selectors.EVENT_READ, self._count)
        yield PeerEvent(kind=PeerKind.CAME, client=self._count, text=name)

    def _hear(self, number: int, selector: selectors.BaseSelector) -> Iterator[PeerEvent]:
        line, client = self._clients[number]
        try:
            data = line.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            heard(client, data, self._pong)
        else:
            yield self._gone(number, PeerKind.LEFT, selector)

    def _take(self) -> None:
        """What the node posted meanwhile."""
        with self._lock:
            posts, lost = list(self._posts), self._lost_posts
            self._posts.clear()
            self._lost_posts = 0
        for now_ns, data, number in posts:
            self._now_ns = now_ns
            if number:
                if number in self._clients:
                    everything(self._clients[number][1], data)
            elif data:
                for _, client in self._clients.values():
                    offer(client, data)

        if lost:
            for _, client in self._clients.values():
                missed(client, lost)

    def _send(self, number: int, selector: selectors.BaseSelector) -> Iterator[PeerEvent]:
        line, client = self._clients[number]
        count = 0
        if client.out:
            with contextlib.suppress(BlockingIOError):
                try:
                    count = line.send(client.out)
                except BlockingIOError:
                    raise
                except OSError:
                    yield self._gone(number, PeerKind.LEFT, selector)
                    return
        if sent(client, count, self._now_ns):
            yield PeerEvent(kind=PeerKind.LOST_LINES, client=number, lost_lines=client.lost_lines, text=client.name)
        if is_slow(client, self._now_ns):
            yield self._gone(number, PeerKind.CUT, selector)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.out else 0)
        if selector.get_key(line).events != wanted:
            selector.modify(line, wanted, number)

    def _gone(self, number: int, kind: PeerKind, selector: selectors.BaseSelector) -> PeerEvent:
        line, client = self._clients.pop(number)
        selector.unregister(line)
        line.close()
        return PeerEvent(kind=kind, client=number, lost_lines=client.lost_lines, text=client.name)
