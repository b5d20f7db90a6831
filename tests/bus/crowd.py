"""Processes that take names in a runtime directory, and what a watcher is told of them."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bus.discovery import Change, Directory

REGISTRANT = str(Path(__file__).with_name("registrant.py"))


class Nodes:
    """Starts processes that take names, and ends them with the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.started: list[subprocess.Popen[str]] = []

    def launch(self, call: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-P", REGISTRANT, str(self.root), call, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def start(self, name: str) -> subprocess.Popen[str]:
        process = self.launch("node", name)
        assert said(process) == ["there", str(process.pid)]
        return process


def said(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def leave(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(20) == 0


def wait(directory: Directory, enough: Callable[[list[Change]], bool], timeout_s: float = 20.0) -> list[Change]:
    """Changes as the kernel tells of them, without any sweep, until `enough`."""
    ends = time.monotonic() + timeout_s
    found: list[Change] = []
    while not enough(found):
        left_s = ends - time.monotonic()
        assert left_s > 0, f"only {found}"
        select.select([directory.fileno()], [], [], 0.002 if directory.pending else left_s)
        found += directory.changes()
    return found


def count(kind: type, n: int) -> Callable[[list[Change]], bool]:
    return lambda found: sum(isinstance(c, kind) for c in found) >= n


def left_in(root: Path) -> list[str]:
    """Files of nodes; nothing where the domain is gone altogether."""
    return [p.name for folder in ("nodes", "s") for p in (root / "cell" / folder).glob("*")]


def put(directory: Directory, file: str, content: bytes) -> Path:
    """A file among the entries."""
    new = directory.path / "nodes" / ".new"
    new.write_bytes(content)
    return new.rename(directory.path / "nodes" / file)
