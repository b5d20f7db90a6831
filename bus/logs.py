"""Where what outlives a process is kept, and reading the log files that the guards write there."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path


def state_root() -> Path:
    """`$RISE_STATE_DIR`, else `$XDG_STATE_HOME/fanuc-rise`, else `~/.local/state/fanuc-rise`."""
    given = os.environ.get("RISE_STATE_DIR")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "fanuc-rise"


def bags_folder() -> Path:
    """Where a recorder puts bags that is told nothing else."""
    return state_root() / "bags"


def log_folder(domain: str) -> Path:
    return state_root() / domain / "logs"


def log_path(domain: str, process: str) -> Path:
    """The newest log file of a process; older ones are `.1` (newer) to `.4`."""
    return log_folder(domain) / f"{process}.log"


def logged(domain: str) -> list[str]:
    """Names of the processes that have a log file."""
    folder = log_folder(domain)
    return sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.log"))


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines, from the file before the newest too where that is short."""
    lines: deque[str] = deque(maxlen=count)
    for part in (path.with_name(f"{path.name}.1"), path):
        if part.exists():
            with part.open(encoding="utf-8", errors="replace") as file:
                lines.extend(line.rstrip("\n") for line in file)
    return list(lines)


class Follower:
    """New lines of a log file as they come, across its rotation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("rb") if path.exists() else None
        if self.file:
            self.file.seek(0, os.SEEK_END)

    def lines(self) -> Iterator[str]:
        """Whole lines that have come since the last call."""
        while True:
            if self.file is None:
                if not self.path.exists():
                    return
                self.file = self.path.open("rb")
            while line := self.file.readline():
                if not line.endswith(b"\n"):
                    self.file.seek(-len(line), os.SEEK_CUR)
                    break
                yield line[:-1].decode("utf-8", "replace")
            if not self.path.exists() or os.fstat(self.file.fileno()).st_ino == self.path.stat().st_ino:
                return
            self.file.close()
            self.file = None

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None
