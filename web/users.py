"""The users of a shop without an ERP: a file of names, roles and hashes of passwords.

The first administrator comes by a one-time key: `make run` prints it in the part of the URL behind `#`, which no
browser sends and no server logs. Only its hash is on the disk, and using it removes that.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from schemas.sayable import shown
from web.authority import RANK, Role
from web.private import NotPrivate, kept, read_private, write_private

N, R, P = 1 << 14, 8, 5
"""scrypt: 16 MiB, and about a quarter of a second"""
MAX_MEMORY_BYTES = 64 * 1024 * 1024
NAME = re.compile(r"[a-z][a-z0-9_.-]{0,31}")
PASSWORD_CHARS = (8, 256)
USERS_MAX = 1000
KEY_BYTES = 24


class BadUser(ValueError):
    """A user that cannot be: the name, the roles, the password, or that no administrator would be left."""


@dataclass(frozen=True, slots=True)
class User:
    """One row of the file."""

    name: str
    roles: tuple[str, ...]
    password: str
    """`scrypt$n$r$p$salt$hash`"""
    machines: tuple[str, ...] = ()
    """those that the user may command; empty: all"""
    disabled: bool = False
    """may not sign on, and keeps name and roles: what the audit says of the name stays clear"""


class Users:
    """The file. It is read anew at each question, so that what an administrator changes holds at once."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "users.json"
        self._key = folder / "first_key"

    def read(self) -> dict[str, User]:
        """Everybody; empty where there is no file.

        Raises:
            NotPrivate: the file is there and cannot be read or trusted: nobody is anybody then.
        """
        try:
            data = read_private(self.path)
        except FileNotFoundError:
            return {}
        try:
            return parse(data)
        except BadUser as error:
            raise NotPrivate(f"{self.path}: {error}") from None

    def put(
        self, name: str, roles: tuple[str, ...], password: str | None, machines: tuple[str, ...] = (), *,
        disabled: bool = False,
    ) -> None:  # fmt: skip
        """Add a user, or change one; without a password that of before stays.

        Raises:
            BadUser: see there.
            NotPrivate: the file cannot be read or written.
        """
        check_user(name, roles)
        if password is not None:
            check_password(password)

        def change(users: dict[str, User]) -> None:
            if password is None and name not in users:
                raise BadUser(f"{name} is new and needs a password")
            if name not in users and len(users) >= USERS_MAX:
                raise BadUser(f"there are {USERS_MAX} users already")
            hashed = users[name].password if password is None else hash_password(password)
            users[name] = User(name, roles, hashed, machines, disabled)

        self._change(change)

    def remove(self, name: str) -> None:
        """Forget a user.

        Raises:
            BadUser: there is none of this name, or it is the last administrator.
            NotPrivate: the file cannot be read or written.
        """

        def change(users: dict[str, User]) -> None:
            if users.pop(name, None) is None:
                raise BadUser(f"there is no user {shown(name)}")

        self._change(change)

    def _change(self, change: Callable[[dict[str, User]], None]) -> None:
        with kept(self.path):
            users = self.read()
            change(users)
            if not any(Role.ADMINISTRATOR in u.roles and not u.disabled for u in users.values()):
                raise BadUser("no administrator would be left: make another one first")
            write_private(self.path, text_of(users).encode())
        with kept(self._key), contextlib.suppress(OSError):
            self._key.unlink()  # there are users now; `use_key` does not take it either

    # --- the first administrator -------------------------------------------------------------------------------------

    def new_key(self) -> str:
        """A one-time key for the first administrator; empty where there are users already.

        A key of before does not work any more. Raises NotPrivate.
        """
        if self.read():
            return ""
        key = secrets.token_urlsafe(KEY_BYTES)
        write_private(self._key, hashlib.sha256(key.encode()).hexdigest().encode())
        return key

    def use_key(self, key: str) -> bool:
        """Whether this is the key and there are no users yet; it is none any more then. Raises NotPrivate."""
        if self.read():
            return False
        with kept(self._key):
            try:
                known = read_private(self._key)
            except FileNotFoundError:
                return False
            if not hmac.compare_digest(known, hashlib.sha256(key.encode()).hexdigest().encode()):
                return False
            try:
                self._key.unlink()
            except OSError as error:
                raise NotPrivate(f"{self._key} cannot be removed: {error.strerror}") from None
            return True


