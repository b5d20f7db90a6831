"""An adapter or agent for tests: a real TCP server. In a thread, or as a process that can be stopped in its tracks:

python -P -m tests.nodes.sensory_cortex.adapter FILE [HEARTBEAT_MS]    prints its port; says FILE to whoever connects
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path


class Adapter:
    """Says `dump` to whoever connects, answers PING, says and hangs up when told.

    Args:
        heartbeat_ms: of its PONG; 0 answers no PING.
    """

    def __init__(self, dump: bytes = b"", *, heartbeat_ms: int = 10_000, port: int = 0) -> None:
        self.dump, self.heartbeat_ms = dump, heartbeat_ms
        self.pings = 0
        self.clients: list[socket.socket] = []
        self.connected = 0
        self._server = socket.create_server(("127.0.0.1", port))
        self.port: int = self._server.getsockname()[1]
        self.address = f"shdr://127.0.0.1:{self.port}"
        self._thread(self._accept)

    @staticmethod
    def _thread(run: Callable[..., None], *args: object) -> None:
        threading.Thread(target=run, args=args, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.clients.append(client)
                self.connected += 1
                self._thread(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client.sendall(self.dump)
            with client.makefile("rb") as lines:
                for line in lines:
                    if line.startswith(b"* PING"):
                        self.pings += 1
                        if self.heartbeat_ms:
                            client.sendall(b"* PONG %d\n" % self.heartbeat_ms)

    def say(self, data: bytes) -> None:
        for client in self.clients:
            client.sendall(data)

    def cut(self) -> None:
        """Pull the cable of everybody who is connected."""
        for client in self.clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()
        self.clients.clear()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()

    def __enter__(self) -> Adapter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def main() -> None:
    file, *heartbeat = sys.argv[1:]
    adapter = Adapter(Path(file).read_bytes(), heartbeat_ms=int(*heartbeat or ["10000"]))
    sys.stdout.write(f"{adapter.port}\n")
    sys.stdout.flush()
    sys.stdin.read()  # until the test ends


if __name__ == "__main__":
    main()
