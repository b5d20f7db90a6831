"""The door for people: who is signed on, who may sign on, and the first administrator's key.

Reads and writes the files of `web_folder`; who may command what is decided in web/authority.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from web.authority import Refused, Role, Session, has_role
from web.limits import LoginLimits
from web.origin import LOOPBACK
from web.private import NotPrivate, read_private
from web.sessions import COOKIE, SESSION_NS, TICKET_NS, Sessions, still
from web.tickets import BadTicket, read_ticket
from web.users import BadUser, Users, check_user, matches, nobody

TICKET_COOKIE = "rise_ticket"
TICKET_SALT = "fanuc-rise.ticket"
FIRST = "first_administrator"
"""the name of who comes by the one-time key"""
HASHES_AT_ONCE = 2
"""scrypt takes memory: whoever sends many logins at once gets to wait, not the memory of this computer"""
HASH_WAIT_S = 5.0
VOUCH_EVERY_NS = 60_000_000_000
SECRET_CHARS = 32


class SignedOn(NamedTuple):
    token: str
    """for the cookie"""
    session: Session


class Gate:
    """Who is who.

    Args:
        folder: where users, sessions and keys are; None: `move_in` says it, before anybody comes.
        names: the host names and addresses that are ours.
        now_ns: wall time.
        erp_away: whether nobody vouches anew at the moment.
    """

    def __init__(
        self, folder: Path | None = None, *, names: Collection[str] = LOOPBACK,
        now_ns: Callable[[], int] = time.time_ns, erp_away: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        self.names = names
        self.look_needs_login = False
        self.now_ns = now_ns
        self.erp_away = erp_away
        self.limits = LoginLimits()
        self._lock = threading.Lock()
        self._hashing = threading.BoundedSemaphore(HASHES_AT_ONCE)
        if folder is not None:
            self.move_in(folder)

    def move_in(self, folder: Path) -> None:
        """Take the users, sessions and keys that are there."""
        self.users = Users(folder)
        self.sessions = Sessions(folder / "sessions.json")
        self._ticket_key = folder / "ticket_key"

    # --- who is signed on --------------------------------------------------------------------------------------------

    def session(self, cookies: Mapping[str, str]) -> Session | Refused | None:
        """Who is signed on by these cookies; None: nobody; Refused: a session that is none any more, and why."""
        token = cookies.get(COOKIE, "")
        known = self.sessions.find(token)
        if known is None:
            return Refused(401, "unknown session", "this session is not known here: sign on again") if token else None
        now_ns = self.now_ns()
        if known.session.origin == "erp" and TICKET_COOKIE in cookies:
            try:
                session, vouched_ns = self._of_ticket(cookies[TICKET_COOKIE], now_ns)
            except (BadTicket, NotPrivate):
                pass  # an old ticket says nothing against a session that still is one
            else:
                if session.user != known.session.user:
                    text = f"the ERP's ticket is {session.user}'s and the session {known.session.user}'s: sign on again"
                    return Refused(401, "another user's session", text)
                if vouched_ns - known.vouched_ns > VOUCH_EVERY_NS:
                    self.sessions.vouch(token, session, vouched_ns)
                    return session
        found = still(known, now_ns, erp_away=self.erp_away())
        if isinstance(found, Refused) or found.origin != "file":
            return found
        try:
            user = self.users.read().get(found.user)
        except NotPrivate as error:
            return Refused(503, "users cannot be read", f"nobody can be recognised: {error}")
        if user is None:
            return Refused(401, "unknown user", f"there is no user {found.user} any more")
        if user.disabled:
            return Refused(401, "user is disabled", f"{found.user} is disabled: an administrator can change that")
        return replace(found, roles=user.roles, machines=user.machines)  # those of now

    def may_look(self, session: Session | Refused | None) -> Refused | None:
        """Looking needs somebody signed on where the network can, and nobody where only this computer can."""
        if not self.look_needs_login:
            return None
        if isinstance(session, Refused):
            return session
        if session is None or not has_role(session.roles, Role.VIEWER):
            return Refused(401, "sign on first", "this hub is open to the network: only who is signed on may look")
        return None

    def url_key(self) -> str:
        """What is put behind the printed address for the first administrator; empty where there are users."""
        try:
            key = self.users.new_key()
        except NotPrivate:
            return ""  # signing on says why
        return f"#key={key}" if key else ""

    # --- signing on and off ------------------------------------------------------------------------------------------

    def sign_on(self, user: str, password: str, address: str) -> SignedOn | Refused:
        """With name and password. Takes a while: not for the loop of a server."""
        now_ns = self.now_ns()
        with self._lock:
            wait_ns = self.limits.wait_ns(user, address, now_ns)
        if wait_ns > 0:
            text = f"too many bad logins of {user!r} from here: wait {wait_ns / 60e9:.0f} min. STOP needs no login"
            return Refused(429, "too many bad logins", text)
        try:
            found = self.users.read().get(user)
        except NotPrivate as error:
            return Refused(503, "users cannot be read", f"nobody can sign on: {error}")
        if not self._hashing.acquire(timeout=HASH_WAIT_S):
            return Refused(503, "too many logins at once", "try again in a moment. STOP needs no login")
        try:
            good = matches(password, nobody() if found is None else found.password) and found is not None
        finally:
            self._hashing.release()
        with self._lock:
            if not good:
                self.limits.failed(user, address, now_ns)
            else:
                self.limits.succeeded(user, address)
        if not good or found is None:
            return Refused(401, "bad login", "name or password are wrong")
        if found.disabled:
            return Refused(403, "user is disabled", f"{found.name} is disabled: an administrator can change that")
        return self._begin(Session(found.name, found.roles, now_ns + SESSION_NS, found.machines), now_ns, address)

    def sign_on_by_key(self, key: str, address: str) -> SignedOn | Refused:
        """The first administrator, with the one-time key."""
        now_ns = self.now_ns()
        with self._lock:
            if self.limits.wait_ns(FIRST, address, now_ns) > 0:
                return Refused(429, "too many bad logins", "too many bad keys from here: wait a quarter of an hour")
        try:
            good = self.users.use_key(key)
        except NotPrivate as error:
            return Refused(503, "key cannot be read", str(error))
        if not good:
            with self._lock:
                self.limits.failed(FIRST, address, now_ns)
            text = "this key is used up, or none: start the hub again while there are no users, and it prints a new one"
            return Refused(401, "bad key", text)
        session = Session(FIRST, (Role.ADMINISTRATOR,), now_ns + SESSION_NS, origin="key")
        return self._begin(session, now_ns, address)

    def sign_on_by_ticket(self, ticket: str, address: str) -> SignedOn | Refused:
        """With what the ERP signed."""
        now_ns = self.now_ns()
        try:
            session, vouched_ns = self._of_ticket(ticket, now_ns)
        except BadTicket as error:
            return Refused(401, "bad ticket", str(error))
        except NotPrivate as error:
            return Refused(503, "tickets cannot be checked", str(error))
        return self._begin(session, vouched_ns, address)

    def _begin(self, session: Session, vouched_ns: int, address: str) -> SignedOn:
        return SignedOn(self.sessions.begin(session, vouched_ns, address), session)

    def _of_ticket(self, ticket: str, now_ns: int) -> tuple[Session, int]:
        """Whom the ERP vouches for, and when it did: {"user": ..., "roles": [...], "machines": [...]}."""
        try:
            lines = read_private(self._ticket_key).decode("utf-8", "replace").split()
        except FileNotFoundError:
            raise BadTicket(f"tickets are not taken here: {self._ticket_key} would hold the ERP's key") from None
        keys = [line for line in lines if len(line) >= SECRET_CHARS]
        said, signed_s = read_ticket(ticket, keys, TICKET_SALT, now_s=now_ns / 1e9, max_age_s=TICKET_NS / 1e9)
        session = vouched(said, now_ns + SESSION_NS)
        return session, min(signed_s * 1_000_000_000, now_ns)

    def sign_off(self, token: str) -> None:
        self.sessions.end(token)

    # --- users -------------------------------------------------------------------------------------------------------

    def put_user(
        self, name: str, roles: tuple[str, ...], password: str | None, machines: tuple[str, ...], *,
        disabled: bool = False,
    ) -> Refused | None:  # fmt: skip
        """Add or change a user, who must sign on again then. Takes a while: not for the loop of a server."""
        return self._change(name, lambda: self.users.put(name, roles, password, machines, disabled=disabled))

    def remove_user(self, name: str) -> Refused | None:
        return self._change(name, lambda: self.users.remove(name))

    def _change(self, name: str, change: Callable[[], None]) -> Refused | None:
        try:
            change()
        except BadUser as error:
            return Refused(422, "this user cannot be", str(error))
        except NotPrivate as error:
            return Refused(503, "users cannot be written", str(error))
        self.sessions.end_all_of(name)
        return None


def vouched(said: Any, until_ns: int) -> Session:
    """The session that a ticket speaks of. Raises BadTicket."""
    if not isinstance(said, Mapping):
        raise BadTicket("the ticket names no user")
    name, roles, machines = said.get("user"), said.get("roles"), said.get("machines", [])
    if not isinstance(roles, list) or not isinstance(machines, list) or not all(isinstance(m, str) for m in machines):
        raise BadTicket("the ticket's roles and machines are no lists of words")
    try:
        check_user(name, tuple(roles))
    except BadUser as error:
        raise BadTicket(f"the ticket: {error}") from None
    return Session(str(name), tuple(roles), until_ns, tuple(machines), origin="erp")
