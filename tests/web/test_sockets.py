"""A client of `/ws` is let look as long as its session is one, however busy it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.websockets import WebSocket

from web import sockets
from web.authority import Refused
from web.gate import Gate, SignedOn
from web.hub import Hub
from web.people import People
from web.sessions import COOKIE


class Line:
    """The server's side of a connection whose page never stops asking."""

    def __init__(self, cookie: str) -> None:
        self.asked = 0
        self.closed: list[dict[str, Any]] = []
        scope = {"type": "websocket", "headers": [(b"cookie", cookie.encode())], "subprotocols": []}
        self.websocket = WebSocket(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        self.asked += 1
        if self.asked == 1:
            return {"type": "websocket.connect"}
        await asyncio.sleep(0.03)  # a page asks from time to time; here too seldom for the limit, too often to be quiet
        return {"type": "websocket.receive", "bytes": b"ping"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "websocket.close":
            self.closed.append(dict(message))


def signed_on(gate: Gate) -> str:
    made = gate.sign_on("vera", "battery staple", "here")
    assert isinstance(made, SignedOn)
    return made.token


@pytest.mark.parametrize("ends", ["disabled", "removed", "signed off"])
def test_who_may_look_no_more_is_let_go_though_it_asks_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    monkeypatch.setattr(sockets, "LOOK_AGAIN_S", 0.2)
    people = People(tmp_path)
    people.look_needs_login = True
    people.users.put("anna", ("administrator",), "battery staple")
    people.users.put("vera", ("viewer",), "battery staple")
    token = signed_on(people)
    hub, line = Hub(), Line(f"{COOKIE}={token}")

    async def run() -> list[bytes]:
        await line.websocket.accept()
        session = people.session(line.websocket.cookies)
        assert not isinstance(session, Refused)
        client = hub.connect()
        taken: list[bytes] = []
        reading = asyncio.create_task(sockets.read(line.websocket, client, hub, people, session, taken.append))
        async with asyncio.timeout(20):
            while len(taken) < 15:  # several looks at a session that is one
                await asyncio.sleep(0.01)
            assert not reading.done()
            if ends == "signed off":
                people.sign_off(token)
            elif ends == "removed":
                assert people.remove_user("vera") is None
            else:
                assert people.put_user("vera", ("viewer",), None, (), disabled=True) is None
            await reading
        return taken

    assert set(asyncio.run(run())) == {b"ping"}
    assert [said["code"] for said in line.closed] == [sockets.TOO_MANY]
