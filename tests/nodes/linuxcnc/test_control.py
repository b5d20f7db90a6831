"""LinuxCNC as a child: started as a plain user, one on a computer, and nothing left of it however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nodes.linuxcnc.control import LOCK, MEMORY, Control, NotPossible, installed, parts
from nodes.linuxcnc.node import MILL, LinuxCnc
from tests.nodes.linuxcnc.mill import USER, mill, needs_linuxcnc, wait_for

RUNNER = """
import sys, threading
from pathlib import Path
from nodes.linuxcnc.control import Control
for line in Control(Path(sys.argv[1]), sys.argv[2]).lines(threading.Event()):
    print(line, flush=True)
"""


def nothing_left() -> bool:
    return not parts() and not LOCK.exists() and len(MEMORY.read_text().splitlines()) == 1


def runs() -> bool:
    return {"milltask", "rtapi_app"} <= set(parts().values())


def test_what_is_missing_is_a_mistake_before_anything_starts(tmp_path: Path) -> None:
    ids = [id_ for id_, *_ in LinuxCnc.mistakes({"config": str(tmp_path / "gone.ini"), "user": USER})]
    assert ids == ([] if installed() else ["linuxcnc-missing"]) + ["linuxcnc-config"]
    assert "linuxcnc-config" not in [id_ for id_, *_ in LinuxCnc.mistakes({"config": "", "user": USER})]


@pytest.mark.parametrize(
    ("ini", "user", "said"), [("gone.ini", USER, "is no file"), ("mill.ini", "nobody_here", "no user")]
)
@pytest.mark.skipif(not installed() or os.geteuid() != 0, reason="asked for only where LinuxCNC is, by root")
def test_what_cannot_run_is_said(ini: str, user: str, said: str) -> None:
    with pytest.raises(NotPossible, match=said):
        Control(MILL.with_name(ini), user)


@needs_linuxcnc
class TestReal:
    def test_it_runs_refuses_a_second_and_leaves_nothing(self) -> None:
        with mill() as one:
            assert wait_for(runs)
            with pytest.raises(NotPossible, match="runs already"):
                next(iter(Control(MILL, USER).lines(threading.Event())))
            assert any("mill.ini" in line for line in one.said)
            assert not any("libnml" in line for line in one.said)
        assert nothing_left()

    def test_its_script_killed_takes_the_rest_along_and_it_starts_again(self) -> None:
        with mill() as one:
            assert wait_for(runs)
            os.kill(_script(), signal.SIGKILL)
            assert one.gone()
            assert not parts()
            one.start()
            assert wait_for(runs)
        assert nothing_left()

    def test_every_process_killed_is_an_end_and_it_starts_again(self) -> None:
        with mill() as one:
            assert wait_for(runs)
            for pid in parts():
                os.kill(pid, signal.SIGKILL)
            os.kill(_script(), signal.SIGKILL)
            assert one.gone()
            one.start()
            assert wait_for(runs)
        assert nothing_left()

    def test_whoever_runs_it_killed_it_cleans_up_by_itself(self) -> None:
        root = Path(__file__).parents[3]
        command = [sys.executable, "-P", "-c", RUNNER, str(MILL), USER]
        with subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(root)}, stdout=subprocess.DEVNULL
        ) as runner:
            assert wait_for(runs)
            runner.kill()
        assert wait_for(nothing_left)


def _script() -> int:
    """The process of `linuxcnc` itself."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"/usr/bin/linuxcnc" in words:
                return int(folder.name)
    raise AssertionError("LinuxCNC does not run")
