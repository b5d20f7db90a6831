from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.node import Raw
from bus.testing import Domain
from schemas.codec import codec
from schemas.system import ParameterEvent
from tests.bus.cli.shop import document, open_shop, rise, stream


@pytest.fixture(autouse=True)
def shop() -> Iterator[Domain]:
    with open_shop() as domain:
        yield domain


LIMIT = {
    "node": "vmc1/mill",
    "name": "limit_pct",
    "value": 85.0,
    "default": 85.0,
    "type": "number",
    "unit": "%",
    "doc": "above it the feed is refused",
    "ge": 0.0,
    "le": 200.0,
}


def test_list_get_describe() -> None:
    assert document("param", "list") == [LIMIT]
    assert document("param", "list", "mill") == [LIMIT]
    assert document("param", "get", "vmc1/mill", "limit_pct") == LIMIT
    assert document("param", "describe", "mill") == [LIMIT]
    assert rise("param", "get", "mill", "limit_pct").stdout == "85.0 %\n"
    assert rise("param", "describe", "mill", "limit_pct").stdout == (
        "limit_pct = 85.0 %\n  number, at least 0 and at most 200, default 85.0\n  above it the feed is refused\n"
    )
    assert rise("param", "list", "watch").stdout == "no parameters\n"


def test_set_says_old_and_new() -> None:
    assert rise("param", "set", "mill", "limit_pct", "90").stdout == "vmc1/mill limit_pct: 85.0 -> 90.0 %\n"
    assert document("param", "get", "mill", "limit_pct")["value"] == 90.0
    assert document("param", "set", "mill", "limit_pct", "91")["old"] == 90.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mill", "limit_pct", "300"], "limit_pct: 300.0 is above 200 %"),
        (["mill", "limit_pct", "high"], "limit_pct: expected number, got str 'high'"),
        (["mill", "limt_pct", "3"], "no parameter of vmc1/mill 'limt_pct'; did you mean 'limit_pct'?"),
        (["mull", "limit_pct", "3"], "no node 'mull'"),
    ],
)
def test_what_the_node_refuses(arguments: list[str], said: str) -> None:
    done = rise("param", "set", *arguments)
    assert done.exit_code == 1
    assert said in done.stderr
    assert document("param", "get", "mill", "limit_pct")["value"] == 85.0


DUMP = """\
[nodes."vmc1/mill"]
limit_pct = 85.0  # % above it the feed is refused
"""


def test_dump_and_load(tmp_path: Path) -> None:
    assert rise("param", "dump").stdout == rise("param", "dump", "mill").stdout == DUMP
    assert document("param", "dump") == {"vmc1/mill": {"limit_pct": 85.0}}
    file = tmp_path / "site.toml"
    file.write_text(DUMP)
    assert rise("param", "load", file).stdout == f"nothing differs from {file}\n"
    rise("param", "set", "mill", "limit_pct", 90)
    assert rise("param", "load", file, "--check").stdout == "vmc1/mill limit_pct: 90.0 -> 85.0 %\n"
    assert document("param", "get", "mill", "limit_pct")["value"] == 90.0
    assert rise("param", "load", file).stdout == "vmc1/mill limit_pct: 90.0 -> 85.0 %\n"
    assert document("param", "get", "mill", "limit_pct")["value"] == 85.0
    file.write_text("[machines.vmc1.mill]\nlimit_pct = 91\n")  # as a site file has it
    assert stream("param", "load", file) == [{**LIMIT, "value": 91, "old": 85.0}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[nodes.'vmc1/mull']\nlimit_pct = 1", ":2: error: no node 'vmc1/mull' is running; did you mean 'vmc1/mill'?"),
        ("[nodes.'vmc1/mill']\nlimt_pct = 1", ":2: error: vmc1/mill has no parameter 'limt_pct'; did you mean 'limit"),
        ("[nodes.'vmc1/mill']\nlimit_pct = 300", ":2: vmc1/mill: limit_pct: 300.0 is above 200 %"),
        ("[nodes.'vmc1/mill']\nlimit_pct = true", ":2: vmc1/mill: limit_pct: expected number, got bool True"),
        ("[nodes.'vmc1/mill']\nlimit_pct = 2026-11-30", ":2: error: vmc1/mill: limit_pct is no plain data: Object of"),
        ("[nodes.'vmc1/mill']\nlimit_pct = 80\nx = [07:32:00]", ":3: error: vmc1/mill has no parameter 'x'"),
        ("[nodes.'vmc1/mill'", ":1: error: not TOML"),
        ("[mill]\nlimit_pct = 1", ":1: error: unknown table 'mill'"),
        ("[nodes.'vmc1/mill']\nlimit_pct = 80\n[nodes.none]\nx = 1", ":4: error: no node 'none' is running"),
    ],
)
def test_a_file_with_a_mistake_changes_nothing(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "p.toml"
    file.write_text(content)
    done = rise("param", "load", file)
    assert (done.exit_code, f"{file}{said}" in done.stderr) == (1, True), done.stderr
    assert document("param", "get", "mill", "limit_pct")["value"] == 85.0


def test_a_user_without_a_name_is_said_by_its_number(shop: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)  # as `docker run --user`: nobody has it
    said: list[str] = []

    def heard(batch: list[Raw]) -> None:
        said.extend(codec(ParameterEvent).decode(raw.payload).changed_by for raw in batch)

    with shop.session(select=lambda topic, _: topic == "vmc1/mill/parameters", heard=heard) as session:
        done = rise("param", "set", "mill", "limit_pct", "90")
        assert done.exit_code == 0, done.stderr
        assert session.spin(lambda: bool(said), 10)
    assert said == ["user 4000000000"]
