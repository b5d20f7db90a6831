"""The other processes of the domain: whom to listen to, from which number on, and what was missed.

Discovery says who is there; this connects to those who publish something that is wanted here, learns by a sync token
from which sequence number on nothing is missed, asks for what was, and says who went.

A sync token is a subscription that sorts after every topic. libzmq sends a connection's subscriptions in byte order, so
a publisher that sees the token has all the others active; it answers with its next numbers and its latched values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bus import frame
from bus.discovery import Appeared, Changed, Entry, TopicEntry, Vanished
from bus.inbox import Feed, Inbox, Item, Route
from bus.link import Link
from bus.node import EVERY, Gone, LinkEvent, Lost, Stale, Synced
from schemas.base import PROFILES
from schemas.grammar import definition, describe, match, type_hash
from schemas.machine import ConditionLevel

if TYPE_CHECKING:
    from bus.executor import Executor
    from bus.inbox import TapInbox

SYNC_AGAIN_S = 0.25
TEND_S = 0.02
DISCONNECT_AFTER_S = 0.5
DRAIN_MAX = 1000
RESTED_NS = 50_000
FEEDS_MAX = 100_000
EVERYTHING = "**"
"""In an entry's subscriptions: a tap, which may take any topic."""


class _Peer:
    """One process we are connected to."""

    __slots__ = ("asked_mono_ns", "endpoint", "nodes", "synced")

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.nodes: set[str] = set()
        self.synced = False
        self.asked_mono_ns = 0


