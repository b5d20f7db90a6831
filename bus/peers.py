"""The other processes of the domain: whom to listen to, from which number on, and what was missed.

Discovery says who is there; this connects to those who publish something that is wanted here, learns by a sync token
from which sequence number on nothing is missed, asks for what was, and says who went.

A sync token is a subscription that sorts after every topic. libzmq sends a connection's subscriptions in byte order, so
a publisher that sees the token has all the others active; it answers with its next numbers and its latched values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from bus import frame
from bus.clock import SimClock
from bus.discovery import Appeared, Changed, Entry, TopicEntry, Vanished
from bus.inbox import Feed, Inbox, Item, Route
from bus.link import PLENTY, Link
from bus.node import EVERY, Gone, LinkEvent, Lost, Stale, Synced
from bus.transport import reachable_first
from schemas.base import PROFILES
from schemas.grammar import definition, describe, match, type_hash
from schemas.machine import ConditionLevel

if TYPE_CHECKING:
    from bus.executor import Executor
    from bus.inbox import TapInbox

SYNC_AGAIN_S = 0.25
SYNC_AGAIN_MAX_S = 4.0
TEND_S = 0.02
MAKE_ROOM_S = 0.001
DEPART_LOOK_S = 0.002
DEPART_WITHIN_NS = 500_000_000
"""how long what a vanished publisher left in the sockets is waited for, when its connection never says that it ended"""
DRAIN_MAX = 1000
RESTED_NS = 50_000
FEEDS_MAX = 100_000
OVERFLOW_MAX = 4096
LISTENERS_MAX = 4096
PREFIXES_MAX = 65_536
EVERYTHING = "**"
"""In an entry's subscriptions: a tap, which may take any topic."""


class _Peer:
    """One process we are connected to."""

    __slots__ = ("address", "nodes", "synced")

    def __init__(self, address: str) -> None:
        self.address = address
        """the endpoint it is reached by"""
        self.nodes: set[str] = set()
        self.synced = False


class _Departed(NamedTuple):
    """A node that vanished, until the last of its messages has been delivered."""

    entry: Entry
    clean: bool
    since_ns: int


