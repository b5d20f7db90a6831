"""Where a machine answers."""

from __future__ import annotations

import pytest

from schemas.wire.address import Address, BadAddress, address

PORTS = {"shdr": 7878, "http": 5000}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mill", Address("shdr", "mill", 7878)),
        ("10.0.0.7:9", Address("shdr", "10.0.0.7", 9)),
        ("http://mill/OKUMA/", Address("http", "mill", 5000, "OKUMA")),
        ("shdr://[::1]:7879", Address("shdr", "::1", 7879)),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    assert address(text, PORTS) == expected
    assert address(str(expected), PORTS) == expected


@pytest.mark.parametrize(
    "text",
    ["", "ftp://mill", "mill:0", "mill:99999", "mill:x", "http://", "a b", "http://u@mill", "mill?x", "a..b", "a" * 64],
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(BadAddress, match="expected shdr://host:7878 or http://host:5000, not"):
        address(text, PORTS)
