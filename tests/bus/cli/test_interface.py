from __future__ import annotations

from collections.abc import Iterator

import pytest

from bus.testing import Domain
from schemas import topics
from tests.bus.cli.shop import document, open_shop, rise


@pytest.fixture(scope="module", autouse=True)
def shop() -> Iterator[Domain]:
    with open_shop() as domain:
        yield domain


def test_list() -> None:
    rows = {row["row"]: row for row in document("interface", "list")}
    assert set(rows) == set(topics.table())
    assert rows["ALARM"]["key"] == "alarm_id"
    assert rows["STOP"]["acts_on_machine"] is True
    types = {row["name"] for row in document("interface", "list", "--types")}
    assert {"SignalBlock", "Cause", "Diagnostics"} <= types
    assert "machine/stop" in rise("interface", "list").stdout


@pytest.mark.parametrize("name", ["SignalBlock", "SAMPLES", "machine/samples", "schemas.topics:SAMPLES"])
def test_show_by_any_name(name: str) -> None:
    (told,) = document("interface", "show", name)
    assert set(told) == {"name", "hash", "definition", "json_schema"}
    assert told["name"] == "SignalBlock"


def test_show_units_and_what_is_nested() -> None:
    said = rise("interface", "show", "STOP").stdout
    assert "  stamp_ns: int [ns]" in said
    assert "    publisher: str" in said
    assert "\n---\nActionReply" in said


def test_a_living_topic_is_shown_as_its_node_defines_it() -> None:
    said = rise("interface", "show", "vmc1/shop/reading").stdout
    assert said.startswith("Reading: as vmc1/mill publishes it\n")
    assert "  axes: tuple[Axis, ...]\n    name: str\n    load_pct: float [%]\n" in said
    assert [d["name"] for d in document("interface", "show", "vmc1/shop/feed")] == ["Feed", "Set"]


def test_a_living_type_is_found_by_its_name() -> None:
    assert rise("interface", "show", "Axis").exit_code == 1  # only inside another message
    said = rise("interface", "show", "Feed").stdout
    assert said.startswith("Feed: as vmc1/mill defines it\n  percent: float [%]\n")


def test_misspelled() -> None:
    done = rise("interface", "show", "SignalBlok")
    assert (done.exit_code, "did you mean 'SignalBlock'?" in done.stderr) == (1, True)
