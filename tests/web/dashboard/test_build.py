"""The build of the page: small, without an address of a registry, and where it fails it says why."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DASHBOARD = ROOT / "web" / "dashboard"
PAGE_MAX = 150_000
TOOLS = ("sh", "dirname", "find", "sort", "xargs", "sha256sum", "cut", "cat", "flock", "timeout", "tail", "rm", "env")


def test_the_lock_names_no_registry() -> None:
    packages = json.loads((DASHBOARD / "package-lock.json").read_text())["packages"]
    assert packages
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert not [name for name, package in packages.items() if name and not package.get("integrity")]
    assert "http" not in (DASHBOARD / ".npmrc").read_text() + (DASHBOARD / "node.lock").read_text()


def test_without_node_the_build_says_why_and_what_to_do(tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("node_modules", "dist", "build-failed.txt*")
    shutil.copytree(DASHBOARD, tmp_path / "web" / "dashboard", ignore=ignore)
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "dashboard", tmp_path / ".ci")
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (tools / tool).symlink_to(found)

    def build(*words: str) -> subprocess.CompletedProcess[str]:
        """With no Node on the PATH, and no .venv that could fetch one."""
        script, environment = tmp_path / ".ci" / "dashboard", {**os.environ, "PATH": str(tools)}
        return subprocess.run([script, *words], env=environment, capture_output=True, text=True, timeout=50)

    done = build()
    assert done.returncode == 1
    assert "no Node 20.19 or newer" in done.stderr
    assert "make dashboard" in done.stderr
    assert "no Node 20.19 or newer" in (tmp_path / "web" / "dashboard" / "build-failed.txt").read_text()
    again = build("once")
    assert again.returncode == 1
    assert "could not be built last time" in again.stderr
    assert "no Node" not in again.stderr  # it was not tried
    (tmp_path / "web" / "dashboard" / "src" / "main.ts").write_text("// changed\n")
    assert "no Node 20.19 or newer" in build("once").stderr


@pytest.mark.full
def test_the_second_build_is_free_and_the_page_is_small() -> None:
    first = subprocess.run([ROOT / ".ci" / "dashboard"], capture_output=True, text=True, timeout=55)
    assert first.returncode == 0, first.stderr
    stamp = (DASHBOARD / "dist" / "index.html").stat().st_mtime_ns
    again = subprocess.run([ROOT / ".ci" / "dashboard"], capture_output=True, text=True, timeout=55)
    assert (again.returncode, again.stderr) == (0, "")
    assert (DASHBOARD / "dist" / "index.html").stat().st_mtime_ns == stamp
    page = [p for p in (DASHBOARD / "dist").rglob("*") if p.is_file() and p.name != ".stamp"]
    size = sum(len(gzip.compress(p.read_bytes(), 6)) for p in page)
    assert size <= PAGE_MAX, f"{size} bytes gzipped"


@pytest.mark.full
def test_units_of_the_page() -> None:
    done = subprocess.run([ROOT / ".ci" / "dashboard", "test"], capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stdout + done.stderr
