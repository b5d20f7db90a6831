"""The web server in a thread beside the node: its socket, its start and its end."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from web.limits import Bucket, Pace
from web.protocol import REQUEST_MAX_BYTES

if TYPE_CHECKING:
    import uvicorn

PORTS_TRIED = 50
START_WITHIN_S = 10.0
SEND_BUFFER_BYTES = 128 * 1024
GRACE_S = 2
"""what clients get to see their connection closed in order"""
END_WITHIN_S = 3.0
PING_EVERY_S = 20.0
CONNECTIONS_MAX = 400
"""of HTTP and WebSocket together; from then on the answer is 503"""


class CannotListen(RuntimeError):
    """There is no address to listen on; says why."""


def is_loopback(listen: str) -> bool:
    """Whether only this computer reaches it."""
    if listen == "localhost":
        return True
    try:
        return ipaddress.ip_address(listen).is_loopback
    except ValueError:
        return False


def bind(listen: str, port: int) -> socket.socket:
    """A socket that listens on `port`, or the next one that is free (at most 50 on); 0: any.

    Raises:
        CannotListen.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(listen, None, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise CannotListen(f"listen: {listen!r} is no address of this computer: {error}") from None
    why: OSError | None = None
    for candidate in range(port, min(port + PORTS_TRIED, 65535) + 1) if port else (0,):
        # asyncio sets TCP_NODELAY only where the protocol is said: without it each answer waits 40 ms
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # every connection has it from here: what waits in the kernel for a slow client is old by then
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        try:
            made.bind((address[0], candidate))
            made.listen(128)  # only now is it known that nobody else has it
            made.setblocking(False)
            return made
        except OSError as error:
            made.close()
            why = error
    raise CannotListen(f"cannot listen on {listen}, port {port} and the next {PORTS_TRIED}: {why}")


OF_STRANGERS = (
    "without completing handshake",
    "Invalid HTTP request",
    "Unsupported upgrade request",
    "Exceeded concurrency limit",
    "Invalid UTF-8 sequence",
    "socket.send() raised exception",
)
SAID = Pace(5, 60_000_000_000)


class _Strangers(logging.Filter):
    """Lets through only some of what uvicorn and asyncio say of nonsense that is sent: strangers could fill the log."""

    def __init__(self) -> None:
        super().__init__()
        self._bucket = Bucket(SAID, time.monotonic_ns())
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if OF_STRANGERS[0] in text:
            return False  # refused with a reason, and counted
        if not any(words in text for words in OF_STRANGERS):
            return True
        if not self._bucket.has(time.monotonic_ns()):
            self._left_out += 1
            return False
        self._bucket.take()
        record.msg, record.args, record.exc_info = f"{text} ({self._left_out} more of such before)", (), None
        self._left_out = 0
        return True


def config(app: Any, certificate: tuple[Path, Path] | None = None) -> uvicorn.Config:
    """How uvicorn serves the hub."""
    import uvicorn

    from web.connections import Frames, Http

    for log in map(logging.getLogger, ("uvicorn.error", "asyncio")):
        if not any(isinstance(f, _Strangers) for f in log.filters):
            log.addFilter(_Strangers())
    return uvicorn.Config(
        app, http=Http, ws=Frames, ws_max_size=REQUEST_MAX_BYTES, ws_per_message_deflate=False,
        ws_ping_interval=PING_EVERY_S, ws_ping_timeout=PING_EVERY_S, timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=CONNECTIONS_MAX, log_config=None, log_level="warning", access_log=False,
        server_header=False, date_header=False, lifespan="on", proxy_headers=False,
        ssl_certfile=certificate[0] if certificate else None, ssl_keyfile=certificate[1] if certificate else None,
    )  # fmt: skip


class Serving:
    """A web server that runs until `end`.

    Args:
        typed: what stands in `url` in place of `listen`.

    Raises:
        CannotListen: the server did not come up.
    """

    def __init__(
        self, app: Any, listen: str, port: int, certificate: tuple[Path, Path] | None = None, typed: str = ""
    ) -> None:  # fmt: skip
        import uvicorn

        self._socket = bind(listen, port)
        self.port: int = self._socket.getsockname()[1]
        scheme = "https" if certificate else "http"
        host = typed or listen
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}/"
        self._server = uvicorn.Server(config(app, certificate))
        self.failed = ""
        """why it ended though nobody asked it to; empty while it runs"""
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._server.run([self._socket])
        except (Exception, SystemExit) as error:  # SystemExit: the application did not come up
            self.failed = f"{type(error).__name__}: {error}"
        if not self._ends and not self.failed:
            self.failed = "it ended by itself"

    def end(self) -> bool:
        """Close every connection in order, and the server; False when it has not ended within 3 s."""
        self._ends = self._server.should_exit = True
        self._thread.join(END_WITHIN_S)
        return not self._thread.is_alive()
