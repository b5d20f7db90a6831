"""Where a machine answers: `shdr://host:port`, `http://host:port/device`, or without the scheme."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from schemas.sayable import shown


class BadAddress(ValueError):
    """It says no host, another scheme or no port; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class Address:
    scheme: str
    host: str
    port: int
    path: str = ""
    """without slashes around it"""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{'/' if self.path else ''}{self.path}"


def address(text: str, ports: Mapping[str, int]) -> Address:
    """The parts of an address.

    Args:
        ports: by scheme, the usual one; the first scheme is meant where none is given.

    Raises:
        BadAddress
    """
    schemes = " or ".join(f"{scheme}://host:{port}" for scheme, port in ports.items())
    wanted = f"expected {schemes}, not {shown(text)}"
    scheme, colon, rest = text.strip().partition("://")
    if not colon:
        scheme, rest = next(iter(ports)), text.strip()
    if scheme not in ports:
        raise BadAddress(wanted)
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # as it is looked up: a name with an empty or a too long part is none
    except ValueError:
        raise BadAddress(wanted) from None
    if (
        not host
        or not host.isprintable()
        or any(c.isspace() for c in rest)
        or parts.query
        or parts.username is not None
    ):
        raise BadAddress(wanted)
    if port == 0:
        raise BadAddress(f"{wanted}: a port is in 1..65535")
    return Address(scheme, host, port or ports[scheme], parts.path.strip("/"))
