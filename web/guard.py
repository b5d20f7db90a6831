"""Around every request: it comes by a door that is open, it names this hub, and the browser is told what it may do."""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

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


NOT_OPEN = (
    "this hub asks nobody to sign on, so it is for its own computer only, wherever the server that runs it listens: "
    "the parameter `listen` of the node fanuc_api opens it to the network, with users and TLS"
)


class Guard:
    """Middleware. Somebody else's name for this computer is refused, also where something is only read.

    A browser would take a page of theirs for one of ours. Refused, too, is who comes from the network where nobody is
    asked to sign on: `uvicorn web.app:app --host 0.0.0.0` shall not open what `listen` would not.
    """

    def __init__(self, app: ASGIApp, authority: Authority) -> None:
        self._app = app
        self._authority = authority

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        far = scope["type"] in ("http", "websocket") and is_far(scope.get("client"))
        closed = far and self._authority.may_look(None) is None
        if scope["type"] == "websocket" and closed:
            refused = problems.response(403, "not open to the network", NOT_OPEN)
            await WebSocket(scope, receive, send).send_denial_response(refused)
            return
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
        if closed:
            await problems.response(403, "not open to the network", NOT_OPEN)(scope, receive, answer)
        elif strange := foreign(f"http://{host}", host, self._authority.names):
            await problems.response(403, "not a name of ours", strange)(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)


def is_far(client: tuple[str, int] | None) -> bool:
    """Whether a request came over a network; not by a socket that has no address."""
    try:
        address = ipaddress.ip_address(client[0] if client else "")
    except ValueError:
        return False
    # of a socket that takes both families, which Python 3.11 holds for no loopback
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return not (mapped or address).is_loopback
