"""A recorded crash as a page sees it, at any moment: what was in force, what was done, and the rows up to there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgpack
import numpy as np
import pytest

from bus.bag import BagReader
from bus.bag.plain import unpack
from tests.web.browser import Page, Sequence
from tests.web.test_reads import CRASH
from web.playback import Playback
from web.protocol import BadRequest, Subscribe, Unsubscribe

EVERYTHING = Subscribe(
    1, ("*/machine/state", "*/machine/info", "*/machine/signals", "*/machine/motion", "*/impact/intervention")
)
ROWS = Subscribe(2, ("vmc1/machine/samples",))


@pytest.fixture
def playback() -> Iterator[Playback]:
    with BagReader(CRASH) as bag:
        made = Playback(bag)
        made.want(EVERYTHING)
        made.want(ROWS)
        yield made


class Seen(Page):
    """What a page has seen; nothing is connected."""

    def __init__(self) -> None:
        self.names: dict[int, dict[str, Any]] = {}
        self.said: list[dict[str, Any]] = []
        self.sequence = Sequence()

    def take(self, frames: Iterable[bytes]) -> None:
        for frame in frames:
            said = msgpack.unpackb(frame)
            if said["op"] == "sought":
                self.names, self.said, self.sequence = {}, [], Sequence()
            elif said["op"] == "names":
                self.names[said["topic"]] = said
            else:
                self.said.append(said)
                self.sequence.take(self, said)

    def messages(self, topic: str) -> list[dict[str, Any]]:
        batches = [b for b in self.said if b["op"] == "batch"]
        return [m[3] for b in batches for m in b["messages"] if self.names[m[0]]["name"] == topic]

    def times_ns(self) -> np.ndarray:
        rows = [s for b in self.said if b["op"] == "batch" for s in b["signals"]]
        return np.concatenate([s[4] + s[5] * np.arange(s[6]) for s in rows])


def stops(bag: BagReader) -> list[tuple[int, dict[str, Any]]]:
    found = bag.messages(topics=lambda topic: topic == "vmc1/machine/motion")
    return [(m.log_ns, unpack(m.channel.definition, m.payload)) for m in found]


def test_after_a_seek_all_that_was_so_is_told_and_nothing_that_came_later(playback: Playback) -> None:
    contact_ns = next(log_ns for log_ns, said in stops(playback.bag) if said["phase"] == "CONTACT")
    seen = Seen()
    seen.take(playback.seek(contact_ns + 1))
    assert [m["phase"] for m in seen.messages("vmc1/machine/motion")][-1] == "CONTACT"
    assert seen.messages("vmc1/impact/intervention") == []
    assert seen.messages("vmc1/machine/info")[-1]["machine"] == "vmc1"
    assert seen.messages("vmc1/machine/state")[-1]["execution"] == "ACTIVE"
    times_ns = seen.times_ns()
    assert contact_ns - 5_000_000 < times_ns[-1] <= contact_ns
    assert {c["name"] for n in seen.names.values() for c in n["columns"] or ()} >= {"spindle_load_pct", "x_load_pct"}


def test_playing_on_brings_every_row_once_and_the_whole_story(playback: Playback) -> None:
    seen = Seen()
    seen.take(playback.seek(playback.start_ns + 1_000_000_000))
    while playback.at_ns <= playback.end_ns:
        seen.take(playback.play(playback.at_ns + 20_000_000))
    recorded = list(playback.bag.messages(topics=lambda topic: topic == "vmc1/machine/samples"))
    rows = sum(unpack(m.channel.definition, m.payload)["data"].array.shape[0] for m in recorded)
    times_ns = seen.times_ns()
    assert len(times_ns) == rows
    assert (np.diff(times_ns) > 0).all()
    assert seen.sequence.holes == []
    assert [i["reaction"] for i in seen.messages("vmc1/impact/intervention")] == ["FEED_HOLD", "STOP"]
    assert "AXES_STANDING" in [m["phase"] for m in seen.messages("vmc1/machine/motion")]


def test_going_back_begins_with_nothing(playback: Playback) -> None:
    seen = Seen()
    seen.take(playback.seek(playback.end_ns))
    assert seen.messages("vmc1/impact/intervention")
    seen.take(playback.seek(playback.start_ns + 1_500_000_000))
    assert seen.messages("vmc1/impact/intervention") == []
    assert seen.times_ns()[-1] < playback.start_ns + 1_500_000_000
    assert seen.sequence.holes == []


def test_what_is_missing_in_the_bag_is_told(playback: Playback) -> None:
    seen = Seen()
    seen.take(playback.seek(playback.start_ns))
    seen.take(playback.play(playback.start_ns + 1_000_000_000))
    waiting = playback._waiting
    assert waiting is not None
    for _ in range(40):  # as if the recorder had not got them
        playback._waiting = next(playback._coming)
    seen.take(playback.play(playback.end_ns + 1))
    assert seen.sequence.holes == []
    assert any(why == "recording" for _, _, _, why in seen.sequence.gaps)


def test_only_what_is_wanted_comes(playback: Playback) -> None:
    playback.want(Unsubscribe(2))
    seen = Seen()
    seen.take(playback.seek(playback.end_ns))
    assert not any(n["type"] == "SignalBlock" for n in seen.names.values())
    with pytest.raises(BadRequest, match="no subscription 2"):
        playback.want(Unsubscribe(2))
