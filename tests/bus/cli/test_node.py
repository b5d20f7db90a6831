from __future__ import annotations

from collections.abc import Iterator

import pytest

from bus.testing import Domain
from tests.bus.cli.shop import document, open_shop, rise


@pytest.fixture(scope="module", autouse=True)
def shop() -> Iterator[Domain]:
    with open_shop() as domain:
        yield domain


def test_list() -> None:
    mill, watch = document("node", "list")
    assert (mill["name"], watch["name"]) == ("vmc1/mill", "vmc1/watch")
    assert set(mill) == {
        "name", "ready", "pid", "host", "here", "up_s", "started_ns", "target", "namespace", "clock", "real",
    }  # fmt: skip
    assert (mill["ready"], mill["here"]) == (True, True)
    assert mill["target"] == "tests.bus.cli.shop:Mill"
    assert "vmc1/watch" in rise("node", "list").stdout


def test_info() -> None:
    told = document("node", "info", "watch")
    assert told["name"] == "vmc1/watch"
    assert [t["name"] for t in told["subscribes"]] == ["vmc1/shop/reading", "*/shop/event"]
    assert told["health"]["level"] == "WARNING"
    assert told["health"]["findings"][0]["code"] == "spindle_hot"
    assert document("node", "info", "mill")["parameters"] == {"limit_pct": 85.0}


def test_info_for_people() -> None:
    said = rise("node", "info", "vmc1/watch").stdout
    assert "health: WARNING" in said
    assert "WARNING spindle_hot (1 times): the spindle is hot" in said
    assert "serves vmc1/shop/feed  Feed -> Set" in rise("node", "info", "mill").stdout


def test_misspelled() -> None:
    done = rise("node", "info", "vmc1/mil")
    assert (done.exit_code, done.stderr) == (1, "Error: no node 'vmc1/mil'; did you mean 'vmc1/mill'?\n")
