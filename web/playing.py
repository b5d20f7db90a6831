"""The WebSocket `/ws/bags/{name}`: a bag played to one page by a process of its own (web/player.py).

What is said on it stands in web/play_words.py. The hub only carries it: whoever presses STOP does not wait for a bag.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from starlette.websockets import WebSocket, WebSocketDisconnect

from web import bags, play_words, protocol
from web.authority import Refused
from web.client import Client
from web.door import Authority
from web.hub import Hub
from web.player import LENGTH
from web.sockets import NO_ROOM, TOO_MANY, admitted, read

AT_ONCE = 3
FRAME_MAX_BYTES = 16 * 1024 * 1024
UNREAD_MAX_BYTES = 1024 * 1024
"""of requests that the player has not taken; a page that asks so much is let go"""
REASON_MAX = 100
"""a close frame takes 123 bytes"""


class Players:
    """How many bags are played at the moment."""

    def __init__(self) -> None:
        self.running = 0


async def serve(websocket: WebSocket, name: str, hub: Hub, authority: Authority, players: Players) -> None:
    """A page from its handshake to its end."""
    session = await admitted(websocket, hub, authority)
    if isinstance(session, Refused):
        return
    await websocket.accept(subprotocol=protocol.SUBPROTOCOL)
    try:
        bag = await asyncio.to_thread(bags.find, bags.folder(hub.entries), name)
    except bags.NoReplay as error:
        await _refuse(websocket, play_words.NO_SUCH_BAG, str(error))
        return
    if players.running >= AT_ONCE:
        await _refuse(websocket, NO_ROOM, f"{AT_ONCE} bags are played already: try again in a moment")
        return
    players.running += 1
    process = None
    sender = None
    client = Client()
    try:
        process = await _begin(bag)
        sender = asyncio.create_task(_carry(websocket, process, client))
        await read(websocket, client, hub, authority, session, lambda data: _pass(process, data))
    except (WebSocketDisconnect, RuntimeError, OSError):
        pass  # it is gone: nothing is left to tell it
    except TooMany:
        with contextlib.suppress(RuntimeError, OSError):
            await websocket.close(TOO_MANY, "too many requests")
    finally:
        players.running -= 1
        if sender is not None:
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sender
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class TooMany(RuntimeError):
    """The player has not taken what was asked before."""


async def _begin(bag: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "web.player", str(bag),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


def _pass(process: asyncio.subprocess.Process, data: bytes) -> None:
    """Raises TooMany."""
    assert process.stdin is not None
    if process.stdin.transport.get_write_buffer_size() > UNREAD_MAX_BYTES:
        raise TooMany
    process.stdin.write(LENGTH.pack(len(data)) + data)


async def _carry(websocket: WebSocket, process: asyncio.subprocess.Process, client: Client) -> None:
    """What the player says, to the page; a page that does not read holds it up."""
    assert process.stdout is not None
    said = "the player ended"
    try:
        while True:
            (size,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
            if size > FRAME_MAX_BYTES:
                break
            await websocket.send({"type": "websocket.send", "bytes": await process.stdout.readexactly(size)})
            while client.queued:
                await websocket.send({"type": "websocket.send", "bytes": client.take()})
    except asyncio.IncompleteReadError:
        pass
    except (RuntimeError, OSError, WebSocketDisconnect):
        return  # the reader sees its end, too
    with contextlib.suppress(RuntimeError, OSError):
        await websocket.close(play_words.NO_SUCH_BAG, said)


async def _refuse(websocket: WebSocket, code: int, why: str) -> None:
    with contextlib.suppress(RuntimeError, OSError, WebSocketDisconnect):
        await websocket.send({"type": "websocket.send", "bytes": protocol.error(why)})
        await websocket.close(code, why.encode()[:REASON_MAX].decode(errors="ignore"))
