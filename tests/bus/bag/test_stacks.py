"""Messages as columns are the messages: decoded one by one, or taken out of a chunk as arrays, they are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.bag import BadBag, BagReader, BagWriter, Channel
from bus.bag.stacks import Chunk, Stack, layout, stacked
from schemas import topics
from schemas.base import Samples
from schemas.codec import codec
from schemas.machine import SignalBlock
from tests.bus.bag.bags import MS, START_NS, Pen, block, small, state

NUMBERS = ("stamp_ns", "first_row")


def samples(channel: Channel) -> bool:
    return channel.type_name == "SignalBlock"


def columns(path: Path) -> tuple[list[Stack], list[Any]]:
    made: list[Stack] = []
    rest: list[Any] = []
    with BagReader(path) as bag:
        chunks = bag.chunks(lambda channel: True)
        for stacks, others in stacked(
            chunks, bag.channels, stack=samples, others=lambda c: not samples(c), numbers=NUMBERS, array="data"
        ):
            made += stacks
            rest += others
    return made, rest


def rebuilt(stacks: list[Stack], rest: list[Any]) -> list[tuple[int, int, int, SignalBlock]]:
    """(seq, log, publish, message) of every block, from the columns."""
    found = []
    for stack in stacks:
        like = codec(SignalBlock).decode(stack.like.payload)
        for n in range(len(stack.seqs)):
            change: dict[str, Any] = {name: int(values[n]) for name, values in stack.numbers.items()}
            message = like.model_copy(update={**change, "data": Samples(stack.arrays[n])})
            found.append((int(stack.seqs[n]), int(stack.log_ns[n]), int(stack.publish_ns[n]), message))
    of = codec(SignalBlock).decode
    found += [(m.seq, m.log_ns, m.publish_ns, of(m.payload)) for m in rest if samples(m.channel)]
    return sorted(found, key=lambda row: row[0])


def one_by_one(path: Path) -> list[tuple[int, int, int, SignalBlock]]:
    with BagReader(path) as bag:
        return [
            (m.seq, m.log_ns, m.publish_ns, codec(SignalBlock).decode(m.payload))
            for m in bag.messages()
            if samples(m.channel)
        ]


def test_columns_are_the_messages_whatever_the_width_of_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "small.mcap"
    small(path, 400, chunk_bytes=8000)
    stacks, rest = columns(path)
    assert sum(len(s.seqs) for s in stacks) == 400
    assert len(stacks) < 30
    assert rebuilt(stacks, rest) == one_by_one(path)
    assert [m.topic for m in rest] == ["vmc1/machine/state"]


@pytest.mark.parametrize("cut", [0.4, 0.6, 0.9])
def test_a_bag_that_was_cut_gives_the_columns_of_what_is_left(tmp_path: Path, cut: float) -> None:
    path = tmp_path / "cut.mcap"
    small(path, 400, chunk_bytes=3000)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * cut)])
    assert rebuilt(*columns(path)) == one_by_one(path)


blocks = st.lists(
    st.tuples(
        st.sampled_from(["drive", "daq", "a" * 40]),
        st.integers(-(1 << 40), 1 << 62),
        st.integers(0, 1 << 40) | st.integers(0, 300),
        st.integers(1, 3),
        st.sampled_from(["<f4", "<f8", "<i2"]),
    ),
    max_size=30,
)


@given(blocks)
def test_sources_widths_and_types_may_change_from_message_to_message(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, int, int, str]]
) -> None:
    path = tmp_path_factory.mktemp("bag") / "mixed.mcap"
    with BagWriter(path) as writer:
        pen = Pen(writer)
        pen.put(topics.MACHINE_STATE, state(START_NS), START_NS)
        for n, (source, stamp_ns, first_row, count, dtype) in enumerate(rows):
            data = Samples(np.arange(2 * count).reshape(count, 2).astype(dtype))
            made = SignalBlock(stamp_ns=stamp_ns, period_ns=MS, source=source, first_row=first_row, data=data)
            pen.put(topics.SAMPLES, made, START_NS + n)
    assert rebuilt(*columns(path)) == one_by_one(path)


def test_numbers_beyond_32_bits_are_counted_on(tmp_path: Path) -> None:
    path = tmp_path / "late.mcap"
    with BagWriter(path) as writer:
        pen = Pen(writer)
        pen.seqs["vmc1/machine/samples"] = (1 << 32) - 3
        for row in range(6):
            pen.put(topics.SAMPLES, block(START_NS + row, row), START_NS + row, skip=row == 3)
    stacks, _ = columns(path)
    assert [int(n) - (1 << 32) for s in stacks for n in s.seqs] == [-2, -1, 0, 2, 3, 4]


def test_a_chunk_that_is_damaged_is_told(tmp_path: Path) -> None:
    path = tmp_path / "small.mcap"
    small(path, 400, chunk_bytes=3000)
    data = bytearray(path.read_bytes())
    at = len(data) // 3
    data[at : at + 40] = bytes(40)
    path.write_bytes(data)
    with BagReader(path) as bag, pytest.raises(BadBag, match="damaged"):
        list(bag.chunks(lambda channel: True))


def test_an_index_that_points_elsewhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.mcap"
    small(path, 50)
    with BagReader(path) as bag:
        content, index = next(iter(bag.chunks(samples)))
    number = next(iter(index))
    Chunk(content, index)
    for wrong in (-1, 1, len(content)):
        with pytest.raises(ValueError, match="index"):
            Chunk(content, {number: index[number] + wrong})


@given(st.binary(max_size=80), st.integers(0, 200), st.binary(max_size=3))
def test_a_layout_of_any_bytes_is_one_or_none(junk: bytes, at: int, put: bytes) -> None:
    whole = codec(SignalBlock).encode(block(START_NS, 70_000))
    for data in (junk, whole[:at], whole[:at] + put + whole[at + len(put) :]):
        found = layout(data, NUMBERS, "data")
        if found is not None:
            decoded = codec(SignalBlock).decode(data) if data == whole else None
            assert all(0 <= place < len(data) for place, _ in found.numbers.values())
            assert decoded is None or decoded.data.array.shape == found.shape
    assert layout(whole, NUMBERS, "data") is not None
    assert layout(whole, ("source",), "data") is None
