"""The bounded queues between the sockets and a node's callbacks.

An item is decoded when its callback runs, so what is dropped was never decoded. A full SENSOR queue drops the oldest
and counts it; a full queue of a repaired topic refuses, and the number it leaves open is asked for again later.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from bus.clock import SimClock
from bus.link import PLENTY, Counts, Link
from bus.node import Raw, Source, Stale, Subscription, Tap
from bus.trace import Kind, pack_batch
from schemas.base import Message
from schemas.codec import DecodeError, codec

_monotonic_ns = time.monotonic_ns
_new_source = tuple.__new__  # Source(...) itself is a function in Python

if TYPE_CHECKING:
    from collections.abc import Callable

    from bus.host import Host


class Feed:
    """One topic of one publisher, as heard in this process."""

    __slots__ = (
        "counts",
        "first_seq",
        "heard_mono_ns",
        "heard_sim",
        "link",
        "log_id",
        "node",
        "overflow",
        "publisher_id",
        "qos",
        "refused",
        "route",
        "stale",
        "topic",
        "type_hash",
        "type_name",
        "unknown_fields",
    )

    def __init__(
        self, node: str, topic: str, publisher_id: int, *, qos: str, type_name: str, type_hash: str,
        route: Route, link: Link[Item] | None,
    ) -> None:  # fmt: skip
        self.node = node
        self.topic = topic
        self.publisher_id = publisher_id
        self.qos = qos
        self.type_name = type_name
        self.type_hash = type_hash
        self.route = route
        self.link = link
        """None for a publisher in this process, unless its log is read: nothing is lost on the way"""
        self.log_id = 0
        """of a DURABLE topic that is read from its log"""
        self.counts = link.counts if link is not None else Counts()
        self.refused = False
        """the types do not fit: nothing of it is delivered to subscriptions"""
        self.unknown_fields = 0
        self.first_seq = 0
        self.heard_mono_ns = 0
        self.heard_sim = (0, 0)
        """under a simulated clock: heard_mono_ns, and what that clock said when it was first seen"""
        self.stale = False
        self.overflow: deque[Item] = deque()
        """of a repaired topic of this process: what its readers have no room for yet"""

    def source(self, seq: int = 0, stamp_ns: int = 0) -> Source:
        return Source(self.node, self.topic, seq, stamp_ns, self.publisher_id, self.log_id)


class Item(msgspec.Struct, gc=False):
    """A message on its way to callbacks: bytes from a socket, or the object itself from a node of this process."""

    feed: Feed
    seq: int
    mono_ns: int
    wall_ns: int
    payload: bytes | None
    tail: Any
    message: Message | None

    def raw(self) -> bytes:
        """The payload as one msgpack map."""
        if self.payload is None:
            assert self.message is not None
            return codec(type(self.message)).encode(self.message)
        return self.payload if self.tail is None else self.payload + bytes(self.tail)


class StaleItem(Item, gc=False):
    """What an earlier life of the publisher said; this one has not said it anew."""


class Inbox:
    """The queue of one subscription of one node."""

    __slots__ = (
        "_batch",
        "_codec",
        "_depth",
        "_flush_armed",
        "_lifespan_ns",
        "_method",
        "_names",
        "_ready",
        "_sim",
        "_type",
        "host",
        "items",
        "subscription",
    )

    def __init__(self, host: Host, subscription: Subscription) -> None:
        self.host = host
        self.subscription = subscription
        self.items: deque[Item] = deque()
        self._depth = subscription.depth
        self._ready = host.executor.loop.ready
        self._method: Callable[[Any], None] = getattr(host.node, subscription.method)
        self._type: type[Message] = subscription.topic.type
        self._codec = codec(self._type)
        self._lifespan_ns = int((subscription.lifespan_s or 0) * 1e9)
        self._sim = host.clock if isinstance(host.clock, SimClock) else None
        self._batch = subscription.batch_s is not None
        self._flush_armed = False
        self._names: dict[str, str] = {}

    @property
    def what(self) -> str:
        return self.subscription.method

    @property
    def room(self) -> int:
        """How many messages fit in before one is dropped."""
        return self.subscription.depth - len(self.items)

    def put(self, item: Item) -> None:
        items = self.items
        items.append(item)
        if len(items) > self._depth:
            # the turn of the one that goes is the new one's: as many turns as messages, or others would wait behind
            items.popleft().feed.counts.dropped += 1
        elif not self._batch:
            self._ready.append(self)
        elif not self._flush_armed:
            self._flush_armed = True
            self.host.executor.after(self.subscription.batch_s or 0.0, self._flush)

    def _flush(self) -> None:
        self._flush_armed = False
        self._ready.append(self)

    def _message(self, item: Item, now_mono_ns: int) -> Message | None:
        if self._lifespan_ns:
            sim = self._sim
            age_ns = now_mono_ns - item.mono_ns if sim is None else sim.now_ns() - item.wall_ns
            if age_ns > self._lifespan_ns:
                item.feed.counts.expired += 1
                return None
        message = item.message
        if type(message) is self._type:
            return message
        try:
            decoded: Message = self._codec.decode(item.payload if item.payload is not None else item.raw(), item.tail)
        except DecodeError as error:
            item.feed.counts.undecodable += 1
            self.host.warn_once("undecodable", f"{item.feed.topic} from {item.feed.node}: {error}")
            return None
        if item.feed.unknown_fields:
            item.feed.counts.unknown_fields += item.feed.unknown_fields
        item.message = decoded
        return decoded

    def run(self, now_mono_ns: int) -> None:
        """Hand the oldest message, or for a batch all of them, to the callback."""
        if not self.items:
            return  # its message was pushed out by a newer one
        if self._batch:
            self._run_batch(now_mono_ns)
            return
        item = self.items.popleft()
        message = self._message(item, now_mono_ns)
        if message is None:
            return
        host, feed = self.host, item.feed
        host.node.source = _new_source(Source, (feed.node, feed.topic, item.seq, item.wall_ns, feed.publisher_id))
        if host.trace is None:
            host.call_back(self._method, message, now_mono_ns)
        else:
            name = self._names.get(feed.topic)
            if name is None:
                name = self._names[feed.topic] = f"{self.subscription.method} {feed.topic}"
            host.invoke(Kind.MESSAGE, name, self._method, (message,), feed.publisher_id, item.seq)
        feed.counts.delays_ns.append(_monotonic_ns() - item.mono_ns)

    def _run_batch(self, now_mono_ns: int) -> None:
        items = list(self.items)
        self.items.clear()
        pairs = [(item, message) for item in items if (message := self._message(item, now_mono_ns)) is not None]
        if not pairs:
            return
        host = self.host
        last = pairs[-1][0]
        host.node.source = last.feed.source(last.seq, last.wall_ns)
        packed = b""
        if host.trace is not None:
            packed = pack_batch((i.feed.topic, i.feed.publisher_id, i.seq) for i, _ in pairs)
        messages = [message for _, message in pairs]
        host.invoke(Kind.BATCH, self.subscription.method, self._method, (messages,), payload=packed)


class TapInbox:
    """The queue of one tap: every message of the topics it selected, undecoded."""

    __slots__ = ("_armed", "_dropped", "_method", "_select", "host", "raws", "tap")

    def __init__(self, host: Host, tap: Tap) -> None:
        self.host = host
        self.tap = tap
        self.raws: list[Raw] = []
        self._dropped: dict[Feed, tuple[int, int]] = {}
        """the numbers for which there was no room"""
        self._method: Callable[[list[Raw]], None] = getattr(host.node, tap.method)
        self._select: Callable[[str, str], bool] = getattr(host.node, tap.select)
        self._armed = False

    def selects(self, topic: str, type_name: str) -> bool:
        """Whether the node wants a topic; one that fails to say is not heard."""
        try:
            return self._select(topic, type_name)
        except Exception as error:
            self.host.failed(f"{self.tap.select} {topic}", error)
            return False

    @property
    def what(self) -> str:
        return self.tap.method

    @property
    def room(self) -> int:
        """How many messages fit in before one is dropped."""
        return self.tap.depth - len(self.raws)

    def put(self, item: Item, received_ns: int) -> None:
        """Keep a message. When there is no room it is dropped itself: an older one may be of a lossless topic."""
        # every message of the domain passes here: no call that is not needed
        f, raws, seq, wall_ns = item.feed, self.raws, item.seq, item.wall_ns
        if len(raws) >= self.tap.depth:
            f.counts.dropped += 1
            self._mark(f, seq, seq)
            return
        f.counts.delays_ns.append(received_ns - wall_ns)
        payload = item.payload
        if payload is None or item.tail is not None:
            payload = item.raw()
        raws.append(
            Raw(f.topic, f.node, f.publisher_id, seq, wall_ns, received_ns, payload, f.type_name, f.type_hash, f.qos)
        )
        if not self._armed:
            self._arm()

    def put_lost(self, feed: Feed, first: int, last: int, received_ns: int) -> None:
        """A hole in the numbers, at its place in the stream."""
        if len(self.raws) >= self.tap.depth:
            self._mark(feed, first, last)
        else:
            self.raws.append(_hole(feed, first, last, received_ns))
            if not self._armed:
                self._arm()

    def _mark(self, feed: Feed, first: int, last: int) -> None:
        self._dropped[feed] = (self._dropped[feed][0] if feed in self._dropped else first, last)

    def _arm(self) -> None:
        self._armed = True
        executor = self.host.executor
        executor.after(self.tap.batch_s, self._flush)
        executor.loop.rest_until_ns = time.monotonic_ns() + int(self.tap.batch_s * 1e9)

    def _flush(self) -> None:
        self._armed = False
        self.host.executor.loop.ready.append(self)

    def run(self, now_mono_ns: int) -> None:
        if self.raws:
            batch, self.raws = self.raws, []
            if self._dropped:
                now_ns = self.host.executor.now_ns()
                batch += [_hole(feed, first, last, now_ns) for feed, (first, last) in self._dropped.items()]
                self._dropped.clear()
            self.host.invoke(None, self.tap.method, self._method, (batch,))


def _hole(feed: Feed, first: int, last: int, received_ns: int) -> Raw:
    return Raw(
        feed.topic, feed.node, feed.publisher_id, last, received_ns, received_ns, b"", feed.type_name, feed.type_hash,
        feed.qos, lost_first=first,
    )  # fmt: skip


class Route:
    """Who in this process hears one topic."""

    __slots__ = ("inboxes", "named", "taps", "topic")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.named = False
        """whether a subscription has this very name; else a pattern or tap chose it"""
        self.inboxes: list[Inbox] = []
        self.taps: list[TapInbox] = []

    @property
    def room(self) -> int:
        """How many messages every queue has room for; those of a repaired topic wait until there is some."""
        room = min((i.room for i in self.inboxes), default=PLENTY)
        return min(room, min(t.room for t in self.taps)) if self.taps else room

    def put(self, item: Item, received_ns: int) -> None:
        if not item.feed.refused:
            for inbox in self.inboxes:
                inbox.put(item)
            if type(item) is StaleItem:
                self._tell_stale(item, received_ns)
        if self.taps:
            for tap in self.taps:
                tap.put(item, received_ns)

    def _tell_stale(self, item: Item, received_ns: int) -> None:
        """Whoever handles the silence of the topic is told so right behind the value."""
        item.feed.stale = True
        event = Stale(item.feed.source(item.seq, item.wall_ns), max(0.0, (received_ns - item.wall_ns) / 1e9))
        for host in dict.fromkeys(inbox.host for inbox in self.inboxes):
            host.link_event(self.topic, event)

    def put_lost(self, feed: Feed, first: int, last: int, received_ns: int) -> None:
        """Numbers that will not come."""
        for tap in self.taps:
            tap.put_lost(feed, first, last, received_ns)
