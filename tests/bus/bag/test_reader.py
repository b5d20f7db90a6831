"""Reading back what was written, and opening whatever is left of a bag."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from mcap.writer import Writer

from bus.bag import BadBag, BagReader, BagWriter, read
from bus.bag.check import check
from bus.bag.cut import cut
from bus.bag.quota import kept
from bus.bag.records import MAGIC, MAX_CHUNK_BYTES, Opcode, walk
from schemas import topics
from schemas.codec import codec
from schemas.grammar import definition, type_hash
from schemas.machine import Alarm, ConditionLevel, MachineState, SignalBlock
from schemas.system import LostMessages
from tests.bus.bag.bags import ENTRY, MS, START_NS, Pen, block, small


def test_everything_written_is_read(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    found = list(read(tmp_path / "a.mcap"))
    assert len(found) == 21
    first, second = found[0], found[1]
    assert (first.topic, first.publisher, first.publisher_id, first.seq, first.qos) == (
        "vmc1/machine/state",
        "vmc1/sensory_cortex",
        77,
        1,
        "LATCHED",
    )
    assert (first.type_name, first.type_hash) == ("MachineState", type_hash(MachineState))
    assert (second.log_ns, second.publish_ns) == (START_NS, START_NS - 1000)
    assert codec(SignalBlock).decode(found[-1].payload) == block(START_NS + 19 * MS, 19)
    with BagReader(tmp_path / "a.mcap") as bag:
        assert bag.finished
        assert (bag.start_ns, bag.end_ns) == (START_NS, START_NS + 19 * MS)
        assert bag.info.messages == 21
        assert bag.nodes() == {"vmc1/sensory_cortex": ENTRY}
        assert [a.data for a in bag.attachments()] == [b"def launch(): ..."]
        assert bag.metadata()["rise"] == {"version": "0", "host": "here"}
        assert bag.losses() == []


def test_selects_by_topic_and_time(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    with BagReader(tmp_path / "a.mcap") as bag:
        assert [m.topic for m in bag.messages(topics=lambda t: t.endswith("state"))] == ["vmc1/machine/state"]
        window = list(bag.messages(start_ns=START_NS + 5 * MS, end_ns=START_NS + 8 * MS))
        assert [m.seq for m in window] == [6, 7, 8]


def test_the_reference_implementation_reads_it(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    with (tmp_path / "a.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert summary.statistics.message_count == 21
        assert [(c.message_encoding, summary.schemas[c.schema_id].encoding) for c in summary.channels.values()] == [
            ("msgpack", "jsonschema")
        ] * 2
        assert sum(1 for _ in reader.iter_messages(topics=["vmc1/machine/samples"])) == 20
    with (tmp_path / "a.mcap").open("rb") as file:
        assert sum(1 for _ in StreamReader(file, validate_crcs=True).records) > 21


def test_sequence_numbers_beyond_32_bits_come_back(tmp_path: Path) -> None:
    first = 2**40 + 2**32 - 2
    with BagWriter(tmp_path / "a.mcap") as writer:
        channel = writer.channel("t", "n", 1, definition(SignalBlock), "SENSOR", first_seq=first)
        for i in range(5):
            writer.write(channel, first + i, i, i, b"\x80")
    assert [m.seq for m in read(tmp_path / "a.mcap")] == [first + i for i in range(5)]


def test_a_large_image_is_not_compressed_and_stays_in_order(tmp_path: Path) -> None:
    picture = b"\xff\xd8\xff" + random.Random(1).randbytes(100_000)
    with BagWriter(tmp_path / "a.mcap") as writer:
        channel = writer.channel("t", "n", 1, definition(SignalBlock), "SENSOR", first_seq=1)
        for seq, payload in enumerate((b"\x80", picture, b"\x80"), 1):
            writer.write(channel, seq, seq, seq, payload)
    assert [m.payload for m in read(tmp_path / "a.mcap")] == [b"\x80", picture, b"\x80"]
    with (tmp_path / "a.mcap").open("rb") as file:
        summary = make_reader(file).get_summary()
        assert summary is not None
        assert [index.compression for index in summary.chunk_indexes] == ["zstd", "", "zstd"]


@pytest.mark.parametrize("close", [True, False])
def test_a_bag_cut_at_any_byte_opens(tmp_path: Path, close: bool) -> None:
    writer = small(tmp_path / "a.mcap", 8, chunk_bytes=300, close=close, states=False)
    if not close:
        writer.flush()
    whole = (tmp_path / "a.mcap").read_bytes()
    complete = [m[1:] for m in read(tmp_path / "a.mcap")]
    assert len(complete) == 8
    cut = tmp_path / "cut.mcap"
    seen = 0
    for size in range(1, len(whole)):
        cut.write_bytes(whole[:size])
        with BagReader(cut) as bag:
            found = [m[1:] for m in bag.messages()]
            assert found == complete[: len(found)]
            assert len(found) >= seen
            assert not bag.finished
            assert bag.info.note
            seen = len(found)
            bag.nodes()
    assert seen == 8


def test_an_unfinished_bag_says_the_same_as_the_finished_one(tmp_path: Path) -> None:
    whole = small(tmp_path / "a.mcap")
    open_ = small(tmp_path / "b.mcap", close=False)
    open_.flush()
    with BagReader(whole.path) as a, BagReader(open_.path) as b:
        assert (a.start_ns, a.end_ns, a.info.counts, a.nodes()) == (b.start_ns, b.end_ns, b.info.counts, b.nodes())
        assert [m[1:] for m in b.messages(topics=lambda t: "samples" in t)] == [
            m[1:] for m in a.messages(topics=lambda t: "samples" in t)
        ]
        assert (a.finished, b.finished) == (True, False)


def test_an_unfinished_bag_is_opened_without_unpacking_what_its_indexes_say(tmp_path: Path) -> None:
    writer = small(tmp_path / "a.mcap", 200, chunk_bytes=2000, close=False)
    writer.flush()
    data = bytearray((tmp_path / "a.mcap").read_bytes())
    chunks = [span for span in walk(data, len(MAGIC), len(data)) if span.opcode == Opcode.CHUNK]
    assert len(chunks) > 5
    middle = chunks[len(chunks) // 2]
    data[middle.end - 20] ^= 0xFF
    (tmp_path / "a.mcap").write_bytes(data)
    with BagReader(tmp_path / "a.mcap") as bag:
        assert (bag.info.messages, bag.damaged) == (201, [])
        assert len(list(bag.messages(end_ns=START_NS + 20 * MS))) == 21
        with pytest.raises(BadBag, match="damaged"):
            list(bag.messages())


def test_an_unfinished_bag_knows_a_channel_declared_in_the_chunk_before_its_first_message(tmp_path: Path) -> None:
    writer = small(tmp_path / "a.mcap", 20, close=False)
    image = writer.channel("camera", "eye", 5, definition(SignalBlock), "SENSOR", first_seq=1)
    for seq in (1, 2):
        writer.write(image, seq, START_NS + 30 * MS, START_NS, random.Random(1).randbytes(100_000))
    writer.flush()
    assert [(m.topic, m.seq) for m in read(tmp_path / "a.mcap")][-2:] == [("camera", 1), ("camera", 2)]
    with BagReader(tmp_path / "a.mcap") as bag:
        assert bag.info.messages == 23


@pytest.mark.parametrize("close", [True, False])
def test_the_state_before_a_moment_is_the_newest_value_of_every_key(tmp_path: Path, close: bool) -> None:
    writer = small(tmp_path / "a.mcap", 40, chunk_bytes=1000, close=False)
    alarms = writer.channel("alarm", "plc", 6, definition(Alarm), "LATCHED", first_seq=1, metadata={"key": "alarm_id"})
    for n, name in enumerate("abcabd"):
        alarm = Alarm(stamp_ns=n, alarm_id=name, level=ConditionLevel.FAULT, origin="", native_code="", text="")
        writer.write(alarms, n + 1, START_NS + (50 + n) * MS, START_NS, codec(Alarm).encode(alarm))
        writer.flush()
    writer.close() if close else writer.flush()
    with BagReader(tmp_path / "a.mcap") as bag:
        assert [(m.topic, m.seq) for m in bag.state_before(START_NS + 55 * MS)] == [
            ("vmc1/machine/state", 1),
            ("alarm", 3),
            ("alarm", 4),
            ("alarm", 5),
        ]
        assert [m.seq for m in bag.state_before(START_NS + 52 * MS, topics=lambda t: t == "alarm")] == [1, 2]
        assert bag.state_before(0) == []


def test_a_tail_of_zeros_is_an_unfinished_bag(tmp_path: Path) -> None:
    writer = small(tmp_path / "a.mcap", close=False)
    writer.flush()
    writer.abandon()
    with (tmp_path / "a.mcap").open("ab") as file:
        file.write(bytes(5000))
    assert len(list(read(tmp_path / "a.mcap"))) == 21


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 a zip file", "is no bag"),
        (random.Random(2).randbytes(10_000_000), "is no bag"),
    ],
)
def test_what_is_no_bag_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.mcap").write_bytes(content)
    with pytest.raises(BadBag, match=says):
        BagReader(tmp_path / "a.mcap")


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBag, match="No such file"):
        BagReader(tmp_path / "none.mcap")
    with pytest.raises(BadBag, match="directory"):
        BagReader(tmp_path)


def test_a_bag_of_another_system_is_refused(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path / "ros.mcap"))
    writer.start()
    schema = writer.register_schema("std_msgs/String", "ros2msg", b"string data")
    channel = writer.register_channel("/chatter", "cdr", schema)
    writer.add_message(channel, 1, b"x", 1)
    writer.finish()  # type: ignore[no-untyped-call] # the library leaves it unannotated
    with pytest.raises(BadBag, match=r"unknown schema: /chatter is 'cdr'"):
        BagReader(tmp_path / "ros.mcap")


def test_a_flipped_bit_is_found_and_the_rest_can_be_read(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap", 60)
    data = bytearray((tmp_path / "a.mcap").read_bytes())
    data[len(data) // 3] ^= 0x10
    (tmp_path / "a.mcap").write_bytes(data)
    with BagReader(tmp_path / "a.mcap") as bag:
        with pytest.raises(BadBag, match="damaged"):
            list(bag.messages())
        rest = list(bag.messages(skip_damaged=True))
        assert 30 <= len(rest) < 61
        assert bag.damaged


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(0, 400))
def test_a_changed_byte_never_does_worse_than_bad_bag(at: int, byte: int, cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mcap"
        small(path)
        data = bytearray(path.read_bytes())
        data[at % len(data)] = byte
        path.write_bytes(data[: len(data) - cut])
        with contextlib.suppress(BadBag), BagReader(path) as bag:
            bag.nodes()
            list(bag.messages(skip_damaged=True))


def odd(path: Path, *, topic: str = "a/b", defined: str | None = None, **words: dict[str, str]) -> Path:
    """A sound file whose channel, or whose metadata, say something odd."""
    with BagWriter(path) as writer:
        for name, values in words.items():
            writer.metadata(name.replace("__", ":"), values)
        more = None if defined is None else {"definition": defined}
        channel = writer.channel(topic, "n", 1, definition(SignalBlock), "SENSOR", metadata=more)
        writer.write(channel, 1, 1, 1, b"\x80")
    return path


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "defined",
    [
        "{}",
        "[]",
        DEEP,
        '{"name": "A", "fields": [{"name": "x"}]}',
        '{"name": "A", "fields": [{"name": "x", "type": "t"}]}',
    ],
)
def test_a_definition_that_is_none_is_a_damaged_channel(tmp_path: Path, defined: str) -> None:
    for act in (BagReader, check, kept):
        with pytest.raises(BadBag, match="its metadata is damaged") as caught:
            act(odd(tmp_path / f"{act.__name__}.mcap", defined=defined))
        assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("topic", ["a\0b", "../../etc/passwd", "", "x" * 10_000, "A/B"])
def test_a_topic_that_is_no_name_is_a_damaged_channel(tmp_path: Path, topic: str) -> None:
    """Converted, it would be the name of a file."""
    with pytest.raises(BadBag, match="bad name"):
        BagReader(odd(tmp_path / "a.mcap", topic=topic))


@pytest.mark.parametrize("messages", ["x", "-1", "1.5", "9" * 5000, "²"])
def test_a_count_that_is_none_is_damage(tmp_path: Path, messages: str) -> None:
    with (
        BagReader(odd(tmp_path / "a.mcap", repeated={"messages": messages})) as bag,
        pytest.raises(BadBag, match="metadata repeated"),
    ):
        assert bag.repeated


@pytest.mark.parametrize("entry", ["", "[]", "3", DEEP])
def test_an_entry_that_is_none_is_damage(tmp_path: Path, entry: str) -> None:
    with (
        BagReader(odd(tmp_path / "a.mcap", node__n={"entry": entry})) as bag,
        pytest.raises(BadBag, match="metadata node:n: no entry of a node"),
    ):
        bag.nodes()


@pytest.mark.parametrize("payload", [b"", b"\x80", b"\xa1\xff", b"\x82\xa9first_seq\x01\xa8last_seq\xa1x"])
def test_a_loss_that_is_none_is_damage(tmp_path: Path, payload: bytes) -> None:
    with BagWriter(tmp_path / "a.mcap") as writer:
        writer.write(writer.channel("bag/lost", "n", 1, definition(LostMessages), "EVENT"), 1, 1, 1, payload)
    with BagReader(tmp_path / "a.mcap") as bag, pytest.raises(BadBag, match="bag/lost number 1 is no note of a loss"):
        bag.lost()


def test_a_chunk_that_lies_about_its_size_takes_no_memory(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap", close=False).abandon()
    data = bytearray((tmp_path / "a.mcap").read_bytes())
    at = 8
    while data[at] != Opcode.CHUNK:
        at += 9 + int.from_bytes(data[at + 1 : at + 9], "little")
    data[at + 9 + 16 : at + 9 + 24] = (MAX_CHUNK_BYTES + 1).to_bytes(8, "little")
    (tmp_path / "a.mcap").write_bytes(data)
    with BagReader(tmp_path / "a.mcap") as bag:
        assert "not a Chunk record" in bag.info.note
    assert MAX_CHUNK_BYTES < 1 << 29


def holed(path: Path, target: Path, how: str) -> Path:
    """The bag with a piece of its middle zeroed or gone, its end as it was."""
    data = bytearray(path.read_bytes())
    first, end = len(data) // 3, len(data) // 2
    if how == "zeroed":
        data[first:end] = bytes(end - first)
    else:
        del data[first:end]
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("how", ["zeroed", "gone"])
def test_a_hole_in_a_closed_bag_is_damage_and_never_passed_over(tmp_path: Path, how: str) -> None:
    with BagWriter(tmp_path / "a.mcap", chunk_bytes=512) as writer:
        pen = Pen(writer)
        for n in range(200):
            pen.put(topics.SAMPLES, block(START_NS + n * MS, n), START_NS + n * MS)
    bad = holed(tmp_path / "a.mcap", tmp_path / "b.mcap", how)
    with BagReader(bad) as bag:
        with pytest.raises(BadBag, match="damaged"):
            list(bag.messages())
        rest = list(bag.messages(skip_damaged=True))
        assert 0 < len(rest) < 200
        if how == "zeroed":
            assert rest[-1].seq == 200, "what lies behind a hole stands where the index says"
    report = check(bad)
    assert not report.ok
    assert "format/damaged" in report.counts
    assert "format/unfinished" not in report.counts
    copy = cut(bad, tmp_path / "c.mcap", skip_damaged=True)
    assert copy.messages == len(rest)


@pytest.mark.parametrize("left", [1, 7, 8, -1, -8, -100])
def test_one_that_is_only_cut_off_says_how_it_is_closed(tmp_path: Path, left: int) -> None:
    small(tmp_path / "a.mcap")
    data = (tmp_path / "a.mcap").read_bytes()
    (tmp_path / "b.mcap").write_bytes(data[:left])
    report = check(tmp_path / "b.mcap")
    assert report.ok, report.problems
    assert [p.id for p in report.problems] == ["format/unfinished"]
    assert "--recover" in report.problems[0].text
