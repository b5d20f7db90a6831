"""What a recorded node heard, in the order of its trace, with the messages of its busiest topics as columns.

Lock-step replay runs a callback for each of them; a backtest of logic that can judge arrays need not. Without a trace
the order is that of recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bus import trace
from bus.bag import BadBag, BagMessage, BagReader, Channel
from bus.bag.stacks import Ints, Stack, stacked
from bus.node import Interface
from bus.replay.follow import HORIZON_NS, Progress
from bus.replay.inputs import KEEP_NS, RecordedNode
from bus.trace import Kind, Record
from schemas.codec import DecodeError, codec
from schemas.system import TraceBlock

_RECORD = np.dtype(
    [("kind", "u1"), ("name", "<u2"), ("publisher", "<u8"), ("seq", "<u8"), ("now", "<i8"), ("payload", "<u4")]
)
"""as bus.trace packs it"""


MOST_NOTES = 20
MOST_HELD = 2000
"""messages that are in no stack, from which on it is looked which may be let go"""
MOST_CODES = 1000
"""lists of names of which it is kept what they mean"""


class Records(NamedTuple):
    """The records of a trace as columns."""

    what: Ints
    """kind << 32 | number of the name"""
    now_ns: Ints
    publishers: NDArray[np.uint64]
    seqs: Ints
    payloads: Ints

    @classmethod
    def together(cls, parts: Sequence[Records]) -> Records:
        """One after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([p.what for p in parts]),
            np.concatenate([p.now_ns for p in parts]),
            np.concatenate([p.publishers for p in parts]),
            np.concatenate([p.seqs for p in parts]),
            np.concatenate([p.payloads for p in parts]),
        )

    def part(self, which: slice) -> Records:
        """Some of them."""
        return Records(
            self.what[which], self.now_ns[which], self.publishers[which], self.seqs[which], self.payloads[which]
        )


class Heard(NamedTuple):
    """Consecutive messages of one stack, and when the node's callback for each began."""

    stack: Stack
    heard_ns: Ints


class Happened(NamedTuple):
    """One callback of another kind, with its message where it had one."""

    record: Record
    message: BagMessage | None


class Begun(NamedTuple):
    """The node was started; or the bag begins in the middle of its run."""

    now_ns: int
    parameters_json: str
    """in force then; empty: as the node's entry says"""
    before: Sequence[BagMessage]
    """in mid-run: the latched values that it had heard"""


