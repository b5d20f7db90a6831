"""`rise backtest`: a table of settings, as text, CSV, JSON and a drawing; mistakes told at once."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from bus.bag import BagReader
from bus.bag.cut import cut
from bus.cli.backtest import HEADS, command

CRASH = Path(__file__).parents[2] / "bags" / "vmc1_crash.mcap"
ENGINE = "vmc1/impact_cortex"


def rise(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_a_table_with_a_row_for_each_setting_says_that_these_are_decisions() -> None:
    done = rise(ENGINE, CRASH, "--vary", "limit_pct=85:385:300")
    assert done.exit_code == 0, done.output
    head, *rows = done.stdout.splitlines()
    assert [word in head for word in HEADS.values()] == [True] * len(HEADS)
    assert [row.split("  ")[0] for row in rows[:3]] == ["as recorded", "limit_pct=85", "limit_pct=385"]
    assert rows[3].startswith("decisions, not motions")
    assert "1 recordings of 4 s, 3 settings" in rows[-1]


def test_labels_give_misses_and_delays(tmp_path: Path) -> None:
    labels = tmp_path / "known.csv"
    labels.write_text("machine,start,end,kind\nvmc1,2.0,3.4,crash\nvmc2,0,4,fine\n")
    limits = ("--vary", "limit_pct=85,400", "--vary", "cusum_threshold_pct_s=1.2,9999", "--vary", "axis_limit_pct=400")
    done = rise(ENGINE, CRASH, *limits, "--labels", labels, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    by_setting = {json.dumps(row["setting"].get("limit_pct", 0)): row for row in told["settings"]}
    assert by_setting["85.0"]["justified"] == 1
    assert 0 < by_setting["85.0"]["delay_p50_ms"] < 1400
    assert by_setting["400.0"]["cannot_be_known"] + by_setting["400.0"]["justified"] == 1
    assert told["recordings"][0]["node"] == ENGINE


def test_what_two_bags_hold_counts_once(tmp_path: Path) -> None:
    """A folder of a recorder has the black boxes beside the bags out of which they are."""
    box = tmp_path / "black_box.mcap"
    with BagReader(CRASH) as reader:
        start_ns = reader.start_ns
    cut(CRASH, box, start_ns=start_ns + 1_000_000_000)
    alone = json.loads(rise(ENGINE, CRASH, "--vary", "limit_pct=85", "--json").stdout)
    done = rise(ENGINE, box, CRASH, "--vary", "limit_pct=85", "--json")
    assert done.exit_code == 0, done.output
    both = json.loads(done.stdout)
    assert alone["settings"][0]["interventions"] == 1
    assert both["settings"] == alone["settings"]
    (note,) = both["twice"]
    assert note.startswith(f"{box}: not counted for {ENGINE}: other bags hold the same time")
    assert f"note: {note}" in rise(ENGINE, box, CRASH).stdout
    assert json.loads(rise(ENGINE, box, "--json").stdout)["settings"][0]["interventions"] == 1


def test_the_table_as_a_file_and_as_a_drawing(tmp_path: Path) -> None:
    done = rise(
        ENGINE, CRASH, "--vary", "limit_pct=70:100:10", "--csv", tmp_path / "t.csv", "--plot", tmp_path / "t.svg"
    )
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [row["limit_pct"] for row in rows] == ["recorded", "70.0", "80.0", "90.0", "100.0"]
    assert {row["interventions"] for row in rows} <= {"0", "1"}
    assert rows[0]["delay_p50_ms"] == ""
    drawn = ElementTree.parse(tmp_path / "t.svg").getroot()
    assert drawn.tag.endswith("svg")


def test_all_mistakes_are_told_at_once_without_a_traceback(tmp_path: Path) -> None:
    none = tmp_path / "none.mcap"
    none.write_text("nothing")
    labels = tmp_path / "known.csv"
    labels.write_text("machine,start,end,kind\nvmc1,x,1,crash\n")
    done = rise(ENGINE, CRASH, none, "--vary", "limit_pc=1:2:1", "--labels", labels)
    assert done.exit_code == 2
    assert "no bag" in done.output
    assert "did you mean 'limit_pct'" in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((ENGINE, CRASH, "--labels", "nowhere.csv"), "nowhere.csv: No such file"),
        ((ENGINE, CRASH, "--reaction", "HALT"), "'HALT' is no reaction"),
        (("vmc9/impact_cortex", CRASH), "no node vmc9/impact_cortex"),
        (("nodes.nothing", CRASH), "there is no module"),
        ((ENGINE, CRASH, "--csv", "/nowhere/t.csv"), "there is no folder /nowhere"),
        ((ENGINE, CRASH, "--plot", "/dev"), "/dev: Is a directory"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[object, ...], said: str) -> None:
    done = rise(*arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output