class Peers:
    """Everything about the processes around this one."""

    def __init__(self, executor: Executor) -> None:
        self._x = executor
        self.entries: dict[str, Entry] = {}
        self._own: set[int] = set()
        self._peers: dict[str, _Peer] = {}
        self._leaving: set[str] = set()
        self.feeds: dict[tuple[int, bytes], Feed] = {}
        self._fast: dict[bytes, Feed] = {}
        """by the bytes that every unsplit message of the feed begins with"""
        self.routes: dict[str, Route] = {}
        self._wildcards: list[tuple[str, Inbox]] = []
        self._taps: list[TapInbox] = []
        self._token = b""
        self._tokens = 0
        self._token_armed = False
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
            self._route(full_name).inboxes.append(inbox)

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
        if news:
            self._renew_token()
        if directory.pending:
            self._x.after(0.002, self.refresh)

    def _appeared(self, entry: Entry) -> bool:
        """Returns whether a connection or subscription was added."""
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
            peer = self._peers[endpoint] = _Peer(endpoint)
            self._x.transport.connect(endpoint)
            added = True
        self._leaving.discard(endpoint)
        peer.nodes.add(entry.name)
        return added

    def _vanished(self, entry: Entry, clean: bool) -> None:
        # what the kernel already has of it comes before the news that it is gone
        self.drain()
        current = self.entries.get(entry.name)
        if current is not None and current.publisher_id == entry.publisher_id:
            del self.entries[entry.name]
        self._servers = {n: e for n, e in self._servers.items() if e.publisher_id != entry.publisher_id}
        for key in [k for k in self.feeds if k[0] == entry.publisher_id]:
            feed = self.feeds.pop(key)
            self._fast = {k: f for k, f in self._fast.items() if f is not feed}
            self.tell(feed.topic, Gone(feed.source(), clean))
        for endpoint in entry.rpc[:1]:
            self._x.transport.forget(endpoint)
        for endpoint in entry.pub[:1]:
            peer = self._peers.get(endpoint)
            if peer is not None:
                peer.nodes.discard(entry.name)
                if not peer.nodes:
                    self._leaving.add(endpoint)
                    self._x.after(DISCONNECT_AFTER_S, self._disconnect)

    def _disconnect(self) -> None:
        for endpoint in self._leaving:
            self._peers.pop(endpoint, None)
            self._x.transport.disconnect(endpoint)
        self._leaving.clear()

    def server(self, full_name: str) -> Entry | None:
        """Who serves a service, in another process."""
        return self._servers.get(full_name)

    def publisher_name(self, publisher_id: int) -> tuple[str, Entry | None]:
        for entry in self.entries.values():
            if entry.publisher_id == publisher_id:
                return entry.name, entry
        return f"unknown_{publisher_id:016x}", None

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
            self._x.after(SYNC_AGAIN_S, self._check_token)

    def _check_token(self) -> None:
        self._token_armed = False
        if any(not p.synced and p.nodes for p in self._peers.values()):
            self._renew_token()

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
            self._wanted_prefixes.add(prefix)
        else:
            self._wanted_prefixes.discard(prefix)
        for host in x.hosts:
            for outlet in host.outlets.values():
                outlet.interest = self.wanted_elsewhere(outlet.prefix)
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
        self.listeners.add(token[1:].split(b"/", 1)[0].decode("ascii", "replace"))

    def _on_sync(self, payload: bytes) -> None:
        sync = frame.decode_sync(payload)
        peer = self._peers.get(sync.endpoint)
        if peer is None:
            return
        peer.synced = True
        now_ns = self._x.monotonic_ns()
        # latched values first: they are older than what the numbers begin with
        joining = set()
        for node in sync.nodes:
            for topic in node.next_seq:
                if topic in self.routes:
                    feed = self._feed(node.publisher_id, topic.encode(), node.name)
                    if feed is not None and feed.link is not None and not feed.link.synced:
                        joining.add((node.publisher_id, topic))
        for data, tail in sync.latched:
            self._on_latched(data, tail, joining, now_ns)
        for node in sync.nodes:
            for topic, next_seq in node.next_seq.items():
                feed = self.feeds.get((node.publisher_id, topic.encode()))
                if feed is None or feed.link is None:
                    continue
                before = feed.link.next_seq
                first = not feed.link.synced
                lost = feed.link.baseline(next_seq, now_ns)
                feed.heard_mono_ns = feed.heard_mono_ns or now_ns
                if lost and before is not None:
                    self._lost(feed, before, next_seq - 1)
                if feed.link.waiting:
                    self.tend()
                if first:
                    self.tell(topic, Synced(feed.source(next_seq)))

    def _on_latched(self, data: bytes, tail: bytes, joining: set[tuple[int, str]], now_ns: int) -> None:
        p = frame.parse(data)
        topic = p.topic.decode("ascii", "replace")
        feed = self.feeds.get((p.publisher_id, p.topic))
        if feed is None or feed.link is None:
            return
        link = feed.link
        fresh = link.next_seq is None or p.seq >= link.next_seq
        if (p.publisher_id, topic) in joining:
            fresh = not feed.first_seq or p.seq < feed.first_seq
        if fresh:
            item = Item(feed, p.seq, now_ns, p.wall_ns, p.payload, memoryview(tail) if tail else None, None)
            link.counts.received += 1
            feed.heard_mono_ns = now_ns
            feed.route.put(item, self._x.now_ns())
            if (p.publisher_id, topic) not in joining:
                link.next_seq = p.seq + 1

    # --- what arrives --------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take what has arrived into the queues. Never raises for what stands in a frame.

        After a sleep only the first message: its callback need not wait for the question whether there are more, which
        the next look at the sockets answers. Whoever did not sleep is behind, and takes everything.
        """
        x, fast = self._x, self._fast
        receive, unpack = x.transport.receive, frame.NUMBERS.unpack_from
        now_ns = x.monotonic_ns()
        for _ in range(1 if now_ns - x.round_ended_ns > RESTED_NS else DRAIN_MAX):
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
                self._on_sync(p.payload)
                return
            if lead == frame.BEACON[:1]:
                self._on_beacon(p.payload, now_mono_ns)
                return
            if p.flags & frame.SPLIT:
                tail = self._x.transport.receive_tail()
                if tail is None:
                    raise frame.BadFrame("the second frame that the header announces is missing")
        except frame.BadFrame as error:
            self._bad(str(error))
            return
        feed = self._feed(p.publisher_id, p.topic, None)
        if feed is None:
            self._bad(f"a message on {p.topic[:80]!r}, which nobody here subscribed to")
            return
        if not p.flags and len(self._fast) < FEEDS_MAX:
            self._fast[first[: len(p.topic) + frame.KEY_BYTES]] = feed
        if not feed.first_seq:
            feed.first_seq = p.seq
        self._accept(feed, Item(feed, p.seq, p.mono_ns, p.wall_ns, p.payload, tail, None), now_mono_ns)

    def _accept(self, feed: Feed, item: Item, now_mono_ns: int) -> None:
        link, route = feed.link, feed.route
        assert link is not None
        if link.repaired and route.full:
            return  # its number stays open and is asked for when there is room
        expected, lost_before = link.next_seq, link.counts.lost
        items = link.accept(item.seq, item, now_mono_ns)
        if link.counts.lost != lost_before and expected is not None:
            self._lost(feed, expected, item.seq - 1)
        feed.heard_mono_ns = now_mono_ns
        feed.stale = False
        for each in items:
            route.put(each, now_mono_ns + self._x.anchor_ns)
        if link.waiting:
            self.tend()

    def _bad(self, text: str) -> None:
        self.bad_frames += 1
        self._x.hosts[0].warn_once("bad frame", f"a frame that is none of this bus: {text} (counted from now on)")

    def _feed(self, publisher_id: int, topic: bytes, node: str | None) -> Feed | None:
        key = (publisher_id, topic)
        feed = self.feeds.get(key)
        if feed is not None:
            return feed
        name = topic.decode("ascii", "replace")
        route = self.routes.get(name)
        if route is None:
            return None
        known, entry = self.publisher_name(publisher_id)
        if entry is None:
            self.refresh()
            known, entry = self.publisher_name(publisher_id)
        described = next((t for t in entry.publishes if t.name == name), None) if entry else None
        if described is None and route.inboxes:
            t = route.inboxes[0].subscription.topic
            described = TopicEntry(name, t.type.__name__, type_hash(t.type), t.qos.name)
        if described is None:
            return None
        profile = PROFILES[described.qos] if described.qos in PROFILES else PROFILES["SENSOR"]
        link: Link[Item] = Link(repaired=profile.repaired, latched=profile.latched)
        feed = Feed(
            node or known, name, publisher_id, qos=described.qos, type_name=described.type_name,
            type_hash=described.type_hash, route=route, link=link,
        )  # fmt: skip
        if entry is not None:
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
        waiting = False
        for (publisher_id, _), feed in list(self.feeds.items()):
            link = feed.link
            if link is None or not link.waiting:
                continue
            if feed.route.full:
                waiting = True
                link.postpone(now_ns)
                continue
            lost, items = link.give_up(now_ns)
            for item in items:
                feed.route.put(item, now_ns + self._x.anchor_ns)
            if lost is not None:
                self._lost(feed, *lost)
            hole = link.gap(now_ns)
            _, entry = self.publisher_name(publisher_id)
            if hole is not None and entry is not None and entry.rpc:
                request = frame.Repair(publisher_id, feed.topic, *hole)
                self._x.transport.ask(entry.rpc[0], frame.encode(request))
            waiting |= link.waiting
        self._tending = waiting
        if waiting:
            self._x.after(TEND_S, self._tend)

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
        before = feed.link.next_seq
        out, lost = feed.link.repair(r.first_kept, r.last, items, now_ns)
        if lost:
            self._lost(feed, before, before + lost - 1)
        feed.heard_mono_ns = now_ns
        for item in out:
            feed.route.put(item, now_ns + self._x.anchor_ns)
        if feed.link.waiting:
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
        now_ns = self._x.monotonic_ns()
        heard = [f for f in self.feeds.values() if f.topic == topic]
        heard += [f for f in self._x.own_feeds.values() if f.topic == topic]
        for feed in heard:
            silent_ns = now_ns - feed.heard_mono_ns
            if feed.heard_mono_ns and not feed.stale and silent_ns > deadline_s * 1e9:
                feed.stale = True
                self.tell(topic, Stale(feed.source(), silent_ns / 1e9))
