"""Around every HTTP request: it names this hub, and what is answered tells the browser what it may do with it."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web import problems
from web.door import Authority
from web.origin import foreign

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
}


class Guard:
    """Middleware. Somebody else's name for this computer is refused, also where something is only read.

    A browser would take a page of theirs for one of ours.
    """

    def __init__(self, app: ASGIApp, authority: Authority) -> None:
        self._app = app
        self._authority = authority

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    said.setdefault(name, value)
            await send(message)

        host = Headers(scope=scope).get("host")
        if strange := foreign(f"http://{host}", host, self._authority.names):
            await problems.response(403, "not a name of ours", strange)(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)
