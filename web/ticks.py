"""One tick of the hub: what came from the bus in 20 ms, in the form it goes to clients. Values in, values out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from bus.context import Raw
from schemas.codec import DecodeError, codec
from schemas.machine import SignalBlock, Signals
from web.feeds import Feed, Feeds
from web.protocol import Gap, Message
from web.protocol import Signals as Rows

BLOCK = SignalBlock.__name__
_MOST = 2**53
_blocks = codec(SignalBlock)
_signals = codec(Signals)
_any = msgspec.msgpack.Decoder(dict[str, Any])


@dataclass(slots=True)
class Tick:
    """What came between two moments."""

    now_ns: int
    messages: list[Message] = field(default_factory=list)
    signals: list[Rows] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    nbytes: int = 0
    """of payloads and rows"""
    unreadable: list[str] = field(default_factory=list)
    """what could not be read, in words"""

    def __bool__(self) -> bool:
        return bool(self.messages or self.signals or self.gaps)


@dataclass(slots=True)
class _Run:
    """Blocks that follow one another without a hole: they go out as one."""

    feed: Feed
    first_seq: int
    last_seq: int
    first_row: int
    next_row: int
    stamp_ns: int
    period_ns: int
    block_rows: int
    columns: int
    parts: list[bytes]

    def rows(self) -> Rows:
        rows = (self.last_seq - self.first_seq + 1) * self.block_rows
        return (
            self.feed.n, self.first_seq, self.last_seq, self.first_row, self.stamp_ns, self.period_ns, rows,
            self.columns, b"".join(self.parts),
        )  # fmt: skip


Latch = Callable[[Feed, Message, dict[str, Any]], None]
"""told of every message of a LATCHED topic, and its fields"""


def tick(raws: Sequence[Raw], feeds: Feeds, now_ns: int, *, named: Callable[[Feed], None], latch: Latch) -> Tick:
    """Sort what came. What is no message is left out, and counted as a gap that says so.

    Args:
        named: told of every feed that is new or has other columns than before, ahead of its messages.
    """
    made = Tick(now_ns)
    runs: dict[tuple[str, int], _Run] = {}
    for raw in raws:
        if raw.lost_first:
            _close(runs, raw, made)
            feed = feeds.any_of(raw.topic, raw.publisher_id) or _new(raw, "", feeds, named)
            made.gaps.append((feed.n, raw.lost_first, raw.seq, raw.payload.decode() or "lost"))
        elif raw.type_name == BLOCK:
            _take_block(raw, feeds, runs, made, named)
        else:
            _take_message(raw, feeds, made, named, latch)
    made.signals += [run.rows() for run in runs.values()]
    return made


def _new(raw: Raw, source: str, feeds: Feeds, named: Callable[[Feed], None]) -> Feed:
    feed = feeds.add(raw.topic, raw.publisher, raw.publisher_id, source, raw.type_name, raw.type_hash, raw.qos)
    named(feed)
    return feed


def _close(runs: dict[tuple[str, int], _Run], raw: Raw, made: Tick) -> None:
    run = runs.pop((raw.topic, raw.publisher_id), None)
    if run is not None:
        made.signals.append(run.rows())


def _take_block(
    raw: Raw, feeds: Feeds, runs: dict[tuple[str, int], _Run], made: Tick, named: Callable[[Feed], None]
) -> None:
    key = (raw.topic, raw.publisher_id)
    try:
        block = _blocks.decode(raw.payload)
        array = block.data.array
        if array.ndim != 2:
            raise DecodeError(BLOCK, f"rows of {array.ndim} dimensions, expected 2")
        if not (0 <= block.first_row < _MOST and 0 <= block.period_ns < _MOST and abs(block.stamp_ns) < 2**62):
            raise DecodeError(BLOCK, "first_row, period_ns or stamp_ns are beyond what a page can count")
    except DecodeError as error:
        _close(runs, raw, made)
        feed = feeds.any_of(*key) or _new(raw, "", feeds, named)
        _refuse(raw, feed, made, str(error))
        return
    feed_known = feeds.find(raw.topic, raw.publisher_id, block.source)
    feed = feed_known or _new(raw, block.source, feeds, named)
    if array.dtype.str != "<f4":
        with np.errstate(all="ignore"):  # an odd reading must arrive
            array = array.astype("<f4")
    rows, columns = array.shape
    data = array.tobytes()
    made.nbytes += len(data)
    run = runs.get(key)
    if (
        run is not None and run.feed is feed and run.last_seq + 1 == raw.seq and run.next_row == block.first_row
        and run.period_ns == block.period_ns and run.block_rows == rows and run.columns == columns
    ):  # fmt: skip
        run.last_seq = raw.seq
        run.next_row += rows
        run.parts.append(data)
        return
    _close(runs, raw, made)
    runs[key] = _Run(
        feed, raw.seq, raw.seq, block.first_row, block.first_row + rows, block.stamp_ns, block.period_ns, rows,
        columns, [data],
    )  # fmt: skip


def _take_message(raw: Raw, feeds: Feeds, made: Tick, named: Callable[[Feed], None], latch: Latch) -> None:
    feed = feeds.find(raw.topic, raw.publisher_id, "") or _new(raw, "", feeds, named)
    try:
        fields = _any.decode(raw.payload)
        if raw.type_name == Signals.__name__:
            namespace = raw.topic.rpartition("/machine/")[0]
            for changed in feeds.learn_columns(namespace, raw.publisher_id, _signals.decode(raw.payload)):
                named(changed)
    except (msgspec.DecodeError, DecodeError, UnicodeDecodeError, RecursionError) as error:
        _refuse(raw, feed, made, str(error))
        return
    message = (feed.n, raw.seq, raw.stamp_ns, msgspec.Raw(raw.payload))
    made.messages.append(message)
    made.nbytes += len(raw.payload)
    if feed.qos == "LATCHED":
        latch(feed, message, fields)


def _refuse(raw: Raw, feed: Feed, made: Tick, why: str) -> None:
    made.gaps.append((feed.n, raw.seq, raw.seq, "unreadable"))
    made.unreadable.append(f"{raw.topic} from {raw.publisher}: {why}")


def cut(rows: Rows, after_seq: int) -> Rows | None:
    """The part of an entry behind a sequence number; None when there is none."""
    n, first, last, first_row, stamp_ns, period_ns, count, columns, data = rows
    if after_seq < first:
        return rows
    if after_seq >= last:
        return None
    each = count // (last - first + 1)
    gone = (after_seq + 1 - first) * each
    left = data[gone * columns * 4 :]
    return (
        n, after_seq + 1, last, first_row + gone, stamp_ns + gone * period_ns, period_ns, count - gone, columns, left,
    )  # fmt: skip


class Decimator:
    """The least and greatest of bins of `bin_rows` rows, which lie at multiples of it: the same for everybody.

    A bin goes out when its last row is there. After a hole, or when the columns change, the bin that was begun goes out
    as it is.
    """

    def __init__(self, bin_rows: int) -> None:
        self.bin_rows = bin_rows
        self._rows: list[np.ndarray[Any, np.dtype[np.float32]]] = []
        self._first: Rows | None = None
        """where the bin that is open began"""
        self._next_row = 0
        self._last_seq = 0

    def take(self, rows: Rows) -> list[Rows]:
        """Entries of two rows per bin that are complete now."""
        n, first, last, first_row, stamp_ns, period_ns, count, columns, data = rows
        out: list[Rows] = []
        if not data:
            return out
        begun = self._first
        if begun is not None and (begun[7] != columns or begun[5] != period_ns or self._next_row != first_row):
            out += self._flush()
        array = np.frombuffer(data, "<f4").reshape(count, columns)
        at, per_seq = 0, max(1, count // (last - first + 1))
        while at < count:
            row = first_row + at
            room = self.bin_rows - row % self.bin_rows
            part = array[at : at + room]
            seq = first + at // per_seq
            if self._first is None:
                self._first = (n, seq, seq, row, stamp_ns + at * period_ns, period_ns, 0, columns, b"")
            self._rows.append(part)
            at += len(part)
            self._next_row = first_row + at
            self._last_seq = min(last, first + max(0, at - 1) // per_seq)
            if self._next_row % self.bin_rows == 0:
                out += self._flush()
        return _joined(out)

    def _flush(self) -> list[Rows]:
        begun, rows = self._first, self._rows
        self._first, self._rows = None, []
        if begun is None:
            return []
        whole = np.concatenate(rows)
        with np.errstate(all="ignore"):
            pair = np.stack([np.fmin.reduce(whole), np.fmax.reduce(whole)])
        n, first, _, row, stamp_ns, period_ns, _, columns, _ = begun
        return [
            (
                n,
                first,
                self._last_seq,
                row,
                stamp_ns,
                period_ns * self.bin_rows,
                2,
                columns,
                pair.astype("<f4").tobytes(),
            )
        ]


def _joined(entries: list[Rows]) -> list[Rows]:
    """Bins that follow one another as one entry."""
    out: list[Rows] = []
    for e in entries:
        last = out[-1] if out else None
        bins = last[6] // 2 if last is not None else 0
        if last is not None and last[5] == e[5] and last[7] == e[7] and last[4] + bins * last[5] == e[4]:
            out[-1] = (*last[:2], e[2], *last[3:6], last[6] + e[6], last[7], last[8] + e[8])
        else:
            out.append(e)
    return out