def parse(data: bytes) -> dict[str, User]:
    """The users in a file.

    Raises:
        BadUser: which row is wrong, and how.
    """
    try:
        rows = json.loads(data)["users"]
        if not isinstance(rows, list):
            raise TypeError("users is no list")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadUser(f'expected {{"users": [...]}}: {type(error).__name__}: {error}') from None
    users: dict[str, User] = {}
    for number, row in enumerate(rows, 1):
        try:
            user = _user(row)
        except (BadUser, KeyError, TypeError) as error:
            raise BadUser(f"user {number}: {type(error).__name__}: {error}") from None
        if user.name in users:
            raise BadUser(f"user {number}: {user.name} is there twice")
        users[user.name] = user
    return users


def _user(row: Any) -> User:
    if not isinstance(row, Mapping):
        raise BadUser("no object")
    name, password = row["name"], row["password"]
    roles, machines, disabled = row["roles"], row.get("machines", []), row.get("disabled", False)
    if not isinstance(roles, list) or not isinstance(machines, list) or not isinstance(password, str):
        raise BadUser("roles and machines are lists of words, password is a text")
    if not isinstance(disabled, bool):
        raise BadUser("disabled is true or false")
    check_user(name, tuple(roles))
    if not all(isinstance(m, str) for m in machines):
        raise BadUser("machines are a list of words")
    return User(name, tuple(roles), password, tuple(machines), disabled)


def text_of(users: Mapping[str, User]) -> str:
    """The content of a file."""
    rows = [
        {
            "name": u.name, "roles": list(u.roles), "machines": list(u.machines), "disabled": u.disabled,
            "password": u.password,
        }
        for u in users.values()
    ]  # fmt: skip
    return json.dumps({"users": rows}, indent=1)


def check_user(name: Any, roles: tuple[Any, ...]) -> None:
    """Raises BadUser for a name or roles that cannot be."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadUser(f"bad name {shown(name)}: lower case letters, digits, _ . -, a letter first, at most 32")
    if not roles or not all(isinstance(r, str) and r in RANK for r in roles):
        raise BadUser(f"bad roles of {name}: one or more of {', '.join(RANK)}")


def check_password(password: str) -> None:
    """Raises BadUser for one that is too short or too long."""
    least, most = PASSWORD_CHARS
    if not least <= len(password) <= most:
        raise BadUser(f"a password has {least} to {most} characters")


def hash_password(password: str, salt: bytes | None = None) -> str:
    """What is kept of a password."""
    salt = secrets.token_bytes(16) if salt is None else salt
    made = hashlib.scrypt(password.encode(), salt=salt, n=N, r=R, p=P, maxmem=MAX_MEMORY_BYTES)
    return f"scrypt${N}${R}${P}${base64.b64encode(salt).decode()}${base64.b64encode(made).decode()}"


def matches(password: str, kept_hash: str) -> bool:
    """Whether the password is the one; False also for a hash that cannot be read."""
    try:
        kind, n, r, p, salt, known = kept_hash.split("$")
        if kind != "scrypt":
            return False
        made = hashlib.scrypt(
            password.encode(), salt=base64.b64decode(salt), n=int(n), r=int(r), p=int(p), maxmem=MAX_MEMORY_BYTES
        )
        return hmac.compare_digest(made, base64.b64decode(known))
    except ValueError:
        return False


@cache
def nobody() -> str:
    """A hash to compare where there is no such user: a name cannot be found out by the time an answer takes."""
    return hash_password(secrets.token_urlsafe(KEY_BYTES))
