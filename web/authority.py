"""Who may command what: values in, values out.

Feed hold and STOP need no login, no lease and no ERP, only a page of our own origin: a paired terminal. They are never
a safety function: the E-stop chain of the machine always wins. Everything else needs somebody who is signed on, with a
role, and mostly a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    ADMINISTRATOR = "administrator"


RANK: Mapping[str, int] = {role: rank for rank, role in enumerate(Role)}
"""who is higher may do what who is lower may"""


class Command(StrEnum):
    STOP = "STOP"
    FEED_HOLD = "FEED_HOLD"
    RESET = "RESET"
    MODE = "MODE"
    BYPASS = "BYPASS"
    INJECT = "INJECT"
    VERDICT = "VERDICT"
    ACKNOWLEDGE = "ACKNOWLEDGE"
    RESTART = "RESTART"
    PARAMETER = "PARAMETER"
    BLACK_BOX = "BLACK_BOX"
    USERS = "USERS"
    LOGIN = "LOGIN"
    """never asked of `authorize`: it is what the audit calls signing on"""
    LOGOUT = "LOGOUT"


FREE = frozenset({Command.STOP, Command.FEED_HOLD})
"""need nobody signed on"""

NEEDS: Mapping[Command, Role] = {
    Command.RESET: Role.OPERATOR,
    Command.VERDICT: Role.OPERATOR,
    Command.ACKNOWLEDGE: Role.OPERATOR,
    Command.BLACK_BOX: Role.OPERATOR,
    Command.INJECT: Role.OPERATOR,
    Command.MODE: Role.ENGINEER,
    Command.BYPASS: Role.ENGINEER,
    Command.PARAMETER: Role.ENGINEER,
    Command.RESTART: Role.ENGINEER,
    Command.USERS: Role.ADMINISTRATOR,
    Command.LOGOUT: Role.VIEWER,
}
"""the least role for everything else"""

NEEDS_REASON = frozenset(
    {Command.RESET, Command.MODE, Command.BYPASS, Command.PARAMETER, Command.RESTART, Command.VERDICT}
)


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed on."""

    user: str
    roles: tuple[str, ...]
    until_ns: int
    """wall time; from then on the session is no more"""
    machines: tuple[str, ...] = ()
    """those that the user may command; empty: all"""
    origin: str = "file"
    """who vouches for the user: `file`, `key` (the one-time key) or `erp`"""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why not, as RFC 9457 wants it: an HTTP status, a title for a kind of refusal, and the case in words."""

    status: int
    title: str
    text: str


def authorize(
    session: Session | Refused | None, command: Command, *, now_ns: int, machine: str = "", reason: str = ""
) -> Refused | None:
    """Why `session` may not give `command`; None when it may.

    Args:
        session: who is signed on; None for nobody; or why nobody can be recognised at the moment, which is passed on.
        machine: which machine is meant; empty where none is.
        reason: what the user gave as the reason.
    """
    if command in FREE:
        return None
    if isinstance(session, Refused):
        return session
    if session is None:
        return Refused(401, "sign on first", f"{command} needs somebody who is signed on; STOP and feed hold do not")
    if now_ns >= session.until_ns:
        return Refused(401, "session expired", f"the session of {session.user} has expired: sign on again")
    needed = NEEDS.get(command)
    if needed is None:
        return Refused(403, "not offered", f"nobody may {command} through this door")
    if not has_role(session.roles, needed):
        held = ", ".join(session.roles) or "no role"
        return Refused(403, "role is missing", f"{command} needs the role {needed}; {session.user} has {held}")
    if machine and session.machines and machine not in session.machines:
        those = ", ".join(session.machines)
        return Refused(403, "another machine", f"{session.user} may command {those}, not {machine}")
    if command in NEEDS_REASON and not reason.strip():
        return Refused(422, "reason is missing", f"{command} needs a reason: it is kept with the name of who gave it")
    return None


def has_role(roles: Iterable[str], needed: Role) -> bool:
    """Whether one of `roles` is `needed` or higher; a role that is not known counts for nothing."""
    return any(RANK.get(role, -1) >= RANK[needed] for role in roles)
