"""The demo cell with the real hub, in a process of its own and a domain of its own."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO

from tests.soak.ending import ends_with_us

ROOT = Path(__file__).parents[3]
READY_WITHIN_S = 40.0
END_WITHIN_S = 20.0
RUNS_WITHIN_S = 30.0
ADDRESS = re.compile(r"dashboard: (http://\S+)")


class Cell:
    """`rise launch launch/cell.py`, ready with the address of its dashboard when the block begins, ended after it."""

    def __init__(self, *arguments: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rise-", dir="/tmp"))
        self.arguments = arguments
        self.said: deque[str] = deque(maxlen=500)
        self.url = ""
        self._lines: queue.Queue[str] = queue.Queue(10_000)

    def __enter__(self) -> Cell:
        env = {
            **os.environ, "RISE_RUNTIME_DIR": str(self.folder / "run"), "XDG_STATE_HOME": str(self.folder / "state"),
            "RISE_STATE_DIR": str(self.folder / "state"), "RISE_DOMAIN": "browser", "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        command = [sys.executable, "-P", "-m", "bus.cli", "launch", "launch/cell.py", *self.arguments]
        self.env = env
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=ends_with_us,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self.reader.start()
        try:
            self.url = self.wait_for(ADDRESS, READY_WITHIN_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    @property
    def base(self) -> str:
        """The address without its one-time key."""
        return self.url.partition("#")[0]

    def _read(self, pipe: IO[str]) -> None:
        for line in pipe:
            self.said.append(line.rstrip())
            try:
                self._lines.put_nowait(line)
            except queue.Full:
                self._lines.get_nowait()  # only the newest matter to whoever waits

    def wait_for(self, pattern: re.Pattern[str], within_s: float) -> str:
        """The first group of the first line that has the pattern. Raises TimeoutError with what was said instead."""
        until = time.monotonic() + within_s
        while (left := until - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            if found := pattern.search(line):
                return found[1]
        raise TimeoutError(f"no {pattern.pattern!r} within {within_s} s:\n" + "\n".join(self.said))

    def rise(self, *words: str) -> str:
        """What a `rise` command says of this cell."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "bus.cli", *words],
            cwd=ROOT, env=self.env, text=True, capture_output=True, timeout=30, check=True,
        )  # fmt: skip
        return done.stdout

    def runs(self, machine: str) -> None:
        """Release a machine that is held until it runs its program again. Raises TimeoutError."""
        until = time.monotonic() + RUNS_WITHIN_S
        while time.monotonic() < until:
            told = json.loads(self.rise("topic", "echo", f"{machine}/machine/state", "--once", "--json"))
            if told["message"]["execution"] == "ACTIVE":
                return
            request = '{"operator": "test", "reason": "go on"}'
            subprocess.run(
                [sys.executable, "-P", "-m", "bus.cli", "service", "call", f"/{machine}/machine/reset", request],
                cwd=ROOT, env=self.env, capture_output=True, timeout=30, check=False,
            )  # fmt: skip
        raise TimeoutError(f"{machine} does not run")

    def __exit__(self, *exc: object) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(END_WITHIN_S)  # the pipe ends with whoever of the cell is the last to hold it
        if self.process.stdout is not None and not self.reader.is_alive():
            self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)
