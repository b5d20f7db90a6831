"""`rise bag merge`: bags of several recorders or hosts as one, in the order of their log times.

What several of them hold is taken once, and what one of them lost and another has is filled in. The statements of the
recorders about losses are made anew from what is missing in the end, so that the new bag says exactly that.
"""

from __future__ import annotations

import heapq
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus.bag.contents import BagMessage, Channel
from bus.bag.format import Progress
from bus.bag.losses import Losses, Missing
from bus.bag.plain import unpack
from bus.bag.quota import BLACK_BOX, RUN, WORDS, said_by_states, words
from bus.bag.reader import BagReader
from bus.bag.recover import being_written
from bus.bag.writer import BagWriter
from schemas.codec import codec
from schemas.grammar import definition, match
from schemas.names import is_tool
from schemas.system import LostMessages

WRITER = "rise_bag_merge"
"""under this name the losses stand in the new bag"""
LOST = "bag/lost"
OWN = frozenset({"ReducedBlock", "LostMessages"})
"""what a recorder adds of its own"""
MAX_HELD = 200_000
"""messages that wait for what another bag has of before; more only when the clocks differ"""


class BadMerge(ValueError):
    """These bags do not go into one; the text says why and what to do."""


@dataclass(slots=True)
class Merged:
    """What the new bag holds."""

    path: str
    bags: int
    messages: int
    duplicates: int
    """messages that another bag had too"""
    lost: int
    """messages that none of them has"""
    start_ns: int = 0
    end_ns: int = 0
    size_bytes: int = 0


