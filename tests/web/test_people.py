"""Signing on and the users, over HTTP."""

from __future__ import annotations

from bus.testing import Domain
from schemas.audit import AuditOutcome
from tests.web.rig import PASSWORD, folder, hub, page, people, shop
from web.limits import BAD_MAX
from web.private import write_private


def test_the_first_administrator_comes_by_the_key_and_makes_the_others(domain: Domain) -> None:
    with shop(domain) as made:
        address = (folder(domain) / "address").read_text().strip()
        url, _, key = address.partition("#key=")
        assert url.rstrip("/") == made.url
        assert key
        client = made.browser()
        assert client.get("/api/v1/users").status_code == 401
        answer = client.post("/api/v1/session", json={"key": key})
        assert answer.json()["user"]["roles"] == ["administrator"]
        assert made.browser().post("/api/v1/session", json={"key": key}).status_code == 401, "it works once"
        row = {"roles": ["administrator"], "password": PASSWORD}
        assert client.put("/api/v1/users/maria", json={"roles": ["operator"], "password": PASSWORD}).status_code == 422
        assert client.put("/api/v1/users/anna", json=row).status_code == 200
        assert client.put("/api/v1/users/maria", json={"roles": ["operator"], "password": PASSWORD}).status_code == 200
        anna, maria = made.signed_on("anna"), made.signed_on("maria")
        assert maria.get("/api/v1/users").status_code == 403
        assert maria.put("/api/v1/users/maria", json=row).status_code == 403
        names = [u["name"] for u in anna.get("/api/v1/users").json()["users"]]
        assert names == ["anna", "maria"]
        assert anna.delete("/api/v1/users/maria").status_code == 200
        assert maria.get("/api/v1/session").json()["user"] is None
        assert anna.delete("/api/v1/users/anna").status_code == 422
        audit = made.audit(command="USERS", target="anna", outcome=AuditOutcome.DONE)
        assert PASSWORD not in audit.model_dump_json()
    with hub(domain):
        assert "#key=" not in (folder(domain) / "address").read_text(), "there are users"


def test_bad_logins_wait_and_are_audited(domain: Domain) -> None:
    people(domain)
    with shop(domain) as made:
        client = made.browser()
        bad = {"user": "maria", "password": "wrong password"}
        for _ in range(BAD_MAX):
            assert client.post("/api/v1/session", json=bad).status_code == 401
        answer = client.post("/api/v1/session", json={"user": "maria", "password": PASSWORD})
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "900"
        assert "STOP needs no login" in answer.json()["detail"]
        assert client.post("/api/v1/machines/vmc1/stop").status_code == 200
        last = made.audit(command="LOGIN", target="maria", text=answer.json()["detail"])
        assert last.outcome is AuditOutcome.REFUSED


def test_a_login_from_a_page_of_somebody_else_is_none(domain: Domain) -> None:
    people(domain)
    with hub(domain) as node, page(node) as client:
        login = {"user": "maria", "password": PASSWORD}
        answer = client.post("/api/v1/session", json=login, headers={"Origin": "http://evil.example"})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert client.post("/api/v1/session", json={}).status_code == 422


def test_the_cookie_is_a_browsers_secret(domain: Domain) -> None:
    people(domain)
    with hub(domain) as node, page(node) as client:
        answer = client.post("/api/v1/session", json={"user": "maria", "password": PASSWORD})
        cookie = answer.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("rise_session=", "httponly", "samesite=strict", "path=/"))
        assert client.get("/api/v1/session").json()["user"]["name"] == "maria"
        assert client.delete("/api/v1/session").status_code == 200
        assert client.get("/api/v1/session").json()["user"] is None
        write_private(folder(domain) / "users.json", b"{")
        assert client.get("/api/v1/session").json()["user"] is None
