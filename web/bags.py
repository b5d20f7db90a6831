"""The bags of the recorder, and what a node would have decided with another parameter: replayed in a process beside."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus.entry import Entry
from bus.logs import bags_folder
from schemas.sayable import sayable

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,150}\.mcap")
WITHIN_S = 30.0
AT_ONCE = 2
OUTPUT_MAX = 4 * 1024 * 1024
LISTED_MAX = 2000
_room = asyncio.Semaphore(AT_ONCE)


class NoReplay(RuntimeError):
    """The bag could not be replayed; says why. `.status` is the HTTP status that says whose fault it is."""

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


def command(bag: Path, node: str, parameters: Mapping[str, str], part: Mapping[str, float]) -> list[str]:
    """What is run: `rise replay NODE BAG -p ...`."""
    words = [sys.executable, "-P", "-m", "bus.cli", "replay", "--json"]
    for name, value in parameters.items():
        words += ["-p", f"{name}={value}"]
    for name, seconds in part.items():
        words += [f"--{name}", f"{seconds:.3f}"]
    return [*words, "--", node, str(bag)]


async def replayed(bag: Path, node: str, parameters: Mapping[str, str], part: Mapping[str, float]) -> dict[str, Any]:
    """What the node decides otherwise, in lines that people read.

    Raises:
        NoReplay: the bag, node or parameter is wrong; or it takes too long.
    """
    if _room.locked():
        raise NoReplay(503, f"{AT_ONCE} replays run already: try again in a moment")
    async with _room:
        child = await asyncio.create_subprocess_exec(
            *command(bag, node, parameters, part),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(WITHIN_S):
                assert child.stdout is not None
                assert child.stderr is not None
                out, said = await asyncio.gather(_read(child.stdout), _read(child.stderr))
                await child.wait()
        except TimeoutError:
            text = f"the replay took more than {WITHIN_S:g} s: ask for a part of the bag (around, start, end)"
            raise NoReplay(504, text) from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
    if child.returncode not in (0, 1, 2) or not out:
        text = said.decode("utf-8", "replace").strip().removeprefix("Error: ")
        raise NoReplay(422 if child.returncode == 2 else 500, text or f"exit code {child.returncode}")
    report: dict[str, Any] = json.loads(out)
    return report


async def _read(stream: asyncio.StreamReader) -> bytes:
    """All that a process writes. Raises NoReplay when it is more than anybody reads."""
    data = bytearray()
    while part := await stream.read(65536):
        data += part
        if len(data) > OUTPUT_MAX:
            raise NoReplay(422, f"the answer is longer than {OUTPUT_MAX // 2**20} MiB: ask for a part of the bag")
    return bytes(data)