class Peers:
    """Everything about the processes around this one."""

    def __init__(self, executor: Executor) -> None:
        self._x = executor
        self.entries: dict[str, Entry] = {}
        self._own: set[int] = set()
        self._peers: dict[str, _Peer] = {}
        self._departed: dict[int, _Departed] = {}
        """by publisher_id"""
        self._refreshing = False
        self._refresh_armed = False
        self.feeds: dict[tuple[int, bytes], Feed] = {}
        self._fast: dict[bytes, Feed] = {}
        """by the bytes that every unsplit message of the feed begins with"""
        self.routes: dict[str, Route] = {}
        self._wildcards: list[tuple[str, Inbox]] = []
        self._taps: list[TapInbox] = []
        self._token = b""
        self._tokens = 0
        self._token_armed = False
        self._token_after_s = SYNC_AGAIN_S
        self._tending = False
        self._servers: dict[str, Entry] = {}
        self.listeners: set[str] = set()
        """socket names of the processes whose sync token was answered"""
        self._wanted_prefixes: set[bytes] = set()
        """what others subscribe to here"""
        self.bad_frames = 0

    # --- what is wanted here -------------------------------------------------------------------------------------

    def add_inbox(self, inbox: Inbox, full_name: str) -> None:
        if full_name.startswith(f"{EVERY}/"):
            self._wildcards.append((full_name[2:], inbox))
        else:
            route = self._route(full_name)
            route.named = True
            route.inboxes.append(inbox)

    def add_tap(self, tap: TapInbox) -> None:
        self._taps.append(tap)

    def _route(self, full_name: str) -> Route:
        route = self.routes.get(full_name)
        if route is None:
            route = self.routes[full_name] = Route(full_name)
            self._x.transport.subscribe(frame.prefix(full_name))
        return route

    def wants(self, topic: str, type_name: str) -> Route | None:
        """The route of a topic somebody here wants to hear, made when a pattern or tap selects it."""
        namespace, _, rest = topic.partition("/")
        chosen = [i for base, i in self._wildcards if rest == base and namespace]
        tapped = [t for t in self._taps if t.selects(topic, type_name)]
        if not chosen and not tapped:
            return self.routes.get(topic)
        route = self._route(topic)
        route.inboxes += [i for i in chosen if i not in route.inboxes]
        route.taps += [t for t in tapped if t not in route.taps]
        return route

    # --- who is there --------------------------------------------------------------------------------------------

    def start(self, own: set[int]) -> None:
        """Begin with everybody who is there; `own` are the publisher ids of this process."""
        self._own = own
        self._x.transport.subscribe(frame.BEACON)
        self.refresh()

    def refresh(self) -> None:
        """Take what discovery has to say."""
        if self._refreshing:
            return
        self._refreshing = True
        directory = self._x.directory
        news = False
        for change in directory.changes():
            if change.entry.publisher_id in self._own:
                continue
            match change:
                case Appeared(entry) | Changed(entry):
                    news |= self._appeared(entry)
                case Vanished(entry, clean):
                    self._vanished(entry, clean)
        for problem in directory.problems:
            self._x.hosts[0].warn_once(problem, problem)
        directory.problems.clear()
        self._refreshing = False
        if news:
            self._renew_token()
        if directory.pending and not self._refresh_armed:
            self._refresh_armed = True
            self._x.after(0.002, self._refresh_again)

    def _refresh_again(self) -> None:
        self._refresh_armed = False
        self.refresh()

    def _appeared(self, entry: Entry) -> bool:
        """Returns whether a connection or subscription was added."""
        entry = replace(entry, rpc=reachable_first(entry.rpc))
        self.entries[entry.name] = entry
        new_servers = []
        for served in entry.serves:
            if self._servers.get(served.name) is None or self._servers[served.name].publisher_id != entry.publisher_id:
                new_servers.append(served.name)
            self._servers[served.name] = entry
        before = len(self.routes)
        wanted = False
        for topic in entry.publishes:
            wanted |= not topic.name.startswith(f"{EVERY}/") and self.wants(topic.name, topic.type_name) is not None
        added = len(self.routes) > before
        if entry.rpc and any(s in self._x.called for s in new_servers):
            self._x.transport.prepare(entry.rpc[0])
        for name in new_servers:
            self._x.caller.server_changed(name)
        # a tap is expected by everybody, since it may take anything: who takes nothing of this one says so all the same
        if not (wanted or self._taps) or not entry.pub:
            return added
        endpoint = entry.pub[0]
        peer = self._peers.get(endpoint)
        if peer is None:
            peer = self._peers[endpoint] = _Peer(reachable_first(entry.pub)[0])
            self._x.transport.connect(peer.address)
            added = True
        peer.nodes.add(entry.name)
        return added

    def _vanished(self, entry: Entry, clean: bool) -> None:
        current = self.entries.get(entry.name)
        if current is not None and current.publisher_id == entry.publisher_id:
            entry = current
            del self.entries[entry.name]
        self._servers = {n: e for n, e in self._servers.items() if e.publisher_id != entry.publisher_id}
        for other in self.entries.values():
            for served in other.serves:
                self._servers.setdefault(served.name, other)
        for endpoint in entry.rpc[:1]:
            self._x.transport.forget(endpoint)
        for endpoint in entry.pub[:1]:
            self.listeners.discard(endpoint.rsplit("/", 1)[-1])
            if endpoint in self._peers:
                self._peers[endpoint].nodes.discard(entry.name)
        self._departed[entry.publisher_id] = _Departed(entry, clean, self._x.monotonic_ns())
        if len(self._departed) == 1:
            self._x.after(DEPART_LOOK_S, self._see_off)

    def _see_off(self) -> None:
        """Say `Gone` of a publisher after the last of its messages; let go of what was kept for it."""
        ended = self._x.transport.ended()
        self.drain(DRAIN_MAX)
        unread = self._x.transport.unread
        now_ns = self._x.monotonic_ns()
        for departed in list(self._departed.values()):
            entry = departed.entry
            connected = [e for e in entry.pub[:1] if e in self._peers and self._peers[e].address not in ended]
            if (connected or unread) and now_ns - departed.since_ns < DEPART_WITHIN_NS:
                continue
            feeds = {k: f for k, f in self.feeds.items() if k[0] == entry.publisher_id}
            for feed in feeds.values():
                self._deliver(feed, now_ns, at_once=True)
            if any(f.link is not None and f.link.waiting for f in feeds.values()):
                continue  # a reader has no room for the last of it yet
            for key, feed in feeds.items():
                del self.feeds[key]
                self.tell(feed.topic, Gone(feed.source(), departed.clean))
            gone = {id(f) for f in feeds.values()}
            for start in [k for k, f in self._fast.items() if id(f) in gone]:
                del self._fast[start]
            for endpoint in entry.pub[:1]:
                if endpoint in self._peers and not self._peers[endpoint].nodes:
                    self._x.transport.disconnect(self._peers.pop(endpoint).address)
            del self._departed[entry.publisher_id]
            self._drop_routes(entry)
        if self._departed:
            self._x.after(DEPART_LOOK_S, self._see_off)

    def _drop_routes(self, entry: Entry) -> None:
        """Unsubscribe from what a pattern or tap had chosen, now that nobody publishes it any more."""
        still = {t.name for other in self.entries.values() for t in other.publishes} | self._x.published_names
        for topic in entry.publishes:
            route = self.routes.get(topic.name)
            if route is not None and not route.named and topic.name not in still:
                del self.routes[topic.name]
                self._x.transport.unsubscribe(frame.prefix(topic.name))

    def server(self, full_name: str) -> Entry | None:
        """Who serves a service, in another process."""
        return self._servers.get(full_name)

    def publisher(self, publisher_id: int) -> Entry | None:
        """Who sends under this id: a node that is there, or one whose last messages are still coming."""
        for entry in self.entries.values():
            if entry.publisher_id == publisher_id:
                return entry
        departed = self._departed.get(publisher_id)
        return departed.entry if departed is not None else None

    # --- sync ----------------------------------------------------------------------------------------------------

    def _renew_token(self) -> None:
        """A fresh token: everybody connected answers it, after every subscription made before it."""
        transport = self._x.transport
        if self._token:
            transport.unsubscribe(self._token)
        self._tokens += 1
        self._token = frame.SYNC + f"{self._x.socket_name}/{self._tokens}".encode() + b"\0"
        for peer in self._peers.values():
            peer.synced = False
        transport.subscribe(self._token)
        if not self._token_armed:
            self._token_armed = True
            self._token_after_s = SYNC_AGAIN_S
            self._x.after(SYNC_AGAIN_S, self._check_token)

    def _check_token(self) -> None:
        self._token_armed = False
        if any(not p.synced and p.nodes for p in self._peers.values()):
            # everybody answers a fresh token, so one that is stopped must not keep all the others at it
            self._token_armed = True
            self._renew_token()
            self._token_after_s = min(2 * self._token_after_s, SYNC_AGAIN_MAX_S)
            self._x.after(self._token_after_s, self._check_token)

    def unsynced(self) -> list[str]:
        """Nodes we listen to that have not answered yet."""
        return sorted(name for p in self._peers.values() if not p.synced for name in p.nodes)

    def unheard(self) -> list[str]:
        """Nodes that mean to listen to us and have not yet said from where on."""
        return sorted(
            entry.name
            for entry in self.entries.values()
            if entry.pub and entry.pub[0].rsplit("/", 1)[-1] not in self.listeners and self._listens_to_us(entry)
        )

    def _listens_to_us(self, entry: Entry) -> bool:
        mine = self._x.published_names
        for s in entry.subscribes:
            if s.name == EVERYTHING or s.name in mine:
                return True
            if s.name.startswith(f"{EVERY}/") and any(n.partition("/")[2] == s.name[2:] for n in mine):
                return True
        return False

    def on_subscription(self, subscribed: bool, prefix: bytes) -> None:
        """Somebody subscribed here: note who wants what, and answer a sync token."""
        x = self._x
        if prefix[:1] == frame.SYNC:
            if subscribed:
                self._answer_token(prefix)
            return
        if subscribed:
            if len(self._wanted_prefixes) >= PREFIXES_MAX:
                self.bad(f"one of more than {PREFIXES_MAX} subscriptions")
                return
            self._wanted_prefixes.add(prefix)
        else:
            self._wanted_prefixes.discard(prefix)
        for host in x.hosts:
            for outlet in host.outlets.values():
                if outlet.prefix.startswith(prefix):
                    outlet.interest = subscribed or self.wanted_elsewhere(outlet.prefix)
        x.start_traces()

    def wanted_elsewhere(self, prefix: bytes) -> bool:
        wanted = self._wanted_prefixes
        return prefix in wanted or any(prefix.startswith(w) for w in wanted)

    def _answer_token(self, token: bytes) -> None:
        x = self._x
        nodes = [
            frame.NodeSync(h.publisher_id, h.name, {o.full_name: o.seq + 1 for o in h.outlets.values()})
            for h in x.hosts
        ]
        latched = [
            (f, bytes(tail)) for h in x.hosts for o in h.outlets.values() if o.interest for f, tail in o.latched()
        ]
        body = frame.encode(frame.Sync(x.transport.pub_endpoints[0], nodes, latched))
        head = token if token.endswith(b"\0") else token + b"\0"
        x.transport.send(frame.pack(head, x.hosts[0].publisher_id, 0, x.monotonic_ns(), x.now_ns(), body))
        if len(self.listeners) < LISTENERS_MAX:
            self.listeners.add(token[1:].split(b"/", 1)[0].decode("ascii", "replace"))

    def _on_sync(self, token: bytes, payload: bytes) -> None:
        sync = frame.decode_sync(payload)
        peer = self._peers.get(sync.endpoint)
        if peer is None or token + b"\0" != self._token:
            return  # an answer to an earlier token knows nothing of what was subscribed since
        peer.synced = True
        now_ns = self._x.monotonic_ns()
        latched: dict[tuple[int, bytes], list[tuple[int, Item]]] = {}
        for data, tail in sync.latched:
            p = frame.parse(data)
            feed = self.feeds.get((p.publisher_id, p.topic)) or self._feed(p.publisher_id, p.topic)
            if feed is not None:
                item = Item(feed, p.seq, now_ns, p.wall_ns, p.payload, memoryview(tail) if tail else None, None)
                latched.setdefault((p.publisher_id, p.topic), []).append((p.seq, item))
        for node in sync.nodes:
            for topic, next_seq in node.next_seq.items():
                key = (node.publisher_id, topic.encode())
                feed = self._feed(*key)
                if feed is not None and feed.link is not None:
                    self._baseline(feed, feed.link, next_seq, latched.get(key, []), now_ns)

    def _baseline(
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

    # --- what arrives --------------------------------------------------------------------------------------------

    def drain(self, at_most: int = 0) -> None:
        """Take what has arrived into the queues. Never raises for what stands in a frame.

        After a sleep only the first message: its callback need not wait for the question whether there are more, which
        the next look at the sockets answers. Whoever did not sleep is behind, and takes everything.
        """
        x, fast = self._x, self._fast
        receive, unpack = x.transport.receive, frame.NUMBERS.unpack_from
        now_ns = x.monotonic_ns()
        for _ in range(at_most or (1 if now_ns - x.round_ended_ns > RESTED_NS else DRAIN_MAX)):
            first = receive()
            if first is None:
                return
            end = first.find(b"\0")
            start = end + frame.KEY_BYTES
            feed = fast.get(first[:start])
            if feed is None or len(first) < start + frame.NUMBERS.size:
                self.on_frame(first, now_ns)
                continue
            seq, mono_ns, wall_ns = unpack(first, start)
            item = Item(feed, seq, mono_ns, wall_ns, first[start + frame.NUMBERS.size :], None, None)
            link = feed.link
            if link is not None and link.next_seq == seq and not link.repaired:
                link.next_seq = seq + 1
                counts = feed.counts
                counts.received += 1
                feed.heard_mono_ns = now_ns
                feed.stale = False
                feed.route.put(item, now_ns + x.anchor_ns)
            else:
                self._accept(feed, item, now_ns)

    def on_frame(self, first: bytes, now_mono_ns: int) -> None:
        """A frame that is not simply the next message of a known feed."""
        tail: memoryview | None = None
        try:
            p = frame.parse(first)
            lead = first[:1]
            if lead == frame.SYNC:
                self._on_sync(p.topic, p.payload)
                return
            if lead == frame.BEACON[:1]:
                self._on_beacon(p.payload, now_mono_ns)
                return
            if p.flags & frame.SPLIT:
                tail = self._x.transport.receive_tail()
                if tail is None:
                    raise frame.BadFrame("the second frame that the header announces is missing")
        except frame.BadFrame as error:
            self.bad(str(error))
            return
        feed = self._feed(p.publisher_id, p.topic)
        if feed is None:
            if not self._was_wanted(p.topic):
                self.bad(f"a message on {p.topic[:80]!r} that no known node publishes, or nobody here wants")
            return
        if not p.flags and len(self._fast) < FEEDS_MAX:
            self._fast[first[: len(p.topic) + frame.KEY_BYTES]] = feed
        if not feed.first_seq:
            feed.first_seq = p.seq
        self._accept(feed, Item(feed, p.seq, p.mono_ns, p.wall_ns, p.payload, tail, None), now_mono_ns)

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
        name = topic.decode("ascii", "replace")
        return name not in self.routes and any(t.name == name for e in self.entries.values() for t in e.publishes)

    def _feed(self, publisher_id: int, topic: bytes) -> Feed | None:
        """What is known of a topic of a publisher; None when nobody here wants it, or no known node publishes it."""
        key = (publisher_id, topic)
        feed = self.feeds.get(key)
        if feed is not None:
            return feed
        name = topic.decode("ascii", "replace")
        route = self.routes.get(name)
        if route is None:
            return None
        entry = self.publisher(publisher_id)
        if entry is None:
            self.refresh()
            entry = self.publisher(publisher_id)
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
                    f"{'; '.join(found.reasons)}\n-- sent --\n{describe(theirs)}\n"
                    f"-- wanted --\n{describe(definition(mine))}"
                )
                inbox.host.warn_once(f"type {feed.topic} {entry.name}", text)
                inbox.host.report(
                    "incompatible_type", ConditionLevel.FAULT, f"{feed.topic} from {entry.name} is refused"
                )
            else:
                feed.unknown_fields = len(found.unknown_fields)

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
        for feed in list(self.feeds.values()):
            link = feed.link
            if link is None or not link.repaired or not link.waiting:
                continue
            self._deliver(feed, now_ns)
            self._ask(feed, link, now_ns)
            waiting |= link.waiting
            blocked |= link.blocked
        for feed in self._x.own_feeds.values():
            if feed.overflow:
                for _ in range(min(feed.route.room, len(feed.overflow))):
                    feed.route.put(feed.overflow.popleft(), now_ns + self._x.anchor_ns)
                blocked |= bool(feed.overflow)
        self._tending = waiting or blocked
        if self._tending:
            self._x.after(MAKE_ROOM_S if blocked else TEND_S, self._tend)

    def _ask(self, feed: Feed, link: Link[Item], now_ns: int) -> None:
        """Ask the publisher for what is missing, when it is time to."""
        hole = link.gap(now_ns)
        entry = self.publisher(feed.publisher_id)
        if hole is not None and entry is not None and entry.rpc and feed.publisher_id not in self._departed:
            request = frame.Repair(feed.publisher_id, feed.topic, *hole)
            self._x.transport.ask(entry.rpc[0], frame.encode(request))

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
        if not feed.overflow and feed.route.room > 0:
            feed.route.put(item, item.wall_ns)
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
                first_kept, frames = outlet.repair(r.first, r.last)
                kept = [(f, bytes(tail)) for f, tail in frames]
                answer = frame.Repaired(r.publisher_id, r.topic, r.first, r.last, first_kept, kept)
                self._x.transport.answer(identity, frame.encode(answer))
                return

    def on_repaired(self, r: frame.Repaired) -> None:
        """The publisher's answer to our request."""
        feed = self.feeds.get((r.publisher_id, r.topic.encode()))
        if feed is None or feed.link is None or feed.link.next_seq is None:
            return
        now_ns = self._x.monotonic_ns()
        parsed = [(frame.parse(f), tail) for f, tail in r.frames]
        items = [
            (p.seq, Item(feed, p.seq, p.mono_ns, p.wall_ns, p.payload, memoryview(tail) if tail else None, None))
            for p, tail in parsed
        ]
        lost, out = feed.link.repair(r.first_kept, r.last, items, now_ns, feed.route.room)
        if lost is not None:
            self._lost(feed, *lost)
        feed.heard_mono_ns = now_ns
        self._put(feed, out, now_ns)
        if feed.link.waiting:
            self._ask(feed, feed.link, now_ns)
            self.tend()

    # --- telling nodes -------------------------------------------------------------------------------------------

    def _lost(self, feed: Feed, first: int, last: int) -> None:
        self.tell(feed.topic, Lost(feed.source(last), first, last))
        for tap in feed.route.taps:
            tap.put_lost(feed, first, last, self._x.now_ns())

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
