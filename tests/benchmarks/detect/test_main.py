"""The command: its seeds, its frozen hash, and a tenth of everything against its bars."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.detect.__main__ import main, parser, tasks
from tests.benchmarks.detect.presets import PRESETS


def test_tuning_and_reporting_draw_from_other_seeds() -> None:
    every = [{seed for _, _, seed in tasks(seeds, 1, list(PRESETS))} for seeds in ("tuning", "reporting")]
    assert not every[0] & every[1]


def test_a_whole_run_is_a_thousand_crashes_and_four_hundred_hours_per_preset() -> None:
    todo = tasks("reporting", 1, list(PRESETS))
    assert sum(what == "hour" for what, _, _ in todo) == 400
    for name in PRESETS:
        assert len({seed for what, preset, seed in todo if (what, preset) == ("crash", name)}) == 1000
    tenth = tasks("reporting", 0.1, list(PRESETS))
    assert 10 * len(tenth) == len(todo)
    assert set(tenth) <= set(todo) < set(tasks("reporting", 2, list(PRESETS)))


def test_how_much_is_run() -> None:
    given = [parser().parse_args(words).times for words in ([], ["--tenth"], ["--times", "2"])]
    assert given == [1, 0.1, 2]


def test_a_folder_without_recordings_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only-folder", "--folder", str(tmp_path)]) == 2
    assert "columns.toml" in capsys.readouterr().err


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_tenth_of_the_reported_run_holds_its_bars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    code = main(["--tenth", "--json", str(file)])
    figures = json.loads(file.read_text())["presets"]
    said = capsys.readouterr().out
    assert code == 0, said
    for name in ("drive_torque", "accelerometer"):
        assert figures[name]["holds"], said
        assert (figures[name]["crashes"], figures[name]["machine_h"] >= 40.0) == (100, True)
    assert "by v, a" in said
