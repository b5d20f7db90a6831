"""Who is signed on: sessions behind a cookie, kept so that a restart of the hub signs nobody off.

A session lasts 12 h. One that the ERP vouches for lasts as long as its tickets come; when the ERP is away a session
that is known lives on to its 12 h, so that a shop does not stand still because of its database.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from web.authority import Refused, Session
from web.private import NotPrivate, read_private, write_private

COOKIE = "rise_session"
SESSION_NS = 12 * 3600 * 1_000_000_000
TICKET_NS = 15 * 60 * 1_000_000_000
"""how long a ticket of the ERP is good"""
SESSIONS_MAX = 1000
TOKEN_BYTES = 32
ID_CHARS = 16
"""of the hash of its token: enough to tell sessions apart"""


@dataclass(frozen=True, slots=True)
class Known:
    """A session and since when it is one."""

    session: Session
    vouched_ns: int
    """when the ERP last vouched for it; of others: when it began"""
    terminal: str = ""
    """the network address where it began"""


def still(known: Known, now_ns: int, *, erp_away: bool) -> Session | Refused:
    """The session, or why it is none any more."""
    session = known.session
    if now_ns >= session.until_ns:
        return Refused(401, "session expired", f"the session of {session.user} has expired: sign on again")
    if session.origin == "erp" and not erp_away and now_ns - known.vouched_ns > TICKET_NS:
        return Refused(401, "ticket expired", f"the ERP no longer vouches for {session.user}: sign on there again")
    return session


class Sessions:
    """All sessions by the hash of their token; the oldest goes when there are too many.

    Args:
        path: where they are kept; what cannot be read there means that nobody is signed on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._lock = threading.Lock()
        self.problem = ""
        """why a restart of the hub would sign everybody off; empty when it would not"""
        try:
            self._known.update(parse(read_private(path)))
        except FileNotFoundError:
            pass
        except (NotPrivate, ValueError) as error:
            self.problem = f"sessions of before are lost: {error}"

    def begin(self, session: Session, now_ns: int, terminal: str = "") -> str:
        """Sign somebody on; the token for the cookie."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with self._lock:
            self._known[_hashed(token)] = Known(session, now_ns, terminal)
            for gone in [k for k, known in self._known.items() if known.session.until_ns <= now_ns]:
                del self._known[gone]
            while len(self._known) > SESSIONS_MAX:
                self._known.popitem(last=False)
            self._keep()
        return token

    def find(self, token: str) -> Known | None:
        """The session of a token, whether it is still good or not."""
        return self._known.get(_hashed(token)) if token else None

    def vouch(self, token: str, session: Session, now_ns: int) -> None:
        """The ERP vouches again: with the roles of now, and 12 h from now."""
        with self._lock:
            if (known := self._known.get(_hashed(token))) is not None:
                self._known[_hashed(token)] = Known(session, now_ns, known.terminal)
                self._keep()

    def end(self, token: str) -> None:
        """Sign off."""
        with self._lock:
            if self._known.pop(_hashed(token), None) is not None:
                self._keep()

    def of(self, user: str, now_ns: int) -> dict[str, Known]:
        """The sessions of a user that have not run out, by an id that signs nobody on."""
        with self._lock:
            return {
                key[:ID_CHARS]: known
                for key, known in self._known.items()
                if known.session.user == user and known.session.until_ns > now_ns
            }

    def end_one_of(self, user: str, session_id: str) -> bool:
        """End the session of this id; False when the user has none of it."""
        with self._lock:
            for key, known in self._known.items():
                if key[:ID_CHARS] == session_id and known.session.user == user:
                    del self._known[key]
                    self._keep()
                    return True
        return False

    def end_all_of(self, user: str) -> None:
        """Sign a user off everywhere: the roles or the password are others now."""
        with self._lock:
            for key in [k for k, known in self._known.items() if known.session.user == user]:
                del self._known[key]
            self._keep()

    def _keep(self) -> None:
        try:
            write_private(self._path, text_of(self._known).encode())
            self.problem = ""
        except NotPrivate as error:
            self.problem = str(error)


def parse(data: bytes) -> OrderedDict[str, Known]:
    """Raises ValueError for what is no file of sessions."""
    try:
        found: OrderedDict[str, Known] = OrderedDict()
        for key, row in json.loads(data).items():
            session = Session(**row["session"])
            terminal = row.get("terminal", "")
            texts = (key, terminal, session.user, session.origin, *session.roles, *session.machines)
            if not all(type(t) is str for t in texts) or not type(session.until_ns) is type(row["vouched_ns"]) is int:
                raise TypeError("a field of another type")
            session = replace(session, roles=tuple(session.roles), machines=tuple(session.machines))
            found[key] = Known(session, row["vouched_ns"], terminal)
        return found
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no sessions: {type(error).__name__}: {error}") from None


def text_of(known: OrderedDict[str, Known]) -> str:
    """The content of a file."""
    return json.dumps({key: asdict(k) for key, k in known.items()})


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
