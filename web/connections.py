"""What a connection may cost before anything of ours sees it: uvicorn's protocols with bounds of time and number.

uvicorn waits for ever for a request that has begun, answers as many pings as are sent, and keeps as many pieces of a
message as come: whoever does that on purpose would hold every place, and STOP with it.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import h11
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from web.limits import Bucket, Pace

OF_ADDRESS_MAX = 200
"""connections of one address: half of what the hub takes"""
REQUEST_WITHIN_S = 10.0
"""a request that has not come whole after once or twice this time never will"""
SLICE_BYTES = 4096
"""what is parsed at once, before others get their turn"""
EXTRA_FRAMES = Pace(200, 20_000_000)
"""frames that are no whole message: pings, pongs, pieces"""
CLOSE_WITHIN_S = 5.0
"""so long a peer that was sent a close may take to answer it; what it says meanwhile is for nobody"""
FLOODED = 1008


class Http(H11Protocol):
    """HTTP whose requests come in time, and of one address only so many connections."""

    _before: tuple[object, object] = (None, None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own narrows it
        super().connection_made(transport)
        of_address = sum(_address(c) == _address(self) for c in self.connections)
        if of_address > OF_ADDRESS_MAX:
            transport.abort()
        else:
            self.loop.call_later(REQUEST_WITHIN_S, self._look)

    def _look(self) -> None:
        """Let go of a connection on which nothing went on since the last look, and the peer's is the turn."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return  # gone, or a WebSocket by now
        now = (self.conn.their_state, self.cycle)
        if now == self._before and self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self.transport.abort()
        else:
            self._before = now
            self.loop.call_later(REQUEST_WITHIN_S, self._look)

    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # what is answered to the request before would come behind this
            self.cycle.message_event.set()
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # the answer before was the last: nothing more can be said here
            self.transport.abort()


class Frames(WebSocketsSansIOProtocol):
    """A WebSocket that is read no faster than it is handled."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._extra = Bucket(EXTRA_FRAMES, self._now_ns())
        self._rest = b""
        self._ends = False

    def _now_ns(self) -> int:
        return round(self.loop.time() * 1e9)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        self._feed()

    def _feed(self) -> None:
        while self._rest and not self.read_paused and not self.transport.is_closing():
            data, self._rest = self._rest[:SLICE_BYTES], self._rest[SLICE_BYTES:]
            super().data_received(data)

    async def receive(self) -> ASGIReceiveEvent:
        event = await super().receive()
        self.loop.call_soon(self._feed)
        return event

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.close":
            self.loop.call_soon(self._feed)  # the peer's answer to it

    def handle_ping(self) -> None:
        if self._may():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if self._may():
            super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        if self._may():
            super().handle_cont(event)

    def handle_text(self, event: Frame) -> None:
        if not self._is_over():
            super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        if not self._is_over():
            super().handle_bytes(event)

    def _is_over(self) -> bool:
        """Whether a close was sent. The connection is not cut then at once: the peer would never read why."""
        if self.close_sent and not self._ends:
            self._ends = True
            self.loop.call_later(CLOSE_WITHIN_S, self.transport.abort)
        return bool(self.close_sent)

    def _may(self) -> bool:
        """Whether one more extra frame is taken; with too many of them the connection ends."""
        if self.transport.is_closing() or self._is_over():
            return False
        if not self._extra.has(self._now_ns()):
            self.queue.put_nowait({"type": "websocket.disconnect", "code": FLOODED, "reason": "too many frames"})
            self.transport.abort()
            return False
        self._extra.take()
        return True


def _address(connection: Any) -> str | None:
    client = cast("tuple[str, int] | None", connection.client)
    return client[0] if client else None
