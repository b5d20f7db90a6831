"""The web application. `uvicorn web.app:app` serves it, and takes part in the bus by itself; the node `fanuc_api` makes
one of its own and serves it in a thread (web/node.py).

One process only: every client must see the same hub, and the bus knows one fanuc_api. `--workers 2` is refused.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI, WebSocket

from web import health, pages, playing, problems, reads, sockets
from web.body_limit import BodyLimit
from web.door import Authority
from web.guard import Guard
from web.hub import Hub
from web.people import People
from web.playing import Players
from web.shelf import Shelf

TITLE = "Fanuc Rise"
ABOUT = """The machines of a shop, as the bus knows them. Live data comes by the WebSocket `/ws` (see web/protocol.py).

It is not a safety function: the machine's red button always wins."""


def create_app(hub: Hub | None = None, authority: Authority | None = None) -> FastAPI:
    """The application over a hub that a node feeds; without one it starts a node of its own when it is served."""
    alone = hub is None
    hub = hub or Hub()
    authority = authority or People()
    shelf, players = Shelf(), Players()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        hub.crossing.attach(asyncio.get_running_loop())
        stop = None
        if alone:
            if asked := workers(sys.argv, os.environ):
                raise RuntimeError(
                    f"{asked}: the hub is one process, since every client must see the same state; run it without"
                )
            from web.alone import start

            stop = await asyncio.to_thread(start, hub, authority)
        try:
            yield
        finally:
            hub.crossing.attach(None)
            await shelf.close()
            if stop is not None:
                await asyncio.to_thread(stop)

    # FastAPI's pages of the API load scripts from the internet, which a shop does not have
    app = FastAPI(
        title=TITLE, description=ABOUT, version="1", lifespan=lifespan, docs_url=None, redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )  # fmt: skip
    app.state.hub, app.state.authority = hub, authority
    app.add_middleware(BodyLimit)
    problems.install(app)
    app.add_middleware(Guard, authority=authority)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await sockets.serve(websocket, hub, authority)

    @app.websocket("/ws/bags/{name}")
    async def ws_bag(websocket: WebSocket, name: str) -> None:
        await playing.serve(websocket, name, hub, authority, players)

    app.include_router(reads.router(hub, authority, shelf))
    authority.install(app, hub)
    health.install(app, hub, authority)
    pages.install(app)
    return app


def workers(arguments: Sequence[str], environment: dict[str, str] | os._Environ[str]) -> str:
    """How more than one worker process was asked for; empty when it was not.

    >>> workers(["uvicorn", "web.app:app", "--workers", "4"], {}), workers(["uvicorn", "--workers=1"], {})
    ('--workers 4', '')
    """
    for n, word in enumerate(arguments):
        option, _, value = word.partition("=")
        if option in ("--workers", "-w"):
            value = value or "".join(arguments[n + 1 : n + 2])
            if value.isdigit() and int(value) > 1:
                return f"{option} {value}"
    asked = environment.get("WEB_CONCURRENCY", "")
    return f"WEB_CONCURRENCY={asked}" if asked.isdigit() and int(asked) > 1 else ""


def __getattr__(name: str) -> FastAPI:
    """`app`, made when it is asked for: the node makes one of its own, and needs no other."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()["app"] = create_app()
    return made
