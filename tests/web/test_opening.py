"""Open to the network only with users and TLS, and then with a certificate that a client can check."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from bus.testing import Domain
from schemas.audit import AuditOutcome
from tests.soak.fuzz_ws_stranger import until, upgrade
from tests.web.rig import PASSWORD, folder, hub, people, shop
from web.opening import opened, own_addresses
from web.private import NotPrivate
from web.serving import CannotListen, bind, is_loopback
from web.sessions import COOKIE
from web.tls import GOOD_FOR, fingerprint, given_certificate, own_certificate

NOW = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize("listen", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_loopback_is_open_at_once(tmp_path: Path, listen: str) -> None:
    made, certificate, typed = opened(tmp_path, listen, (), "", "")
    assert certificate is None
    assert typed == listen
    assert not made.look_needs_login
    assert not list(tmp_path.iterdir())


def test_the_network_needs_users(domain: Domain) -> None:
    with pytest.raises(CannotListen, match="there are no users yet: start it on loopback"):
        opened(folder(domain), "10.0.0.1", (), "", "")
    users = people(domain)
    made, certificate, _ = opened(folder(domain), "10.0.0.1", ("Shop.example",), "", "")
    assert certificate is not None
    assert made.look_needs_login
    assert {"10.0.0.1", "shop.example", "localhost"} <= set(made.names)
    assert certificate.key_path.stat().st_mode & 0o777 == 0o600
    users.path.chmod(0o644)
    with pytest.raises(CannotListen, match="open to other users"):
        opened(folder(domain), "10.0.0.1", (), "", "")


@pytest.mark.parametrize("listen", ["0.0.0.0", "::"])
def test_every_address_is_said_as_one_that_can_be_typed(domain: Domain, listen: str) -> None:
    people(domain)
    found = own_addresses()
    if found:
        made, certificate, typed = opened(folder(domain), listen, (), "", "")
        assert typed == found[0]
        assert set(found) <= set(made.names)
        assert certificate is not None
    made, _, typed = opened(folder(domain), listen, ("Shop.example",), "", "")
    assert typed == "shop.example"
    assert {"shop.example", *found} <= set(made.names)


def test_own_addresses_are_none_of_loopback() -> None:
    for address in own_addresses():
        assert not is_loopback(address)
        with bind(address, 0) as listening:
            assert listening.getsockname()[0] == address


def test_the_sites_own_certificate(domain: Domain, tmp_path: Path) -> None:
    people(domain)
    own = own_certificate(tmp_path, ["shop.example"])
    _, certificate, _ = opened(folder(domain), "10.0.0.1", (), str(own.path), str(own.key_path))
    assert certificate == own
    other = own_certificate(tmp_path / "other", ["shop.example"])
    for path, key, why in (
        (own.path, tmp_path / "none", "is not there"),
        (own.path, other.key_path, "no certificate and its key"),
        (own.key_path, own.key_path, "no certificate and its key"),
    ):
        with pytest.raises(CannotListen, match=why):
            opened(folder(domain), "10.0.0.1", (), str(path), str(key))
    own.key_path.chmod(0o640)
    with pytest.raises(NotPrivate, match="open to other users"):
        given_certificate(own.path, own.key_path)


def test_a_certificate_is_kept_until_it_is_old_or_for_others(tmp_path: Path) -> None:
    first = own_certificate(tmp_path, ["shop", "10.0.0.1", "::1"], NOW)
    assert own_certificate(tmp_path, ["shop"], NOW + timedelta(days=700)) == first
    second = own_certificate(tmp_path, ["shop"], NOW + GOOD_FOR)
    assert second.fingerprint != first.fingerprint
    third = own_certificate(tmp_path, ["shop", "another"], NOW + GOOD_FOR)
    assert third.fingerprint != second.fingerprint
    third.path.write_text("damaged")
    assert own_certificate(tmp_path, ["shop"], NOW).fingerprint != third.fingerprint
    with pytest.raises(ValueError, match="no certificate"):
        fingerprint("nothing")


def test_served_with_tls_and_the_page_says_no_to_strangers(domain: Domain) -> None:
    """What listens beyond loopback, tried on loopback: the same certificate, cookie and doors."""
    people(domain)
    made = own_certificate(folder(domain), ["127.0.0.1"])
    from web.app import create_app
    from web.people import People
    from web.serving import Serving

    with hub(domain) as node:
        assert node.hub is not None
        people_ = People(folder(domain))
        people_.look_needs_login = True
        people_.take(node)
        serving = Serving(create_app(node.hub, people_), "127.0.0.1", 0, (made.path, made.key_path))
        try:
            context = ssl.create_default_context(cafile=str(made.path))
            url = serving.url.rstrip("/")
            with httpx.Client(base_url=url, headers={"Origin": url}, verify=context, timeout=20.0) as client:
                assert client.get("/api/v1/machines").status_code == 401
                assert client.get("/api/v1/alarms").status_code == 401
                answer = client.post("/api/v1/session", json={"user": "vera", "password": "battery staple"})
                assert answer.status_code == 200
                cookie = answer.headers["set-cookie"].lower()
                assert all(word in cookie for word in ("httponly", "samesite=strict", "secure", "path=/"))
                assert client.get("/api/v1/machines").status_code == 200
                assert client.delete("/api/v1/session").status_code == 200
                assert client.get("/api/v1/machines").status_code == 401
        finally:
            serving.end()


@pytest.mark.skipif(not own_addresses(), reason="this computer has no address but loopback (ip addr)")
def test_open_to_the_network_at_an_address_that_a_tablet_types(domain: Domain) -> None:
    """The whole way: the printed URL, the certificate, the login before /ws, and STOP that needs none."""
    people(domain)
    with shop(domain, listen="0.0.0.0") as made:
        address = own_addresses()[0]
        host = f"[{address}]" if ":" in address else address
        assert made.node.serving is not None
        assert made.url == f"https://{host}:{made.node.serving.port}"
        told = (folder(domain) / "address").read_text().strip()
        assert told == f"{made.url}/"
        pem = folder(domain) / "tls.pem"
        trusting = ssl.create_default_context(cafile=str(pem))
        with httpx.Client(base_url=made.url, headers={"Origin": made.url}, verify=trusting, timeout=20.0) as tablet:
            assert tablet.get("/").headers["content-type"].startswith("text/html")
            assert tablet.get("/api/v1/session").json()["may_look"] is False
            for path in ("machines", "alarms", "topics", "users", "health", "bags"):
                assert tablet.get(f"/api/v1/{path}").status_code == 401, path
            assert knock(made.url, trusting).startswith(b"HTTP/1.1 401 ")
            assert tablet.post("/api/v1/machines/vmc1/reset", json={"reason": "x"}).status_code == 401
            stopped = tablet.post("/api/v1/machines/vmc1/stop", json={"reason": "sparks"})
            assert stopped.json()["accepted"] is True, stopped.text
            audit = made.audit(command="STOP", outcome=AuditOutcome.DONE)
            assert (audit.user, audit.terminal) == ("", address)
            assert tablet.post("/api/v1/session", json={"user": "vera", "password": PASSWORD}).status_code == 200
            assert tablet.get("/api/v1/session").json()["may_look"] is True
            assert tablet.get("/api/v1/machines").status_code == 200
            said = knock(made.url, trusting, Cookie=f"{COOKIE}={tablet.cookies[COOKIE]}")
            assert said.startswith(b"HTTP/1.1 101 ")
            assert b"vera" in said
        with pytest.raises(httpx.HTTPError):
            httpx.get(made.url.replace("https", "http"), timeout=20.0)


def knock(url: str, trusting: ssl.SSLContext, **headers: str) -> bytes:
    """What the hub says first to a page's WebSocket. By hand: websockets' client reads and writes TLS in two threads,
    which at times loses its request (Python 3.11)."""
    host, _, port = url.removeprefix("https://").rpartition(":")
    name = host.strip("[]")
    with (
        socket.create_connection((name, int(port)), 15.0) as plain,
        trusting.wrap_socket(plain, server_hostname=name) as sock,
    ):
        sock.sendall(upgrade(int(port), Host=f"{host}:{port}", Origin=url, **headers))
        return until(sock, lambda said: b"hello" in said or (b" 401 " in said and b"}" in said))
