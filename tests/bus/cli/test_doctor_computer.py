from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from inotify_simple import INotify, flags

from bus.cli.doctor_computer import (
    INSTANCES_WARN,
    SOCKET_BUFFER_BYTES,
    Readings,
    checks,
    inotify_in_use,
    outdated,
    read,
)
from bus.testing import Domain
from tests.bus.cli.shop import rise
from tests.bus.namespaces import with_small_disk, without_inotify

DOCTOR = [sys.executable, "-P", "-m", "bus.rise", "doctor"]
WELL = Readings(python=(3, 11, 7), executable="/usr/bin/python3", state="/var/bags")


def test_a_computer_that_is_well() -> None:
    found = list(checks(WELL))
    assert {c.id for c in found if c.level == "ok"} == {
        "python", "packages", "runtime", "disk", "inotify", "sockets", "realtime", "clock", "domains",
    }  # fmt: skip
    assert len(found) == 9


@pytest.mark.parametrize(
    ("changed", "level", "text", "advice"),
    [
        ({"python": (3, 10, 1)}, "error python", "Python 3.10.1 (/usr/bin/python3)", "3.11 or newer is needed"),
        ({"outdated": {"click": "7.0 (needed: 8.1)"}}, "error python", "click 7.0 (needed: 8.1)", "make setup"),
        ({"own_rise": "/x/.venv/bin/rise"}, "note python", "not the one of this checkout", "/x/.venv/bin/rise has"),
        ({"mixed_roots": "nodes: not from the checkout"}, "error packages", "nodes: not from", ""),
        ({"runtime": "/r" * 50}, "error runtime", "too long for a socket's path", "set RISE_RUNTIME_DIR"),
        ({"runtime_writable": False}, "error runtime", "/run cannot be written", "a folder of yours"),
        ({"runtime_free_bytes": 1_000_000}, "error runtime", "/run: 1 MB free", "make room"),
        ({"disk_free_bytes": 4_100_000_000}, "warning disk", "4.1 GB free for bags and logs (/var/bags)", "several GB"),
        ({"disk_free_bytes": 100_000_000}, "error disk", "0.1 GB free", "nothing can be recorded: make room"),
        ({"inotify": (1000, 1024)}, "warning inotify", "1000 of this user's 1024 instances", "max_user_instances=1024"),
        ({"inotify": (3, INSTANCES_WARN - 1)}, "warning inotify", "at most 127 instances", "max_user_instances=1024"),
        ({"inotify_watches": (900, 1000)}, "warning inotify", "900 of this user's 1000 watches", "watches=8000"),
        ({"inotify_refused": True}, "error inotify", "all 1024 instances", "births and deaths are seen once"),
        ({"socket_buffers": {"rmem_max": 4096, "wmem_max": SOCKET_BUFFER_BYTES}}, "warning sockets",
         "net.core.rmem_max = 4096", f"sysctl net.core.rmem_max={SOCKET_BUFFER_BYTES}"),
        ({"fifo": False}, "note realtime", "gets a slice of 0.1 ms", "ulimit -r 10"),
        ({"fifo": False, "short_slice": False}, "warning realtime", "does nothing", "Linux 6.12 and newer"),
        ({"clock_synchronised": False}, "warning clock", "nothing keeps the system clock right", "chrony"),
        ({"clock_step_ns": -3_600_000_000_000}, "warning clock", "was set by -3600.0 s", "until every node"),
        ({"domains": {"cell": 2, "old": 0}}, "note domains", "nobody lives in old", "its folder below /run"),
    ],
)  # fmt: skip
def test_each_finding(changed: dict[str, Any], level: str, text: str, advice: str) -> None:
    (found,) = (c for c in checks(replace(WELL, **changed)) if c.level != "ok")
    assert f"{found.level} {found.id}" == level
    assert text in found.text
    assert advice in found.advice


def test_what_the_kernel_does_not_say_is_no_finding() -> None:
    silent = replace(WELL, inotify=(0, 0), inotify_watches=(0, 0), socket_buffers={}, clock_synchronised=None)
    assert {c.level for c in checks(silent)} == {"ok"}


def test_dependencies_that_are_missing_or_old() -> None:
    installed = {"click": "8.1.7", "numpy": "1.9", "pyzmq": "26.2.0rc1"}
    required = ["click>=8.1", "numpy>=1.26", "pyzmq>=26.2", "rich>=13.7", 'mypy>=1.13; extra == "dev"']
    assert outdated(required, lambda name: installed.get(name, "")) == {
        "numpy": "1.9 (needed: 1.26)",
        "rich": "is missing (needed: 13.7)",
    }


def test_this_computer_is_read(tmp_path: Path) -> None:
    found = read(tmp_path / "anchor.json")
    assert (found.python, found.executable) == (sys.version_info[:3], sys.executable)
    assert found.mixed_roots == ""
    assert found.outdated == {}
    assert found.inotify[1] == int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    assert found.socket_buffers.keys() == {"rmem_default", "wmem_default", "rmem_max", "wmem_max"}
    assert found.clock_step_ns == 0


def test_inotify_in_use_is_counted(tmp_path: Path) -> None:
    def mine() -> tuple[int, int]:
        return inotify_in_use(f"/proc/{os.getpid()}")

    instances, watches = mine()
    with INotify() as one, INotify() as other:
        one.add_watch(tmp_path, flags.CREATE)
        other.add_watch(tmp_path, flags.CREATE)
        other.add_watch(tmp_path.parent, flags.CREATE)
        assert mine() == (instances + 2, watches + 3)
        assert inotify_in_use() >= mine()
    assert mine() == (instances, watches)


def said(command: list[str], **environment: str) -> dict[str, Any]:
    """What a doctor of its own says, by id and level."""
    done = subprocess.run(
        [*command, "--json"], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert done.returncode == any(c["level"] == "error" for c in found)
    return {f"{c['level']} {c['id']}": c["text"] for c in found}


def test_a_foreign_package_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/__init__.py").touch()
    with Domain():
        found = said(DOCTOR, PYTHONPATH=str(tmp_path))
        assert f"web      {tmp_path}/web" in found["error packages"]
        assert "unset PYTHONPATH" in found["error packages"]
        assert "ok runtime" in found
        others = subprocess.run(
            [*DOCTOR[:-1], "topic", "list"],
            capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )  # fmt: skip
        assert (others.returncode, others.stderr.startswith("rise: web: not from the checkout")) == (2, True)


def test_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with Domain():
        found = said(with_small_disk(tmp_path / "state", DOCTOR), RISE_STATE_DIR=str(tmp_path / "state"))
    assert found["error disk"].startswith(f"0.0 GB free for bags and logs ({tmp_path}/state")


def test_without_rights() -> None:
    with Domain():
        found = said(without_inotify(DOCTOR))
    assert "instances of this user are taken" in found["error inotify"]
    assert "SCHED_FIFO" in found.get("note realtime", found.get("warning realtime", ""))


def test_a_clock_that_was_set(domain: Domain) -> None:
    with domain.session():
        path = domain.root / domain.name / "anchor.json"
        kept = json.loads(path.read_text())
        path.write_text(json.dumps({**kept, "anchor_ns": kept["anchor_ns"] - 60 * 10**9}))
        (clock,) = (c for c in json.loads(rise("doctor", "--json").stdout) if c["id"] == "clock")
    assert "was set by +60.0 s since the first node" in clock["text"]
