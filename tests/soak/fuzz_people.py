"""What people and browsers bring to the hub's door: tickets, headers, and the files of users, sessions and notices."""

from __future__ import annotations

import json

from tests.soak.fuzz_mutate import Grammar
from tests.soak.fuzz_target import Target
from tests.soak.fuzz_text import JSON_WORDS, text_of
from web import sessions, users
from web.authority import Role, Session
from web.delivery import BadSettings, read_channels
from web.gate import TICKET_SALT, vouched
from web.origin import LOOPBACK, foreign
from web.sessions import Known
from web.tickets import BadTicket, read_ticket, sign
from web.users import BadUser, User

SECRET = "s" * 40
NOW_S = 1_764_500_010
TOML_WORDS = (b"[webhook]\n", b"[smtp]\n", b"url = ", b"to = [", b'"', b"\x00", b"\\ud800", b"9" * 5000)


def ticket() -> Target:
    """A ticket with the ERP's signature under whatever it says; and the same with whatever signature."""

    def run(data: bytes) -> None:
        text = text_of(data)
        try:
            read_ticket(text, [SECRET], TICKET_SALT, now_s=NOW_S, max_age_s=900)
        except BadTicket:
            pass
        else:
            raise AssertionError("a ticket that nobody signed")
        if text.isascii():
            signed = f"{text}:{sign(text, SECRET, TICKET_SALT)}"
            said, _ = read_ticket(signed, [SECRET], TICKET_SALT, now_s=NOW_S, max_age_s=900)
            found = vouched(said, 1)
            if not set(found.roles) <= set(Role):
                raise AssertionError(f"roles {found.roles}")

    seeds = [b"eyJ1c2VyIjoibWFyaWEiLCJyb2xlcyI6WyJvcGVyYXRvciJdfQ:1vPf3Q", b".eJyrVipKzUvPzEtVslIqSi0FABqRA9U:1vPf3Q"]
    return Target("ticket", run, (BadTicket,), seeds)


def headers() -> Target:
    """Origin and Host as a browser, or what says it is one, sends them."""

    def run(data: bytes) -> None:
        origin, _, host = text_of(data).partition("\n")
        if not foreign(origin, host) and not any(name in host.lower() for name in LOOPBACK):
            raise AssertionError(f"{origin!r} at {host!r} was taken for ours")

    return Target(
        "headers", run, (), [b"http://localhost:8000\nlocalhost:8000", b"https://[::1]\n[::1]:443", b"null\nx"]
    )


def user_file() -> Target:
    """The file of users."""

    def run(data: bytes) -> None:
        found = users.parse(data)
        if users.parse(users.text_of(found).encode()) != found:
            raise AssertionError("users that are written and read are others")

    made = {"maria": User("maria", ("operator",), "scrypt$1$1$1$YQ==$YQ==", ("vmc1",))}
    grammar = Grammar("json", 0, JSON_WORDS)
    return Target("user_file", run, (BadUser,), [users.text_of(made).encode()], grammar, wordy=True)


def session_file() -> Target:
    """The file of sessions."""

    def run(data: bytes) -> None:
        found = sessions.parse(data)
        if sessions.parse(sessions.text_of(found).encode()) != found:
            raise AssertionError("sessions that are written and read are others")

    made = sessions.parse(b"{}")
    made["a" * 64] = Known(Session("maria", ("operator",), 2**62, ("vmc1",), "erp"), 1)
    seeds = [sessions.text_of(made).encode(), json.dumps({}).encode()]
    return Target("session_file", run, (ValueError,), seeds, Grammar("json", 0, JSON_WORDS), wordy=True)


def notify_file() -> Target:
    """Where notices go."""
    seeds = [
        b'[webhook]\nurl = "https://chat.example/1"\n',
        b'[smtp]\nhost = "m"\nport = 25\nstarttls = true\nsender = "a@b"\nto = ["c@d"]\n',
    ]
    return Target("notify_file", read_channels, (BadSettings,), seeds, Grammar("text", 0, TOML_WORDS), wordy=True)
