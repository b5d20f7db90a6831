"""Whom the hub lets in: what it asks of an authority (web/people.py is one).

The authority decides; the hub asks it before a WebSocket is accepted and before anything is read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Protocol

from web.authority import Refused, Session
from web.origin import foreign

if TYPE_CHECKING:
    from fastapi import FastAPI

    from web.hub import Hub


class Authority(Protocol):
    """Knows who is signed on, and brings the commands and the login."""

    names: Collection[str]
    """host names and addresses that are ours"""

    def session(self, cookies: Mapping[str, str]) -> Session | Refused | None:
        """Who is signed on by these cookies; None: nobody; Refused: a session that is none any more."""
        ...

    def may_look(self, session: Session | Refused | None) -> Refused | None:
        """Why somebody may not even look; None when that is allowed."""
        ...

    def url_key(self) -> str:
        """What is put behind the address that is printed, such as `#key=...`; empty when nothing is."""
        ...

    def install(self, app: FastAPI, hub: Hub) -> None:
        """Add the routes that command and sign on, below /api/v1."""
        ...


def let_in(authority: Authority, headers: Mapping[str, str], cookies: Mapping[str, str]) -> Session | Refused | None:
    """Who comes by `/ws`: a session, nobody in particular, or why the door stays shut.

    Args:
        headers: with lower-case names.
    """
    strange = foreign(headers.get("origin"), headers.get("host"), authority.names)
    if strange:
        return Refused(403, "not a page of ours", strange)
    session = authority.session(cookies)
    shut = authority.may_look(session)
    if shut is not None:
        return shut
    return session if isinstance(session, Session) else None
