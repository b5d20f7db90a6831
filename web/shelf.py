"""The bags of the recorder and what lies in each, read in processes beside the hub and kept.

Reading takes time and memory that the hub has not: whoever presses STOP must not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from web import bags
from web.bags import NoReplay

ANSWER_MAX_BYTES = 4 * 1024 * 1024
READ_WITHIN_S = 10.0
"""what lies in one bag"""
LIST_WITHIN_S = 1.0
"""what is not read by then is read when the list is asked for again"""
REPLAY_WITHIN_S = 30.0
REPLAYS_AT_ONCE = 2
KEPT_S = 300.0
"""so long after its last question a process is kept warm"""
READ_AGAIN_NS = 5_000_000_000
"""a bag that is being written has always changed: it is read so often at most"""


class Reader:
    """One process that reads bags: begun with its first question, one question at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._end: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        return self._lock.locked()

    async def ask(self, question: Mapping[str, Any], within_s: float) -> dict[str, Any]:
        """The answer to a question.

        Raises:
            NoReplay: why there is none.
        """
        async with self._lock:
            self._keep()
            try:
                async with asyncio.timeout(within_s):
                    said = await self._asked(question)
                    if "stale" in said:
                        await self._kill()
                        said = await self._asked(question)
            except TimeoutError:
                await self._kill()
                text = f"it took more than {within_s:g} s: ask for a part of the bag (around)"
                raise NoReplay(504, text) from None
            except BaseException:  # cancelled in the middle: its answer would be taken for that of the next question
                await self._kill()
                raise
            self._keep()
        if "said" not in said:
            raise NoReplay(int(said.get("status", 500)), str(said.get("text", "the code changes all the time")))
        answer: dict[str, Any] = said["said"]
        return answer

    async def warm(self) -> None:
        """Begin its process, so that the first question need not wait for that."""
        if not self.busy:
            async with self._lock:
                await self._begun()
                self._keep()

    async def _begun(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "web.bag_reader", limit=ANSWER_MAX_BYTES,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
        return self._process

    def _keep(self) -> None:
        """It is wanted until a while from now."""
        if self._end is not None:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(KEPT_S, self._unwanted)

    async def _asked(self, question: Mapping[str, Any]) -> dict[str, Any]:
        process = await self._begun()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
        except (BrokenPipeError, ConnectionResetError):
            line = b""
        except ValueError:
            await self._kill()
            most = f"{ANSWER_MAX_BYTES // 2**20} MiB"
            raise NoReplay(422, f"the answer is longer than {most}: ask for a part of the bag") from None
        if not line.endswith(b"\n"):
            await self._kill()
            raise NoReplay(500, f"the process that read it ended with {process.returncode}; the hub's log says more")
        said: dict[str, Any] = json.loads(line)
        return said

    def _unwanted(self) -> None:
        if not self.busy and self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()  # it ends with its input

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def close(self) -> None:
        """End the process."""
        if self._end is not None:
            self._end.cancel()
        await self._kill()


class Shelf:
    """Every bag of a folder, with what is known of it."""

    def __init__(self) -> None:
        self._lists = Reader()
        self._replays = [Reader() for _ in range(REPLAYS_AT_ONCE)]
        self._listing = asyncio.Lock()
        self._known: dict[str, tuple[int, int, dict[str, Any]]] = {}
        """by path: size and time of change when it was read, and what was in it"""

    async def listed(self, where: Path) -> list[dict[str, Any]]:
        """The bags of a folder, the newest first; `about` is null for what there was no time to read yet."""
        rows = await asyncio.to_thread(bags.listed, where)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + LIST_WITHIN_S
        async with self._listing:
            self._known = {row["path"]: self._known[row["path"]] for row in rows if row["path"] in self._known}
            for row in rows:
                if not self._is_known(row) and loop.time() < until_s:
                    self._known[row["path"]] = (row["size_bytes"], row["changed_ns"], await self._read(row["path"]))
                known = self._known.get(row["path"])
                row["about"] = None if known is None else known[2]
        await self._replays[0].warm()  # who looks at bags will ask one
        return rows

    def _is_known(self, row: Mapping[str, Any]) -> bool:
        size, changed_ns, _ = self._known.get(row["path"], (-1, 0, {}))
        if row["being_written"]:
            return size >= 0 and bool(row["changed_ns"] - changed_ns < READ_AGAIN_NS)
        return (size, changed_ns) == (row["size_bytes"], row["changed_ns"])

    async def _read(self, path: str) -> dict[str, Any]:
        try:
            return await self._lists.ask({"ask": "about", "bag": path}, READ_WITHIN_S)
        except NoReplay as error:
            return {"trouble": str(error)}

    async def replayed(
        self, bag: Path, node: str, parameters: Mapping[str, str], around_s: float | None
    ) -> dict[str, Any]:
        """What a node decides otherwise, in lines that people read.

        Args:
            around_s: only about this moment, in seconds from the beginning of the bag; None: all of it.

        Raises:
            NoReplay: the bag, node or parameter is wrong; or it takes too long.
        """
        reader = next((r for r in self._replays if not r.busy), None)
        if reader is None:
            raise NoReplay(503, f"{REPLAYS_AT_ONCE} replays run already: try again in a moment")
        question = {
            "ask": "replay", "bag": str(bag), "node": node, "around": around_s,
            "parameters": [f"{name}={value}" for name, value in parameters.items()],
        }  # fmt: skip
        return await reader.ask(question, REPLAY_WITHIN_S)

    async def close(self) -> None:
        """End the processes."""
        for reader in (self._lists, *self._replays):
            await reader.close()
