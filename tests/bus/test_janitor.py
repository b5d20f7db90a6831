"""What a killed launcher leaves is removed; what belongs to others stays. Killed launchers: test_launcher.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bus.discovery import Directory
from tests.bus.crowd import Nodes


def janitor(root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-P", "-m", "bus.janitor", str(root), "cell"], stdin=subprocess.PIPE)


def test_what_the_dead_left_goes_with_the_end_of_its_input(nodes: Nodes, tmp_path: Path) -> None:
    waiting = janitor(tmp_path)
    nodes.start("core").kill()
    assert (tmp_path / "cell/nodes/core.json").exists()
    waiting.communicate(timeout=20)
    assert (waiting.returncode, list(tmp_path.iterdir())) == (0, [])


def test_who_is_in_the_domain_stays_there(nodes: Nodes, tmp_path: Path) -> None:
    nodes.start("core")
    waiting = janitor(tmp_path)
    waiting.communicate(timeout=20)
    assert waiting.returncode == 0
    assert list(Directory("cell", tmp_path).entries()) == ["core"]
