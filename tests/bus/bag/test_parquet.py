"""The same recording as Parquet: typed columns with units, in row groups."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.bag import BadBag, BagWriter, parquet
from bus.bag.parquet import to_parquet
from bus.bag.types import known_types
from schemas import topics
from schemas.base import Message, Samples
from schemas.codec import codec
from schemas.grammar import definition
from schemas.machine import SignalBlock, SignalInfo, Signals
from tests.bus.bag.bags import MS, START_NS, Pen, block, small
from tests.bus.bag.test_convert import busy
from tests.schemas.strategies import messages


def unit(field: pa.Field) -> str:
    return str((field.metadata or {}).get(b"unit", b"").decode())


def one(writer: BagWriter, message: Message, seq: int = 1) -> None:
    channel = writer.channel("vmc1/t", "n", 1, definition(type(message)), "SENSOR", first_seq=1)
    writer.write(channel, seq, START_NS + seq, 1, codec(type(message)).encode(message))


def test_columns_are_typed_and_named_and_have_units(tmp_path: Path) -> None:
    busy(tmp_path / "a.mcap")
    result = to_parquet(tmp_path / "a.mcap", tmp_path / "out")
    assert (result.messages, result.undecodable) == (5, 0)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "vmc1.impact.intervention.parquet",
        "vmc1.machine.samples.drive.parquet",
        "vmc1.machine.signals.parquet",
        "vmc1.machine.state.parquet",
        "vmc1.node.trace.parquet",
    ]
    samples = pq.read_table(tmp_path / "out" / "vmc1.machine.samples.drive.parquet")
    fields = {f.name: (str(f.type), unit(f)) for f in samples.schema}
    assert fields["stamp_ns"] == ("int64", "ns")
    assert (fields["spindle_load_pct"], fields["odd"]) == (("float", "%"), ("float", ""))
    assert samples.select(["row", "spindle_load_pct", "odd"]).to_pylist() == [
        {"row": 0, "spindle_load_pct": 42.5, "odd": None}
    ]
    assert samples.schema.metadata[b"topic"] == b"vmc1/machine/samples"
    assert json.loads(samples.schema.metadata[b"definition"])["name"] == "SignalBlock"
    (said,) = pq.read_table(tmp_path / "out" / "vmc1.impact.intervention.parquet").to_pylist()
    assert said["cause"] == {"publisher": "p", "topic": "t", "seq": 1}
    assert (said["value"], said["limit"], said["reaction"], said["reason"]) == (None, 85.0, "FEED_HOLD", "über")
    assert (said["evidence_names"], said["evidence_shape"], said["evidence"]) == (
        ["spindle_load_pct"],
        [2, 1],
        [1.0, 2.0],
    )
    (trace,) = pq.read_table(tmp_path / "out" / "vmc1.node.trace.parquet").to_pylist()
    assert (trace["payloads"], trace["records"]) == ([b"\x00\xff"], b"\x01")


def test_a_large_bag_is_written_in_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_BYTES", 100_000)
    small(tmp_path / "a.mcap", 2000, chunk_bytes=1 << 16)
    to_parquet(tmp_path / "a.mcap", tmp_path / "out")
    file = pq.ParquetFile(tmp_path / "out" / "vmc1.machine.samples.drive.parquet")
    assert file.num_row_groups > 5
    assert file.read().column("seq").to_pylist() == list(range(1, 2001))
    assert file.read().column("first_row").to_pylist() == list(range(2000))


def test_many_topics_share_one_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ALL_BYTES", 20_000)
    held: list[int] = []
    write = parquet._Table.write

    def watched(self: parquet._Table) -> None:
        held.append(self.held_bytes)
        write(self)

    monkeypatch.setattr(parquet._Table, "write", watched)
    with BagWriter(tmp_path / "a.mcap") as writer:
        for n in range(30):
            pen = Pen(writer, f"vmc{n}")
            for row in range(10):
                pen.put(topics.SAMPLES, block(START_NS, row), START_NS + row * MS)
    assert to_parquet(tmp_path / "a.mcap", tmp_path / "out").messages == 300
    assert len(held) > 30, "more than the last of each table"
    assert max(held) < 20_000


def test_another_shape_goes_to_another_file(tmp_path: Path) -> None:
    def said(array: Any) -> SignalBlock:
        return SignalBlock(stamp_ns=1, period_ns=MS, source="drive", first_row=0, data=Samples(np.array(array)))

    with BagWriter(tmp_path / "a.mcap") as writer:
        one(writer, said([[1.5, 2.5]]), 1)
        one(writer, said([[1, 2, 3], [4, 5, 6]]), 2)
        one(writer, said(np.zeros((2, 3, 4), "u1")), 3)
        one(writer, said([[3.5, 4.5], [5.5, 6.5]]), 4)
    to_parquet(tmp_path / "a.mcap", tmp_path / "out")
    read = [pq.read_table(tmp_path / "out" / f"vmc1.t.drive{n}.parquet") for n in ("", ".2", ".3")]
    assert [t.column("seq").to_pylist() for t in read] == [[1, 4, 4], [2, 2], [3]]
    assert read[0].column("data[1]").to_pylist() == [2.5, 4.5, 6.5]
    assert [str(t.schema.field(t.num_columns - 1).type) for t in read] == ["double", "int64", "list<element: uint8>"]
    assert read[2].column("data_shape").to_pylist() == [[2, 3, 4]]


def test_a_signal_named_as_a_field_or_twice_is_still_a_column(tmp_path: Path) -> None:
    rows = [
        SignalInfo(name=name, mtconnect_type="LOAD", unit="%", source="drive", topic="machine/samples")
        for name in ("row", "row")
    ]
    with BagWriter(tmp_path / "a.mcap") as writer:
        pen = Pen(writer)
        pen.put(topics.SIGNALS, Signals(signals=tuple(rows)), START_NS)
        pen.put(topics.SAMPLES, block(START_NS, 0, 2.0), START_NS)
    to_parquet(tmp_path / "a.mcap", tmp_path / "out")
    names = pq.read_schema(tmp_path / "out" / "vmc1.machine.samples.drive.parquet").names
    assert names[-3:] == ["row", "data[0] row", "data[1] row"]


def test_what_does_not_decode_or_fit_is_counted(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "a.mcap") as writer:
        for seq, first_row in enumerate((1, 1 << 63, 3), 1):
            one(writer, block(1, 1).model_copy(update={"first_row": first_row}), seq)
        writer.write(1, 4, START_NS + 4, 1, b"\xc1")
    result = to_parquet(tmp_path / "a.mcap", tmp_path / "out")
    assert (result.messages, result.undecodable) == (2, 2)
    assert pq.read_table(result.paths[0]).column("first_row").to_pylist() == [1, 3]


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap", 60)
    out = tmp_path / "out"
    to_parquet(tmp_path / "a.mcap", out, topics=lambda t: t.endswith("samples"))
    before = (out / "vmc1.machine.samples.drive.parquet").read_bytes()
    with pytest.raises(FileExistsError):
        to_parquet(tmp_path / "a.mcap", out)
    assert [p.name for p in out.iterdir()] == ["vmc1.machine.samples.drive.parquet"]
    assert (out / "vmc1.machine.samples.drive.parquet").read_bytes() == before
    to_parquet(tmp_path / "a.mcap", out, replace=True)
    assert len(list(out.iterdir())) > 1
    data = bytearray((tmp_path / "a.mcap").read_bytes())
    data[len(data) // 3] ^= 1
    (tmp_path / "b.mcap").write_bytes(data)
    with pytest.raises(BadBag):
        to_parquet(tmp_path / "b.mcap", tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


@settings(max_examples=5)
@given(st.data())
@pytest.mark.parametrize("name", sorted(known_types()))
def test_every_type_there_is_can_be_written_and_read(
    name: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("any")
    said = data.draw(st.lists(messages(known_types()[name]), min_size=1, max_size=3))
    with BagWriter(folder / "a.mcap") as writer:
        for seq, message in enumerate(said, 1):
            one(writer, message, seq)
    result = to_parquet(folder / "a.mcap", folder / "out")
    assert result.messages + result.undecodable == len(said)
    found = [row for path in result.paths for row in pq.read_table(path).to_pylist()]
    array = any(isinstance(value, Samples) for message in said for _, value in message)
    assert array or len(found) == result.messages
    for row in found:
        for field, value in said[row["seq"] - 1]:
            if isinstance(value, (str, int, bytes)):
                assert row.get(f"message.{field}", row.get(field)) == value