def merge(
    sources: Sequence[str | Path],
    target: str | Path,
    *,
    topics: Callable[[str], Any] | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> Merged:
    """Write one bag of several; it appears when it is complete, and only then another of its name goes.

    Raises:
        BadBag: a source is none, or damaged.
        BadMerge: a topic has one type here and another there, or a name belongs to two nodes.
        FileExistsError: the target is there.
        OSError: no room.
    """
    target = Path(target)
    if target.exists() and not replace:
        raise FileExistsError(f"{target} is there already")
    for left in target.parent.glob(f".{target.name}.*.part"):
        if not being_written(left):
            left.unlink()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with ExitStack() as opened:
        bags = [opened.enter_context(BagReader(path)) for path in sources]
        # in order of time, so that what a later part repeats of before is known when it comes
        bags.sort(key=lambda bag: (bag.start_ns, str(bag.path)))
        _one_type_each(bags, topics)
        _one_node_each(bags)
        try:
            with BagWriter(part) as out:
                merged = _Merge(bags, out, topics, progress).run()
                merged.start_ns, merged.end_ns = out.start_ns, out.end_ns
            merged.path, merged.size_bytes = str(target), part.stat().st_size
            os.replace(part, target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    return merged


def _one_type_each(bags: Sequence[BagReader], topics: Callable[[str], Any] | None) -> None:
    known: dict[str, tuple[Channel, BagReader]] = {}
    wrong: dict[str, str] = {}
    for bag in bags:
        for channel in bag.channels.values():
            if channel.topic == LOST or (topics is not None and not topics(channel.topic)):
                continue  # losses are written anew
            first, there = known.setdefault(channel.topic, (channel, bag))
            if first.type_hash == channel.type_hash or channel.topic in wrong:
                continue
            matched = match(first.definition, channel.definition)
            differs = matched.reasons or [f"{name}: only in the second" for name in matched.unknown_fields]
            wrong[channel.topic] = (
                f"{channel.topic}: {first.type_name} {first.type_hash} in {there.path}, {channel.type_name} "
                f"{channel.type_hash} in {bag.path} ({'; '.join(differs) or 'a field with a default more'})"
            )
    if wrong:
        lines = "\n".join(f"  {text}" for text in wrong.values())
        raise BadMerge(f"one topic, two types:\n{lines}\nLeave such topics out by --topics, or keep the bags apart")


def _one_node_each(bags: Sequence[BagReader]) -> None:
    """A name that is taken on two hosts at once would be one node to a replay."""
    homes: dict[str, tuple[tuple[str, str], BagReader]] = {}
    for bag in bags:
        home = _home(bag)
        for name in bag.nodes():
            if is_tool(name):
                continue
            first, there = homes.setdefault(name, (home, bag))
            if first != home and there.nodes()[name].get("publisher_id") != bag.nodes()[name].get("publisher_id"):
                raise BadMerge(
                    f"{name} in {there.path} (host {first[0]}, domain {first[1]}) and in {bag.path} (host {home[0]}, "
                    f"domain {home[1]}) are two nodes of one name: their messages cannot be told apart in one bag"
                )


def _home(bag: BagReader) -> tuple[str, str]:
    rise = bag.metadata().get("rise", {})
    return rise.get("host", ""), rise.get("domain", "")


class _Row:
    """What has been written of one publisher's topic."""

    __slots__ = ("held", "last", "number", "numbers", "since_ns")

    def __init__(self, number: int, numbers: list[tuple[int, int]], since_ns: int) -> None:
        self.number = number
        self.numbers = numbers
        """the numbers that the bags have together, as ranges; empty where one bag has it all"""
        self.since_ns = since_ns
        self.last = 0
        self.held: list[tuple[int, int, BagMessage]] = []
        """a heap of messages that came before those that go before them"""

    def next(self) -> int:
        """The lowest number behind the last that any bag has."""
        at = bisect_right(self.numbers, self.last, key=lambda span: span[1])
        return max(self.numbers[at][0], self.last + 1) if at < len(self.numbers) else 0


class _Merge:
    """One pass over all bags; before it a look at what each has of the topics that several hold."""

    def __init__(
        self, bags: Sequence[BagReader], out: BagWriter, topics: Callable[[str], Any] | None, progress: Progress | None
    ) -> None:
        self._bags = bags
        self._out = out
        self._topics = topics
        self._progress = progress
        self._done = 0
        self._shared = self._look()
        self._rows: dict[tuple[str, int], _Row] = {}
        self._losses = Losses()
        self._waiting = 0
        self._now_ns = 0
        self._lost_seq = 0
        self._duplicates = 0
        self._lost = 0

    def run(self) -> Merged:
        self._words()
        head, in_head = 0, True
        streams = [self._messages(n, bag) for n, bag in enumerate(self._bags)]
        for _, n, nth, message in heapq.merge(*streams, key=lambda one: one[:2]):
            # what the first bag repeats of before stands at the head of this one too
            in_head = in_head and n == 0 and nth < self._bags[0].repeated
            head += in_head
            self._take(n, message)
        self._out.repeated(head)
        for missing in self._losses.rest():
            self._lose(missing)
        self._out.flush()
        return Merged("", len(self._bags), self._out.messages, self._duplicates, self._lost)

    def _messages(self, n: int, bag: BagReader) -> Iterator[tuple[int, int, int, BagMessage]]:
        at_ns = 0
        for nth, message in enumerate(bag.messages(topics=self._selects)):
            at_ns = max(at_ns, message.log_ns)
            yield at_ns, n, nth, message

    def _selects(self, topic: str) -> bool:
        return self._topics is None or topic == LOST or bool(self._topics(topic))

    def _look(self) -> dict[tuple[str, int], list[tuple[int, int]]]:
        """By topic and publisher the numbers that the bags have together, for what more than one of them has."""
        holders: dict[tuple[str, int], int] = {}
        for bag in self._bags:
            for channel in bag.channels.values():
                if self._selects(channel.topic) and channel.type_name not in OWN:
                    holders[channel.topic, channel.publisher_id] = (
                        holders.get((channel.topic, channel.publisher_id), 0) + 1
                    )
        shared: dict[tuple[str, int], list[tuple[int, int]]] = {key: [] for key, n in holders.items() if n > 1}
        names = {topic for topic, _ in shared}
        for bag in self._bags:
            begins_ns = bag.start_ns
            for message in bag.messages(topics=names.__contains__):
                spans = shared.get((message.topic, message.publisher_id))
                # what a bag is given at its head of the state before came in its turn to the others, or never
                if spans is None or (message.publish_ns < begins_ns and message.qos == "LATCHED"):
                    continue
                if spans and spans[-1][0] <= message.seq <= spans[-1][1] + 1:
                    spans[-1] = (spans[-1][0], max(spans[-1][1], message.seq))
                else:
                    spans.append((message.seq, message.seq))
        return {key: _joined(spans) for key, spans in shared.items()}

    # --- messages -------------------------------------------------------------------------------------------------

    def _take(self, n: int, message: BagMessage) -> None:
        self._done += 1
        if self._progress is not None and self._done % 4096 == 1:
            self._progress(self._done, sum(bag.info.messages for bag in self._bags))
        self._now_ns = max(self._now_ns, message.log_ns)
        channel = message.channel
        if channel.topic == LOST:
            said = unpack(channel.definition, message.payload)
            reason = said.get("reason", "lost")
            self._losses.say(Missing(said["topic"], said["publisher"], said["first_seq"], said["last_seq"], reason))
            return
        row = self._rows.get((channel.topic, channel.publisher_id)) or self._row(message)
        if channel.type_name in OWN:  # a recorder numbers these anew in every bag
            self._write(row, message._replace(seq=row.last + 1))
        elif message.seq <= row.last:
            self._duplicates += 1
        elif 0 < row.next() < message.seq:
            self._hold(n, row, message)
        else:
            self._write(row, message)
            while row.held and not 0 < row.next() < row.held[0][0]:
                _, _, kept = heapq.heappop(row.held)
                self._waiting -= 1
                if kept.seq > row.last:
                    self._write(row, kept)
                else:
                    self._duplicates += 1

    def _hold(self, n: int, row: _Row, message: BagMessage) -> None:
        heapq.heappush(row.held, (message.seq, n, message))
        self._waiting += 1
        if self._waiting > MAX_HELD:
            raise BadMerge(
                f"{message.topic} seq {message.seq} lies far before seq {row.next()}, which another bag has: the "
                "clocks of the recorders differ. Leave such topics out by --topics, or keep the bags apart"
            )

    def _row(self, message: BagMessage) -> _Row:
        channel, own = message.channel, message.channel.type_name in OWN
        number = self._out.channel(
            channel.topic,
            channel.publisher,
            channel.publisher_id,
            channel.definition,
            channel.qos,
            first_seq=1 if own else message.seq,
            metadata={k: v for k, v in channel.metadata.items() if k == "key"},
        )
        row = _Row(number, self._shared.get((channel.topic, channel.publisher_id), []), message.log_ns)
        self._rows[channel.topic, channel.publisher_id] = row
        return row

    def _write(self, row: _Row, message: BagMessage) -> None:
        channel = message.channel
        joined = channel.qos == "LATCHED" and message.publish_ns < row.since_ns
        for missing in self._losses.before(channel.topic, channel.publisher, row.last, message.seq, gap=not joined):
            self._lose(missing)
        row.last = message.seq
        self._out.write(row.number, message.seq, self._now_ns, message.publish_ns, message.payload)

    def _lose(self, missing: Missing) -> None:
        if missing.reason != "reduced":
            self._lost += missing.last_seq - missing.first_seq + 1
        if not self._lost_seq:
            self._lost_channel = self._out.channel(LOST, WRITER, 0, definition(LostMessages), "EVENT", first_seq=1)
        self._lost_seq += 1
        payload = codec(LostMessages).encode(LostMessages(stamp_ns=self._now_ns, **missing._asdict()))
        self._out.write(self._lost_channel, self._lost_seq, self._now_ns, self._now_ns, payload)

    # --- what stands beside them ------------------------------------------------------------------------------------

    def _words(self) -> None:
        """The bags' words, nodes and files; of two that differ under one name the file keeps its bag's name too."""
        told: dict[str, dict[str, str]] = {}
        files: dict[str, bytes] = {}
        run_ids: dict[str, None] = {}
        kinds, cutting, reasons = set(), False, []
        for bag in self._bags:
            found = bag.metadata()
            said = found.get(WORDS) or said_by_states(bag)
            kinds.add(said.get("kind", RUN))
            cutting |= said.get("cutting") == "1"
            run_ids.update(dict.fromkeys(said.get("run_ids", "").split()))
            reasons += [said["reason"]] if said.get("reason") else []
            for name, values in found.items():
                if name.startswith("node:"):  # of a name the latest counts
                    told[name] = values
                elif name not in (WORDS, "repeated"):
                    told.setdefault(name, values)
            for a in bag.attachments():
                name = a.name if files.get(a.name, a.data) == a.data else f"{bag.path.stem}/{a.name}"
                if name not in files:
                    files[name] = a.data
                    self._out.attach(name, a.media_type, a.data, a.stamp_ns)
        for name, values in told.items():
            self._out.metadata(name, values)
        kind = BLACK_BOX if kinds == {BLACK_BOX} else RUN
        self._out.metadata(WORDS, words(kind, cutting, run_ids, "; ".join(reasons)))
        hosts = dict.fromkeys(_home(bag)[0] for bag in self._bags)
        self._out.metadata("merge", {"from": " ".join(b.path.name for b in self._bags), "hosts": " ".join(hosts)})


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if made and first <= made[-1][1] + 1:
            made[-1] = (made[-1][0], max(made[-1][1], last))
        else:
            made.append((first, last))
    return made
