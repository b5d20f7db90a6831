"""A role's process, as the benchmarks drive it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


class Role:
    """Starts `tests.benchmarks.roles ROLE ...`; `go()` sends a line and waits for the answer."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-P", "-m", "tests.benchmarks.roles", *arguments]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._child.pid
        self._read()

    def go(self) -> dict[str, Any]:
        self.start()
        return self._read()

    def start(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write("go\n")
        self._child.stdin.flush()

    def finish(self) -> dict[str, Any]:
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._child.args!r} ended with {self._child.wait(10)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(5)
        if self._child.stdout is not None:
            self._child.stdout.close()

    def __enter__(self) -> Role:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
