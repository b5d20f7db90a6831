"""What stands on the screen, pasted into a real shell, is the command that was meant, however narrow the terminal."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from nodes.console.paste import Shell

HOME = "/home/a machinist"
BAG = f"{HOME}/.local/state/fanuc-rise/bags/2026-11-25T19-33-14_cellb_and_a_rather_long_name_for_a_bag.mcap"
WORDS = ["rise", "replay", "vmc1/impact_cortex", BAG, "it's/b c.mcap", "--around", "602.06", "-p", "limit_pct=155"]


def pasted(lines: list[str]) -> list[str]:
    """The words a shell makes of the lines."""
    script = "set -- " + "\n".join(lines) + "\nprintf '%s\\n' \"$@\""
    done = subprocess.run(["sh", "-c", script], env={"HOME": HOME}, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("width", [20, 40, 80, 90, 100, 120, 200, 1000])
@pytest.mark.parametrize("home", [HOME, "/root"])
def test_a_folded_command_is_the_command(width: int, home: str) -> None:
    lines = Shell(cwd="/", home=home).folded(WORDS, width)
    assert all(len(line) <= width for line in lines)
    assert pasted(lines) == WORDS
    joined = "\n".join(lines).replace("\\\n", "")
    assert [w.replace("~", home) if w.startswith("~/") else w for w in shlex.split(joined)] == WORDS


def test_a_line_is_broken_between_words_where_they_fit() -> None:
    lines = Shell(cwd="/", home=HOME).folded(["rise", "replay", f"{HOME}/a.mcap", "-p", "limit_pct=155"], 24)
    assert lines == ["rise replay ~/a.mcap \\", "  -p limit_pct=155"]


def test_paths_are_told_from_where_the_reader_stands() -> None:
    shell = Shell(cwd="/srv/shop", home="/srv")
    assert shell.short("/srv/shop/bags/a.mcap") == "bags/a.mcap"
    assert shell.short("/srv/shops/a.mcap") == "/srv/shops/a.mcap"


def test_only_another_domain_is_named() -> None:
    assert Shell("rise").asks("ps") == ["rise", "ps"]
    assert Shell("rise", "cellb").asks("ps") == ["rise", "ps", "--domain", "cellb"]
