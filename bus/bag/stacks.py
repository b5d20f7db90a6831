"""Messages as columns: those of one channel that differ only in some numbers and in one array, a chunk at a time.

A bag holds a thousand blocks of samples a second. Decoded one by one they cost more than what is done with them in a
backtest; here the indexes of a chunk say where they stand, messages of one length are gathered as one array of bytes,
and where all bytes but those that may differ are the same, one decoded message says what the others are. What does not
fit comes as a message, to be decoded like any other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bus.bag.contents import BagMessage, Channel
from bus.bag.records import MESSAGE_FIXED_BYTES
from schemas.base import Samples

Ints = NDArray[np.int64]

HEAD = np.dtype(
    [("opcode", "u1"), ("length", "<u8"), ("channel", "<u2"), ("seq", "<u4"), ("log", "<u8"), ("publish", "<u8")]
)
"""a message record up to its payload"""
HEAD_BYTES = np.dtype((np.void, HEAD.itemsize))
MOST_KINDS = 16
"""in one chunk, of one channel and length: other messages are not stacked"""


class Stack(NamedTuple):
    """Messages of one channel, in the order they were recorded."""

    channel: Channel
    seqs: Ints
    log_ns: Ints
    publish_ns: Ints
    numbers: Mapping[str, Ints]
    """the fields that may differ"""
    arrays: NDArray[Any]
    """[messages, ...]: the Samples of each"""
    like: BagMessage
    """the first of them: what is not in `numbers` and `arrays` is the same in all"""

    def part(self, which: Any) -> Stack:
        """Some of the messages: a slice, or their places."""
        numbers = {name: values[which] for name, values in self.numbers.items()}
        columns = (self.seqs[which], self.log_ns[which], self.publish_ns[which])
        return Stack(self.channel, *columns, numbers, self.arrays[which], self.like)


class Layout(NamedTuple):
    """Where in a payload the fields stand that may differ."""

    numbers: Mapping[str, tuple[int, str]]
    """where, and the dtype"""
    array: tuple[int, int]
    """begin and end of its bytes"""
    dtype: str
    shape: tuple[int, ...]


def layout(payload: bytes, numbers: Sequence[str], array: str) -> Layout | None:
    """The layout of a message that is a msgpack map of plain values and one Samples; None where it is another."""
    found: dict[str, tuple[int, str]] = {}
    samples: tuple[tuple[int, int], str, tuple[int, ...]] | None = None
    try:
        at, count = _head(payload, 0, 0x80, 0xDE)
        for _ in range(count):
            name, at = _text(payload, at)
            if name == array:
                samples, at = _samples(payload, at)
            else:
                end, dtype = _plain(payload, at)
                if name in numbers:
                    first = end - np.dtype(dtype).itemsize if dtype else 0
                    if not dtype or (dtype == ">u8" and payload[first] >= 0x80):  # beyond 63 bits
                        return None
                    found[name] = (first, dtype)
                at = end
    except (IndexError, ValueError, struct.error):
        return None
    if samples is None or at != len(payload) or found.keys() != set(numbers):
        return None
    span, word, shape = samples
    try:
        Samples.from_wire(word, shape, payload[span[0] : span[1]])
    except ValueError:
        return None
    return Layout(found, span, word, shape)


def _head(data: bytes, at: int, fix: int, wide: int) -> tuple[int, int]:
    """Behind the head of a map or array, and how many it holds."""
    if data[at] & 0xF0 == fix:
        return at + 1, data[at] & 0x0F
    if data[at] == wide:
        return at + 3, int(struct.unpack_from(">H", data, at + 1)[0])
    raise ValueError("another kind of value")


_TEXT = {0xD9: ">B", 0xDA: ">H"}
_BYTES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
_NUMBER = {
    0xCC: ">u1",
    0xCD: ">u2",
    0xCE: ">u4",
    0xCF: ">u8",
    0xD0: ">i1",
    0xD1: ">i2",
    0xD2: ">i4",
    0xD3: ">i8",
}
_FLOAT = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8}
"""bytes behind nil, false, true and floats"""


def _counted(data: bytes, at: int, sizes: Mapping[int, str]) -> tuple[int, int]:
    """Begin and end of what announces its bytes."""
    if data[at] not in sizes:
        raise ValueError("another kind of value")
    kind = sizes[data[at]]
    (size,) = struct.unpack_from(kind, data, at + 1)
    begin = at + 1 + struct.calcsize(kind)
    return begin, begin + size


def _text(data: bytes, at: int) -> tuple[str, int]:
    begin, end = (at + 1, at + 1 + (data[at] & 0x1F)) if data[at] & 0xE0 == 0xA0 else _counted(data, at, _TEXT)
    return data[begin:end].decode(), end


def _plain(data: bytes, at: int) -> tuple[int, str]:
    """The end of a plain value, and its dtype where it is a whole number."""
    kind = data[at]
    if kind < 0x80:
        return at + 1, ">u1"
    if kind in _NUMBER:
        return at + 1 + np.dtype(_NUMBER[kind]).itemsize, _NUMBER[kind]
    if kind >= 0xE0:
        return at + 1, ""
    if kind in _FLOAT:
        return at + 1 + _FLOAT[kind], ""
    _, end = _counted(data, at, _BYTES) if kind in _BYTES else _text(data, at)
    return end, ""


def _samples(data: bytes, at: int) -> tuple[tuple[tuple[int, int], str, tuple[int, ...]], int]:
    span, dtype = (0, 0), ""
    shape: list[int] = []
    at, count = _head(data, at, 0x80, 0xDE)
    for _ in range(count):
        name, at = _text(data, at)
        if name == "data":
            span = _counted(data, at, _BYTES)
            at = span[1]
        elif name == "dtype":
            dtype, at = _text(data, at)
        elif name == "shape":
            at, dimensions = _head(data, at, 0x90, 0xDC)
            for _ in range(dimensions):
                end, kind = _plain(data, at)
                if not kind:
                    raise ValueError("a dimension that is no number")
                shape.append(int(np.frombuffer(data, kind, 1, end - np.dtype(kind).itemsize)[0]))
                at = end
        else:
            raise ValueError("no Samples")
    return (span, dtype, tuple(shape)), at


# --- a chunk ----------------------------------------------------------------------------------------------------------


class Chunk:
    """The messages of an unpacked chunk by channel.

    Args:
        content: the records in it.
        index: per channel where its messages stand.

    Raises:
        ValueError: the index does not fit the content.
    """

    def __init__(self, content: bytes, index: Mapping[int, Ints]) -> None:
        self._content = content
        self._heads: dict[int, tuple[Ints, NDArray[Any], Ints]] = {}
        self._seqs: dict[int, Ints] = {}
        size = len(content)
        for channel, at in index.items():
            if not len(at):
                continue
            if at.min() < 0 or at.max() > size - HEAD.itemsize:
                raise ValueError(f"channel {channel}: an index that points outside its chunk")
            heads = _windows(content, HEAD_BYTES)[at].view(HEAD)  # field by field it takes eight times as long
            lengths = heads["length"].astype(np.int64) - MESSAGE_FIXED_BYTES
            fits = (heads["opcode"] == 5) & (heads["channel"] == channel) & (lengths >= 0)
            if not fits.all() or (at + HEAD.itemsize + lengths > size).any():
                raise ValueError(f"channel {channel}: an index that points to no message of it")
            self._heads[channel] = at, heads, lengths

    @property
    def channels(self) -> list[int]:
        """The channels that have messages here."""
        return list(self._heads)

    def messages(self, channel: Channel, last_seq: int, which: Ints | None = None) -> list[BagMessage]:
        """A channel's messages one by one; `which`: their numbers, all when None."""
        at, heads, lengths = self._heads[channel.id]
        seqs = self.seqs(channel, last_seq)
        content, fixed = self._content, HEAD.itemsize
        numbers = range(len(at)) if which is None else which.tolist()
        return [
            BagMessage(
                channel,
                int(seqs[n]),
                int(heads["log"][n]),
                int(heads["publish"][n]),
                content[at[n] + fixed : at[n] + fixed + lengths[n]],
            )
            for n in numbers
        ]

    def seqs(self, channel: Channel, last_seq: int) -> Ints:
        """The sequence numbers of a channel's messages, in full; `last_seq`: that of the one before."""
        found = self._seqs.get(channel.id)
        if found is None:
            found = self._seqs[channel.id] = _whole(self._heads[channel.id][1]["seq"], last_seq)
        return found

    def stacks(
        self, channel: Channel, last_seq: int, numbers: Sequence[str], array: str
    ) -> tuple[list[Stack], list[BagMessage]]:
        """A channel's messages as columns, and those that fit none.

        Args:
            last_seq: number of the channel's message before, in full: records carry 32 bits of it.
            numbers: the fields, whole numbers, that may differ.
            array: the field, Samples, whose bytes may differ.
        """
        at, heads, lengths = self._heads[channel.id]
        seqs = self.seqs(channel, last_seq)
        made: list[Stack] = []
        others: list[Ints] = []
        for length in np.unique(lengths).tolist():
            left = np.flatnonzero(lengths == length) if lengths.min() != lengths.max() else np.arange(len(at))
            for _ in range(MOST_KINDS):
                if not len(left):
                    break
                kind = np.dtype((np.void, length)) if length else None
                where = None
                if kind is not None:
                    rows = _windows(self._content, kind)[at[left] + HEAD.itemsize].view(np.uint8).reshape(-1, length)
                    where = layout(rows[0].tobytes(), numbers, array)
                if where is None:
                    others.append(left[:1])
                    left = left[1:]
                    continue
                like = _alike(rows, where)
                values = {name: _numbers(rows[like], *place) for name, place in where.numbers.items()}
                taken = left[like]
                made.append(
                    Stack(
                        channel,
                        seqs[taken],
                        heads["log"][taken].astype(np.int64),
                        heads["publish"][taken].astype(np.int64),
                        values,
                        _arrays(rows[like], where),
                        self.messages(channel, last_seq, taken[:1])[0],
                    )
                )
                left = left[~like] if isinstance(like, np.ndarray) else left[:0]
            others.append(left)
        rest = np.concatenate(others) if others else np.zeros(0, np.int64)
        return made, self.messages(channel, last_seq, np.sort(rest)) if len(rest) else []


