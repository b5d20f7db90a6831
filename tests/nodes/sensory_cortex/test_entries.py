"""The list of sources as it is written: every mistake with the source it is in, and what each source owns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bus.check import check
from bus.plan import SHIPPED, load
from nodes.sensory_cortex.entries import objections, read_entries

MILL = {"driver": "simulator"}
DAQ = {"driver": "stream", "name": "daq", "url": "tcp://10.0.0.9:5000", "columns": ["x_current_a"]}


def said(*tables: Any) -> list[str]:
    return [f"{id_} {path} {text}" for id_, text, *path in objections(tables)]


def test_one_source_and_several_without_a_mistake() -> None:
    assert said(MILL) == said(MILL, DAQ) == []
    mill, daq = read_entries([MILL, DAQ])[0]
    assert (mill.name, mill.state, daq.name, daq.state) == ("simulator", True, "daq", False)


@pytest.mark.parametrize(
    ("tables", "mistake"),
    [
        ([], "no-source ['sources'] the machine has no source"),
        (["simulator"], "bad-option ['sources', 0] source 1: expected a table"),
        ([{"name": "x"}], "unknown-driver ['sources', 0] source 1: no driver given; there is"),
        ([{"driver": "simulater"}], "source 1: no driver 'simulater'; did you mean 'simulator'?"),
        ([{"driver": ["simulator"]}], "source 1: no driver ['simulator']"),
        ([MILL | {"sped": 1.0}], "unknown-option ['sources', 0] source 1: no option 'sped'; did you mean 'speed'?"),
        ([MILL | {"tkae": []}], "source 1: no option 'tkae'; did you mean 'take'?"),
        ([MILL | {"speed": 2000.0}], "bad-option ['sources', 0] source 1: speed: 2000.0 is above 1000"),
        ([MILL | {"speed": "fast"}], "bad-option ['sources', 0] source 1: speed: expected number, got str"),
        ([MILL | {"name": "The Mill"}], "source-name ['sources', 0] source 1: name is [a-z]"),
        ([MILL | {"state": 1}], "source 1: state is true or false, not 1"),
        ([MILL | {"take": "x_mm"}], "source 1: take is a list of names of signals, not 'x_mm'"),
        ([MILL | {"take": ["x_mm"], "leave": ["y_mm"]}], "source 1: give either `take` or `leave`"),
        ([MILL | {"leave": ["x_m"]}], "unknown-signal ['sources', 0] source 1: simulator has no signal 'x_m'; did you"),
        ([MILL | {"load_sensor": "load_metre"}], "load-sensor ['sources', 0] source 1: load_sensor: no sensor preset"),
        ([MILL, DAQ, DAQ], "source-name ['sources', 2] source 3: source 2 is named 'daq' too"),
        (
            [MILL, DAQ | {"columns": ["x_mm"]}],
            "two-owners ['sources', 1] source 2: signal 'x_mm' of daq is owned by source 1 (simulator) already; "
            "tell one of them leave = ['x_mm']",
        ),
        ([MILL, DAQ | {"name": "drive"}], "source-name ['sources', 1] source 2: its rows are named 'drive'"),
        ([MILL, DAQ | {"state": True}], "two-states ['sources', 1] sources 1 and 2 both carry the machine's state"),
        ([DAQ], "no-state ['sources'] no source carries the machine's state; tell one state = true"),
        ([MILL] * 17, "many-sources ['sources'] 17 sources, a machine has at most 16"),
    ],
)
def test_every_mistake_is_told_with_its_source(tables: list[Any], mistake: str) -> None:
    assert any(mistake in line for line in said(*tables)), said(*tables)


def test_a_signal_goes_to_the_source_that_is_told_to_take_it() -> None:
    other = DAQ | {"columns": ["x_mm", "y_mm"]}
    assert said(MILL | {"leave": ["x_mm", "y_mm"]}, other) == []
    assert said(MILL | {"leave": ["x_mm"]}, other | {"take": ["x_mm"]}) == []
    assert said(MILL, other | {"leave": ["x_mm", "y_mm"]}) == []


def test_a_mistake_is_told_with_its_line_in_the_site_file(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    inline = '[machines.a]\nsources = [ # [ {\n  { driver = "simulator" },\n  { driver = "stream", url = "x" },\n]\n'
    tables = '[machines.b]\n[[machines.b.sources]]\ndriver = "simulator"\n[[machines.b.sources]]\ndriver = "strem"\n'
    site.write_text(inline + tables + "[machines.c]\n")
    found = {(m.where.line, m.id) for m in check(load(SHIPPED / "shop.py", ["record:=false"], site=site))}
    assert {(4, "stream-url"), (9, "unknown-driver")} <= found
    assert any(id_ == "no-source" for _, id_ in found)


def test_all_mistakes_are_told_at_once() -> None:
    told = said(MILL | {"sped": 1.0}, DAQ | {"url": "tcp://10.0.0.9"}, DAQ | {"driver": "strem"})
    assert [line.split()[0] for line in told] == ["unknown-option", "unknown-driver", "stream-url"]
