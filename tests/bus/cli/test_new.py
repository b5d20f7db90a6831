"""What `rise new shop` refuses, and its lines to paste; that the shop runs: tests/launch/test_shipped.py."""

from __future__ import annotations

import shlex
from pathlib import Path

from bus.cli.new import ROOT
from tests.bus.cli.shop import rise


def test_a_folder_inside_the_checkout_is_refused() -> None:
    done = rise("new", "shop", ROOT / "launch/mine")
    assert (done.exit_code, "is inside the checkout" in done.stderr) == (2, True)
    assert not (ROOT / "launch/mine").exists()


def test_a_folder_that_cannot_be_written_is_told_in_words() -> None:
    done = rise("new", "shop", "/proc/x")
    assert (done.exit_code, "cannot write /proc/x: " in done.stderr) == (2, True)
    assert "Errno" not in done.stderr


def test_the_lines_to_paste_are_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "my shop"
    lines = [shlex.split(line) for line in rise("new", "shop", folder).stdout.splitlines() if " launch " in line]
    file = str(folder / "launch/shop.py")
    assert [words[1:] for words in lines] == [["launch", file, "--check"], ["launch", file]]
    assert Path(lines[0][0]).is_file()
