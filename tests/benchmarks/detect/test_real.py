from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.detect.real import cases, judged, lines, plain, robot
from tests.nodes.sensory_cortex.real_data import DATA, needs_real_data

MAP = """
period_ms = 1.0
[columns]
spindle_load_pct = "load"
"""


def write(path: Path, loads: list[float]) -> None:
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["load"])
        table.writerows([[v] for v in loads])


def test_any_folder_of_tables_with_a_column_map_is_judged(tmp_path: Path) -> None:
    (tmp_path / "columns.toml").write_text(MAP)
    write(tmp_path / "normal_cut.csv", [40.0] * 500)
    write(tmp_path / "into_the_vice.csv", [40.0] * 400 + [120.0] * 100)
    crash, normal = judged(tmp_path)
    assert (normal.label, normal.normal, normal.stops, normal.seconds) == ("normal cutting", True, [], 0.5)
    assert (crash.label, crash.normal) == ("into_the_vice", False)
    assert crash.stops[0] == "0.4 s load_limit (spindle_load_pct) 120 against 85 %"
    assert any("into_the_vice" in line for line in lines([crash, normal]))
    assert plain(crash)["stops"] == crash.stops


def test_a_table_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "columns.toml").write_text(MAP)
    (tmp_path / "normal_other.csv").write_text("speed\n1\n")
    (found,) = judged(tmp_path)
    assert "load" in found.wrong
    assert found.wrong in "\n".join(lines([found]))


def test_a_folder_of_nothing_gives_nothing(tmp_path: Path) -> None:
    assert list(judged(tmp_path)) == []


ROBOT = """normal
\t-1\t-1\t63\t-3\t-1\t0
\t0\t0\t62\t-3\t-1\t0

normal
\t0\t-1\t63\t-3\t0\t0
\t-1\t0\t62\t-3\t-1\t0

collision
\t-1\t-1\t63\t-3\t-1\t0
\t-90\t40\t20\t-3\t-1\t0
\t-95\t41\t21\t-3\t-1\t0
"""


def test_a_robots_failures_are_held_against_its_normal_cases() -> None:
    some = cases(ROBOT)
    assert [(label, len(rows)) for label, rows in some] == [("normal", 2), ("normal", 2), ("collision", 3)]
    normal, collision = robot("lp.data", some)
    assert normal.told is not None
    assert collision.told is not None
    assert (normal.told.hits, normal.told.trials) == (0, 1)
    assert (collision.told.hits, collision.told.trials) == (1, 1)


def test_without_a_normal_case_nothing_is_taught() -> None:
    (found,) = robot("lp.data", [("collision", np.zeros((3, 6)))])
    assert found.wrong == "no case labelled normal"


@given(st.text())
def test_whatever_a_file_holds_is_read(text: str) -> None:
    for label, rows in cases(text):
        assert label
        assert rows.shape[1] == 6
        assert np.isfinite(rows).all()


@needs_real_data
@pytest.mark.full
def test_real_collisions_are_told_and_real_cutting_raises_nothing() -> None:
    found = list(judged(DATA))
    assert [f.name for f in found if f.normal and (f.stops or (f.told is not None and f.told.hits))] == []
    assert all(f.told.value > 0.9 for f in found if f.told is not None and not f.normal)
