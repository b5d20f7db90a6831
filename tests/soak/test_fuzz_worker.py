"""The judge of answers: what it must find, it finds; and a worker's last line is its report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.soak.fuzz_target import Target
from tests.soak.fuzz_worker import MEMORY_BYTES, Report, mutate


def judged(run: Callable[[bytes], object], folder: Path | None = None, *, wordy: bool = False) -> Report:
    target = Target("made_up", run, (ValueError,), [b"seed"], wordy=wordy)
    return mutate(target, 30, 0.0, 1, folder)


def refuse(text: str) -> Callable[[bytes], object]:
    def run(data: bytes) -> None:
        raise ValueError(text)

    return run


def test_values_and_documented_errors_are_right_answers() -> None:
    assert not judged(lambda data: None).findings
    refused = judged(refuse("because"))
    assert not refused.findings
    assert refused.refused == refused.inputs == 30


@pytest.mark.parametrize(
    ("text", "kind"),
    [("", "with a text of 0 characters"), ("x" * 5000, "with a text of 5000"), ("\udcff", "that is no UTF-8")],
)
def test_an_error_that_says_nothing_or_too_much_is_wrong(text: str, kind: str) -> None:
    (found,) = judged(refuse(text)).findings
    assert kind in found.kind
    assert not judged(refuse("x" * 5000), wordy=True).findings, "a person may be shown what it wrote"


def test_another_exception_is_found_once_with_its_shortest_input(tmp_path: Path) -> None:
    def run(data: bytes) -> None:
        if len(data) > 2:
            raise KeyError(len(data))

    report = judged(run, tmp_path)
    (found,) = report.findings
    assert (found.kind, found.where.startswith("tests/soak/test_fuzz_worker.py:")) == ("KeyError", True)
    assert found.count > 5
    kept = Path(found.file).read_bytes()
    assert 2 < len(kept) <= 4, "the seed, or what is shorter"


def test_a_hang_is_found_also_where_exceptions_are_caught() -> None:
    calls = []

    def run(data: bytes) -> None:
        calls.append(data)
        while len(calls) == 3:
            try:
                sum(range(1000))
            except Exception:  # an input that hangs in here must not get away
                continue

    (found,) = judged(run).findings
    assert found.kind == "Hang"


def test_memory_without_a_bound_is_found() -> None:
    def run(data: bytes) -> None:
        np.ones(MEMORY_BYTES // 4)

    (found,) = judged(run).findings
    assert found.kind in ("MemoryError", "_ArrayMemoryError", "ArrayMemoryError")


def test_what_a_batch_left_is_found_with_all_of_it_and_can_be_fed_again(tmp_path: Path) -> None:
    held: list[bytes] = []

    def settle() -> None:
        heard = held.copy()
        held.clear()
        if b"seed" in heard:
            raise KeyError(len(heard))

    target = Target("made_up", held.append, (), [b"seed"], settle=settle, batch=20)
    report = mutate(target, 43, 0.0, 1, tmp_path)
    (found,) = report.findings
    assert report.inputs == 43
    assert not held, "the rest is settled too"
    with pytest.raises(KeyError):
        target.feed(Path(found.file).read_bytes())


def test_a_worker_says_what_became_of_it(tmp_path: Path) -> None:
    words = [sys.executable, "-P", "-m", "tests.soak.fuzz_worker", "name", "--inputs", "500", "--out", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, timeout=50, check=True)
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["target"], report["inputs"], report["findings"]) == ("name", 500, [])
    assert (tmp_path / "name.input").exists()
