"""The fuzz part as somebody runs it: a table, an exit code, and what is left of a target that killed its process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak import fuzz_part


def soak(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "tests.soak", "fuzz", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


def test_a_table_with_a_row_for_each_target(tmp_path: Path) -> None:
    done = soak("name", "control", "--inputs", "300", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith(("name ", "control "))]
    assert [(row[0], row[1], row[-1]) for row in rows] == [("name", "300", "-"), ("control", "300", "-")]
    assert "600 inputs, " in done.stdout
    assert " 0 wrong answers" in done.stdout


def test_one_input_again(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"a/b")
    assert "answered rightly" in soak("--replay", tmp_path / "input", "name").stdout
    (tmp_path / "input").write_bytes(b"A")
    assert "BadName" in soak("--replay", tmp_path / "input", "name").stderr


def test_a_target_that_does_not_exist_is_told() -> None:
    done = soak("nome")
    assert done.returncode == 1
    assert "no target nome; there are codec," in done.stderr


def child(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


def test_a_worker_that_dies_or_waits_for_ever_leaves_its_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = tmp_path / "x.input"
    slot.write_bytes((3).to_bytes(8, "little") + b"abcold")
    said, blocked = fuzz_part._watched(child("import os; os.abort()"), slot)
    assert (fuzz_part._report(said), blocked) == (None, False)
    last = fuzz_part._last_input(tmp_path, "x")
    assert last is not None
    assert last.read_bytes() == b"abc"
    monkeypatch.setattr(fuzz_part, "BLOCKED_S", 0.0)
    monkeypatch.setattr(fuzz_part, "LOOK_S", 0.05)
    assert fuzz_part._watched(child("import signal; signal.pause()"), slot)[1]
