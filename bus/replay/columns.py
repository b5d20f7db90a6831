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
from bus.replay.inputs import RecordedNode
from bus.trace import Kind, Record
from schemas.codec import DecodeError, codec
from schemas.system import TraceBlock

_RECORD = np.dtype(
    [("kind", "u1"), ("name", "<u2"), ("publisher", "<u8"), ("seq", "<u8"), ("now", "<i8"), ("payload", "<u4")]
)
"""as bus.trace packs it"""


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
        self._records: list[NDArray[Any]] = []
        self._payloads: list[bytes] = [b""]
        self._next_first: dict[int, int] = {}
        self._begun: list[tuple[int, str, bool]] = []
        """begin, parameters, and whether in mid-run, of each life that is yet to be told"""
        self._stacks: list[Stack] = []
        self._held: dict[tuple[int, str, int], BagMessage] = {}

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
        except ValueError as error:
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
                self._held[message.publisher_id, message.topic, message.seq] = message
        if not self.traced:
            self._records.append(self._as_recorded(stacks, messages))

    def _take_trace(self, message: BagMessage) -> None:
        try:
            block = codec(TraceBlock).decode(message.payload)
        except DecodeError as error:
            raise trace.BadTrace(f"{message.topic} number {message.seq}: {error}") from None
        if len(block.records) % _RECORD.itemsize:
            raise trace.BadTrace(
                f"trace block {block.first}: {len(block.records)} bytes are no whole number of records"
            )
        records = np.frombuffer(block.records, _RECORD).copy()
        if not len(records):
            return
        if records["name"].max() >= len(block.names) or records["payload"].max() > len(block.payloads):
            raise trace.BadTrace(f"trace block {block.first}: a record points to what is not there")
        life = message.publisher_id
        if life not in self._next_first:
            mid_run = records["kind"][0] != Kind.CONFIGURE
            self._begun.append((int(records["now"][0]), block.parameters_json, mid_run))
        elif self._next_first[life] != block.first:
            self.notes.append(f"callbacks {self._next_first[life]}..{block.first - 1} are missing in the trace")
        self._next_first[life] = block.first + len(records)
        codes = np.array([self._names.setdefault(name, len(self._names)) for name in block.names], np.uint16)
        records["name"] = codes[records["name"]]
        if block.payloads:
            records["payload"][records["payload"] > 0] += len(self._payloads) - 1
            self._payloads += block.payloads
        self._records.append(records)

    def _as_recorded(self, stacks: Sequence[Stack], messages: Sequence[BagMessage]) -> NDArray[Any]:
        """Records for messages that no trace tells of: handled when they were recorded."""
        parts = [(s.channel, s.seqs, s.log_ns) for s in stacks]
        heard = [m for m in messages if m.topic in self._methods]
        parts += [(m.channel, np.array([m.seq]), np.array([m.log_ns])) for m in heard]
        made = np.zeros(sum(len(seqs) for _, seqs, _ in parts), _RECORD)
        at = 0
        for channel, seqs, log_ns in parts:
            part = made[at : at + len(seqs)]
            part["kind"], part["publisher"], part["seq"], part["now"] = Kind.MESSAGE, channel.publisher_id, seqs, log_ns
            name = f"{self._methods[channel.topic]} {channel.topic}"
            part["name"] = self._names.setdefault(name, len(self._names))
            at += len(seqs)
        return made[np.argsort(made["now"], kind="stable")]

    # --- in order -----------------------------------------------------------------------------------------------------

    def _run(self, until_ns: int) -> Iterator[list[Heard] | Happened | Begun]:
        """What is known to be complete up to a moment."""
        if not self._records:
            return
        records = np.concatenate(self._records)
        count = int(np.searchsorted(np.maximum.accumulate(records["now"]), until_ns, side="right"))
        self._records = [records[count:]]
        if not count:
            return
        records = records[:count]
        now_ns = np.ascontiguousarray(records["now"])
        kinds, codes = np.ascontiguousarray(records["kind"]), np.ascontiguousarray(records["name"])
        row_names = {self._names.get(f"{self._methods[topic]} {topic}", -1): topic for topic in self._rows}
        rows: list[tuple[Stack, Ints]] = []
        is_row = np.zeros(count, np.bool_)
        for code, topic in row_names.items():
            of_topic = np.flatnonzero((codes == code) & (kinds == Kind.MESSAGE)) if code >= 0 else np.zeros(0, np.int64)
            if len(of_topic):
                rows += self._matched(topic, of_topic, records, is_row)
        sparse = self._others(kinds, codes, is_row, records)
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
                yield self._happened(records[place])

    def _begin(self, now_ns: int, parameters_json: str, mid_run: bool) -> Begun:
        before: dict[str, BagMessage] = {}
        if mid_run:
            held = [m for m in self._held.values() if m.qos == "LATCHED" and m.publish_ns <= now_ns]
            before = {m.topic: m for m in sorted(held, key=lambda m: m.publish_ns)}
        return Begun(now_ns, parameters_json, list(before.values()))

    def _matched(
        self, topic: str, of_topic: Ints, records: NDArray[Any], is_row: NDArray[np.bool_]
    ) -> Iterator[tuple[Stack, Ints]]:
        """The stacks of a topic, each with the records that handled its messages; what comes later is kept."""
        publishers = records["publisher"][of_topic]
        seqs = records["seq"][of_topic].astype(np.int64)
        kept: list[Stack] = []
        for stack in self._stacks:
            if stack.channel.topic != topic:
                kept.append(stack)
                continue
            own = publishers == stack.channel.publisher_id
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

    def _others(
        self, kinds: NDArray[Any], codes: NDArray[Any], is_row: NDArray[np.bool_], records: NDArray[Any]
    ) -> list[int]:
        """The places of the other callbacks that matter, those of rows that are in no stack among them."""
        names = list(self._names)
        found: list[Ints] = []
        pairs = np.unique(kinds.astype(np.int64) << 16 | codes)
        row_names = {f"{self._methods[topic]} {topic}" for topic in self._rows}
        for pair in pairs.tolist():
            kind, name = pair >> 16, names[pair & 0xFFFF]
            if kind == Kind.MESSAGE and name in row_names:
                left = np.flatnonzero((codes == pair & 0xFFFF) & (kinds == kind) & ~is_row)
                topic = name.partition(" ")[2]
                keys = [(int(records["publisher"][n]), topic, int(records["seq"][n])) for n in left.tolist()]
                there = np.array([key in self._held for key in keys], np.bool_)
                self.missing += int(len(left) - there.sum())
                found.append(left[there] if len(left) else left)
            elif self._wanted(kind, name):
                found.append(np.flatnonzero((codes == pair & 0xFFFF) & (kinds == kind)))
        return np.sort(np.concatenate(found)).tolist() if found else []

    def _happened(self, record: Any) -> Happened:
        kind, name = int(record["kind"]), list(self._names)[int(record["name"])]
        publisher, seq = int(record["publisher"]), int(record["seq"])
        message = None
        if kind == Kind.MESSAGE:
            message = self._held.get((publisher, name.partition(" ")[2], seq))
            if message is None:
                self.missing += 1
        payload = self._payloads[int(record["payload"])]
        return Happened(Record(kind, name, int(record["now"]), publisher, seq, payload), message)


def _span(flags: NDArray[np.bool_]) -> Any:
    """The rows that are flagged: as a slice, which copies nothing, where they are one stretch."""
    at = np.flatnonzero(flags)
    first, last = int(at[0]), int(at[-1])
    return slice(first, last + 1) if last - first + 1 == len(at) else at
