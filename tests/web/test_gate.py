"""Signing on and off."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.rig import PASSWORD, hashed
from web.authority import Refused, Role, Session
from web.gate import FIRST, Gate, SignedOn
from web.limits import BAD_MAX, WINDOW_NS
from web.private import write_private
from web.sessions import COOKIE, SESSION_NS
from web.users import User, text_of


class Clock:
    now_ns = 1_000_000_000

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(tmp_path: Path, clock: Clock) -> Gate:
    rows = {n: User(n, (r,), hashed()) for n, r in (("anna", "administrator"), ("maria", "operator"))}
    write_private(tmp_path / "users.json", text_of(rows).encode())
    return Gate(tmp_path, now_ns=clock)


def sign_on(gate: Gate, user: str = "maria", password: str = PASSWORD) -> dict[str, str]:
    made = gate.sign_on(user, password, "here")
    assert isinstance(made, SignedOn), made
    return {COOKIE: made.token}


def refusal(what: object) -> Refused:
    assert isinstance(what, Refused), what
    assert what.text
    return what


def test_on_and_off(gate: Gate) -> None:
    assert gate.session({}) is None
    cookies = sign_on(gate)
    found = gate.session(cookies)
    assert isinstance(found, Session)
    assert (found.user, found.roles) == ("maria", ("operator",))
    gate.sign_off(cookies[COOKIE])
    assert refusal(gate.session(cookies)).title == "unknown session"


def test_the_name_does_not_show_by_the_answer(gate: Gate) -> None:
    assert gate.sign_on("maria", "wrong password", "here") == gate.sign_on("nobody", "wrong password", "here")


def test_five_bad_ones_wait(gate: Gate, clock: Clock) -> None:
    for _ in range(BAD_MAX):
        assert refusal(gate.sign_on("maria", "wrong password", "here")).status == 401
    refused = refusal(gate.sign_on("maria", PASSWORD, "here"))
    assert (refused.status, refused.title) == (429, "too many bad logins")
    assert "wait 15 min" in refused.text
    assert isinstance(gate.sign_on("maria", PASSWORD, "there"), SignedOn)
    clock.now_ns += WINDOW_NS
    assert isinstance(gate.sign_on("maria", PASSWORD, "here"), SignedOn)


def test_the_roles_are_those_of_now_and_a_change_signs_off(gate: Gate) -> None:
    anna, maria = sign_on(gate, "anna"), sign_on(gate)
    gate.users.put("maria", ("engineer",), None)  # beside the gate, as an editor does it
    found = gate.session(maria)
    assert isinstance(found, Session)
    assert found.roles == ("engineer",)
    assert gate.put_user("maria", ("viewer",), None, ()) is None
    assert refusal(gate.session(maria)).title == "unknown session"
    assert isinstance(gate.session(anna), Session)
    maria = sign_on(gate)
    gate.users.remove("maria")
    assert refusal(gate.session(maria)).title == "unknown user"


def test_the_key_makes_the_first_administrator_once(tmp_path: Path, clock: Clock) -> None:
    gate = Gate(tmp_path, now_ns=clock)
    fragment = gate.url_key()
    assert fragment.startswith("#key=")
    key = fragment.removeprefix("#key=")
    made = gate.sign_on_by_key(key, "here")
    assert isinstance(made, SignedOn)
    assert (made.session.user, made.session.roles) == (FIRST, (Role.ADMINISTRATOR,))
    assert isinstance(gate.session({COOKIE: made.token}), Session)
    assert refusal(gate.sign_on_by_key(key, "here")).title == "bad key"
    assert gate.put_user("anna", ("administrator",), PASSWORD, ()) is None
    assert gate.url_key() == ""


def test_keys_cannot_be_tried_for_ever(tmp_path: Path, clock: Clock) -> None:
    gate = Gate(tmp_path, now_ns=clock)
    key = gate.url_key().removeprefix("#key=")
    for n in range(BAD_MAX):
        assert refusal(gate.sign_on_by_key(f"guess {n}", "here")).status == 401
    assert refusal(gate.sign_on_by_key(key, "here")).status == 429


def test_without_the_erps_key_there_are_no_tickets(gate: Gate) -> None:
    assert "tickets are not taken here" in refusal(gate.sign_on_by_ticket("a:b:c", "here")).text


def test_a_short_secret_is_none(gate: Gate, tmp_path: Path) -> None:
    write_private(tmp_path / "ticket_key", b"short\n\n")
    assert refusal(gate.sign_on_by_ticket("a:b:c", "here")).title == "bad ticket"


def test_looking_at_an_open_hub_needs_somebody(gate: Gate, clock: Clock) -> None:
    cookies = sign_on(gate)
    assert gate.may_look(None) is None
    gate.look_needs_login = True
    assert refusal(gate.may_look(None)).status == 401
    assert gate.may_look(gate.session(cookies)) is None
    clock.now_ns += SESSION_NS
    assert refusal(gate.may_look(gate.session(cookies))).title == "session expired"


def test_a_disabled_user_is_signed_off_and_may_not_sign_on(gate: Gate) -> None:
    cookies = sign_on(gate)
    gate.users.put("maria", ("operator",), None, disabled=True)  # beside the gate, as an editor does it
    assert refusal(gate.session(cookies)).title == "user is disabled"
    assert refusal(gate.sign_on("maria", PASSWORD, "here")).title == "user is disabled"
    assert refusal(gate.sign_on("maria", "wrong password", "here")).title == "bad login", "only she is told"
    assert gate.put_user("maria", ("operator",), None, ()) is None
    assert isinstance(gate.sign_on("maria", PASSWORD, "here"), SignedOn)
    refused = gate.put_user("anna", ("administrator",), None, (), disabled=True)
    assert "no administrator would be left" in refusal(refused).text
