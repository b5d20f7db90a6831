"""Cutting a window, and one node out of a recording."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.bag import BadBag, BagReader, BagWriter, read
from bus.bag.check import check
from bus.bag.cut import BadCut, cut
from schemas import topics
from schemas.codec import codec
from schemas.grammar import definition
from schemas.machine import Alarm, ConditionLevel, Execution
from tests.bus.bag.bags import ENTRY, MS, START_NS, Pen, block, small, state


def alarm(alarm_id: str, level: ConditionLevel) -> Alarm:
    return Alarm(stamp_ns=1, alarm_id=alarm_id, level=level, origin="vmc1", native_code="", text="")


def test_a_window_begins_with_the_state_in_force(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "a.mcap") as writer:
        writer.node(ENTRY)
        pen = Pen(writer)
        for n, execution in enumerate((Execution.READY, Execution.ACTIVE)):
            pen.put(topics.MACHINE_STATE, state(START_NS, execution), START_NS + n * MS)
        number = writer.channel(
            "vmc1/alarm", "vmc1/x", 5, definition(Alarm), "LATCHED", first_seq=1, metadata={"key": "alarm_id"}
        )
        for n, name in enumerate(("a", "b", "a")):
            level = ConditionLevel.FAULT if n < 2 else ConditionLevel.NORMAL
            writer.write(number, n + 1, START_NS + 3 * MS, 1, codec(Alarm).encode(alarm(name, level)))
        for row in range(20):
            at = START_NS + (row + 10) * MS
            pen.put(topics.SAMPLES, block(at, row), at)
    result = cut(tmp_path / "a.mcap", tmp_path / "b.mcap", start_ns=START_NS + 15 * MS, end_ns=START_NS + 18 * MS)
    assert (result.messages, result.repeated, result.lost) == (6, 3, 0)
    found = list(read(tmp_path / "b.mcap"))
    assert [(m.topic, m.seq) for m in found] == [
        ("vmc1/machine/state", 2),
        ("vmc1/alarm", 2),
        ("vmc1/alarm", 3),
        ("vmc1/machine/samples", 6),
        ("vmc1/machine/samples", 7),
        ("vmc1/machine/samples", 8),
    ]
    assert {m.log_ns for m in found[:3]} == {START_NS + 15 * MS}
    with BagReader(tmp_path / "b.mcap") as bag:
        assert bag.nodes() == {ENTRY["name"]: ENTRY}
    assert check(tmp_path / "b.mcap").problems == []


def test_a_cut_of_a_cut_keeps_the_state(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    cut(tmp_path / "a.mcap", tmp_path / "b.mcap", start_ns=START_NS + 5 * MS)
    cut(tmp_path / "b.mcap", tmp_path / "c.mcap", start_ns=START_NS + 10 * MS)
    assert [m.topic for m in read(tmp_path / "c.mcap")] == ["vmc1/machine/state"] + ["vmc1/machine/samples"] * 10
    assert check(tmp_path / "c.mcap").problems == []


def test_a_node_is_cut_from_the_start_with_all_it_touched(tmp_path: Path) -> None:
    entry = {
        "name": "vmc1/impact_cortex",
        "publishes": [{"name": "vmc1/impact/beat"}],
        "subscribes": [{"name": "vmc1/machine/samples"}, {"name": "*/machine/state"}],
        "serves": [{"name": "vmc1/impact/set_mode"}],
        "calls": [],
    }
    names = [
        "vmc1/machine/samples",
        "vmc2/machine/samples",
        "vmc2/machine/state",
        "vmc1/impact_cortex/trace",
        "vmc1/impact/set_mode/_event",
        "log",
        "vmc1/impact/beat",
    ]
    with BagWriter(tmp_path / "a.mcap") as writer:
        writer.node(entry)
        for n, name in enumerate(names):
            channel = writer.channel(name, "n", 1, definition(Alarm), "EVENT", first_seq=1)
            for seq in (1, 2):
                writer.write(channel, seq, START_NS + seq * 100 * MS + n, 1, b"\x80")
    end_ns = START_NS + 200 * MS + 5
    cut(tmp_path / "a.mcap", tmp_path / "b.mcap", node="vmc1/impact_cortex", start_ns=end_ns - 1, end_ns=end_ns)
    found = [(m.topic, m.seq) for m in read(tmp_path / "b.mcap")]
    kept = [n for n in names if n not in ("vmc2/machine/samples", "log")]
    assert sorted(found) == sorted([(n, 1) for n in kept] + [(n, 2) for n in kept if n != "vmc1/impact/beat"])


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    with pytest.raises(BadCut, match=r"no node 'x'; there is vmc1/sensory_cortex"):
        cut(tmp_path / "a.mcap", tmp_path / "b.mcap", node="x")
    with pytest.raises(BadCut, match=r"the bag is 0\.019 s long"):
        cut(tmp_path / "a.mcap", tmp_path / "b.mcap", start_ns=START_NS + 10**12)
    with pytest.raises(FileExistsError):
        cut(tmp_path / "a.mcap", tmp_path / "a.mcap")
    assert [p.name for p in tmp_path.iterdir()] == ["a.mcap"]


def test_a_damaged_bag_is_refused_unless_asked(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap", 60)
    data = bytearray((tmp_path / "a.mcap").read_bytes())
    data[len(data) // 3] ^= 1
    (tmp_path / "a.mcap").write_bytes(data)
    with pytest.raises(BadBag):
        cut(tmp_path / "a.mcap", tmp_path / "b.mcap")
    result = cut(tmp_path / "a.mcap", tmp_path / "b.mcap", skip_damaged=True)
    assert 30 < result.messages < 61
    assert len(result.damaged) == 1
    assert not {i for i in check(tmp_path / "b.mcap").counts if i.startswith("format/")}


@pytest.mark.parametrize("rows", [3, ["a"], [{"title": "x"}], {"name": "x"}])
def test_an_entry_that_does_not_say_what_a_node_hears_is_told(tmp_path: Path, rows: object) -> None:
    with BagWriter(tmp_path / "a.mcap") as writer:
        writer.node({"name": "n", "publishes": [], "subscribes": rows})
        writer.write(writer.channel("a", "n", 1, definition(Alarm), "EVENT"), 1, 1, 1, b"\x80")
    with pytest.raises(BadCut, match="damaged: subscribes"):
        cut(tmp_path / "a.mcap", tmp_path / "b.mcap", node="n")
