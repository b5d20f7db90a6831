"""Who comes from the network meets a closed door where nobody is asked to sign on, whatever the server listens to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from web.app import create_app
from web.guard import is_far
from web.hub import Hub
from web.people import People
from web.protocol import SUBPROTOCOL

FAR, NEAR = ("192.0.2.7", 4000), ("127.0.0.1", 4000)
URL = "http://localhost"


def made(folder: Path, *, login: bool) -> FastAPI:
    people = People(folder)
    people.look_needs_login = login
    return create_app(Hub(), people)


def asked(app: FastAPI, of: tuple[str, int], path: str, method: str = "GET") -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, client=of)
        async with httpx.AsyncClient(transport=transport, base_url=URL, headers={"Origin": URL}) as client:
            return await client.request(method, path)

    return asyncio.run(run())


def knocked(app: FastAPI, of: tuple[str, int]) -> dict[str, Any]:
    """What a handshake of `/ws` is answered first."""
    answers: list[dict[str, Any]] = []
    coming: list[dict[str, Any]] = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> dict[str, Any]:
        return coming.pop(0)

    async def send(message: Any) -> None:
        answers.append(dict(message))

    scope = {
        "type": "websocket", "asgi": {"version": "3.0"}, "path": "/ws", "query_string": b"", "client": of,
        "headers": [(b"host", b"localhost"), (b"origin", URL.encode())], "subprotocols": [SUBPROTOCOL],
        "extensions": {"websocket.http.response": {}},
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return answers[0]


def test_a_hub_without_a_login_is_for_its_own_computer(tmp_path: Path) -> None:
    app = made(tmp_path, login=False)
    assert asked(app, NEAR, "/api/v1/topics").status_code == 200
    for method, path in (("GET", "/api/v1/topics"), ("GET", "/"), ("POST", "/api/v1/machines/vmc1/stop")):
        answer = asked(app, FAR, path, method)
        assert (answer.status_code, answer.json()["title"]) == (403, "not open to the network"), path
        assert "listen" in answer.json()["detail"]
    assert knocked(app, NEAR)["type"] == "websocket.accept"
    denied = knocked(app, FAR)
    assert (denied["type"], denied["status"]) == ("websocket.http.response.start", 403)


def test_one_that_asks_for_a_login_answers_the_network(tmp_path: Path) -> None:
    app = made(tmp_path, login=True)
    assert asked(app, FAR, "/api/v1/topics").json()["title"] == "sign on first"
    assert asked(app, FAR, "/api/v1/session").json()["may_look"] is False
    assert knocked(app, FAR)["status"] == 401


@pytest.mark.parametrize(
    ("of", "far"),
    [
        (None, False),
        (("127.8.8.8", 1), False),
        (("::1", 1), False),
        (("::ffff:127.0.0.1", 1), False),
        (("testclient", 1), False),
        (("::2", 1), True),
        (("::ffff:192.0.2.7", 1), True),
    ],
)
def test_what_is_far(of: tuple[str, int] | None, far: bool) -> None:
    assert is_far(of) is far
