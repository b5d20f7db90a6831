"""A folder with a bag and one line of conftest is a test suite."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bus.replay import replay
from bus.replay.expected import beside, write
from tests.bus.replay.tapes import rewrite
from tests.bus.replay.toys import Judge

ROOT = Path(__file__).parents[3]


@pytest.fixture
def suite(tape: Path, tmp_path: Path) -> Path:
    """A folder of bags as a shop has it."""
    (tmp_path / "conftest.py").write_text("from bus.replay.pytest_plugin import pytest_collect_file\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    shutil.copy(tape, tmp_path / "saw.mcap")
    return tmp_path


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # its own process: the plugin must work from nothing but the file in the folder
    code = f"import sys, pytest; sys.path.insert(0, {str(ROOT)!r}); sys.exit(pytest.main(sys.argv[1:]))"
    command = [sys.executable, "-P", "-c", code, "-p", "no:cacheprovider", *arguments, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, cwd=folder, check=False)


def test_a_bag_is_a_test_for_each_of_its_nodes(suite: Path) -> None:
    done = run_pytest(suite, "-v")
    assert done.returncode == 0, done.stdout
    assert "saw.mcap::mill1/judge PASSED" in done.stdout
    assert "saw.mcap::mill1/saw PASSED" in done.stdout


def test_a_changed_decision_fails_with_the_difference_and_the_line_to_paste(suite: Path, tape: Path) -> None:
    rewrite(tape, suite / "cut.mcap", lambda m: True, words={"from": "saw.mcap", "node": "mill1/judge"})
    (suite / "saw.mcap").unlink()
    bag = suite / "cut.mcap"
    write(beside(bag, "mill1/judge"), bag, replay(Judge, bag, limit_pct=120.0))
    done = run_pytest(suite)
    assert done.returncode == 1
    assert "mill1/judge decides something else than cut.mill1.judge.expected.txt says:" in done.stdout
    assert "mill1 toy/verdict" in done.stdout
    assert "(nothing) -> STOP" in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.endswith(" replay mill1/judge cut.mcap --update"))
    program = suite / line.split()[0]
    assert program.is_file(), line
    assert "Traceback" not in done.stdout
    write(beside(bag, "mill1/judge"), bag, replay(Judge, bag))
    assert run_pytest(suite).returncode == 0


def test_a_bag_with_losses_is_refused_as_a_reference(suite: Path, tape: Path) -> None:
    (suite / "saw.mcap").unlink()
    rewrite(tape, suite / "lossy.mcap", lambda m: m.topic != "mill1/toy/job")
    done = run_pytest(suite)
    assert done.returncode == 1
    assert "the bag is no reference" in done.stdout
    assert "mill1/toy/job" in done.stdout


def test_a_file_that_is_no_bag_is_an_error_not_a_pass(suite: Path) -> None:
    (suite / "no.mcap").write_bytes(b"nothing of the kind")
    done = run_pytest(suite)
    assert done.returncode == 2
    assert "is no bag" in done.stdout
