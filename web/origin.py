"""Is this a page of ours? Values in, values out.

A browser says in `Origin` whose page asks, and in `Host` whom it thinks it asks. Both must be us: a page of somebody
else, or a name of somebody else that points at this computer, may neither look nor press.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def foreign(origin: str | None, host: str | None, names: Collection[str] = LOOPBACK) -> str:
    """Why this is no page of ours; empty when it is.

    Args:
        origin: the header Origin.
        host: the header Host.
        names: the host names and addresses that are ours.
    """
    if not host:
        return "the request names no host"
    name, port = _name_and_port(f"//{host}")
    if name not in names:
        return f"{host!r} is no name of this hub: it is {', '.join(sorted(names))}"
    if not origin:
        return "the request says no Origin: only a page of this hub may ask this"
    scheme = origin.partition("://")[0]
    if scheme not in ("http", "https"):
        return f"a page of {origin!r} may not ask this"
    said_name, said_port = _name_and_port(origin)
    default = 443 if scheme == "https" else 80
    if said_name != name or (said_port or default) != (port or default):
        return f"a page of {origin!r} may not ask this, only one of {host!r}"
    return ""


def _name_and_port(url: str) -> tuple[str, int | None]:
    if not url.isprintable() or " " in url:
        return "", None  # urlsplit would pass over tabs and line breaks
    try:
        parts = urlsplit(url)
        if parts.path or parts.query or parts.fragment or parts.username is not None:
            return "", None
        return (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "", None
