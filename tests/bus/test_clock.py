"""One time for a domain: anchored once, never stepping, renewed when nobody uses it."""

from __future__ import annotations

import json
import os
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bus import clock, ofd
from bus.host import Spec
from bus.node import Node, subscription
from bus.testing import Domain
from schemas import topics
from schemas.system import Diagnostics
from tests.bus.live import node, until
from tests.bus.toys.talk import SAID, Word
from tests.bus.toys.talk import __name__ as TOYS


def test_all_users_of_a_domain_share_one_anchor(tmp_path: Path) -> None:
    path = tmp_path / "anchor.json"
    first, a = clock.anchor(path)
    second, b = clock.anchor(path)
    assert first == second == json.loads(path.read_text())["anchor_ns"]
    assert abs(clock.WallClock(first).now_ns() - time.time_ns()) < clock.RENEW_STEP_NS
    a.close()
    b.close()


def _stepped(path: Path, **changed: object) -> int:
    kept = json.loads(path.read_text())
    kept.update(changed)
    path.write_text(json.dumps(kept))
    return int(kept["anchor_ns"])


def test_a_step_of_the_system_clock_moves_nobody_while_the_anchor_is_used(tmp_path: Path) -> None:
    path = tmp_path / "anchor.json"
    anchor_ns, file = clock.anchor(path)
    hour_ns = 3600 * 10**9
    stepped = _stepped(path, anchor_ns=anchor_ns - hour_ns)
    again, other = clock.anchor(path)
    assert again == stepped
    assert clock.WallClock(again).step_ns() == pytest.approx(hour_ns, abs=clock.RENEW_STEP_NS)
    file.close()
    other.close()
    renewed, last = clock.anchor(path)
    assert abs(clock.WallClock(renewed).step_ns()) < clock.RENEW_STEP_NS
    last.close()


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 4000, '{"anchor_ns": "x"}', "null", "\x00" * 9000])
def test_a_torn_or_foreign_anchor_is_written_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "anchor.json"
    path.write_text(text)
    found, file = clock.anchor(path)
    assert json.loads(path.read_text()) == {
        "anchor_ns": found,
        "boot_id": clock.boot_id(),
        "written_ns": pytest.approx(time.time_ns(), abs=60 * 10**9),
    }
    file.close()


def test_after_a_reboot_the_anchor_is_renewed(tmp_path: Path) -> None:
    path = tmp_path / "anchor.json"
    anchor_ns, file = clock.anchor(path)
    file.close()
    _stepped(path, boot_id="another boot")
    again, file = clock.anchor(path)
    assert json.loads(path.read_text())["boot_id"] == clock.boot_id()
    assert abs(again - anchor_ns) < clock.RENEW_STEP_NS
    file.close()


def test_an_anchor_that_somebody_keeps_writing_is_an_error_not_a_hang(tmp_path: Path) -> None:
    path = tmp_path / "anchor.json"
    writer = ofd.LockFile(path)
    assert writer.lock(ofd.EXCLUSIVE, 0)
    with pytest.raises(TimeoutError, match=r"anchor\.json: for 0\.05 s another process"):
        clock.anchor(path, deadline_s=0.05)
    writer.close()


@pytest.mark.parametrize("folder_stays", [True, False])
def test_an_anchor_that_is_removed_under_who_waits_for_it(tmp_path: Path, folder_stays: bool) -> None:
    path = tmp_path / "cell" / "anchor.json"
    path.parent.mkdir()
    leaver = ofd.LockFile(path)
    assert leaver.lock(ofd.EXCLUSIVE, clock.USE)
    came: list[ofd.LockFile | FileNotFoundError] = []

    def come() -> None:
        try:
            came.append(clock.anchor(path, deadline_s=20)[1])
        except FileNotFoundError as error:
            came.append(error)

    thread = threading.Thread(target=come)
    thread.start()
    fds = Path("/proc/self/fd")
    until(lambda: [os.path.realpath(fd) for fd in fds.iterdir()].count(str(path)) == 2)
    path.unlink()
    if not folder_stays:
        path.parent.rmdir()
    leaver.close()
    thread.join(20)
    (found,) = came
    assert isinstance(found, ofd.LockFile) == folder_stays
    if isinstance(found, ofd.LockFile):
        assert found.is_at(path)
        found.close()


def test_simulated_time_stands_still_and_says_when_it_jumps_back() -> None:
    sim = clock.SimClock()
    assert sim.now_ns() == 0
    assert not sim.set(5)
    assert not sim.set(5)
    assert sim.now_ns() == 5
    assert sim.set(4)
    assert sim.now_ns() == 4


def test_wall_clock_follows_the_monotonic_clock() -> None:
    wall = clock.WallClock(0)
    before = clock.monotonic_ns()
    assert before <= wall.now_ns() <= clock.monotonic_ns()


@pytest.mark.parametrize("anchor_ns", [10**30, -(10**30), 2**62, True])
def test_an_anchor_that_no_frame_could_carry_is_none(tmp_path: Path, anchor_ns: int) -> None:
    path = tmp_path / "anchor.json"
    path.write_text(json.dumps({"anchor_ns": anchor_ns, "boot_id": clock.boot_id()}))
    user = ofd.LockFile(path)
    assert user.lock(ofd.SHARED, 0)  # whoever wrote it is at it, so it cannot be renewed
    with pytest.raises(TimeoutError):
        clock.anchor(path, deadline_s=0.05)
    user.close()


class Watch(Node):
    """Writes down what a talker says, how old it is, and what it reports of itself."""

    def on_configure(self) -> None:
        self.numbers: list[int] = []
        self.ages_ns: list[int] = []
        self.reported: dict[str, str] = {}

    @subscription(SAID)
    def on_said(self, word: Word) -> None:
        self.numbers.append(word.number)
        self.ages_ns.append(self.now_ns() - self.source.stamp_ns)

    @subscription(topics.DIAGNOSTICS)
    def on_diagnostics(self, d: Diagnostics) -> None:
        if d.node == "talker":
            self.reported = {f.code: f.text for f in d.findings}


def test_the_system_clock_steps_an_hour_both_ways(
    domain: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset = tmp_path / "offset"

    def step(seconds: int) -> None:
        offset.with_suffix(".new").write_text(str(seconds))
        offset.with_suffix(".new").rename(offset)

    step(0)
    monkeypatch.setenv("STEPPING_OFFSET", str(offset))
    talker = (f"{TOYS}:Talker", "--name", "talker", "-p", "per_tick=1")
    with (
        domain.running(Spec(Watch, name="watch")) as watch,
        domain.process(*talker, module="tests.bus.toys.stepping"),
    ):
        seen: Any = node(watch)

        def reported(says: str) -> bool:
            found = seen.reported.get("clock_stepped", "")
            return says in found if says else not found

        def goes_on(count: int) -> bool:
            return len(seen.numbers) > count + 200

        for seconds, says in ((3600, "3600 s ahead of"), (-3600, "3600 s behind"), (0, "")):
            step(seconds)
            until(partial(reported, says))
            until(partial(goes_on, len(seen.numbers)))
    assert seen.numbers == list(range(seen.numbers[0], seen.numbers[0] + len(seen.numbers))), "its timer went on"
    assert min(seen.ages_ns) >= 0
    assert max(seen.ages_ns) < 60e9, "stamps stayed on the domain's time"
