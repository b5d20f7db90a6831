"""Notices go out by webhook and mail, and what does not arrive says why."""

from __future__ import annotations

import email
import email.policy
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.receivers import mail_server, webhook
from tests.web.test_notify import alarm
from web.delivery import BadSettings, Smtp, Webhook, channel_of, deliver, read_channels
from web.notify import notice
from web.private import write_private

NOTICE = notice([alarm("vmc1/silent", 1_764_500_000_000_000_000, text="vmc1 schweigt – Kühlmittel?")])


def test_by_webhook() -> None:
    with webhook() as received:
        assert deliver(Webhook(f"http://127.0.0.1:{received.port}/hooks/1"), NOTICE) == ""
        path, body = received.next()
    assert path == "/hooks/1"
    assert body["text"].startswith("vmc1: CODE\n2025-11-30 10:53:20 UTC vmc1 FAULT CODE: vmc1 schweigt – Kühlmittel?")
    assert body["alarms"][0]["alarm_id"] == "vmc1/silent"


@pytest.mark.parametrize("status", [404, 500, 302, 307])
def test_a_webhook_that_says_no(status: int) -> None:
    with webhook() as received:
        received.answers.put(status)
        why = deliver(Webhook(f"http://127.0.0.1:{received.port}/"), NOTICE)
        assert f"answered {status}" in why
        assert received.next()[0] == "/"


def test_by_mail() -> None:
    with mail_server() as received:
        channel = Smtp("127.0.0.1", "shop@example", ("maria@example", "erik@example"), received.port)
        assert deliver(channel, NOTICE) == ""
        to, text = received.next()
    mail = email.message_from_string(text, policy=email.policy.default)
    assert to == ["maria@example", "erik@example"]
    assert mail["Subject"] == "vmc1: CODE"
    assert "Kühlmittel?" in mail.get_content()


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "refused" in deliver(Webhook(f"http://127.0.0.1:{port}/"), NOTICE)
    assert "refused" in deliver(Smtp("127.0.0.1", "a@b", ("c@d",), port), NOTICE)


GOOD = b"""
[webhook]
url = "https://chat.example/hooks/1"
[smtp]
host = "mail.example"
port = 587
starttls = true
user = "shop"
password = "secret"
sender = "shop@example"
to = ["maria@example"]
"""


def test_where_to_is_read_from_a_private_file(tmp_path: Path) -> None:
    assert channel_of(tmp_path, "smtp") == (None, "")
    write_private(tmp_path / "notify.toml", GOOD)
    smtp, why = channel_of(tmp_path, "smtp")
    assert (smtp, why) == (Smtp("mail.example", "shop@example", ("maria@example",), 587, True, "shop", "secret"), "")
    assert "secret" not in repr(smtp)
    (tmp_path / "notify.toml").chmod(0o644)
    assert "open to other users" in channel_of(tmp_path, "smtp")[1]


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(BadSettings) as caught:
        read_channels(b'[webhook]\nurl = "ftp://x"\nuser = 1\n[pager]\n[smtp]\nport = "25"\nsender = "a@b"\n')
    assert str(caught.value).splitlines() == [
        "[webhook] has no 'user'; it has url",
        "pager is not known; there are webhook, smtp",
        "[smtp] needs host",
        "[smtp] needs to",
        "[smtp] port: expected int",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'[webhook]\nurl = "ftp://x"', "no http:// or https:// address"),
        (b'[webhook]\nurl = "http://[x"', "no http:// or https:// address"),
        (b'[smtp]\nhost="m"\nsender="a@b"\nto=["c@d"]\nuser="u"\npassword="p"', "over starttls only"),
        (b'[smtp]\nhost="m"\nsender="a@b"\nto=[]', "sender and to are mail addresses"),
        (b'[smtp]\nhost="m"\nsender="a@b"\nto=["c@d\\r\\nBcc: x@y"]', "sender and to are mail addresses"),
        (b'[smtp]\nhost="m"\nsender="a@b"\nto=["c@d"]\nport=0', "do not name a mail server"),
        (b"webhook = 1", "is a table"),
        (b"x = [", "no TOML"),
        (b"\xff", "no TOML"),
    ],
)
def test_what_cannot_be(text: bytes, why: str) -> None:
    with pytest.raises(BadSettings, match=why):
        read_channels(text)


@given(st.binary(max_size=300))
def test_any_bytes_are_channels_or_bad(data: bytes) -> None:
    try:
        read_channels(data)
    except BadSettings as error:
        assert str(error)
