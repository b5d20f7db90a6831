"""Whom notices reach in tests: a chat program's webhook and a mail server, as small as they can be, and real."""

from __future__ import annotations

import contextlib
import json
import queue
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Received:
    """What came, oldest first."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: queue.Queue[int] = queue.Queue()
        """HTTP status of the next answers; 200 where there is none"""
        self._came: queue.Queue[Any] = queue.Queue()

    def put(self, what: Any) -> None:
        self._came.put(what)

    def next(self, timeout_s: float = 20.0) -> Any:
        return self._came.get(timeout=timeout_s)

    def status(self) -> int:
        try:
            return self.answers.get_nowait()
        except queue.Empty:
            return 200


@contextlib.contextmanager
def webhook() -> Iterator[Received]:
    """An HTTP server that takes JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = received.status()
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("Location", f"http://127.0.0.1:{received.port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            received.put((self.path, body))

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        received = Received(server.server_port)
        with _served(server):
            yield received


@contextlib.contextmanager
def mail_server() -> Iterator[Received]:
    """As much of SMTP as a client needs to hand over a mail."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 test")
            to: list[str] = []
            while line := self.rfile.readline().decode().strip():
                word = line.split()[0].upper()
                if word == "RCPT":
                    to.append(line.partition(":")[2].strip("<> "))
                if word == "DATA":
                    self._say("354 go on")
                    lines: list[str] = []
                    while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                        lines.append(text)
                    received.put((to, "\n".join(lines)))
                self._say("221 bye" if word == "QUIT" else "250 ok")

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        received = Received(server.server_address[1])
        with _served(server):
            yield received


@contextlib.contextmanager
def _served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(5.0)
