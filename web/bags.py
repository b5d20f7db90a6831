"""Where the recorder puts its bags, and which there are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus.entry import Entry
from bus.logs import bags_folder
from schemas.sayable import sayable

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,150}\.mcap")
LISTED_MAX = 2000


class NoReplay(RuntimeError):
    """The bag could not be read or replayed; says why. `.status` is the HTTP status that says whose fault it is."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(sayable(text, 2000))
        self.status = status


def folder(entries: Mapping[str, Entry]) -> Path:
    """Where the recorder of this domain puts its bags."""
    recorder = next((e for e in entries.values() if any(s.name == "bag/black_box" for s in e.serves)), None)
    given = recorder.parameters.get("directory") if recorder is not None else ""
    return Path(str(given)).expanduser() if given else bags_folder()


def listed(where: Path) -> list[dict[str, Any]]:
    """The bags of a folder, the newest first."""
    from bus.bag.recover import being_written

    rows = []
    for path in where.glob("*.mcap"):
        try:
            about = path.stat()
        except FileNotFoundError:  # the quota took it meanwhile
            continue
        rows.append((about.st_mtime_ns, path, about.st_size))
    rows.sort(reverse=True)
    return [
        {
            "name": path.name, "path": str(path), "size_bytes": size, "changed_ns": changed_ns,
            "black_box": path.name.startswith("black_box"), "being_written": being_written(path),
        }
        for changed_ns, path, size in rows[:LISTED_MAX]
    ]  # fmt: skip


def find(where: Path, name: str) -> Path:
    """A bag by its file name.

    Raises:
        NoReplay: there is none.
    """
    path = where / name
    if not NAME.fullmatch(name) or not path.is_file():
        raise NoReplay(404, f"there is no bag {name!r} in {where}")
    return path
