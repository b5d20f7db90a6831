"""A page of ours, and all the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.origin import LOOPBACK, foreign


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8000", "localhost:8000"),
        ("http://127.0.0.1:8001", "127.0.0.1:8001"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("https://localhost", "localhost"),
        ("https://localhost", "localhost:443"),
        ("http://LOCALHOST:8000", "localhost:8000"),
    ],
)
def test_a_page_of_ours(origin: str, host: str) -> None:
    assert foreign(origin, host) == ""


@pytest.mark.parametrize(
    ("origin", "host", "why"),
    [
        (None, "localhost:8000", "says no Origin"),
        ("null", "localhost:8000", "may not ask this"),
        ("http://evil.example", "localhost:8000", "may not ask this"),
        ("http://localhost:9000", "localhost:8000", "may not ask this"),
        ("http://127.0.0.1:8000", "localhost:8000", "may not ask this"),
        ("http://evil.example:8000", "evil.example:8000", "is no name of this hub"),
        ("http://localhost:8000/x", "localhost:8000", "may not ask this"),
        ("http://localhost:8000@evil.example", "localhost:8000", "may not ask this"),
        ("file://localhost", "localhost", "may not ask this"),
        ("http://localhost:99999", "localhost:99999", "is no name"),
        ("http://localhost:8000", "l\tocalhost:8000", "is no name of this hub"),
        ("http://localhost:8000\n", "localhost:8000", "may not ask this"),
        ("http://localhost:8000", "", "names no host"),
        ("http://localhost:8000", None, "names no host"),
    ],
)
def test_somebody_elses(origin: str | None, host: str | None, why: str) -> None:
    assert why in foreign(origin, host)


def test_the_names_of_a_hub_on_the_lan() -> None:
    assert foreign("https://shop.example:8000", "shop.example:8000", {"shop.example"}) == ""
    assert foreign("http://localhost:8000", "localhost:8000", {"shop.example"})


@given(st.text(max_size=60) | st.none(), st.text(max_size=60) | st.none())
def test_any_headers_are_answered(origin: str | None, host: str | None) -> None:
    if not foreign(origin, host):
        assert host
        assert any(name in host.lower() for name in LOOPBACK)