class Columns:
    """One node of a bag. Iterating gives lists of Heard (what was heard in one stretch), Happened and Begun, in order.

    Args:
        columns: the methods whose messages are wanted as columns, with the fields that may differ and the array.
        wanted: which other callbacks matter, by kind and name as the trace has them.
        also: the topics that are given to `told` besides, whoever published them.

    Raises:
        BadBag, BadTrace: damaged.
    """

    def __init__(
        self,
        reader: BagReader,
        node: RecordedNode,
        interface: Interface,
        *,
        columns: tuple[Sequence[str], Sequence[str], str],
        wanted: Callable[[int, str], bool],
        also: Mapping[str, Callable[[BagMessage], None]],
        progress: Progress | None = None,
    ) -> None:
        self.notes: list[str] = []
        """what the reader of the result should know"""
        self.missing = 0
        """messages that the node handled, and that the bag does not hold"""
        self._reader = reader
        self._node = node
        methods, self._numbers, self._array = columns
        self._progress = progress
        self._wanted = wanted
        self._also = also
        subscriptions = {node.resolve(s.topic.name): s for s in interface.subscriptions}
        self._methods = {topic: s.method for topic, s in subscriptions.items()}
        self._types = {topic: s.topic.type.__name__ for topic, s in subscriptions.items()}
        self._rows = {topic for topic, s in subscriptions.items() if s.method in methods}
        self.traced = any(c.topic == node.trace_topic for c in reader.channels.values())
        self._names: dict[str, int] = {}
        self._codes: dict[tuple[str, ...], list[int]] = {}
        self._blocks: list[tuple[TraceBlock, int]] = []
        """of the trace, with how many records each has, that are not yet among these"""
        self._records: list[Records] = []
        self._payloads: list[bytes] = [b""]
        self._next_first: dict[int, int] = {}
        self._begun: list[tuple[int, str, bool]] = []
        """begin, parameters, and whether in mid-run, of each life that is yet to be told"""
        self._stacks: list[Stack] = []
        self._held: dict[tuple[int, str, int], BagMessage] = {}
        self._room = MOST_HELD

    # --- reading ------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[list[Heard] | Happened | Begun]:
        reader = self._reader
        log_ns = reader.start_ns
        if not self.traced:
            self._begun.append((log_ns, "", True))
            self.notes.append(f"{self._node.name}: no trace in the bag; judged in the order of recording")
        try:
            for stacks, messages in stacked(
                reader.chunks(self._matters, self._progress),
                reader.channels,
                stack=self._is_row,
                others=lambda c: self._matters(c) and not self._is_row(c),
                numbers=self._numbers,
                array=self._array,
            ):
                self._take(stacks, messages)
                log_ns = max([log_ns, *(int(s.log_ns[-1]) for s in stacks), *(m.log_ns for m in messages[-1:])])
                yield from self._run(log_ns - HORIZON_NS)
                self._forget(log_ns - HORIZON_NS - KEEP_NS)
        except (ValueError, OverflowError) as error:
            raise error if isinstance(error, (BadBag, trace.BadTrace)) else BadBag(reader.path, str(error)) from None
        yield from self._run(1 << 62)

    def _is_row(self, channel: Channel) -> bool:
        return channel.topic in self._rows and channel.type_name == self._types[channel.topic]

    def _matters(self, channel: Channel) -> bool:
        topic = channel.topic
        if topic in self._methods:
            return self._is_row(channel) or self._wanted(int(Kind.MESSAGE), f"{self._methods[topic]} {topic}")
        return topic == self._node.trace_topic or topic in self._also

    def _take(self, stacks: list[Stack], messages: list[BagMessage]) -> None:
        self._stacks += stacks
        for message in messages:
            if message.topic == self._node.trace_topic:
                self._take_trace(message)
                continue
            if message.topic in self._also:
                self._also[message.topic](message)
            if message.topic in self._methods:
                self._held[_id(message.channel), message.topic, message.seq] = message
        if not self.traced:
            self._records.append(self._as_recorded(stacks, messages))

    def _take_trace(self, message: BagMessage) -> None:
        try:
            block = codec(TraceBlock).decode(message.payload)
        except DecodeError as error:
            raise trace.BadTrace(f"{message.topic} number {message.seq}: {error}") from None
        count, odd = divmod(len(block.records), _RECORD.itemsize)
        if odd:
            text = f"{len(block.records)} bytes are no whole number of records"
            raise trace.BadTrace(f"trace block {block.first}: {text}")
        if not count:
            return
        life = message.publisher_id
        if life not in self._next_first:
            first = np.frombuffer(block.records, _RECORD, 1)[0]
            self._begun.append((int(first["now"]), block.parameters_json, bool(first["kind"] != Kind.CONFIGURE)))
        elif self._next_first[life] != block.first and len(self.notes) < MOST_NOTES:
            self.notes.append(f"callbacks {self._next_first[life]}..{block.first - 1} are missing in the trace")
        self._next_first[life] = block.first + count
        self._blocks.append((block, count))

    def _records_of(self, blocks: Sequence[tuple[TraceBlock, int]]) -> Records:
        """The records of blocks of a trace, their names and payloads numbered for all blocks."""
        raw = np.frombuffer(b"".join([block.records for block, _ in blocks]), _RECORD)
        codes: list[int] = []
        names_at: list[int] = []
        payloads_at: list[int] = []
        for block, _ in blocks:
            names_at.append(len(codes))
            payloads_at.append(len(self._payloads) - 1)
            known = self._codes.get(block.names)
            if known is None:
                if len(self._codes) > MOST_CODES:
                    self._codes.clear()
                known = [self._names.setdefault(name, len(self._names)) for name in block.names]
                self._codes[block.names] = known
            codes += known
            self._payloads += block.payloads
        counts = np.array([count for _, count in blocks])
        sizes = np.array([(len(block.names), len(block.payloads)) for block, _ in blocks])
        most = np.repeat(sizes, counts, axis=0)
        if (raw["name"] >= most[:, 0]).any() or (raw["payload"] > most[:, 1]).any():
            raise trace.BadTrace(f"trace block {blocks[0][0].first} or after: a record points to what is not there")
        payloads = raw["payload"].astype(np.int64)
        payloads[payloads > 0] += np.repeat(payloads_at, counts)[payloads > 0]
        return Records(
            raw["kind"].astype(np.int64) << 32 | np.array(codes)[raw["name"] + np.repeat(names_at, counts)],
            raw["now"].astype(np.int64),
            raw["publisher"].astype(np.uint64),
            raw["seq"].astype(np.int64),
            payloads,
        )

    def _as_recorded(self, stacks: Sequence[Stack], messages: Sequence[BagMessage]) -> Records:
        """Records for messages that no trace tells of: handled when they were recorded."""
        parts = [(s.channel, s.seqs, s.log_ns) for s in stacks]
        heard = [m for m in messages if m.topic in self._methods]
        parts += [(m.channel, np.array([m.seq]), np.array([m.log_ns])) for m in heard]
        counts = [len(seqs) for _, seqs, _ in parts]
        names = [f"{self._methods[channel.topic]} {channel.topic}" for channel, _, _ in parts]
        codes = np.array([self._names.setdefault(name, len(self._names)) for name in names], np.int64)
        none = np.zeros(0, np.int64)
        now_ns = np.concatenate([none, *(log_ns for _, _, log_ns in parts)])
        all_seqs = np.concatenate([none, *(seqs for _, seqs, _ in parts)])
        topics = sorted({channel.topic for channel, _, _ in parts})
        ranks = np.repeat(np.array([topics.index(channel.topic) for channel, _, _ in parts], np.int64), counts)
        order = np.lexsort((all_seqs, ranks, now_ns))
        return Records(
            np.repeat(int(Kind.MESSAGE) << 32 | codes, counts)[order],
            now_ns[order],
            np.repeat(np.array([_id(c) for c, _, _ in parts], np.uint64), counts)[order],
            all_seqs[order],
            np.zeros(len(now_ns), np.int64),
        )

    # --- in order -----------------------------------------------------------------------------------------------------

    def _run(self, until_ns: int) -> Iterator[list[Heard] | Happened | Begun]:
        """What is known to be complete up to a moment."""
        if self._blocks:
            self._records.append(self._records_of(self._blocks))
            self._blocks = []
        if not self._records:
            return
        records = Records.together(self._records)
        count = int(np.searchsorted(np.maximum.accumulate(records.now_ns), until_ns, side="right"))
        self._records = [records.part(slice(count, None))] if count < len(records.now_ns) else []
        if not count:
            return
        records = records.part(slice(count))
        now_ns = records.now_ns
        rows: list[tuple[Stack, Ints]] = []
        is_row = np.zeros(count, np.bool_)
        for topic in self._rows:
            code = self._names.get(f"{self._methods[topic]} {topic}")
            if code is not None:
                of_topic = np.flatnonzero(records.what == (int(Kind.MESSAGE) << 32 | code))
                if len(of_topic):
                    rows += self._matched(topic, of_topic, records, is_row)
        sparse = self._others(records, is_row)
        begins = [b for b in self._begun if b[0] <= int(now_ns.max())]
        self._begun = self._begun[len(begins) :]
        events: list[tuple[int, int]] = [(place, -1) for place in sparse]
        events += [(int(np.searchsorted(now_ns, begun[0])), n) for n, begun in enumerate(begins)]
        cursor = [0] * len(rows)
        for place, begun in [*sorted(events, key=lambda e: (e[0], e[1] < 0)), (count, -1)]:
            stretch: list[Heard] = []
            for n, (stack, places) in enumerate(rows):
                end = int(np.searchsorted(places, place))
                if end > cursor[n]:
                    part = slice(cursor[n], end)
                    stretch.append(Heard(stack.part(part), now_ns[places[part]]))
                    cursor[n] = end
            if stretch:
                yield stretch
            if begun >= 0:
                yield self._begin(*begins[begun])
            elif place < count:
                yield self._happened(records, place)

    def _forget(self, before_ns: int) -> None:
        """Let go what nobody will have handled so late; of latched topics the newest value stays."""
        self._stacks = [s for s in self._stacks if s.log_ns[-1] >= before_ns]
        if len(self._held) > self._room:
            newest = {key[:2]: key for key, m in self._held.items() if m.qos == "LATCHED"}
            kept = set(newest.values())
            self._held = {k: m for k, m in self._held.items() if m.log_ns >= before_ns or k in kept}
            self._room = max(MOST_HELD, 2 * len(self._held))

    def _begin(self, now_ns: int, parameters_json: str, mid_run: bool) -> Begun:
        before: dict[str, BagMessage] = {}
        if mid_run:
            held = [m for m in self._held.values() if m.qos == "LATCHED" and m.publish_ns <= now_ns]
            before = {m.topic: m for m in sorted(held, key=lambda m: m.publish_ns)}
        return Begun(now_ns, parameters_json, list(before.values()))

    def _matched(
        self, topic: str, of_topic: Ints, records: Records, is_row: NDArray[np.bool_]
    ) -> Iterator[tuple[Stack, Ints]]:
        """The stacks of a topic, each with the records that handled its messages; what comes later is kept."""
        publishers, seqs = records.publishers[of_topic], records.seqs[of_topic]
        kept: list[Stack] = []
        for stack in self._stacks:
            if stack.channel.topic != topic:
                kept.append(stack)
                continue
            own = publishers == _id(stack.channel)
            handled = seqs[own]
            if not len(handled):
                kept.append(stack)
                continue
            places = of_topic[own]
            at = np.minimum(np.searchsorted(handled, stack.seqs), len(handled) - 1)
            found = handled[at] == stack.seqs
            if found.any():
                is_row[places[at[found]]] = True
                yield (stack if found.all() else stack.part(_span(found))), places[at[found]]
            later = stack.seqs > handled[-1]
            if later.any():
                kept.append(stack.part(_span(later)))
        self._stacks = kept

    def _others(self, records: Records, is_row: NDArray[np.bool_]) -> list[int]:
        """The places of the other callbacks that matter, those of rows that are in no stack among them."""
        names = list(self._names)
        left = np.flatnonzero(~is_row)
        found: list[Ints] = []
        row_names = {f"{self._methods[topic]} {topic}" for topic in self._rows}
        what = records.what[left]
        for pair in np.unique(what).tolist():
            kind, name = pair >> 32, names[pair & 0xFFFFFFFF]
            is_rows = kind == Kind.MESSAGE and name in row_names
            if not is_rows and not self._wanted(kind, name):
                continue
            places = left[what == pair]
            if is_rows:
                topic = name.partition(" ")[2]
                keys = [(int(records.publishers[n]), topic, int(records.seqs[n])) for n in places.tolist()]
                there = np.array([key in self._held for key in keys], np.bool_)
                self.missing += int(len(places) - there.sum())
                places = places[there]
            found.append(places)
        return np.sort(np.concatenate(found)).tolist() if found else []

    def _happened(self, records: Records, place: int) -> Happened:
        what = int(records.what[place])
        kind, name = what >> 32, list(self._names)[what & 0xFFFFFFFF]
        publisher, seq = int(records.publishers[place]), int(records.seqs[place])
        message = None
        if kind == Kind.MESSAGE:
            message = self._held.get((publisher, name.partition(" ")[2], seq))
            if message is None:
                self.missing += 1
        payload = self._payloads[int(records.payloads[place])]
        return Happened(Record(kind, name, int(records.now_ns[place]), publisher, seq, payload), message)


def _id(channel: Channel) -> int:
    """A publisher's id in the 64 bits of a trace, whatever the words of a damaged bag say."""
    return channel.publisher_id & 0xFFFFFFFFFFFFFFFF


def _span(flags: NDArray[np.bool_]) -> Any:
    """The rows that are flagged: as a slice, which copies nothing, where they are one stretch."""
    at = np.flatnonzero(flags)
    first, last = int(at[0]), int(at[-1])
    return slice(first, last + 1) if last - first + 1 == len(at) else at
