"""Who is signed on, for how long, and what a restart leaves of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web import sessions as sessions_module
from web.authority import Refused, Session
from web.private import write_private
from web.sessions import SESSION_NS, SESSIONS_MAX, TICKET_NS, Known, Sessions, parse, still


def session(user: str = "maria", until_ns: int = SESSION_NS, origin: str = "file") -> Session:
    return Session(user, ("operator",), until_ns, ("vmc1",), origin)


def test_a_session_lasts_to_its_end() -> None:
    known = Known(session(), 0)
    assert still(known, SESSION_NS - 1, erp_away=False) == session()
    refused = still(known, SESSION_NS, erp_away=True)
    assert isinstance(refused, Refused)
    assert refused.title == "session expired"


def test_the_erps_session_needs_its_tickets_while_the_erp_is_there() -> None:
    known = Known(session(origin="erp"), 0)
    assert still(known, TICKET_NS, erp_away=False) == session(origin="erp")
    refused = still(known, TICKET_NS + 1, erp_away=False)
    assert isinstance(refused, Refused)
    assert refused.title == "ticket expired"
    assert still(known, SESSION_NS - 1, erp_away=True) == session(origin="erp")
    assert isinstance(still(known, SESSION_NS, erp_away=True), Refused)


def test_a_restart_signs_nobody_off_and_the_token_is_not_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "sessions.json"
    first = Sessions(path)
    token = first.begin(session(), 5)
    other = first.begin(session("bob"), 5)
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    first.end(other)
    second = Sessions(path)
    assert second.find(token) == Known(session(), 5)
    assert second.find(other) is None
    assert second.find("") is None
    second.end_all_of("maria")
    assert Sessions(path).find(token) is None


def test_expired_ones_go_and_there_are_only_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "SESSIONS_MAX", 3)
    assert SESSIONS_MAX > 3
    sessions = Sessions(tmp_path / "s")
    old = sessions.begin(session(until_ns=10), 0)
    tokens = [sessions.begin(session(until_ns=100 + n), 10) for n in range(5)]
    assert sessions.find(old) is None
    assert [sessions.find(t) is not None for t in tokens] == [False, False, True, True, True]


def test_vouching_takes_the_roles_of_now(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "s")
    token = sessions.begin(session(origin="erp"), 0)
    anew = Session("maria", ("viewer",), 2 * SESSION_NS, (), "erp")
    sessions.vouch(token, anew, 7)
    assert sessions.find(token) == Known(anew, 7)
    sessions.vouch("no such token", anew, 8)
    assert sessions.find("no such token") is None


def test_a_damaged_file_signs_everybody_off_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "s"
    write_private(path, b"{")
    sessions = Sessions(path)
    assert "sessions of before are lost" in sessions.problem
    sessions.begin(session(), 0)
    assert sessions.problem == ""


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_could_write_signs_nobody_on(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "s"
    token = Sessions(path).begin(session(), 0)
    path.chmod(mode)
    assert Sessions(path).find(token) is None


@given(
    st.binary(max_size=200) | st.sampled_from([b'{"a": {"session": {}, "vouched_ns": 1}}', b"[" * 10_000, b'{"a": 1}'])
)
def test_any_bytes_are_sessions_or_none(data: bytes) -> None:
    try:
        parse(data)
    except ValueError as error:
        assert str(error)


def test_the_sessions_of_a_user_are_told_apart_and_ended_one_by_one(tmp_path: Path) -> None:
    made = Sessions(tmp_path / "sessions.json")
    tokens = [made.begin(session(user), 1, f"10.0.0.{n}") for n, user in enumerate(("maria", "maria", "anna"))]
    found = made.of("maria", 2)
    assert [k.terminal for k in found.values()] == ["10.0.0.0", "10.0.0.1"]
    assert not any(key in token for key in found for token in tokens), "an id signs nobody on"
    first, second = found
    assert not made.end_one_of("anna", first), "it is not hers"
    assert made.end_one_of("maria", first)
    assert not made.end_one_of("maria", first)
    assert list(made.of("maria", 2)) == [second]
    assert made.find(tokens[0]) is None
    assert made.find(tokens[2]) is not None
    assert made.of("maria", SESSION_NS) == {}
    assert list(Sessions(tmp_path / "sessions.json").of("maria", 2).values()) == [Known(session(), 1, "10.0.0.1")]
