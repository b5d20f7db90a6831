"""Open to the network only with users and TLS, and then with a certificate that a client can check."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from bus.testing import Domain
from tests.web.rig import folder, hub, people
from web.opening import opened
from web.private import NotPrivate
from web.serving import CannotListen
from web.tls import GOOD_FOR, fingerprint, given_certificate, own_certificate

NOW = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize("listen", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_loopback_is_open_at_once(tmp_path: Path, listen: str) -> None:
    made, certificate = opened(tmp_path, listen, (), "", "")
    assert certificate is None
    assert not made.look_needs_login
    assert not list(tmp_path.iterdir())


def test_the_network_needs_users(domain: Domain) -> None:
    with pytest.raises(CannotListen, match="there are no users yet: start it on loopback"):
        opened(folder(domain), "10.0.0.1", (), "", "")
    users = people(domain)
    made, certificate = opened(folder(domain), "10.0.0.1", ("Shop.example",), "", "")
    assert certificate is not None
    assert made.look_needs_login
    assert {"10.0.0.1", "shop.example", "localhost"} <= set(made.names)
    assert certificate.key_path.stat().st_mode & 0o777 == 0o600
    users.path.chmod(0o644)
    with pytest.raises(CannotListen, match="open to other users"):
        opened(folder(domain), "10.0.0.1", (), "", "")


def test_every_address_needs_names(domain: Domain) -> None:
    people(domain)
    for listen in ("0.0.0.0", "::"):
        with pytest.raises(CannotListen, match="say in `names` what people type"):
            opened(folder(domain), listen, (), "", "")


def test_the_sites_own_certificate(domain: Domain, tmp_path: Path) -> None:
    people(domain)
    own = own_certificate(tmp_path, ["shop.example"])
    _, certificate = opened(folder(domain), "10.0.0.1", (), str(own.path), str(own.key_path))
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