def _windows(content: bytes, kind: np.dtype[Any]) -> NDArray[Any]:
    """A view with what stands at every byte: picking from it copies once."""
    return np.ndarray((max(0, len(content) - kind.itemsize + 1),), kind, content, strides=(1,))


def _whole(low: NDArray[Any], last_seq: int) -> Ints:
    """Numbers in full from their low 32 bits: each the one nearest to the one before."""
    steps: Ints = np.diff(np.concatenate(([last_seq & 0xFFFFFFFF], low.astype(np.int64))))
    whole: Ints = last_seq + np.cumsum(((steps + 0x80000000) & 0xFFFFFFFF) - 0x80000000)
    return whole


def _alike(rows: NDArray[np.uint8], where: Layout) -> Any:
    """Which rows are like the first but for what may differ: a slice of all, or a flag each."""
    may = np.zeros(rows.shape[1], np.bool_)
    may[where.array[0] : where.array[1]] = True
    small: list[int] = []
    """bytes that must stay below 0x80"""
    for at, dtype in where.numbers.values():
        may[at : at + np.dtype(dtype).itemsize] = True
        if dtype in (">u1", ">u8") and rows[0, at] < 0x80:
            small.append(at)  # a number in the byte of its kind; or one that fits 63 bits
    differs = np.bitwise_or.reduce(rows ^ rows[0], axis=0)
    if not differs[~may].any() and not any(differs[at] & 0x80 for at in small):
        return slice(None)
    alike = (rows[:, ~may] == rows[0, ~may]).all(axis=1)
    for at in small:
        alike &= rows[:, at] < 0x80
    return alike


