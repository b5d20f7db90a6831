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
    row = document("service", "list")[0]
    assert row == {
        "name": "vmc1/shop/feed",
        "request": "Feed",
        "reply": "Set",
        "node": "vmc1/mill",
        "acts_on_machine": False,
        "idempotent": False,
        "callers": [],
    }
    assert len(document("service", "list", "--all")) == 6
    assert "vmc1/shop/feed" in rise("service", "list").stdout


def test_call_a_service_that_is_in_no_table() -> None:
    told = document("service", "call", "vmc1/shop/feed", '{"percent": 50}')
    assert told == {
        "service": "vmc1/shop/feed",
        "reply": {"accepted": True, "percent": 50.0},
        "units": {"percent": "%"},
    }
    assert rise("service", "call", "vmc1/shop/feed", '{"percent": 50}').stdout == "accepted: true\npercent: 50 %\n"


def test_null_is_no_reading() -> None:
    assert rise("service", "call", "vmc1/shop/feed", '{"percent": null}').stdout == (
        "accepted: false\npercent: no reading\n"
    )


def test_a_reply_that_says_no_is_a_failure() -> None:
    done = rise("service", "call", "vmc1/shop/feed", '{"percent": 100}')
    assert (done.exit_code, done.stdout) == (1, "accepted: false\npercent: 100 %\n")


def test_a_reply_that_was_not_done_is_a_failure() -> None:
    done = rise("service", "call", "vmc1/shop/park", "{}")
    assert (done.exit_code, done.stdout) == (1, "done: false\ntext: cutting\n")


def test_the_servers_failure_is_told() -> None:
    done = rise("service", "call", "vmc1/shop/feed", '{"percent": -1}')
    assert done.exit_code == 1
    assert "FAILED: vmc1/shop/feed: ValueError: a feed below nothing" in done.stderr


def test_mistakes() -> None:
    name = rise("service", "call", "vmc1/shop/fed")
    assert (name.exit_code, "did you mean 'vmc1/shop/feed'?" in name.stderr) == (1, True)
    field = rise("service", "call", "vmc1/shop/feed", '{"percnt": 1}')
    assert field.exit_code == 2
    assert "percent: missing" in field.stderr
    assert "percnt: Feed has no such field; did you mean 'percent'?" in field.stderr


def test_a_service_of_every_node_is_in_the_table() -> None:
    told = document("service", "call", "vmc1/mill/describe_parameters")
    assert told["reply"]["parameters"][0]["name"] == "limit_pct"
