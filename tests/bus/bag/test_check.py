"""What a check finds: in the file, in its content, against today's types."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from mcap.writer import Writer

from bus.bag import BadBag, BagReader, BagWriter
from bus.bag.check import check
from schemas import topics
from schemas.grammar import definition
from schemas.machine import SignalBlock
from schemas.system import LostMessages
from tests.bus.bag.bags import MS, START_NS, Pen, block, small, state


def ids(path: Path) -> set[str]:
    return set(check(path).counts)


def test_a_sound_bag_has_no_problem(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    done: list[tuple[int, int]] = []
    report = check(tmp_path / "a.mcap", lambda at, of: done.append((at, of)))
    assert report.ok
    assert report.problems == []
    assert (report.messages, report.lost) == (21, 0)
    assert report.types == {"MachineState": "equal", "SignalBlock": "equal"}
    assert done


def test_an_unfinished_bag_is_a_warning(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap", close=False).flush()
    report = check(tmp_path / "a.mcap")
    assert report.ok
    assert set(report.counts) == {"format/unfinished"}


def test_wrong_statistics_are_told_by_the_word_that_is_wrong(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    data = bytearray((tmp_path / "a.mcap").read_bytes())
    at = data.rfind((21).to_bytes(8, "little"))
    data[at] = 22
    (tmp_path / "a.mcap").write_bytes(data)
    found = {p.id: p.text for p in check(tmp_path / "a.mcap").problems}
    assert found["format/statistics"] == "the statistics say message_count 22, not 21"


def test_a_gap_nobody_told_of_is_an_error_and_a_told_one_a_warning(tmp_path: Path) -> None:
    for name, tell in (("silent", False), ("told", True)):
        with BagWriter(tmp_path / name) as writer:
            pen, recorder = Pen(writer), Pen(writer, "", "recorder")
            pen.put(topics.SAMPLES, block(START_NS, 0), START_NS)
            if tell:
                lost = LostMessages(
                    stamp_ns=START_NS,
                    topic="vmc1/machine/samples",
                    publisher="vmc1/sensory_cortex",
                    first_seq=2,
                    last_seq=4,
                )
                recorder.put(topics.BAG_LOST, lost, START_NS + MS)
            pen.put(topics.SAMPLES, block(START_NS, 4), START_NS + 2 * MS, skip=3)
    silent, told = check(tmp_path / "silent"), check(tmp_path / "told")
    assert (silent.lost, silent.lost_recorded, silent.ok) == (3, 0, False)
    assert "seq 2..4 are missing (3), and the recorder said nothing of 3" in silent.problems[0].text
    assert (told.lost, told.lost_recorded, told.ok) == (3, 3, True)
    assert set(told.counts) == {"bag/lost"}


def test_numbers_that_go_back_times_that_go_back_and_garbage_are_found(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "a.mcap") as writer:
        channel = writer.channel("t", "n", 1, definition(SignalBlock), "SENSOR", first_seq=1)
        for seq, log_ns in ((1, 10), (2, 5), (2, 20)):
            writer.write(channel, seq, log_ns, log_ns, b"\xc1garbage")
    report = check(tmp_path / "a.mcap")
    assert report.counts == {"bag/time": 1, "bag/sequence": 1, "bag/undecodable": 3}


def test_repeated_state_at_the_head_is_no_gap(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "a.mcap") as writer:
        writer.repeated(1)
        pen = Pen(writer)
        pen.put(topics.MACHINE_STATE, state(START_NS), START_NS)
        pen.put(topics.MACHINE_STATE, state(START_NS), START_NS, skip=7)
    assert check(tmp_path / "a.mcap").problems == []


def test_types_of_today(tmp_path: Path) -> None:
    today = definition(LostMessages)
    changed = {**today, "fields": [*today["fields"][:-1], {"name": "last_seq", "type": "str"}]}
    gone = {**today, "name": "NobodyKnowsThis"}
    more = {**today, "fields": [*today["fields"], {"name": "extra", "type": "int", "default": True}]}
    with BagWriter(tmp_path / "a.mcap") as writer:
        for n, kind in enumerate((changed, gone)):
            writer.channel(f"t{n}", "n", n, kind, "EVENT")
    report = check(tmp_path / "a.mcap")
    assert report.types == {"LostMessages": "incompatible", "NobodyKnowsThis": "unknown"}
    assert [p.level for p in report.problems] == ["error", "warning"]
    assert "last_seq" in report.problems[0].text
    with BagWriter(tmp_path / "b.mcap") as writer:
        writer.channel("t", "n", 1, more, "EVENT")
    assert check(tmp_path / "b.mcap").types == {"LostMessages": "compatible"}


@pytest.mark.parametrize("part", range(40))
def test_a_changed_bit_anywhere_is_found(tmp_path: Path, part: int) -> None:
    small(tmp_path / "a.mcap")
    data = bytearray((tmp_path / "a.mcap").read_bytes())
    at = 8 + (len(data) - 16) * part // 40
    data[at] ^= 0x04
    (tmp_path / "a.mcap").write_bytes(data)
    with contextlib.suppress(BadBag):
        assert check(tmp_path / "a.mcap").problems


def test_the_reference_writer_passes_the_format_check(tmp_path: Path) -> None:
    """The rules are the format's, not our writer's: a file by the reference implementation has no format problem."""
    with BagWriter(tmp_path / "ours.mcap") as ours:
        Pen(ours).put(topics.SAMPLES, block(START_NS, 0), START_NS)
    with BagReader(tmp_path / "ours.mcap") as bag:
        words = dict(bag.channels[1].metadata)
    writer = Writer(str(tmp_path / "a.mcap"), chunk_size=300, enable_data_crcs=True)
    writer.start()
    schema = writer.register_schema("SignalBlock", "jsonschema", b"{}")
    channel = writer.register_channel("t", "msgpack", schema, words)
    for n in range(50):
        writer.add_message(channel, n, b"payload", n, n + 1)
    writer.add_metadata("rise", {})
    writer.add_attachment(0, 0, "a", "b", b"c")
    writer.finish()  # type: ignore[no-untyped-call] # the library leaves it unannotated
    assert not {i for i in ids(tmp_path / "a.mcap") if i.startswith("format/")}