def _numbers(rows: NDArray[np.uint8], at: int, dtype: str) -> Ints:
    size = np.dtype(dtype).itemsize
    numbers: Ints = np.ascontiguousarray(rows[:, at : at + size]).view(dtype).reshape(-1).astype(np.int64)
    return numbers


def _arrays(rows: NDArray[np.uint8], where: Layout) -> NDArray[Any]:
    begin, end = where.array
    if begin == end:
        return np.zeros((len(rows), *where.shape), where.dtype)
    data = np.ascontiguousarray(rows[:, begin:end])
    return data.view(where.dtype).reshape(len(rows), *where.shape)


Select = Callable[[Channel], bool]
Read = tuple[list[Stack], list[BagMessage]]


def stacked(
    chunks: Iterator[tuple[bytes, Mapping[int, Ints]]],
    channels: Mapping[int, Channel],
    *,
    stack: Select,
    others: Select,
    numbers: Sequence[str],
    array: str,
) -> Iterator[Read]:
    """Chunk by chunk the stacks of some channels, and the messages of others in the order they were recorded.

    Raises:
        ValueError: a chunk and its index do not fit each other.
    """
    last: dict[int, int] = {}
    for content, index in chunks:
        wanted = {n: stack(channels[n]) for n in index if n in channels and (stack(channels[n]) or others(channels[n]))}
        chunk = Chunk(content, {n: index[n] for n in wanted})
        stacks: list[Stack] = []
        messages: list[BagMessage] = []
        for number in chunk.channels:
            channel = channels[number]
            before = last.get(number, channel.first_seq)
            if wanted[number]:
                found, rest = chunk.stacks(channel, before, numbers, array)
                stacks += found
                messages += rest
            else:
                messages += chunk.messages(channel, before)
            last[number] = int(chunk.seqs(channel, before)[-1])
        messages.sort(key=lambda m: m[2])
        yield stacks, messages
