from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bus.bag import BagReader
from bus.bag.cut import cut
from bus.cli.replay import command
from bus.replay.expected import beside
from bus.replay.window import AFTER_S, BEFORE_S
from bus.target import node_class, target_of
from tests.bus.replay.tapes import record, rewrite

ROOT = Path(__file__).parents[3]
CRASH = ROOT / "tests" / "bags" / "vmc1_crash.mcap"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("cli") / "saw.mcap")


@pytest.fixture
def bag(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(recorded, tmp_path / "saw.mcap"))


def rise(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_no_differences(bag: Path) -> None:
    done = rise("mill1/judge", bag)
    assert done.exit_code == 0
    assert done.stdout.startswith("no differences: mill1/judge, ")
    assert rise("tests.bus.replay.toys:Judge", bag).exit_code == 0


@pytest.mark.parametrize(
    ("alone", "said"),
    [
        (["--before", 3], "--before and --after go with --around"),
        (["--start", 0, "--after", 3], "--before and --after go with --around"),
        (["--warm-up", 3], "--warm-up goes with --around, or --start and --end"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(bag: Path, alone: list[object], said: str) -> None:
    done = rise("mill1/judge", bag, *alone)
    assert done.exit_code == 2
    assert said in done.output


def test_another_limit(bag: Path) -> None:
    done = rise("mill1/judge", bag, "-p", "limit_pct=120")
    assert done.exit_code == 1
    assert "STOP -> (nothing)   load 10" in done.stdout
    assert "(after divergence)" in done.stdout


def test_a_part_is_answered_as_the_whole_is(bag: Path) -> None:
    part = ["--around", "3.234", "--before", "0.5", "--after", "0.5", "--warm-up", "1"]
    same = rise("vmc1/impact_cortex", CRASH, *part)
    assert "impact/intervention" not in same.stdout
    assert "note: vmc1 impact/beat: counts from before, so compared by its steps: count" in same.stdout
    blind = ["-p", "limit_pct=155", "-p", "axis_limit_pct=400", "-p", "cusum_threshold_pct_s=1e4"]
    other = rise("vmc1/impact_cortex", CRASH, *part, *blind)
    assert other.exit_code == 1
    assert "vmc1 impact/intervention  3.234 s  FEED_HOLD -> (nothing)" in other.stdout
    told = json.loads(rise("vmc1/impact_cortex", CRASH, "--start", "2.2", "--end", "3", "--json").stdout)
    # an engine that has learned more tasks since says more margins
    decided = [line for line in told["differences"] if "impact/assessment" not in line]
    assert (told["compared_from_s"], decided) == (2.2, [])


def test_bags_of_one_recording_are_given_together(bag: Path, tmp_path: Path) -> None:
    with BagReader(bag) as reader:
        middle_ns = (reader.start_ns + reader.end_ns) // 2
    first, second = tmp_path / "1.mcap", tmp_path / "2.mcap"
    cut(bag, first, end_ns=middle_ns)
    cut(bag, second, start_ns=middle_ns)
    assert (
        rise("mill1/judge", first, second).stdout.split(" replayed in")[0]
        == (rise("mill1/judge", bag).stdout.split(" replayed in")[0])
    )
    twice = rise("mill1/judge", bag, second)
    assert twice.exit_code == 2
    assert "no continuation of it" in twice.stderr


def test_as_json(bag: Path) -> None:
    done = rise("mill1/judge", bag, "--json", "-p", "limit_pct=120")
    told = json.loads(done.stdout)
    assert told["node"] == "mill1/judge"
    assert told["parameters"] == {"limit_pct": 120.0}
    assert told["identical"] is False
    assert len(told["differences"]) > 3
    assert json.loads(rise("mill1/judge", bag, "--json").stdout)["identical"] is True


def test_update_and_against(bag: Path, tmp_path: Path) -> None:
    expected = beside(bag, "mill1/judge")
    done = rise("mill1/judge", bag, "--update", "-p", "limit_pct=120")
    assert done.exit_code == 0
    assert str(expected) in done.stdout
    assert rise("mill1/judge", bag, "-p", "limit_pct=120", "--against", expected).exit_code == 0
    assert rise("mill1/judge", bag, "--against", expected).exit_code == 1
    other = Path(shutil.copy(bag, tmp_path / "other.mcap"))
    assert rise("mill1/judge", bag, "--against", other).exit_code == 0


def test_losses_are_no_reference(bag: Path, tmp_path: Path) -> None:
    lossy = rewrite(bag, tmp_path / "lossy.mcap", lambda m: m.topic != "mill1/toy/job")
    done = rise("mill1/judge", lossy, "--update")
    assert done.exit_code == 2
    assert "this bag is no reference:" in done.stderr
    assert "mill1/toy/job" in done.stderr
    assert not beside(lossy, "mill1/judge").exists()


def test_the_help_says_what_is_meant_when_nothing_is_given() -> None:
    said = " ".join(rise("--help").stdout.split())
    for option, seconds in (("before --around", BEFORE_S), ("after --around", AFTER_S)):
        assert f"{option}; {seconds:g} when not given" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mill1/judge", "-p", "limit_pct=1000"], "above 200"),
        (["mill1/judge", "-p", "limt_pct=10"], "limit_pct"),
        (["mill1/judge", "-p", "limit_pct"], "expected NAME=VALUE"),
        (["elsewhere/x"], "there is mill1/judge, mill1/saw"),
        (["mill1/jugde"], "did you mean 'mill1/judge'?"),
        (["nodes.nothing"], "nodes.nothing"),
        (["mill1/judge", "--against", "absent.mcap"], "absent.mcap"),
        (["mill1/judge", "--against", "absent.expected.txt"], "absent.expected.txt"),
        (["mill1/judge", "--around", "1", "--start", "1"], "not both"),
        (["mill1/judge", "--start", "3", "--end", "2"], "from 3 s to 2 s"),
        (["mill1/judge", "--around", "1000"], "nothing lies in that window"),
        (["mill1/judge", "--around", "0.2", "--update"], "take one bag, and the whole of it"),
    ],
)
def test_mistakes_are_told_without_a_traceback(bag: Path, arguments: list[str], said: str) -> None:
    done = rise(arguments[0], bag, *arguments[1:])
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.output


def test_a_file_that_is_no_bag(tmp_path: Path) -> None:
    (tmp_path / "no.mcap").write_bytes(b"nothing of the kind")
    assert rise("mill1/judge", tmp_path / "no.mcap").exit_code == 2
    assert rise("mill1/judge", tmp_path / "absent.mcap").exit_code == 2


def test_step_stops_before_a_callback_with_node_and_message_in_scope(bag: Path) -> None:
    # its own process: click's runner keeps debuggers away from the input it is given
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from bus.cli.replay import command; command()"
    arguments = [str(ROOT), "mill1/judge", str(bag), "--step", "--at", "0.01"]
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments],
        input="p self.name\np sorted(locals())\nc\nq\n",
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "(Pdb) 'mill1/judge'" in done.stdout
    assert "'self']" in done.stdout
    assert done.stdout.count("q: quit") == 2
    assert "differences" not in done.stdout


def test_step_to_the_end_gives_the_result(bag: Path) -> None:
    done = rise("mill1/judge", bag, "--step", "--at", "1000")
    assert done.exit_code == 0
    assert "no differences" in done.stdout


def test_a_node_from_a_file_is_found_by_its_name_wherever_the_shop_lies(bag: Path, tmp_path: Path) -> None:
    node = "from tests.bus.replay.toys import Judge as Toy\n\n\nclass Judge(Toy):\n    pass\n"
    for shop in ("here", "moved"):
        (tmp_path / shop / "nodes").mkdir(parents=True)
        (tmp_path / shop / "nodes/judge.py").write_text(node)
    target = target_of(node_class(str(tmp_path / "here/nodes/judge.py")))
    assert target == "nodes/judge.py:Judge"

    moved = rewrite(bag, tmp_path / "moved/saw.mcap", lambda m: True, target=target)
    assert rise("mill1/judge", moved).exit_code == 0
    two = rise(tmp_path / "moved/nodes/judge.py", moved)
    assert two.exit_code == 2
    assert "mill1/judge, mill1/saw are all Judge" in two.stderr
    alone = rise("mill1/judge", shutil.copy(moved, tmp_path / "alone.mcap"))
    assert alone.exit_code == 2
    assert "there is no nodes/judge.py in a folder above" in alone.stderr
