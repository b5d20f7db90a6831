"""No body is longer than it may be: memory is bounded whoever sends."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_MAX_BYTES = 256 * 1024
FREE = ("/stop", "/feed_hold")


class BodyLimit:
    """ASGI middleware: a body that is longer is answered with 413; that of a stop is cut, and the stop is done."""

    def __init__(self, app: ASGIApp, most_bytes: int = BODY_MAX_BYTES) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        left = self._most_bytes

        async def limited() -> Message:
            nonlocal left
            message = await receive()
            if message["type"] != "http.request":
                return message
            left -= len(message.get("body", b""))
            if left >= 0:
                return message
            if scope["path"].endswith(FREE):
                return {"type": "http.request", "body": b"", "more_body": False}
            raise HTTPException(413, f"a body has at most {self._most_bytes} bytes")

        await self._app(scope, limited, send)
