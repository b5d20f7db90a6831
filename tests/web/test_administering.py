"""The users and their sessions over HTTP: for administrators, audited, and never without one of them."""

from __future__ import annotations

from typing import Any

import pytest

from bus.testing import Domain
from schemas.audit import AuditOutcome
from tests.web.rig import PASSWORD, folder, people, shop

ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "users", None),
    ("PUT", "users/zoe", {"roles": ["viewer"], "password": PASSWORD}),
    ("DELETE", "users/vera", None),
    ("GET", "users/vera/sessions", None),
    ("DELETE", "users/vera/sessions", None),
    ("DELETE", "users/vera/sessions/0123456789abcdef", None),
]


def test_only_an_administrator_sees_and_changes_them(domain: Domain) -> None:
    users = people(domain)
    before = users.read()
    with shop(domain) as made:
        stranger, erik = made.browser(), made.signed_on("erik")
        for method, path, body in ROUTES:
            assert stranger.request(method, f"/api/v1/{path}", json=body).status_code == 401, path
            answer = erik.request(method, f"/api/v1/{path}", json=body)
            assert answer.status_code == 403, path
            assert answer.json()["detail"] == "USERS needs the role administrator; erik has engineer"
        assert made.audit(command="USERS", user="erik", target="zoe").outcome is AuditOutcome.REFUSED
    assert users.read() == before


def test_sessions_are_listed_and_ended(domain: Domain) -> None:
    people(domain)
    with shop(domain) as made:
        anna, one, two = made.signed_on("anna"), made.signed_on("maria"), made.signed_on("maria")
        rows = {u["name"]: u for u in anna.get("/api/v1/users").json()["users"]}
        assert (rows["maria"]["sessions"], rows["vera"]["sessions"]) == (2, 0)
        newest, oldest = anna.get("/api/v1/users/maria/sessions").json()["sessions"]
        assert (newest["terminal"], newest["by"]) == ("127.0.0.1", "file")
        assert newest["since_ns"] >= oldest["since_ns"]
        assert anna.delete(f"/api/v1/users/maria/sessions/{oldest['id']}").status_code == 200
        assert anna.delete(f"/api/v1/users/maria/sessions/{oldest['id']}").status_code == 404
        assert one.get("/api/v1/session").json()["user"] is None
        assert two.get("/api/v1/session").json()["user"]["name"] == "maria"
        assert anna.delete("/api/v1/users/maria/sessions").status_code == 200
        assert two.get("/api/v1/session").json()["user"] is None
        audit = made.audit(command="USERS", target="maria", text="maria is signed off everywhere")
        assert (audit.user, audit.outcome) == ("anna", AuditOutcome.DONE)


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("DELETE", None),
        ("PUT", {"roles": ["engineer"]}),
        ("PUT", {"roles": ["administrator"], "disabled": True}),
    ],
    ids=["forgotten", "demoted", "disabled"],
)
def test_the_last_administrator_stays(domain: Domain, method: str, body: Any) -> None:
    users = people(domain)
    with shop(domain) as made:
        anna = made.signed_on("anna")
        answer = anna.request(method, "/api/v1/users/anna", json=body)
        assert answer.status_code == 422
        assert "no administrator would be left" in answer.json()["detail"]
        assert anna.get("/api/v1/users").status_code == 200, "she is still signed on"
        assert anna.put("/api/v1/users/erik", json={"roles": ["administrator"]}).status_code == 200
        assert anna.request(method, "/api/v1/users/anna", json=body).status_code == 200
    assert users.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder(domain).iterdir() if path.name.endswith(".new")] == []
