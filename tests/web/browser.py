"""A page as the hub sees one: a real WebSocket client that is not ours, and the addresses of a hub."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Self

import httpx
import msgpack
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from bus.executor import Executor
from tests.bus.live import node

WITHIN_S = 15.0


def url_of(executor: Executor) -> str:
    """Where the hub of a running FanucApi is, once its server answers."""
    url: str = node(executor).serving.url
    answered(url)
    return url


def answered(url: str) -> None:
    """Wait until a hub answers."""
    transport = httpx.HTTPTransport(retries=20)  # waits between them: 0.5, 1, 2 ... s
    with httpx.Client(transport=transport, timeout=WITHIN_S) as client:
        assert client.get(f"{url}healthz").json() == {"status": "ok"}


class Page:
    """A connection to /ws, or to another path."""

    def __init__(self, url: str, path: str = "ws", **more: Any) -> None:
        self._connect = connect(
            f"{url.replace('http', 'ws', 1)}{path}", subprotocols=[Subprotocol("rise.1")],
            origin=Origin(url.rstrip("/")), max_size=None, open_timeout=WITHIN_S, compression=None, **more,
        )  # fmt: skip
        self.names: dict[int, dict[str, Any]] = {}

    def ask(self, op: str, **fields: Any) -> None:
        self.ws.send(msgpack.packb({"op": op, **fields}))

    def read(self, within_s: float = WITHIN_S) -> dict[str, Any]:
        """The next thing that the hub says."""
        said: dict[str, Any] = msgpack.unpackb(self.ws.recv(within_s))
        if said["op"] == "names":
            self.names[said["topic"]] = said
        return said

    def until(self, condition: Callable[[dict[str, Any]], object], within_s: float = WITHIN_S) -> list[dict[str, Any]]:
        """All that is said until a condition holds of what was said last."""
        ends_s = time.monotonic() + within_s
        said = [self.read(within_s)]
        while not condition(said[-1]):
            left_s = ends_s - time.monotonic()
            assert left_s > 0, f"it was not said in time; the last was {str(said[-1])[:500]}"
            said.append(self.read(left_s))
        return said

    def __enter__(self) -> Self:
        self.ws: ClientConnection = self._connect.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.ws.close()


class Sequence:
    """Checks that the numbers of every topic and publisher go on without a hole but for those that are told."""

    def __init__(self) -> None:
        self.last: dict[tuple[str, str], int] = {}
        self.rows: dict[tuple[str, str], int] = {}
        self.gaps: list[list[Any]] = []
        self.holes: list[tuple[str, int, int]] = []

    def take(self, page: Page, said: dict[str, Any]) -> None:
        if said["op"] != "batch":
            return
        of = [(g[0], g[1], g[2]) for g in said["gaps"]] + [(s[0], s[1], s[2]) for s in said["signals"]]
        of += [(m[0], m[1], m[1]) for m in said["messages"] if page.names[m[0]]["qos"] != "LATCHED"]
        self.gaps += said["gaps"]
        for n, first, last in sorted(of, key=lambda each: each[1]):
            key = (page.names[n]["name"], page.names[n]["publisher_id"])
            if key in self.last and first != self.last[key] + 1:
                self.holes.append((key[0], self.last[key], first))
            self.last[key] = last
        for s in said["signals"]:
            key = (page.names[s[0]]["name"], page.names[s[0]]["publisher_id"])
            self.rows[key] = self.rows.get(key, 0) + s[6]
