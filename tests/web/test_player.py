"""The player over a clock of the test's own, and through the hub's WebSocket to a page that is not ours."""

from __future__ import annotations

import queue
import shutil
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import msgpack
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bus.bag import BagReader
from bus.executor import Executor
from bus.host import Spec
from bus.testing import Domain
from tests.web.browser import Page, Sequence, url_of
from tests.web.test_reads import CRASH
from web import play_words
from web.node import FanucApi
from web.playback import Playback
from web.player import Player, Requests, frames
from web.protocol import BadRequest

TOPICS = ["*/machine/state", "*/machine/signals", "*/impact/intervention", "*/machine/motion", "vmc1/machine/samples"]


class Desk:
    """A player whose page and clock are in the test's hands: each look at the clock is a hundredth later."""

    def __init__(self, bag: BagReader, *asked: dict[str, Any], looks: int = 2000, step_s: float = 0.01) -> None:
        self.requests: Requests = queue.Queue(1000)
        self.said: list[dict[str, Any]] = []
        self._looks = looks
        self._step_s = step_s
        self._now_s = 0.0
        for request in asked:
            self.requests.put(msgpack.packb(request))
        self.player = Player(
            Playback(bag), self.requests, lambda f: self.said.append(msgpack.unpackb(f)), self._clock_s
        )
        self.player.run()

    def _clock_s(self) -> float:
        self._now_s += self._step_s
        self._looks -= 1
        if self._looks == 0:
            self.requests.put(None)
        return self._now_s

    def positions(self) -> list[dict[str, Any]]:
        return [s for s in self.said if s["op"] == "position"]


LAST = {"op": "seek", "at_ns": 2**62}
SUBSCRIBE = {"op": "subscribe", "id": 1, "topics": TOPICS}


@pytest.fixture
def bag() -> Iterator[BagReader]:
    with BagReader(CRASH) as bag:
        yield bag


def test_it_plays_to_the_end_at_the_speed_asked_for_and_stands_there(bag: BagReader) -> None:
    desk = Desk(bag, SUBSCRIBE, {"op": "play", "speed": 4.0}, looks=1000)
    last = desk.positions()[-1]
    assert (last["paused"], last["speed"], last["slipped_s"]) == (True, 4.0, 0.0)
    assert last["at_ns"] == bag.end_ns + 1
    assert any(s["op"] == "batch" for s in desk.said)


def test_paused_it_stays_and_a_seek_goes_there(bag: BagReader) -> None:
    at_ns = bag.start_ns + 2_000_000_000
    desk = Desk(bag, SUBSCRIBE, {"op": "seek", "at_ns": at_ns}, looks=100)
    assert {p["at_ns"] for p in desk.positions()} == {at_ns}
    assert [s["at_ns"] for s in desk.said if s["op"] == "sought"] == [at_ns]  # of several only the last


def test_a_slow_computer_plays_slower_and_says_so(bag: BagReader) -> None:
    desk = Desk(bag, SUBSCRIBE, {"op": "play", "speed": 1.0}, looks=9, step_s=0.7)
    assert desk.positions()[-1]["slipped_s"] > 0
    assert desk.positions()[-1]["at_ns"] < bag.start_ns + 1_000_000_000


def test_nonsense_is_answered_and_the_player_goes_on(bag: BagReader) -> None:
    desk = Desk(bag, {"op": "play", "speed": 1e9}, {"op": "dance"}, SUBSCRIBE, {"op": "ping", "n": 7}, LAST, looks=50)
    errors = [s["text"] for s in desk.said if s["op"] == "error"]
    assert len(errors) == 2
    assert "0.1..32" in errors[0]
    assert [s["n"] for s in desk.said if s["op"] == "pong"] == [7]
    assert any(s["op"] == "names" for s in desk.said)


def test_words() -> None:
    assert play_words.decode(msgpack.packb({"op": "seek", "at_ns": 5})) == play_words.Seek(5)
    for bad in (b"", b"\xff", msgpack.packb({"op": "seek"}), msgpack.packb({"op": "play", "speed": float("nan")})):
        with pytest.raises(BadRequest):
            play_words.decode(bad)


def test_frames_end_where_they_are_cut() -> None:
    whole = struct.pack("<I", 3) + b"abc"
    assert list(frames(BytesIO(whole + whole[:-1]))) == [b"abc"]
    assert list(frames(BytesIO(whole[:2]))) == []


# --- through the hub --------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(domain: Domain) -> Iterator[Executor]:
    folder = domain.root / "state" / "bags"
    folder.mkdir(parents=True)
    shutil.copy(CRASH, folder / "crash.mcap")
    (folder / "none.mcap").write_bytes(b"nothing")
    with domain.running(Spec(FanucApi, parameters={"port": 0})) as executor:
        yield executor


def test_a_bag_is_played_to_a_page_and_nothing_of_it_to_the_bus(hub: Executor) -> None:
    url = url_of(hub)
    with Page(url, "ws/bags/crash.mcap") as page, Page(url) as live:
        live.ask("subscribe", id=1, topics=TOPICS)
        page.ask("subscribe", id=1, topics=TOPICS)
        page.ask("play", speed=16.0)
        said = page.until(lambda s: s["op"] == "position" and s["at_ns"] > s["end_ns"])
        sequence = Sequence()
        begin = max(n for n, s in enumerate(said) if s["op"] == "sought")
        page.names = {s["topic"]: s for s in said[begin:] if s["op"] == "names"}
        for s in said[begin:]:
            sequence.take(page, s)
        assert (sequence.holes, sequence.gaps) == ([], [])
        assert sum(sequence.rows.values()) > 2500
        live.ask("ping", n=1)
        assert {s["op"] for s in live.until(lambda s: s["op"] == "pong")} == {"hello", "pong"}


@pytest.mark.parametrize(("name", "why"), [("gone.mcap", "there is no bag"), ("none.mcap", "is no bag")])
def test_a_bag_that_is_none_is_told_with_a_code_that_says_do_not_come_back(hub: Executor, name: str, why: str) -> None:
    with Page(url_of(hub), f"ws/bags/{name}") as page:
        assert why in page.until(lambda s: s["op"] == "error")[-1]["text"]
        with pytest.raises(ConnectionClosed) as closed:
            page.until(lambda s: False)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == play_words.NO_SUCH_BAG


def test_strangers_are_refused_and_only_so_many_are_played_to(hub: Executor) -> None:
    url = url_of(hub)
    with pytest.raises(InvalidStatus), Page(url, "ws/bags/crash.mcap", additional_headers={"Host": "evil.example"}):
        pass
    pages = [Page(url, "ws/bags/crash.mcap").__enter__() for _ in range(3)]
    try:
        for page in pages:
            page.until(lambda s: s["op"] == "hello")
        with Page(url, "ws/bags/crash.mcap") as fourth:
            assert "3 bags are played already" in fourth.until(lambda s: s["op"] == "error")[-1]["text"]
    finally:
        for page in pages:
            page.__exit__()
