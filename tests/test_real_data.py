"""The command line of the run over real recordings."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.real_data import main


def test_options_may_stand_between_the_folder_and_the_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["real_data", str(tmp_path), "--speed", "1", "experiment_01"])
    assert main() == 2
    assert "no smart_michigan/experiment_*.csv" in capsys.readouterr().err
