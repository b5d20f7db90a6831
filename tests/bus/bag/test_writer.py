"""What a writer promises: everything comes back, files are never overwritten, a refused write leaves the file whole."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bus.bag.writer as module
from bus.bag import BagFull, BagReader, BagWriter, read
from bus.bag.check import check
from schemas.grammar import definition
from schemas.machine import Alarm, SignalBlock
from tests.bus.bag.bags import small

KINDS = (definition(SignalBlock), definition(Alarm))
written = st.tuples(
    st.integers(0, 5),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**63 - 1),
    st.binary(max_size=300) | st.builds(bytes, st.integers(60_000, 70_000)),
)


@settings(max_examples=60, deadline=None)
@given(messages=st.lists(written, max_size=40), first=st.integers(0, 2**63), chunk_bytes=st.integers(1, 2000))
def test_everything_comes_back(messages: list[tuple[int, int, int, bytes]], first: int, chunk_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mcap"
        expected = []
        with BagWriter(path, chunk_bytes=chunk_bytes) as writer:
            for n, (which, log_ns, publish_ns, payload) in enumerate(messages):
                kind = KINDS[which % 2]
                channel = writer.channel(f"topic{which}", f"node{which}", which, kind, "EVENT", first_seq=first + n)
                writer.write(channel, first + n, log_ns, publish_ns, payload)
                expected.append((f"topic{which}", first + n, log_ns, publish_ns, payload, kind["name"]))
        found = [(m.topic, m.seq, m.log_ns, m.publish_ns, m.payload, m.type_name) for m in read(path)]
        assert found == expected
        assert not [i for i in check(path).counts if i.startswith("format/")]
        with BagReader(path) as bag:
            assert bag.info.messages == len(messages)
            if messages:
                assert bag.start_ns == min(m[1] for m in messages)
                assert bag.end_ns == max(m[1] for m in messages)


def test_a_bag_is_never_overwritten(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    before = (tmp_path / "a.mcap").read_bytes()
    with pytest.raises(FileExistsError):
        BagWriter(tmp_path / "a.mcap")
    assert (tmp_path / "a.mcap").read_bytes() == before


def test_channels_are_numbered_by_16_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHANNELS", 2)
    with BagWriter(tmp_path / "a.mcap") as writer:
        for n in range(2):
            writer.channel("t", "n", n, KINDS[0], "EVENT")
        assert writer.channel("t", "n", 1, KINDS[0], "EVENT") == 2
        with pytest.raises(BagFull):
            writer.channel("t", "n", 2, KINDS[0], "EVENT")


def test_a_refused_write_leaves_the_file_whole_and_the_chunk_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    writer = BagWriter(path, compress=False)
    channel = writer.channel("t", "n", 1, KINDS[0], "EVENT", first_seq=1)
    writer.write(channel, 1, 1, 1, b"kept")
    writer.sync()
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
    try:
        writer.write(channel, 2, 2, 2, bytes(1000))
        with pytest.raises(OSError, match="File too large"):
            writer.flush()
        assert path.stat().st_size == size
        assert [m.payload for m in read(path)] == [b"kept"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.flush()
    writer.write(channel, 3, 3, 3, b"gone")
    (gone,) = writer.discard()
    assert (gone.first_seq, gone.last_seq, gone.messages) == (3, 3, 1)
    writer.close()
    assert [m.seq for m in read(path)] == [1, 2]
    assert not [i for i in check(path).counts if i.startswith("format/")]


def test_a_large_message_that_is_refused_is_in_the_chunk_too(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with BagWriter(path, compress=False) as writer:
        channel = writer.channel("t", "n", 1, KINDS[0], "EVENT", first_seq=1)
        writer.write(channel, 1, 1, 1, b"small")
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                writer.write(channel, 2, 2, 2, bytes(100_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        writer.write(channel, 3, 3, 3, b"small")
    assert [m.seq for m in read(path)] == [1, 2, 3]


def test_what_a_discarded_chunk_declared_is_declared_again(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "a.mcap") as writer:
        channel = writer.channel("t", "n", 1, KINDS[0], "EVENT", first_seq=1)
        writer.write(channel, 1, 1, 1, b"gone")
        writer.discard()
        writer.write(channel, 2, 2, 2, b"kept")
        writer.flush()
        assert [m.payload for m in read(writer.path)] == [b"kept"]
    assert [m.topic for m in read(tmp_path / "a.mcap")] == ["t"]
