"""The bags of a folder, and the processes that read them: answers of their own, and replaced when they die."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bus.cli.replay import command
from tests.web.test_reads import CRASH
from web import bag_reader
from web.bags import NoReplay
from web.shelf import Reader, Shelf

NODE = "vmc1/impact_cortex"
MEASURED = ("wall_s", "speed")


def with_shelf(do: Callable[[Shelf], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        shelf = Shelf()
        try:
            return await do(shelf)
        finally:
            await shelf.close()

    return asyncio.run(run())


def with_reader(do: Callable[[Reader], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        reader = Reader()
        try:
            return await do(reader)
        finally:
            await reader.close()

    return asyncio.run(run())


async def all_read(shelf: Shelf, folder: Path) -> dict[str, Any]:
    """What lies in each bag, once there was time for all."""
    while True:
        rows = await shelf.listed(folder)
        if all(row["about"] is not None for row in rows):
            break
    return {row["name"]: row for row in rows}


def test_every_bag_is_told_also_those_that_are_none(tmp_path: Path) -> None:
    shutil.copy(CRASH, tmp_path / "crash.mcap")
    (tmp_path / "none.mcap").write_bytes(b"nothing")
    (tmp_path / "empty.mcap").touch()
    os.utime(tmp_path / "crash.mcap", (1, 1))
    rows = with_shelf(lambda shelf: all_read(shelf, tmp_path))
    assert list(rows)[-1] == "crash.mcap"  # the oldest
    assert rows["crash.mcap"]["about"]["interventions"] == 2
    assert "is no bag" in rows["none.mcap"]["about"]["trouble"]
    assert "empty" in rows["empty.mcap"]["about"]["trouble"]


def test_a_bag_is_read_again_when_it_changes_and_forgotten_when_it_goes(tmp_path: Path) -> None:
    bag = tmp_path / "one.mcap"

    async def follow(shelf: Shelf) -> None:
        bag.write_bytes(b"nothing")
        assert (await all_read(shelf, tmp_path))["one.mcap"]["about"]["trouble"]
        shutil.copy(CRASH, bag)
        assert not (await all_read(shelf, tmp_path))["one.mcap"]["about"]["trouble"]
        bag.unlink()
        assert await all_read(shelf, tmp_path) == {}
        assert not shelf._known

    with_shelf(follow)


@pytest.mark.parametrize("around_s", [None, 3.2])
def test_a_warm_process_answers_as_rise_replay_does_however_often(around_s: float | None) -> None:
    async def both(shelf: Shelf) -> list[dict[str, Any]]:
        return [await shelf.replayed(CRASH, NODE, {"limit_pct": value}, around_s) for value in ("190", "85", "190")]

    warm = with_shelf(both)
    part = [] if around_s is None else ["--around", str(around_s)]
    for value, said in zip(("190", "85", "190"), warm, strict=True):
        done = CliRunner().invoke(command, [NODE, str(CRASH), "-p", f"limit_pct={value}", "--json", *part])
        cold = json.loads(done.stdout)
        assert {k: v for k, v in said.items() if k not in MEASURED} == {
            k: v for k, v in cold.items() if k not in MEASURED
        }
    assert any("impact/intervention" in line for line in warm[0]["differences"])
    assert not any("impact/intervention" in line for line in warm[1]["differences"])


def test_a_process_that_was_killed_is_told_and_the_next_question_has_another() -> None:
    async def kill(reader: Reader) -> Any:
        await reader.ask({"ask": "about", "bag": str(CRASH)}, 20)
        assert reader._process is not None
        reader._process.kill()
        await reader._process.wait()
        return await reader.ask({"ask": "about", "bag": str(CRASH)}, 20)

    assert with_reader(kill)["interventions"] == 2


def test_who_waits_too_long_is_told_and_the_next_question_gets_its_own_answer() -> None:
    async def late(reader: Reader) -> Any:
        with pytest.raises(NoReplay, match=r"more than 0\.001 s"):
            await reader.ask({"ask": "about", "bag": "none.mcap"}, 0.001)
        return await reader.ask({"ask": "about", "bag": str(CRASH)}, 20)

    assert with_reader(late)["interventions"] == 2


def test_code_that_changed_since_is_not_answered_with() -> None:
    assert not bag_reader.changed_since(2**62)
    newest = os.stat(bag_reader.__file__).st_mtime_ns
    assert bag_reader.changed_since(newest - 1)


def test_more_than_two_replays_at_once_are_refused() -> None:
    async def many(shelf: Shelf) -> list[Any]:
        asked = [shelf.replayed(CRASH, NODE, {"limit_pct": "190"}, None) for _ in range(3)]
        return list(await asyncio.gather(*asked, return_exceptions=True))

    said = with_shelf(many)
    assert [type(answer) for answer in said] == [dict, dict, NoReplay]
    assert said[2].status == 503
