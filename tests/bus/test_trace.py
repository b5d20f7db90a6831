from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import trace
from bus.node import CallError, Gone, LinkEvent, LogLost, Lost, Source, Stale, Synced
from bus.trace import BadTrace, Kind, Record, TraceWriter
from schemas.codec import codec
from schemas.system import TraceBlock

U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(max_size=20)
RECORDS = st.builds(Record, st.sampled_from(Kind).map(int), NAMES, I64, U64, U64, st.binary(max_size=20))
SOURCES = st.builds(Source, NAMES, NAMES, U64, I64, U64, st.just(0))
LINKS = st.one_of(
    st.builds(lambda s, first, n: Lost(s, first, first + n), SOURCES, st.integers(0, 2**63), st.integers(0, 2**20)),
    st.builds(Stale, SOURCES, st.floats(allow_nan=False)),
    st.builds(Gone, SOURCES, st.booleans()),
    st.builds(Synced, SOURCES),
    st.builds(LogLost, SOURCES, U64),
)


@given(st.lists(st.lists(RECORDS, max_size=20), max_size=5))
def test_what_is_recorded_is_read_back_block_by_block(batches: list[list[Record]]) -> None:
    writer = TraceWriter()
    blocks = []
    for batch in batches:
        for r in batch:
            writer.record(*r)
        if (block := writer.take()) is not None:
            blocks.append(codec(TraceBlock).decode(codec(TraceBlock).encode(block)))
    assert list(trace.read(blocks)) == [r for batch in batches for r in batch]
    assert writer.lost == 0
    assert writer.take() is None


def test_a_block_is_due_at_2000_records_and_at_a_mebibyte_of_payload() -> None:
    writer = TraceWriter()
    due = [writer.record(Kind.TIMER, "assess", i) for i in range(trace.BLOCK_RECORDS)]
    assert due.index(True) == trace.BLOCK_RECORDS - 1
    writer.take()
    assert writer.record(Kind.WORKER, "on_line", 1, payload=bytes(trace.BLOCK_PAYLOAD_BYTES))


def test_a_block_says_the_parameters_in_force_as_it_begins_whoever_set_them() -> None:
    limit = 90
    writer = TraceWriter(lambda: f'{{"limit": {limit}}}')
    said = []
    for n in range(3):
        writer.record(Kind.TIMER, "assess", n)
        limit += 1
        block = writer.take()
        assert block is not None
        said.append(block.parameters_json)
    assert said == ['{"limit": 90}', '{"limit": 91}', '{"limit": 92}']


def test_what_nobody_takes_is_bounded_counted_and_seen_by_the_reader() -> None:
    writer = TraceWriter()
    kept = trace.BLOCK_RECORDS * trace.MAX_BLOCKS
    for i in range(kept + 3):
        writer.record(Kind.TIMER, "assess", i)
    assert writer.lost == 3
    first = writer.take()
    writer.record(Kind.TIMER, "assess", 99)
    second = writer.take()
    assert first is not None
    assert second is not None
    assert (trace.count(first), second.first) == (kept, kept + 3)
    with pytest.raises(BadTrace, match=f"callbacks {kept}..{kept + 2} are missing"):
        list(trace.read([first, second]))


@pytest.mark.parametrize(
    "block",
    [
        TraceBlock(first=0, names=(), payloads=(), records=bytes(30)),
        TraceBlock(first=0, names=(), payloads=(), records=bytes(31)),
        TraceBlock(first=0, names=("a",), payloads=(), records=bytes(30) + b"\x01"),
    ],
)
def test_a_damaged_block_is_refused(block: TraceBlock) -> None:
    with pytest.raises(BadTrace, match="trace block 0"):
        list(trace.records(block))


@given(LINKS)
def test_link_events_round_trip(event: LinkEvent) -> None:
    assert trace.unpack_link(trace.pack_link(event)) == event


@given(st.lists(st.tuples(NAMES, U64, U64), max_size=30))
def test_batches_round_trip(items: list[tuple[str, int, int]]) -> None:
    assert trace.unpack_batch(trace.pack_batch(items)) == items


@given(st.sampled_from([None, *CallError]), st.text(), st.one_of(st.none(), st.binary()))
def test_outcomes_round_trip(error: CallError | None, text: str, reply: bytes | None) -> None:
    assert trace.unpack_outcome(trace.pack_outcome(error, text, reply)) == (error, text, reply)


def test_arguments_that_are_no_plain_data_are_left_out() -> None:
    assert trace.unpack_arguments(trace.pack_arguments((1, "a", [2.5]))) == [1, "a", [2.5]]
    assert trace.pack_arguments((object(),)) == b""


@given(st.binary(max_size=40))
def test_garbage_is_refused_in_one_way(payload: bytes) -> None:
    for unpack in (trace.unpack_link, trace.unpack_batch, trace.unpack_outcome, trace.unpack_arguments):
        with contextlib.suppress(BadTrace):
            unpack(payload)


def test_a_damaged_payload_is_a_bad_trace_with_a_short_text() -> None:
    for first in (float("nan"), float("inf"), 0.5):
        packed = msgspec.msgpack.encode(("Lost", "n", "a/b", 1, 1, 1, first, 2))
        with pytest.raises(BadTrace):
            trace.unpack_link(packed)
    for packed in (trace.pack_outcome(None, "", b""), trace.pack_link(Synced(Source("n", "a", 1, 1)))):
        damaged = msgspec.msgpack.encode(["x" * 10**6, *msgspec.msgpack.decode(packed)[1:]])
        for unpack in (trace.unpack_outcome, trace.unpack_link):
            with pytest.raises(BadTrace) as caught:
                unpack(damaged)
            assert len(str(caught.value)) < 1000
