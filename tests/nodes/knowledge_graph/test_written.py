from __future__ import annotations

from pathlib import Path

import pytest

from bus.check import check
from bus.plan import SHIPPED, load
from nodes.knowledge_graph.written import plan

MACHINES = {"vmc1": {"tools": [1]}, "vmc2": {}}
SHARED = [{"kind": "coolant_tank", "machines": ["vmc1", "vmc2"]}]

GOOD = """
[components.chiller]
kind = "chiller"
feeds = ["coolant_tank"]

[components."vmc1/spindle"]
loads = ["vmc1/axis_z"]

[components."vmc1/probe"]
kind = "sensor"
feeds = ["vmc1/sensor/x_mm"]

[faults.chiller."has failed"]
prior = 0.01
effects = { "coolant_temperature HIGH" = 0.9 }
"""

BAD = """
[component]
[components.chiler]
feeds = ["coolant_tank"]
[components.lamp]
kind = "tool"
[components."vmc1/spindle"]
kind = "axis"
lods = ["vmc1/axis_z"]
feeds = ["vmc1/coolant/pmup"]
part_of = "vmc1"
[components."vmc1/coolant"]
feeds = ["coolant_tank"]
[components."Bad Name"]
kind = "tool"
[components.press]
kind = "pres"
part_of = ["cell"]
[faults.tool.melts]
prior = 2.0
[faults.tool.bends]
effects = { "cutting_lod HIGH" = 0.9, "cutting_load UP" = 0.5, "cutting_load LOW" = 1.5 }
"""


def written(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    path = tmp_path / "topology.toml"
    path.write_text(text)
    return [(id_, said.removeprefix(f"{path}:")) for id_, said in plan(MACHINES, SHARED, str(path))[1]]


def test_a_file_adds_components_relations_and_faults(tmp_path: Path) -> None:
    path = tmp_path / "topology.toml"
    path.write_text(GOOD)
    made, mistakes = plan(MACHINES, SHARED, str(path))
    assert mistakes == []
    assert made.shape.relations["chiller", "coolant_tank"] == "feeds"
    assert made.shape.relations["vmc1/spindle", "vmc1/axis_z"] == "loads"
    assert made.pending == (("vmc1/probe", "feeds", "vmc1/sensor/x_mm"),)
    assert (made.faults[-1].kind, made.faults[-1].name) == ("chiller", "has failed")
    default = plan(MACHINES, SHARED, "")[0].shape
    assert default.components.items() <= made.shape.components.items()
    assert default.relations.items() <= made.shape.relations.items()


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    found = {(id_, said.partition(":")[0]): said for id_, said in written(tmp_path, BAD)}
    assert set(found) == {
        ("topology-key", "2"),
        ("unknown-component", "3"),
        ("orphan", "5"),
        ("kind-changed", "8"),
        ("unknown-relation", "9"),
        ("unknown-component", "10"),
        ("topology-value", "11"),
        ("topology-cycle", "12"),
        ("bad-name", "14"),
        ("unknown-kind", "17"),
        ("topology-value", "20"),
        ("unknown-quantity", "22"),
        ("topology-value", "22"),
    }
    assert "did you mean 'components'?" in found["topology-key", "2"]
    assert "did you mean 'vmc1/coolant/pump'?" in found["unknown-component", "10"]
    assert "did you mean 'loads'?" in found["unknown-relation", "9"]
    assert "did you mean 'cutting_load'?" in found["unknown-quantity", "22"]
    assert " -> " in found["topology-cycle", "12"]


@pytest.mark.parametrize(
    ("machines", "shared", "id_", "said"),
    [
        ([], SHARED, "bad-machines", "must be a table by machine"),
        ({"Bad": {}}, (), "bad-machines", "segments are"),
        ({"a/b": {}}, (), "bad-machines", "one segment"),
        ({"vmc1": {"tool": [1]}}, (), "bad-machines", "did you mean 'tools'?"),
        ({"vmc1": {"tools": ["x"]}}, (), "bad-machines", "numbers of tools"),
        ({"vmc1": {"axes": 3}}, (), "bad-machines", "letters"),
        (MACHINES, "coolant_tank", "bad-shared", "must be a list"),
        (MACHINES, [{"kind": "coolant_tnk"}], "unknown-kind", "did you mean 'coolant_tank'?"),
        (MACHINES, [{"kind": "power", "machines": ["vmc3"]}], "unknown-component", "did you mean 'vmc"),
        (MACHINES, [{"kind": "power", "name": "vmc1"}], "bad-shared", "is taken"),
        (MACHINES, [{"kind": "power", "user": ["vmc1"]}], "bad-shared", "no key 'user'"),
    ],
)
def test_what_the_launch_gives_is_checked_as_well(machines: object, shared: object, id_: str, said: str) -> None:
    found = plan(machines, shared, "")[1]
    assert any(i == id_ and said in text for i, text in found), found


def test_launch_check_finds_the_mistakes_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "topology.toml").write_text('[components."vmc1/coolant/pmup"]\nfeeds = ["vmc1"]\n')
    site = tmp_path / "site.toml"
    text = (SHIPPED / "site.toml").read_text()
    line = f'[nodes.knowledge_graph]\ntopology = "{tmp_path}/topology.toml"'
    site.write_text(text.replace("[nodes.knowledge_graph]", line))
    (mistake,) = check(load("shop", site=site))
    assert mistake.id == "unknown-component"
    assert f"{tmp_path}/topology.toml:1: no component 'vmc1/coolant/pmup'" in mistake.text
    assert "did you mean 'vmc1/coolant/pump'?" in mistake.text


@pytest.mark.parametrize(
    ("data", "id_"), [(b"[components", "topology-syntax"), (b"\xff", "topology-file"), (None, "topology-file")]
)
def test_what_is_no_toml_is_a_mistake(tmp_path: Path, data: bytes | None, id_: str) -> None:
    path = tmp_path / "t.toml"
    if data is not None:
        path.write_bytes(data)
    ((found, text),) = plan(MACHINES, SHARED, str(path))[1]
    assert found == id_
    assert str(path) in text
