"""Who may command what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.authority import FREE, NEEDS, NEEDS_REASON, RANK, Command, Refused, Role, Session, authorize

NOW_NS = 1_000


def session(*roles: str, until_ns: int = 2_000, machines: tuple[str, ...] = ()) -> Session:
    return Session("maria", roles, until_ns, machines)


SESSIONS: list[Session | Refused | None] = [
    None,
    session(),
    session("viewer"),
    session("administrator", until_ns=NOW_NS),
    session("operator", machines=("vmc2",)),
    Refused(503, "users cannot be read", "locked"),
]


@pytest.mark.parametrize("who", SESSIONS)
@pytest.mark.parametrize("command", sorted(FREE))
def test_stop_and_feed_hold_need_nobody(who: Session | Refused | None, command: Command) -> None:
    assert authorize(who, command, now_ns=NOW_NS, machine="vmc1") is None


@pytest.mark.parametrize("who", SESSIONS)
@pytest.mark.parametrize("command", sorted(set(Command) - FREE - {Command.LOGOUT}))
def test_everything_else_is_refused_with_a_reason(who: Session | Refused | None, command: Command) -> None:
    refused = authorize(who, command, now_ns=NOW_NS, machine="vmc1", reason="why not")
    assert refused is not None
    assert refused.title
    assert refused.text
    assert refused.status in (401, 403, 503)


@given(st.sampled_from(sorted(NEEDS)), st.sets(st.sampled_from(sorted(RANK))))
def test_a_role_that_is_high_enough_may(command: Command, roles: set[str]) -> None:
    refused = authorize(session(*sorted(roles)), command, now_ns=NOW_NS, reason="a reason")
    assert (refused is None) == any(RANK[r] >= RANK[NEEDS[command]] for r in roles)


@pytest.mark.parametrize("command", sorted(NEEDS))
def test_a_reason_is_asked_for_where_it_is_needed(command: Command) -> None:
    refused = authorize(session("administrator"), command, now_ns=NOW_NS, reason="  ")
    assert (refused is not None) == (command in NEEDS_REASON)
    if refused is not None:
        assert refused.status == 422


def test_a_machine_of_ones_own_may_be_commanded_and_no_other() -> None:
    who = session("operator", machines=("vmc2",))
    assert authorize(who, Command.RESET, now_ns=NOW_NS, machine="vmc2", reason="clear") is None
    refused = authorize(who, Command.RESET, now_ns=NOW_NS, machine="vmc1", reason="clear")
    assert refused == Refused(403, "another machine", "maria may command vmc2, not vmc1")


def test_an_expired_session_says_so() -> None:
    refused = authorize(session("engineer", until_ns=NOW_NS), Command.MODE, now_ns=NOW_NS, reason="x")
    assert refused == Refused(401, "session expired", "the session of maria has expired: sign on again")


def test_a_role_that_is_not_known_counts_for_nothing() -> None:
    refused = authorize(session("king"), Command.VERDICT, now_ns=NOW_NS, reason="x")
    assert refused is not None
    assert refused.text == "VERDICT needs the role operator; maria has king"


def test_every_command_has_a_rule() -> None:
    assert FREE | NEEDS.keys() | {Command.LOGIN} == set(Command)
    assert {Role.OPERATOR, Role.ENGINEER} <= set(NEEDS.values())
