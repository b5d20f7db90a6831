"""Several bags of one recording read as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.bag import BadBag, BagMessage, BagReader, BagWriter, Parts, open_bags
from bus.bag.cut import cut
from tests.bus.bag.bags import MS, START_NS, small


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """A bag of 60 ms in three, each with the state in force at its head."""
    small(tmp_path / "whole.mcap", 60)
    paths = []
    for n in range(3):
        begins_ns = START_NS + n * 20 * MS
        paths.append(tmp_path / f"{n}.mcap")
        cut(tmp_path / "whole.mcap", paths[-1], start_ns=begins_ns, end_ns=begins_ns + 20 * MS)
    return paths


def plain(messages: list[BagMessage]) -> list[tuple[str, int, int, bytes]]:
    return [(m.topic, m.publisher_id, m.seq, m.payload) for m in messages]


def test_they_read_as_the_whole_in_any_order(parts: list[Path], tmp_path: Path) -> None:
    with Parts(parts[::-1]) as one, BagReader(tmp_path / "whole.mcap") as whole:
        assert (one.start_ns, one.end_ns, one.nodes()) == (whole.start_ns, whole.end_ns, whole.nodes())
        assert plain(list(one.messages())) == plain(list(whole.messages()))
        assert sorted(c.topic for c in one.channels.values()) == ["vmc1/machine/samples", "vmc1/machine/state"]
        assert all(one.channels[m.channel.id] is m.channel for m in one.messages())
        late = START_NS + 45 * MS
        assert plain(one.state_before(late)) == plain(whole.state_before(late))
        assert plain(list(one.messages(start_ns=late))) == plain(list(whole.messages(start_ns=late)))
        assert one.state_before(START_NS) == []


def test_a_part_alone_is_a_bag(parts: list[Path]) -> None:
    with open_bags(parts[1]) as one, open_bags([parts[1]]) as same:
        assert type(one) is type(same) is BagReader
        assert plain(list(one.messages())) == plain(list(same.messages()))


def test_a_bag_of_the_same_time_or_without_messages_is_refused(parts: list[Path], tmp_path: Path) -> None:
    with pytest.raises(BadBag, match=r"1\.mcap: begins before .*whole\.mcap ends: no continuation of it"):
        Parts([tmp_path / "whole.mcap", parts[1]])
    BagWriter(tmp_path / "empty.mcap").close()
    with pytest.raises(BadBag, match=r"empty\.mcap: holds no message"):
        Parts([parts[0], tmp_path / "empty.mcap"])
