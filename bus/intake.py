"""What arrives: frames from other processes into feeds, feeds into queues, and holes in the numbers asked for.

A feed is one topic of one publisher. The next message of a known feed takes the short way through `drain`; everything
else is parsed in full. A repaired feed hands over in order, and only as much as its readers have room for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bus import frame
from bus.clock import SimClock
from bus.discovery import Entry, TopicEntry
from bus.durable.inbox import OlderItem
from bus.inbox import Feed, Item, StaleItem
from bus.link import PLENTY, Link
from bus.node import EVERY, Gone, LinkEvent, Lost, Stale, Synced
from bus.stream import Record
from schemas.base import PROFILES
from schemas.grammar import definition, describe, match, type_hash
from schemas.machine import ConditionLevel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bus.executor import Executor
    from bus.outlet import Frames, Outlet

TEND_S = 0.02
MAKE_ROOM_S = 0.001
FEEDS_MAX = 100_000
OVERFLOW_MAX = 4096
_KEY_BYTES, _NUMBERS_BYTES, _unpack_numbers = frame.KEY_BYTES, frame.NUMBERS.size, frame.NUMBERS.unpack_from
_monotonic_ns = time.monotonic_ns


class Intake:
    """Everything that other processes send to this one."""

    def __init__(self, executor: Executor) -> None:
        self._x = executor
        self.feeds: dict[tuple[int, bytes], Feed] = {}
        self._fast: dict[bytes, Feed] = {}
        """by the bytes that every unsplit message of the feed begins with"""
        self._fast_split: dict[bytes, Feed] = {}
        """the same for messages of two frames"""
        self._tending = False
        self.bad_frames = 0

    def take(self, frames: Iterable[Record]) -> None:
        """Put what has arrived into the queues. Never raises for what stands in a frame."""
        fast, split, now_ns = self._fast, self._fast_split, _monotonic_ns()
        for first, tail in frames:
            start = first.find(b"\0") + _KEY_BYTES
            feed = fast.get(first[:start]) if tail is None else split.get(first[:start])
            if feed is None or len(first) < start + _NUMBERS_BYTES:
                self._take_any(first, tail, now_ns)
                continue
            seq, mono_ns, wall_ns = _unpack_numbers(first, start)
            item = Item(feed, seq, mono_ns, wall_ns, first[start + _NUMBERS_BYTES :], tail, None)
            link = feed.link
            if link is not None and link.next_seq == seq and not link.repaired:
                link.next_seq = seq + 1
                counts = feed.counts
                counts.received += 1
                feed.heard_mono_ns = now_ns
                feed.stale = False
                route = feed.route
                if route.taps or feed.refused:
                    route.put(item, now_ns + self._x.anchor_ns)
                else:  # as `put` does, without a call
                    for inbox in route.inboxes:
                        inbox.put(item)
            else:
                self._accept(feed, item, now_ns)

    def _take_any(self, first: bytes, tail: bytes | memoryview | None, now_mono_ns: int) -> None:
        """A frame that is not simply the next message of a known feed."""
        try:
            p = frame.parse(first)
            lead = first[:1]
            if lead == frame.SYNC:
                self._x.peers.on_sync(p.topic, p.payload)
                return
            if lead == frame.BEACON[:1]:
                self._on_beacon(p.payload, now_mono_ns)
                return
            if bool(p.flags & frame.SPLIT) != (tail is not None):
                raise frame.BadFrame("the header announces a second frame, or there is one that it does not announce")
        except frame.BadFrame as error:
            self.bad(str(error))
            return
        feed = self.feed(p.publisher_id, p.topic)
        if feed is None:
            if not self._was_wanted(p.topic):
                self.bad(f"a message on {p.topic[:80]!r} that no known node publishes, or nobody here wants")
            return
        known = self._fast if tail is None else self._fast_split
        if not p.flags & ~frame.SPLIT and len(known) < FEEDS_MAX:
            known[first[: len(p.topic) + frame.KEY_BYTES]] = feed
        if not feed.first_seq:
            feed.first_seq = p.seq
        kind = StaleItem if p.flags & frame.STALE else Item
        self._accept(feed, kind(feed, p.seq, p.mono_ns, p.wall_ns, p.payload, tail, None), now_mono_ns)

    def _accept(self, feed: Feed, item: Item, now_mono_ns: int) -> None:
        link, route = feed.link, feed.route
        assert link is not None
        expected, lost_before = link.next_seq, link.counts.lost
        items = link.accept(item.seq, item, now_mono_ns, route.room if link.repaired else PLENTY)
        if link.counts.lost != lost_before and expected is not None:
            self._lost(feed, expected, item.seq - 1)
        feed.heard_mono_ns = now_mono_ns
        feed.stale = False
        for each in items:
            route.put(each, now_mono_ns + self._x.anchor_ns)
        if link.repaired and link.waiting:
            self.tend()

    def bad(self, text: str) -> None:
        """Count what a stranger sent; the first is logged, /diagnostics shows how many there were."""
        self.bad_frames += 1
        self._x.hosts[0].warn_once("bad frame", f"a frame that is none of this bus: {text} (counted from now on)")

    def _was_wanted(self, topic: bytes) -> bool:
        """Whether a node that is there publishes the topic: then it was sent before our unsubscription got there."""
        peers, name = self._x.peers, topic.decode("ascii", "replace")
        return name not in peers.routes and any(t.name == name for e in peers.entries.values() for t in e.publishes)

    def feed(self, publisher_id: int, topic: bytes) -> Feed | None:
        """What is known of a topic of a publisher; None when nobody here wants it, or no known node publishes it."""
        key = (publisher_id, topic)
        feed = self.feeds.get(key)
        if feed is not None:
            return feed
        name = topic.decode("ascii", "replace")
        peers = self._x.peers
        route = peers.routes.get(name)
        if route is None:
            return None
        entry = peers.publisher(publisher_id)
        if entry is None:
            peers.refresh()
            entry = peers.publisher(publisher_id)
            if entry is None:
                return None
        described = next((t for t in entry.publishes if t.name == name), None)
        if described is None and route.inboxes:
            t = route.inboxes[0].subscription.topic
            described = TopicEntry(name, t.type.__name__, type_hash(t.type), t.qos.name)
        if described is None:
            return None
        profile = PROFILES[described.qos] if described.qos in PROFILES else PROFILES["SENSOR"]
        link: Link[Item] = Link(repaired=profile.repaired, latched=profile.latched)
        feed = Feed(
            entry.name, name, publisher_id, qos=described.qos, type_name=described.type_name,
            type_hash=described.type_hash, route=route, link=link,
        )  # fmt: skip
        if profile.logged:
            self._x.readers.attach(feed)
        self._compare_types(feed, entry)
        self.feeds[key] = feed
        return feed

    def _compare_types(self, feed: Feed, entry: Entry) -> None:
        for inbox in feed.route.inboxes:
            mine = inbox.subscription.topic.type
            if type_hash(mine) == feed.type_hash:
                continue
            theirs = entry.definitions.get(feed.type_hash)
            if theirs is None:
                continue
            found = match(definition(mine), theirs)
            if found.outcome == "incompatible":
                feed.refused = True
                text = (
                    f"{feed.topic}: {entry.name} sends a {feed.type_name} that {inbox.host.name} cannot read: "
                    f"{'; '.join(found.reasons)}\n-- sent, {feed.type_hash} --\n{describe(theirs)}\n"
                    f"-- wanted, {type_hash(mine)} --\n{describe(definition(mine))}"
                )
                inbox.host.warn_once(f"type {feed.topic} {entry.name} {feed.type_hash}", text)
                inbox.host.report(
                    "incompatible_type", ConditionLevel.FAULT, f"{feed.topic} from {entry.name} is refused"
                )
            else:
                feed.unknown_fields = len(found.unknown_fields)

    def _look_at_refused(self, gone: Iterable[Feed]) -> None:
        """Who was refused is gone: nodes that hear nobody of another type any more are well again."""
        still = {i.host.name for f in self.feeds.values() if f.refused for i in f.route.inboxes}
        for host in [i.host for f in gone if f.refused for i in f.route.inboxes]:
            if host.name not in still:
                host.clear("incompatible_type")

    def baseline(
        self, feed: Feed, link: Link[Item], next_seq: int, latched: list[tuple[int, Item]], now_ns: int
    ) -> None:
        """What a publisher says of one topic: the number that comes next, and the values to join with."""
        before, joins = link.next_seq, not link.synced
        if joins:
            link.join([item for seq, item in latched if not feed.first_seq or seq < feed.first_seq])
        lost = link.baseline(next_seq, now_ns)
        feed.heard_mono_ns = feed.heard_mono_ns or now_ns
        if lost and before is not None:
            self._lost(feed, before, next_seq - 1)
        if link.latched and not joins:
            # what was replaced while the connection was away is not waited for
            _, items = link.repair(0, next_seq - 1, latched, now_ns, feed.route.room)
            self._put(feed, items, now_ns)
        if link.waiting:
            self._deliver(feed, now_ns)
            self.tend()
        if joins:
            self.tell(feed.topic, Synced(feed.source(next_seq)))

    # --- repair --------------------------------------------------------------------------------------------------

    def _on_beacon(self, payload: bytes, now_ns: int) -> None:
        beacon = frame.decode_beacon(payload)
        for topic, last in beacon.last_seq.items():
            feed = self.feeds.get((beacon.publisher_id, topic.encode()))
            if feed is not None and feed.link is not None:
                feed.link.beacon(last, now_ns)
                if feed.link.waiting:
                    self.tend()

    def tend(self) -> None:
        """Look after holes until there are none."""
        if not self._tending:
            self._tending = True
            self._tend()

    def _tend(self) -> None:
        now_ns = self._x.monotonic_ns()
        waiting = blocked = False
        for feed in (*self.feeds.values(), *self._x.own_feeds.values()):
            link = feed.link
            if link is None or not link.repaired or not link.waiting:
                continue
            self._deliver(feed, now_ns)
            at_hand = self._ask(feed, link, now_ns)
            waiting |= link.waiting
            blocked |= link.blocked or (at_hand and link.waiting)
        for feed in self._x.own_feeds.values():
            if feed.overflow:
                for _ in range(min(feed.route.room, len(feed.overflow))):
                    feed.route.put(feed.overflow.popleft(), now_ns + self._x.anchor_ns)
                blocked |= bool(feed.overflow)
        self._tending = waiting or blocked
        if self._tending:
            self._x.after(MAKE_ROOM_S if blocked else TEND_S, self._tend)

    def _ask(self, feed: Feed, link: Link[Item], now_ns: int) -> bool:
        """Ask the publisher for what is missing, when it is time to; True when it is of this process, and answered."""
        hole = link.gap(now_ns)
        outlet = self._x.readers.at_hand.get(feed)
        if outlet is not None:
            if hole is not None:
                self._take_repair(feed, link, *self._repair(outlet, *hole), now_ns)
            return True
        peers = self._x.peers
        entry = peers.publisher(feed.publisher_id)
        if hole is not None and entry is not None and entry.rpc and not peers.departing(feed.publisher_id):
            request = frame.Repair(feed.publisher_id, feed.topic, *hole)
            self._x.transport.ask(entry.rpc[0], frame.encode(request))
        return False

    def _deliver(self, feed: Feed, now_ns: int, *, at_once: bool = False) -> None:
        """Hand over what waited for room, or behind a hole for too long; `at_once` when nobody can fill the hole."""
        link = feed.link
        if link is None or not link.repaired:
            return
        self._put(feed, link.take(now_ns, feed.route.room), now_ns)
        while True:
            before = link.next_seq
            lost, items = link.give_up(now_ns, feed.route.room, at_once=at_once)
            if lost is not None:
                self._lost(feed, *lost)
            self._put(feed, items, now_ns)
            if link.next_seq == before:
                return

    def _put(self, feed: Feed, items: list[Item], now_ns: int) -> None:
        for item in items:
            feed.route.put(item, now_ns + self._x.anchor_ns)

    def put_own(self, feed: Feed, item: Item) -> None:
        """A message of a repaired topic of this process: it waits when its readers have no room."""
        if feed.link is not None:
            self._accept(feed, item, item.mono_ns)
            return
        if not feed.overflow and feed.route.room > 0:
            feed.route.put(item, item.mono_ns + self._x.anchor_ns)
            return
        if len(feed.overflow) >= OVERFLOW_MAX:
            feed.counts.received -= 1
            feed.counts.lost += 1
            self._lost(feed, item.seq, item.seq)
            return
        feed.overflow.append(item)
        self.tend()

    def on_repair(self, identity: bytes, r: frame.Repair) -> None:
        """Somebody missed something of ours."""
        for host in self._x.hosts:
            outlet = host.outlets.get(r.topic)
            if host.publisher_id == r.publisher_id and outlet is not None:
                first_kept, last, frames = self._repair(outlet, r.first, r.last)
                kept = [(f, bytes(tail)) for f, tail in frames]
                answer = frame.Repaired(r.publisher_id, r.topic, r.first, last, first_kept, kept)
                self._x.transport.answer(identity, frame.encode(answer))
                return

    def _repair(self, outlet: Outlet, first: int, last: int) -> tuple[int, int, list[Frames]]:
        """What a publisher of this process has of these numbers; nothing, and nothing lost, when it cannot be read."""
        try:
            return outlet.repair(first, last)
        except OSError as error:
            self._x.hosts[0].warn_once("log unreadable", f"the log of {outlet.full_name} cannot be read: {error}")
            return first, first - 1, []

    def on_repaired(self, r: frame.Repaired) -> None:
        """The publisher's answer to our request."""
        feed = self.feeds.get((r.publisher_id, r.topic.encode()))
        if feed is None or feed.link is None or feed.link.next_seq is None:
            return
        now_ns = self._x.monotonic_ns()
        self._take_repair(feed, feed.link, r.first_kept, r.last, r.frames, now_ns)
        if feed.link.waiting:
            self._ask(feed, feed.link, now_ns)
            self.tend()

    def _take_repair(
        self, feed: Feed, link: Link[Item], first_kept: int, last: int, frames: Sequence[Frames], now_ns: int
    ) -> None:
        items: list[tuple[int, Item]] = []
        for data, tail in frames:
            p = frame.parse(data)
            rest = memoryview(tail) if tail else None
            if p.publisher_id == feed.publisher_id:
                kind = StaleItem if p.flags & frame.STALE else Item
                item = kind(feed, p.seq, p.mono_ns, p.wall_ns, p.payload, rest, None)
            else:  # from a log; the computer may have been started again since, so its age is counted from now
                item = OlderItem(feed, p.seq, now_ns, p.wall_ns, p.payload, rest, None, p.publisher_id)
            items.append((p.seq, item))
        lost, out = link.repair(first_kept, last, items, now_ns, feed.route.room)
        if lost is not None:
            self._lost(feed, *lost)
        feed.heard_mono_ns = now_ns
        self._put(feed, out, now_ns)

    def finish(self, publisher_id: int, clean: bool) -> bool:
        """Hand over the last of a publisher that went, and say `Gone`; False while a reader has no room for it."""
        now_ns = self._x.monotonic_ns()
        feeds = {k: f for k, f in self.feeds.items() if k[0] == publisher_id}
        for feed in feeds.values():
            self._deliver(feed, now_ns, at_once=True)
            if feed.link is not None and feed.link.logged:
                feed.link.end()
        if any(f.link is not None and f.link.waiting for f in feeds.values()):
            return False
        for key, feed in feeds.items():
            del self.feeds[key]
            self.tell(feed.topic, Gone(feed.source(), clean))
        if any(f.refused for f in feeds.values()):
            self._look_at_refused(feeds.values())
        self._unlearn(feeds.values())
        return True

    def forget(self, topic: str) -> None:
        """Nobody here listens to a topic any more; who does again begins anew."""
        feeds = {k: f for k, f in self.feeds.items() if f.topic == topic}
        for key in feeds:
            del self.feeds[key]
        self._unlearn(feeds.values())

    def _unlearn(self, feeds: Iterable[Feed]) -> None:
        gone = {id(f) for f in feeds}
        for known in (self._fast, self._fast_split):
            for start in [k for k, f in known.items() if id(f) in gone]:
                del known[start]

    # --- telling nodes -------------------------------------------------------------------------------------------

    def _lost(self, feed: Feed, first: int, last: int) -> None:
        self.tell(feed.topic, Lost(feed.source(last), first, last))
        feed.route.put_lost(feed, first, last, self._x.now_ns())

    def tell(self, topic: str, event: LinkEvent) -> None:
        """Hand a link event to the nodes that asked for it."""
        for host in self._x.hosts:
            host.link_event(topic, event)

    def check_silence(self, topic: str, deadline_s: float) -> None:
        """Say `Stale` once for every publisher of the topic that has been silent for `deadline_s`."""
        now_ns, clock = self._x.monotonic_ns(), self._x.clock
        for feed in (*self.feeds.values(), *self._x.own_feeds.values()):
            if not _matches(topic, feed.topic):
                continue
            if isinstance(clock, SimClock):
                if feed.heard_sim[0] != feed.heard_mono_ns:
                    feed.heard_sim = (feed.heard_mono_ns, clock.now_ns())
                silent_ns = clock.now_ns() - feed.heard_sim[1]
            else:
                silent_ns = now_ns - feed.heard_mono_ns
            if feed.heard_mono_ns and not feed.stale and silent_ns > deadline_s * 1e9:
                feed.stale = True
                self.tell(feed.topic, Stale(feed.source(), silent_ns / 1e9))


def _matches(pattern: str, topic: str) -> bool:
    """Whether a full name, or one that begins with `*` for every namespace, means this topic."""
    return pattern == topic or (pattern.startswith(f"{EVERY}/") and topic.partition("/")[2] == pattern[2:])
