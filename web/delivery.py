"""How a notice leaves the shop: a webhook, or a mail. Blocking, for a thread of its own.

Where to stands in `notify.toml`, a private file beside the users, since an address for chat programs is a secret:

    [webhook]
    url = "https://chat.example/hooks/..."
    [smtp]
    host = "mail.example"
    port = 587
    starttls = true
    user = "shop"
    password = "..."
    sender = "shop@example"
    to = ["maria@example"]
"""

from __future__ import annotations

import contextlib
import smtplib
import ssl
import tomllib
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from email.message import EmailMessage
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from web.notify import Notice
from web.private import NotPrivate, read_private

TIMEOUT_S = 4.0
"""for each step of a delivery"""


class BadSettings(ValueError):
    """What is wrong with `notify.toml`: every mistake, a line each."""


@dataclass(frozen=True, slots=True)
class Webhook:
    url: str

    name: ClassVar[str] = "webhook"

    def mistake(self) -> str:
        try:
            parts = urlsplit(self.url)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            good = False
        return "" if good and self.url.isascii() and self.url.isprintable() else "url is no http:// or https:// address"

    def send(self, notice: Notice) -> None:
        request = urllib.request.Request(
            self.url, notice.as_json(), {"Content-Type": "application/json", "User-Agent": "fanuc-rise"}, method="POST"
        )
        with _opener().open(request, timeout=TIMEOUT_S) as answer:
            answer.read(1024)


@dataclass(frozen=True, slots=True)
class Smtp:
    host: str
    sender: str
    to: tuple[str, ...]
    port: int = 25
    starttls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)

    name: ClassVar[str] = "smtp"

    def mistake(self) -> str:
        if not self.host or not 0 < self.port < 65536:
            return "host and port do not name a mail server"
        if not self.to or not all("@" in a and a.isprintable() and a.isascii() for a in (self.sender, *self.to)):
            return "sender and to are mail addresses"
        return "" if not self.user or self.starttls else "a password goes over starttls only: starttls = true"

    def send(self, notice: Notice) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self.sender, ", ".join(self.to), notice.subject
        mail.set_content(notice.text, cte="quoted-printable")  # not every server takes 8 bits
        with smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S) as server:
            if self.starttls:
                server.starttls(context=ssl.create_default_context())
            if self.user:
                server.login(self.user, self.password)
            server.send_message(mail)


Channel = Webhook | Smtp
CHANNELS: Mapping[str, type[Channel]] = {c.name: c for c in (Webhook, Smtp)}


def deliver(channel: Channel, notice: Notice) -> str:
    """Send; why it did not arrive, empty when it did."""
    try:
        channel.send(notice)
        return ""
    except urllib.error.HTTPError as error:
        with contextlib.closing(error):
            return f"the webhook answered {error.code} {error.reason}"
    except urllib.error.URLError as error:
        return f"the webhook does not answer: {error.reason}"
    except (OSError, smtplib.SMTPException, ValueError) as error:
        return f"{channel.name}: {type(error).__name__}: {error}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A notice goes where the file says, and nowhere else."""

    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect)


def read_channels(data: bytes) -> dict[str, Channel]:
    """Where a file sends notices, by the channel's name.

    Raises:
        BadSettings: all that is wrong.
    """
    try:
        table = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise BadSettings(f"no TOML: {error}") from None
    wrong: list[str] = []
    channels: dict[str, Channel] = {}
    for name, rows in table.items():
        kind = CHANNELS.get(name)
        if kind is None:
            wrong.append(f"{name} is not known; there are {', '.join(CHANNELS)}")
        elif channel := _channel(kind, rows, wrong):
            channels[name] = channel
    if wrong:
        raise BadSettings("\n".join(wrong))
    return channels


def _channel(kind: type[Channel], rows: Any, wrong: list[str]) -> Channel | None:
    """A channel out of its table; what is wrong is added to `wrong`."""
    before = len(wrong)
    if not isinstance(rows, dict):
        wrong.append(f"[{kind.name}] is a table")
        return None
    known = {f.name: f for f in fields(kind)}
    values = dict(rows)
    wrong += [f"[{kind.name}] has no {key!r}; it has {', '.join(known)}" for key in rows.keys() - known.keys()]
    for key, f in known.items():
        if key not in rows:
            if f.default is MISSING:
                wrong.append(f"[{kind.name}] needs {key}")
            continue
        if f.type == "tuple[str, ...]":
            good = isinstance(rows[key], list) and all(type(v) is str for v in rows[key])
            values[key] = tuple(rows[key]) if good else ()
        else:
            good = type(rows[key]).__name__ == f.type
        if not good:
            wrong.append(f"[{kind.name}] {key}: expected {f.type}")
    if len(wrong) > before:
        return None
    channel = kind(**values)
    if mistake := channel.mistake():
        wrong.append(f"[{kind.name}] {mistake}")
        return None
    return channel


def channel_of(folder: Path, name: str) -> tuple[Channel | None, str]:
    """The channel of a name, where `notify.toml` has one; and what is wrong with that file."""
    path = folder / "notify.toml"
    try:
        return read_channels(read_private(path)).get(name), ""
    except FileNotFoundError:
        return None, ""
    except NotPrivate as error:
        return None, str(error)
    except BadSettings as error:
        return None, f"{path}: " + "; ".join(str(error).splitlines())
