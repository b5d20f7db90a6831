"""The web server's socket."""

from __future__ import annotations

import socket

from web.serving import bind


def test_small_answers_do_not_wait_for_more_to_send() -> None:
    """asyncio turns Nagle's algorithm off only for connections whose socket says that it is TCP."""
    with bind("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        listening.setblocking(True)
        listening.settimeout(10.0)
        connection, _ = listening.accept()
        with connection:
            assert connection.proto == socket.IPPROTO_TCP
