"""Tickets against what Django 5.2 wrote, and against what somebody else writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.tickets import BadTicket, read_ticket, sign

SALT = "fanuc-rise.ticket"
KEY, OLD_KEY = "k" * 40, "old" * 14
# written by django.core.signing.TimestampSigner(key=..., salt=SALT).sign_object(...) of Django 5.2.19
PLAIN = (
    "eyJ1c2VyIjoibWFyaWEiLCJyb2xlcyI6WyJvcGVyYXRvciJdLCJtYWNoaW5lcyI6WyJ2bWMxIl19:1vPf3Q:"
    "FVq3lQpeIuosQfwjs5tvdbvsRtbvu5qKYmegqksDsGg"
)
COMPRESSED = (
    ".eJyrViotTi1SslJKyk9S0lEqys9JLVayilZKzUvPzEsFysTqKOXll6QCVVSMAqKBUi0ARUmbCQ:1vPf3Q:"
    "4ogYDJXuylx7FUkNjz87WPrxgGqUy6XhEZGlyII-zoY"
)
BY_AN_OLD_KEY = (
    "eyJ1c2VyIjoialx1MDBmNnJnIiwicm9sZXMiOlsidmlld2VyIl19:1vPfHw:DWJOkkMZf-t-EpxPh0vwsM7csiWLOic5gzYFozb9OUE"
)
SIGNED_S = 1_764_500_000


def read(ticket: str, now_s: float = SIGNED_S + 10, keys: tuple[str, ...] = (KEY, OLD_KEY), salt: str = SALT) -> Any:
    return read_ticket(ticket, keys, salt, now_s=now_s, max_age_s=900)


@pytest.mark.parametrize(
    ("ticket", "now_s", "said", "signed_s"),
    [
        (PLAIN, SIGNED_S + 900, {"user": "maria", "roles": ["operator"], "machines": ["vmc1"]}, SIGNED_S),
        (COMPRESSED, SIGNED_S, {"user": "bob", "roles": ["engineer"], "note": "x" * 300}, SIGNED_S),
        (BY_AN_OLD_KEY, SIGNED_S + 901, {"user": "jörg", "roles": ["viewer"]}, SIGNED_S + 900),
    ],
)
def test_what_django_signed_is_read(ticket: str, now_s: float, said: Any, signed_s: int) -> None:
    assert read(ticket, now_s) == (said, signed_s)


def test_a_ticket_that_is_too_old_or_from_the_future_is_none() -> None:
    with pytest.raises(BadTicket, match="901 s old; it is good for 900 s"):
        read(PLAIN, SIGNED_S + 901)
    with pytest.raises(BadTicket, match="from the future"):
        read(PLAIN, SIGNED_S - 61)


@pytest.mark.parametrize("keys", [(), ("",), ("another" * 8,)])
def test_another_key_is_none(keys: tuple[str, ...]) -> None:
    with pytest.raises(BadTicket, match="not signed by this shop's ERP"):
        read(PLAIN, keys=keys)


def test_another_salt_is_none() -> None:
    with pytest.raises(BadTicket, match="not signed"):
        read(PLAIN, salt="django.core.signing")


@given(st.integers(0, len(PLAIN) - 1), st.characters(min_codepoint=33, max_codepoint=126))
def test_one_changed_letter_is_none(at: int, letter: str) -> None:
    changed = PLAIN[:at] + letter + PLAIN[at + 1 :]
    if changed != PLAIN:
        with pytest.raises(BadTicket):
            read(changed)


@given(st.text(max_size=200))
def test_any_text_is_a_bad_ticket(text: str) -> None:
    with pytest.raises(BadTicket):
        read(text)


@given(st.text(st.characters(max_codepoint=127), max_size=80))
def test_any_text_that_the_erp_signed_is_read_or_bad(text: str) -> None:
    try:
        read(f"{text}:{sign(text, KEY, SALT)}")
    except BadTicket as error:
        assert str(error)


def test_a_bomb_does_not_go_off() -> None:
    import base64
    import zlib

    packed = "." + base64.urlsafe_b64encode(zlib.compress(b"[" + b" " * 10_000_000 + b"]")).decode().rstrip("=")
    if len(packed) > 4000:
        packed = "." + base64.urlsafe_b64encode(zlib.compress(b" " * 1_000_000)).decode().rstrip("=")
    value = f"{packed}:1vPf3Q"
    with pytest.raises(BadTicket, match="more than 65536 bytes"):
        read(f"{value}:{sign(value, KEY, SALT)}")
