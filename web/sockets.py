"""The WebSocket `/ws`: a reader and a sender per client; what is said on it stands in web/protocol.py."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from starlette.websockets import WebSocket, WebSocketDisconnect

from web import problems, protocol
from web.authority import Refused, Session
from web.client import Client, Overrun
from web.door import Authority, let_in
from web.hub import Hub, NoRoom

LOOK_AGAIN_S = 5.0
"""how often it is asked whether the session of a client still lets it look, whatever the client does meanwhile"""
TOO_MANY, ENDS, NO_ROOM = 1008, 1012, 1013
WRONG = frozenset({1002, 1003, 1007, TOO_MANY, 1009})
"""how a connection ends whose frames are none, too long or too many"""


async def serve(websocket: WebSocket, hub: Hub, authority: Authority) -> None:
    """A client from its handshake to its end."""
    session = await admitted(websocket, hub, authority)
    if isinstance(session, Refused):
        return
    try:
        client = hub.connect()
    except NoRoom as error:
        await deny(websocket, 503, "no room", str(error))
        return
    sender = None
    try:
        await websocket.accept(subprotocol=protocol.SUBPROTOCOL)
        hub.hello(client, None if session is None else {"name": session.user, "roles": list(session.roles)})
        sender = asyncio.create_task(_send(websocket, client, hub))
        await read(websocket, client, hub, authority, session, lambda data: hub.request(client, data))
    except (WebSocketDisconnect, RuntimeError, OSError):
        pass  # it is gone: nothing is left to tell it
    finally:
        hub.disconnect(client)
        if sender is not None:
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sender


async def admitted(websocket: WebSocket, hub: Hub, authority: Authority) -> Session | Refused | None:
    """Whose handshake this is; one that is Refused has been answered."""
    session = let_in(authority, dict(websocket.headers), websocket.cookies)
    if not isinstance(session, Refused) and protocol.SUBPROTOCOL not in websocket.scope["subprotocols"]:
        session = Refused(400, "subprotocol is missing", f"ask for the subprotocol {protocol.SUBPROTOCOL}")
    if isinstance(session, Refused):
        hub.counts["refused"] += 1
        await deny(websocket, session.status, session.title, session.text)
    return session


async def deny(websocket: WebSocket, status: int, title: str, text: str) -> None:
    """Answer a handshake with why not."""
    await websocket.send_denial_response(problems.response(status, title, text))


async def read(
    websocket: WebSocket, client: Client, hub: Hub, authority: Authority, session: Session | None,
    take: Callable[[bytes], None],
) -> None:  # fmt: skip
    """Take what a client asks until it goes, asks too much, or may look no more."""
    loop = asyncio.get_running_loop()
    look_s = loop.time() + LOOK_AGAIN_S
    while True:
        message = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(look_s):
                message = await websocket.receive()
        if loop.time() >= look_s:
            look_s = loop.time() + LOOK_AGAIN_S
            if client.stuck(loop.time()):
                hub.counts["stuck"] += 1
                return
            now = authority.session(websocket.cookies) if session is not None else None
            shut = authority.may_look(now)
            if shut is not None:
                await websocket.close(TOO_MANY, shut.text[:120])
                return
        if message is None:
            continue
        if message["type"] == "websocket.disconnect":
            hub.counts["bad_frames"] += message.get("code") in WRONG
            return
        if not client.allows(loop.time()):
            await websocket.close(TOO_MANY, "too many requests a second")
            return
        data = message.get("bytes")
        if data is None:
            client.say(protocol.error("text was sent: requests are binary msgpack maps"))
            hub.counts["bad_requests"] += 1
        else:
            take(data)


async def _send(websocket: WebSocket, client: Client, hub: Hub) -> None:
    try:
        while True:
            data = await client.next()
            await websocket.send({"type": "websocket.send", "bytes": data})
            hub.counts["sent"] += 1
            hub.counts["sent_bytes"] += len(data)
    except Overrun as error:
        with contextlib.suppress(RuntimeError, OSError, WebSocketDisconnect):
            await websocket.close(NO_ROOM, str(error))
    except (RuntimeError, OSError, WebSocketDisconnect):
        pass  # the reader sees its end, too
