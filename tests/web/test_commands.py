"""Commands through HTTP to a real machine: whatever is wrong with people's papers, STOP stops it, and nothing else is
done without them."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from bus.testing import Domain
from schemas import topics
from schemas.audit import AuditOutcome
from schemas.machine import MotionPhase
from tests.web.rig import WAIT_S, Shop, folder, people, shop
from web.limits import REFUSED, STOPS
from web.private import write_private
from web.sessions import SESSION_NS, TICKET_NS
from web.tickets import sign

OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("machines/vmc1/reset", {"reason": "cleared"}),
    ("machines/vmc1/mode", {"mode": "OBSERVE", "reason": "set-up"}),
    ("machines/vmc1/bypass", {"minutes": 5, "reason": "set-up"}),
    ("machines/vmc1/inject", {"fault": "CRASH"}),
    ("interventions/verdict", {"intervention_id": "vmc1/impact_cortex#1", "judgement": "JUSTIFIED", "reason": "x"}),
    ("alarms/ack", {"alarm_id": "vmc1/silent"}),
    ("nodes/vmc1/sensory_cortex/restart", {"reason": "x"}),
    ("nodes/vmc1/sensory_cortex/parameters", {"name": "on_brain_lost", "value": "NONE", "reason": "x"}),
    ("bags/black_box", {"reason": "x"}),
]


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json()
    assert said["status"] == answer.status_code
    assert said["title"]
    assert said["detail"]
    return said


def assert_only_stop(shop: Shop, page: httpx.Client, statuses: set[int]) -> None:
    """STOP works and the machine stands; everything else is refused with a reason, and audited."""
    for path, body in OTHERS:
        answer = page.post(f"/api/v1/{path}", json=body)
        assert answer.status_code in statuses, (path, answer.text)
        problem(answer)
    answer = page.post("/api/v1/machines/vmc1/stop", json={"reason": "sparks"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] is True
    action = answer.json()["action_id"]
    shop.wait(
        topics.MOTION, "vmc1/machine/motion",
        lambda m: m.action_id == action and m.phase is MotionPhase.SPINDLE_STANDING,
    )  # fmt: skip
    shop.audit(command="STOP", target="vmc1", outcome=AuditOutcome.DONE, reason="sparks")
    refused = [
        a for a in shop.said(topics.AUDIT, "audit") if a.outcome is AuditOutcome.REFUSED and a.command != "LOGIN"
    ]
    assert len(refused) == len(OTHERS)
    assert all(a.text for a in refused)


def test_nobody_signed_on(domain: Domain) -> None:
    people(domain)
    with shop(domain) as made:
        assert_only_stop(made, made.browser(), {401})
        assert made.audit(command="STOP").user == ""


def test_session_expired(domain: Domain) -> None:
    people(domain)
    with shop(domain) as made:
        page = made.signed_on("erik")
        authority = made.node.authority
        assert authority is not None
        now_ns = authority.now_ns
        authority.now_ns = lambda: now_ns() + SESSION_NS
        assert_only_stop(made, page, {401})
        assert "the session of erik has expired" in made.audit(command="MODE").text


def test_erp_absent_and_nobody_known(domain: Domain) -> None:
    """A ticket that has run out brings nobody in, and nobody renews it."""
    secret = "s" * 40
    write_private(folder(domain) / "ticket_key", secret.encode())
    with shop(domain) as made:
        page = made.browser()
        page.cookies.set("rise_ticket", ticket(secret, "erik", "engineer", signed_s=1_000_000))
        answer = page.post("/api/v1/session", json={})
        assert problem(answer)["title"] == "bad ticket"
        assert_only_stop(made, page, {401})


def test_erp_absent_and_a_session_that_is_known_lives_on(domain: Domain) -> None:
    secret = "s" * 40
    write_private(folder(domain) / "ticket_key", f"{'n' * 40}\n{secret}\n".encode())
    with shop(domain) as made:
        authority = made.node.authority
        assert authority is not None
        now_ns = authority.now_ns
        page = made.browser()
        page.cookies.set("rise_ticket", ticket(secret, "erik", "engineer", signed_s=now_ns() // 1_000_000_000))
        assert page.post("/api/v1/session", json={}).json()["user"]["name"] == "erik"
        authority.now_ns = lambda: now_ns() + SESSION_NS - 60_000_000_000
        change = {"name": "on_brain_lost", "value": "FEED_HOLD", "reason": "new rule"}
        assert page.post("/api/v1/nodes/vmc1/sensory_cortex/parameters", json=change).status_code == 200
        # with the ERP there, its silence counts
        authority.erp_away = lambda: False
        answer = page.post("/api/v1/nodes/vmc1/sensory_cortex/parameters", json=change)
        assert problem(answer)["title"] == "ticket expired"
        authority.now_ns = lambda: now_ns() + TICKET_NS - 60_000_000_000
        assert page.post("/api/v1/nodes/vmc1/sensory_cortex/parameters", json=change).status_code == 200


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.chmod(0o644),
        lambda path: path.write_text("{"),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["open to others", "damaged", "no file"],
)
def test_file_of_users_cannot_be_read(domain: Domain, spoil: Callable[[Any], object]) -> None:
    users = people(domain)
    with shop(domain) as made:
        page = made.signed_on("anna")
        spoil(users.path)
        answer = made.browser().post("/api/v1/session", json={"user": "anna", "password": "battery staple"})
        assert problem(answer)["title"] == "users cannot be read"
        assert_only_stop(made, page, {503})


def test_file_of_users_is_locked(domain: Domain) -> None:
    from web.private import kept

    users = people(domain)
    with shop(domain) as made:
        page = made.signed_on("anna")
        with kept(users.path):
            answer = page.put("/api/v1/users/bob", json={"roles": ["viewer"], "password": "battery staple"})
            assert problem(answer)["title"] == "users cannot be written"
            assert "being changed by another process" in answer.text
            assert page.post("/api/v1/machines/vmc1/stop").status_code == 200
        assert page.put("/api/v1/users/bob", json={"roles": ["viewer"], "password": "battery staple"}).is_success


def test_another_users_session(domain: Domain) -> None:
    """A page that shows one user under the cookie of another; a cookie that was made up; one of another machine."""
    people(domain)
    with shop(domain) as made:
        page = made.signed_on("erik")
        page.headers["X-Rise-User"] = "maria"
        assert_only_stop(made, page, {409})
        assert made.audit(command="STOP").user == "erik"


def test_a_session_that_was_made_up(domain: Domain) -> None:
    people(domain)
    with shop(domain) as made:
        page = made.browser()
        page.cookies.set("rise_session", "x" * 43)
        assert_only_stop(made, page, {401})


def test_an_operator_of_another_machine(domain: Domain) -> None:
    people(domain)
    with shop(domain) as made:
        page = made.signed_on("otto")
        answer = page.post("/api/v1/machines/vmc1/reset", json={"reason": "cleared"})
        assert problem(answer)["detail"] == "otto may command vmc2, not vmc1"
        assert page.post("/api/v1/machines/vmc1/feed_hold").status_code == 200


def test_a_page_of_somebody_else_may_not_even_stop(domain: Domain) -> None:
    people(domain)
    with shop(domain) as made:
        page = made.signed_on("anna")
        for origin in ("http://evil.example", "null", made.url.replace("127.0.0.1", "localhost")):
            answer = page.post("/api/v1/machines/vmc1/stop", headers={"Origin": origin})
            assert problem(answer)["title"] == "not a page of ours"
        assert made.audit(command="STOP").outcome is AuditOutcome.REFUSED
        assert not [m for m in made.said(topics.MOTION, "vmc1/machine/motion") if m.phase is MotionPhase.ACCEPTED]


def test_strangers_do_not_fill_the_audit_and_stop_goes_on(domain: Domain) -> None:
    """Refused attempts are told at a pace; how many were left out stands in the next audit; STOP is always done."""
    people(domain)
    with shop(domain) as made:
        page, maria = made.browser(), made.signed_on("maria")
        strange = {"Origin": "http://evil.example"}
        for _ in range(REFUSED.burst):
            assert page.post("/api/v1/machines/vmc1/reset", json={"reason": "x"}).status_code == 401
            assert page.post("/api/v1/machines/vmc1/stop", headers=strange).status_code == 403
            assert page.post("/api/v1/session", json={"user": "x"}, headers=strange).status_code == 403
        audited = True
        for _ in range(10 * STOPS.burst):
            answer = page.post("/api/v1/machines/vmc1/stop")
            assert answer.json()["accepted"] is True
            if not (audited := answer.json()["audited"]):
                break
        assert not audited
        assert maria.post("/api/v1/machines/vmc1/reset", json={"reason": "cleared"}).json()["audited"] is True
        made.audit(user="maria", command="RESET", outcome=AuditOutcome.DONE)
        told = made.said(topics.AUDIT, "audit")
        refused = sum(a.outcome is AuditOutcome.REFUSED for a in told)
        assert REFUSED.burst <= refused < 2 * REFUSED.burst
        assert sum(a.left_out for a in told) == 3 * REFUSED.burst - refused + 1
        assert told[-1].left_out == 1


def test_stop_takes_whatever_comes_with_it(domain: Domain) -> None:
    with shop(domain) as made:
        page = made.browser()
        for content in (b"", b"{", b"[1]", b'{"reason": 1}', b"\xff" * 100, b'{"reason": "\\ud800"}', b"[" * 100_000):
            answer = page.post("/api/v1/machines/vmc1/stop", content=content)
            assert answer.status_code == 200, (content[:20], answer.text)


def test_a_body_that_is_too_long_is_refused_and_a_stop_with_one_is_done(domain: Domain) -> None:
    people(domain)

    def endless() -> Iterator[bytes]:  # without a length said before
        for _ in range(40):
            yield b" " * 10_000

    with shop(domain) as made:
        erik = made.signed_on("erik")
        long = json.dumps({"reason": "x" * 300_000, "mode": "OBSERVE"})
        assert problem(erik.post("/api/v1/machines/vmc1/mode", content=long))["status"] == 413
        assert problem(erik.post("/api/v1/machines/vmc1/mode", content=endless()))["status"] == 413
        assert erik.post("/api/v1/machines/vmc1/stop", content=endless()).json()["accepted"] is True


def test_what_people_may(domain: Domain) -> None:
    people(domain)
    with shop(domain, engine=True) as made:
        maria, erik, vera = made.signed_on("maria"), made.signed_on("erik"), made.signed_on("vera")
        assert vera.post("/api/v1/machines/vmc1/inject", json={"fault": "CHATTER"}).status_code == 403
        assert maria.post("/api/v1/machines/vmc1/inject", json={"fault": "CHATTER"}).json()["accepted"] is True
        mode = {"mode": "OBSERVE", "reason": "set-up"}
        assert maria.post("/api/v1/machines/vmc1/mode", json=mode).status_code == 403
        assert erik.post("/api/v1/machines/vmc1/mode", json=mode).json()["text"] == "mode OBSERVE"
        assert erik.post("/api/v1/machines/vmc1/bypass", json={"minutes": 1, "reason": "probe"}).status_code == 200
        assert made.audit(command="MODE", outcome=AuditOutcome.DONE).user == "erik"
        held = maria.post("/api/v1/machines/vmc1/feed_hold").json()
        assert held["accepted"] is True
        # what moves is not released
        made.wait(
            topics.MOTION, "vmc1/machine/motion",
            lambda m: m.action_id == held["action_id"] and m.phase is MotionPhase.AXES_STANDING,
        )  # fmt: skip
        assert problem(maria.post("/api/v1/machines/vmc1/reset", json={}))["title"] == "reason is missing"
        assert maria.post("/api/v1/machines/vmc1/reset", json={"reason": "cleared"}).json()["accepted"] is True
        reset = made.audit(command="RESET", outcome=AuditOutcome.DONE)
        assert (reset.user, reset.reason, reset.target, reset.terminal) == ("maria", "cleared", "vmc1", "127.0.0.1")


CANNOT_BE: list[tuple[str, dict[str, Any], int]] = [
    ("machines/vmc9/reset", {"reason": "x"}, 503),
    ("machines/VMC1/reset", {"reason": "x"}, 404),
    ("machines/vmc9/inject", {"fault": "CRASH"}, 404),
    ("machines/vmc1/mode", {"mode": "FULL", "reason": "x"}, 422),
    ("machines/vmc1/bypass", {"minutes": "5", "reason": "x"}, 422),
    ("machines/vmc1/bypass", {"minutes": 481, "reason": "x"}, 422),
    ("machines/vmc1/inject", {"fault": "CRASH", "magnitude": True}, 422),
    ("machines/vmc1/inject", {"fault": "CRASH", "other": 1}, 422),
    ("nodes/no/such/parameters", {"name": "x", "value": 1, "reason": "x"}, 503),
    ("nodes/vmc1/sensory_cortex/parameters", {"name": "no_such", "value": 1, "reason": "x"}, 409),
    ("nodes/vmc1/sensory_cortex/restart", {"reason": "x"}, 503),
    ("interventions/verdict", {"intervention_id": "x", "judgement": "JUSTIFIED", "reason": "x"}, 422),
    ("alarms/ack", {"alarm_id": "none"}, 409),
    ("alarms/ack", {"alarm_id": "none", "stamp_ns": 2**63}, 422),
]


def test_what_cannot_be_is_a_problem_and_says_why(domain: Domain) -> None:
    people(domain)
    with shop(domain) as made:
        page = made.signed_on("anna")
        for path, body, status in CANNOT_BE:
            answer = page.post(f"/api/v1/{path}", json=body)
            assert answer.status_code == status, (path, body, answer.text)
            problem(answer)


def test_a_machine_that_cannot_be_stopped_says_use_the_red_button(domain: Domain) -> None:
    # an adapter that nobody answers for: such a machine only tells
    with shop(domain, sources=({"driver": "shdr", "address": "127.0.0.1:1"},)) as made:
        for what in ("stop", "feed_hold"):
            answer = made.browser().post(f"/api/v1/machines/vmc1/{what}")
            said = problem(answer)
            assert (said["status"], said["title"]) == (409, "use the red button")
        assert made.audit(command="STOP").outcome is AuditOutcome.FAILED


def test_a_machine_that_is_not_there_says_use_the_red_button(domain: Domain) -> None:
    with shop(domain) as made:
        answer = made.browser().post("/api/v1/machines/vmc9/stop")
        assert problem(answer)["title"] == "use the red button"
        assert answer.status_code == 503


def ticket(secret: str, user: str, *roles: str, signed_s: int) -> str:
    """As Django writes it; tests/web/test_tickets.py holds that against Django's own."""
    import base64

    from web.gate import TICKET_SALT
    from web.tickets import ALPHABET

    packed = base64.urlsafe_b64encode(json.dumps({"user": user, "roles": roles}).encode()).decode().rstrip("=")
    stamp = ""
    while signed_s:
        signed_s, digit = divmod(signed_s, 62)
        stamp = ALPHABET[digit] + stamp
    return f"{packed}:{stamp}:{sign(f'{packed}:{stamp}', secret, TICKET_SALT)}"


def test_stop_is_done_though_what_comes_with_it_breaks_off(domain: Domain) -> None:
    with shop(domain) as made:
        host, _, port = made.url.removeprefix("http://").partition(":")
        head = f"POST /api/v1/machines/vmc1/stop HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: {made.url}\r\n"
        with socket.create_connection((host, int(port)), WAIT_S) as cut:
            cut.sendall(f'{head}Content-Length: 100\r\n\r\n{{"reas'.encode())
        assert made.audit(command="STOP", target="vmc1").outcome is AuditOutcome.DONE
        made.wait(topics.MOTION, "vmc1/machine/motion", lambda m: m.phase is MotionPhase.AXES_STANDING)
