"""The file of users, and the one-time key of the first administrator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.private import NotPrivate, kept, write_private
from web.users import BadUser, Users, hash_password, matches, parse


@pytest.fixture
def users(tmp_path: Path) -> Users:
    made = Users(tmp_path / "web")
    made.put("anna", ("administrator",), "correct horse", ())
    return made


def test_a_user_is_kept_without_the_password(users: Users) -> None:
    users.put("maria", ("operator", "viewer"), "battery staple", ("vmc1",))
    maria = users.read()["maria"]
    assert (maria.roles, maria.machines) == (("operator", "viewer"), ("vmc1",))
    assert matches("battery staple", maria.password)
    assert not matches("battery stable", maria.password)
    assert "battery" not in users.path.read_text()
    assert users.path.stat().st_mode & 0o777 == 0o600


def test_without_a_password_that_of_before_stays(users: Users) -> None:
    users.put("maria", ("operator",), "battery staple")
    users.put("maria", ("engineer",), None)
    assert users.read()["maria"].roles == ("engineer",)
    assert matches("battery staple", users.read()["maria"].password)
    with pytest.raises(BadUser, match="bob is new and needs a password"):
        users.put("bob", ("viewer",), None)


def test_several_administrators_and_the_last_one_stays(users: Users) -> None:
    users.put("otto", ("administrator",), "another one")
    users.remove("anna")
    with pytest.raises(BadUser, match="no administrator would be left"):
        users.remove("otto")
    with pytest.raises(BadUser, match="no administrator would be left"):
        users.put("otto", ("viewer",), None)
    assert list(users.read()) == ["otto"]


@pytest.mark.parametrize(
    ("name", "roles", "password", "why"),
    [
        ("Maria", ("viewer",), "long enough", "bad name"),
        ("", ("viewer",), "long enough", "bad name"),
        ("a" * 33, ("viewer",), "long enough", "bad name"),
        ("maria", (), "long enough", "bad roles"),
        ("maria", ("king",), "long enough", "bad roles"),
        ("maria", ("viewer",), "short", "8 to 256 characters"),
    ],
)
def test_what_cannot_be(users: Users, name: str, roles: tuple[str, ...], password: str, why: str) -> None:
    with pytest.raises(BadUser, match=why):
        users.put(name, roles, password)
    assert list(users.read()) == ["anna"]


def test_a_file_that_another_process_changes_is_left_alone(users: Users) -> None:
    with kept(users.path), pytest.raises(NotPrivate, match="being changed"):
        users.put("maria", ("viewer",), "long enough")
    assert list(users.read()) == ["anna"], "reading needs no lock"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b'{"users": 1}', b'{"users": [1]}', b'{"users": [{"name": "a"}]}', b"\xff",
        b'{"users": [{"name": "a", "roles": "viewer", "password": ""}]}',
        b'{"users": [{"name": "a", "roles": ["viewer"], "password": 1}]}',
        b'{"users": [{"name": "a", "roles": ["viewer"], "password": "", "machines": [1]}]}',
        json.dumps({"users": [{"name": "a", "roles": ["viewer"], "password": ""}] * 2}).encode(),
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_damaged_file_is_nobodys(users: Users, content: bytes) -> None:
    write_private(users.path, content)
    with pytest.raises(NotPrivate, match=r"users\.json"):
        users.read()
    with pytest.raises(NotPrivate):
        users.put("maria", ("viewer",), "long enough")
    assert users.path.read_bytes() == content, "what cannot be read is not written over"


@given(st.binary(max_size=200))
def test_any_bytes_are_users_or_bad(data: bytes) -> None:
    try:
        parse(data)
    except BadUser as error:
        assert str(error)


@given(st.text(max_size=60))
def test_any_kept_hash_is_answered(kept_hash: str) -> None:
    assert matches("password", kept_hash) is False


def test_the_same_password_is_kept_differently() -> None:
    assert hash_password("battery staple") != hash_password("battery staple")


def test_the_key_works_once(tmp_path: Path) -> None:
    users = Users(tmp_path / "web")
    key = users.new_key()
    stored = (tmp_path / "web" / "first_key").read_text()
    assert key not in stored
    assert (tmp_path / "web" / "first_key").stat().st_mode & 0o777 == 0o600
    assert not users.use_key(key + "x")
    assert users.use_key(key)
    assert not users.use_key(key)


def test_a_new_key_ends_the_one_of_before(tmp_path: Path) -> None:
    users = Users(tmp_path / "web")
    old, new = users.new_key(), users.new_key()
    assert not users.use_key(old)
    assert users.use_key(new)


def test_where_there_are_users_there_is_no_key(users: Users) -> None:
    assert users.new_key() == ""
    assert not users.use_key("")


def test_a_key_that_was_printed_ends_with_the_first_user(tmp_path: Path) -> None:
    made = Users(tmp_path / "web")
    key = made.new_key()
    made.put("anna", ("administrator",), "battery staple")
    assert not (tmp_path / "web" / "first_key").exists()
    assert not made.use_key(key)
    made = Users(tmp_path / "copied")
    key = made.new_key()
    (tmp_path / "copied" / "users.json").write_bytes((tmp_path / "web" / "users.json").read_bytes())
    (tmp_path / "copied" / "users.json").chmod(0o600)
    assert not made.use_key(key), "users that were brought from elsewhere end it, too"
