"""A bag as a page of the hub sees a shop: names, batches, latched values and gaps, as of any moment. Knows no socket.

It is the hub itself (web/hub.py) that is fed, with one client and out of a file, so a recorded machine is told in the
words of a live one. Nothing of it reaches the bus: there is none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from bus.bag import BagMessage, BagReader
from bus.context import Raw
from bus.entry import BadEntry, Entry
from web import play_words, protocol
from web.client import wanted_rows
from web.history import History
from web.hub import Hub
from web.protocol import Subscribe, Unsubscribe

EVENTS_BEFORE_NS = 60_000_000_000
"""what was decided and done so long before a moment is told with it"""
SIGNALS_BEFORE_NS = 12_000_000_000
"""as long as the widest trace that a view shows by itself"""
SLICE_NS = 250_000_000
"""of the bag, per batch"""
OFTEN_NS = 5_000_000_000
NOT_THERE = b"recording"
"""why numbers are missing: they are not in the bag"""


class Playback:
    """Where in a bag one page is."""

    def __init__(self, bag: BagReader) -> None:
        self.bag = bag
        self.start_ns, self.end_ns = bag.start_ns, bag.end_ns
        self.at_ns = self.start_ns
        self._entries = _entries(bag)
        self._often = _often(bag)
        self._subscriptions: dict[int, Subscribe] = {}
        self._begin()

    def _begin(self) -> None:
        """As a page that has just come: it knows nothing."""
        self._hub = Hub(self.bag.path.name)
        self._hub.now_ns = lambda: self.at_ns
        self._hub.history = History(0, 0)  # who goes back seeks
        self._hub.learn_entries(self._entries)
        self._client = self._hub.connect()
        self._client.subscriptions = dict(self._subscriptions)
        self._next_seq: dict[int, int] = {}
        self._coming: Iterator[BagMessage] = iter(())
        self._waiting: BagMessage | None = None

    def hello(self) -> bytes:
        """What is said first of all."""
        return protocol.hello(self.bag.path.name, self.at_ns, simulated=False, user=None)

    def want(self, request: Subscribe | Unsubscribe) -> None:
        """Other topics from now on; what was before is told by `seek`.

        Raises:
            BadRequest: too many, or there is no such subscription.
        """
        if isinstance(request, Unsubscribe):
            if self._subscriptions.pop(request.id, None) is None:
                raise protocol.BadRequest(f"there is no subscription {request.id}", request.id)
        elif request.id not in self._subscriptions and len(self._subscriptions) >= protocol.SUBSCRIPTIONS_MAX:
            raise protocol.BadRequest(f"at most {protocol.SUBSCRIPTIONS_MAX} subscriptions", request.id)
        else:
            self._subscriptions[request.id] = request

    def seek(self, at_ns: int) -> Iterator[bytes]:
        """Go to a moment: what was in force, what had just been done, and the last stretch of every signal."""
        at_ns = min(max(at_ns, self.start_ns), self.end_ns + 1)
        self.at_ns = at_ns
        yield play_words.sought(at_ns)
        self._begin()
        channels = self.bag.channels.values()
        sensors = {c.topic for c in channels if c.qos == "SENSOR" and self._wants(c.topic)}
        others = {c.topic for c in channels if c.qos != "SENSOR" and self._wants(c.topic)}
        begin_ns = max(self.start_ns, at_ns - EVENTS_BEFORE_NS)
        signals_ns = max(self.start_ns, at_ns - SIGNALS_BEFORE_NS)
        self.at_ns = begin_ns
        before = self.bag.state_before(begin_ns, topics=(others - self._often).__contains__, skip_damaged=True)
        yield from self._take([self._raw(m) for m in before])
        self._read_from(begin_ns, others)
        yield from self.play(signals_ns)
        self._read_from(signals_ns, others | sensors)
        while self.at_ns < at_ns:
            yield from self.play(min(at_ns, self.at_ns + SLICE_NS))

    def _wants(self, topic: str) -> bool:
        return wanted_rows(self._subscriptions, topic) is not None

    def _read_from(self, at_ns: int, topics: set[str]) -> None:
        self._coming = self.bag.messages(topics=topics.__contains__, start_ns=at_ns, skip_damaged=True)
        self._waiting = next(self._coming, None)

    def play(self, until_ns: int) -> Iterator[bytes]:
        """What was recorded up to a moment; from then on it is that moment."""
        raws: list[Raw] = []
        message = self._waiting
        while message is not None and message.log_ns < until_ns:
            expected = self._next_seq.get(message.channel.id, message.seq)
            if message.seq > expected:
                lost = self._raw(message)._replace(payload=NOT_THERE, lost_first=expected, seq=message.seq - 1)
                raws.append(lost)
            raws.append(self._raw(message))
            message = next(self._coming, None)
        self._waiting = message
        self.at_ns = until_ns
        yield from self._take(raws)

    def _raw(self, message: BagMessage) -> Raw:
        channel = message.channel
        self._next_seq[channel.id] = message.seq + 1
        return Raw(
            channel.topic, channel.publisher, channel.publisher_id, message.seq, message.publish_ns, message.log_ns,
            message.payload, channel.type_name, channel.type_hash, channel.qos,
        )  # fmt: skip

    def _take(self, raws: list[Raw]) -> Iterator[bytes]:
        if raws:
            self._hub.take(raws)
        while self._client.queued:
            yield self._client.take()


def _often(bag: BagReader) -> set[str]:
    """Topics of which every key is said again all the time: what was in force lies within EVENTS_BEFORE_NS.

    To look for a key that is not there would be to unpack the whole bag.
    """
    counts: Counter[str] = Counter()
    for channel in bag.channels.values():
        if channel.metadata.get("key"):
            counts[channel.topic] += bag.info.counts.get(channel.id, 0)
    most = (bag.end_ns - bag.start_ns) / OFTEN_NS
    return {topic for topic, count in counts.items() if count > most}


def _entries(bag: BagReader) -> dict[str, Entry]:
    """Who was there; what is damaged is left out: units are missing then, and no value."""
    found = {}
    for name, plain in bag.nodes().items():
        try:
            found[name] = Entry.from_json(json.dumps(plain))
        except BadEntry:
            continue
    return found
