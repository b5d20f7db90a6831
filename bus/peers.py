"""The other processes of the domain: whom to listen to, and from which number on.

Discovery says who is there; this connects to those who publish something that is wanted here, learns by a sync token
from which sequence number on nothing is missed, and sees off who went.

A sync token is a subscription that sorts after every topic. libzmq sends a connection's subscriptions in byte order, so
a publisher that sees the token has all the others active; it answers with its next numbers and its latched values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from bus import frame
from bus.discovery import Appeared, Changed, Entry, Vanished
from bus.durable.readers import LogAt
from bus.entry import EVERYTHING
from bus.inbox import Inbox, Item, Route, StaleItem
from bus.node import EVERY
from bus.transport import reachable_first

if TYPE_CHECKING:
    from bus.executor import Executor
    from bus.inbox import TapInbox
    from bus.outlet import Outlet

SYNC_AGAIN_S = 0.25
SYNC_AGAIN_MAX_S = 4.0
DEPART_LOOK_S = 0.002
DEPART_WITHIN_NS = 500_000_000
"""how long what a vanished publisher left in the sockets is waited for, when its connection never says that it ended"""
LISTENERS_MAX = 4096
SYNC_MAX_BYTES = frame.PUBLISHED_MAX_BYTES
"""of latched values in the answer to a sync token; a longer one would end the connection of everybody who comes"""


class _Peer:
    """One process we are connected to."""

    __slots__ = ("address", "connected", "nodes", "synced")

    def __init__(self, address: str) -> None:
        self.address = address
        """the endpoint it is reached by"""
        self.nodes: set[str] = set()
        self.connected = False
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
        self.routes: dict[str, Route] = {}
        self._wildcards: list[tuple[str, Inbox]] = []
        self.taps: list[TapInbox] = []
        self._token = b""
        self._tokens = 0
        self._token_armed = False
        self._token_after_s = SYNC_AGAIN_S
        self._servers: dict[str, Entry] = {}
        self.listeners: set[str] = set()
        """socket names of the processes whose sync token was answered"""
        self._wanted_prefixes: set[bytes] = set()
        """what others subscribe to here"""

    # --- what is wanted here -------------------------------------------------------------------------------------

    def add_inbox(self, inbox: Inbox, full_name: str) -> None:
        if full_name.startswith(f"{EVERY}/"):
            self._wildcards.append((full_name[2:], inbox))
        else:
            route = self._route(full_name)
            route.named = True
            route.inboxes.append(inbox)

    def add_tap(self, tap: TapInbox) -> None:
        self.taps.append(tap)

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
        tapped = [t for t in self.taps if t.selects(topic, type_name)]
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
            self.renew_token()
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
        for served in entry.serves if entry.rpc else ():
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
        endpoint = entry.pub[0] if entry.pub else ""
        peer = self._peers.get(endpoint)
        if (wanted or self.taps) and endpoint:
            if peer is None:
                peer = self._peers[endpoint] = _Peer(reachable_first(entry.pub, lanes=self._x.lanes)[0])
            peer.nodes.add(entry.name)
        # not before all nodes of the process are known: our token says that we have subscribed to what we want of it
        if peer is not None and not peer.connected and self.entries.keys() >= {*entry.composed}:
            peer.connected = added = True
            self._x.transport.connect(peer.address)
        return added

    def _vanished(self, entry: Entry, clean: bool) -> None:
        current = self.entries.get(entry.name)
        if current is not None and current.publisher_id == entry.publisher_id:
            entry = current
            del self.entries[entry.name]
        self._servers = {n: e for n, e in self._servers.items() if e.publisher_id != entry.publisher_id}
        for other in self.entries.values():
            for served in other.serves if other.rpc else ():
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
        self._x.transport.drain()
        unread = self._x.transport.unread
        now_ns = self._x.monotonic_ns()
        for departed in list(self._departed.values()):
            entry = departed.entry
            connected = [e for e in entry.pub[:1] if e in self._peers and self._peers[e].address not in ended]
            if (connected or unread) and now_ns - departed.since_ns < DEPART_WITHIN_NS:
                continue
            if not self._x.intake.finish(entry.publisher_id, departed.clean):
                continue  # a reader has no room for the last of it yet
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

    def departing(self, publisher_id: int) -> bool:
        """Whether it has vanished, and only the last of its messages are still coming."""
        return publisher_id in self._departed

    # --- sync ----------------------------------------------------------------------------------------------------

    def renew_token(self) -> None:
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
            self.renew_token()
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
        return any(prefix[:n] in wanted for n in range(len(prefix) + 1))  # not over what strangers want: it may be much

    def _answer_token(self, token: bytes) -> None:
        x = self._x
        latched, later = self._latched_values()
        nodes = [
            frame.NodeSync(
                h.publisher_id,
                h.name,
                {o.full_name: later.get(o, o.seq + 1) for o in h.outlets.values()},
                {o.full_name: (o.log.log_id, o.first_kept) for o in h.outlets.values() if o.log is not None},
            )
            for h in x.hosts
        ]
        body = frame.encode(frame.Sync(x.transport.pub_endpoints[0], nodes, latched))
        head = token if token.endswith(b"\0") else token + b"\0"
        x.transport.send(head, frame.pack(head, x.hosts[0].publisher_id, 0, x.monotonic_ns(), x.now_ns(), body))
        if len(self.listeners) < LISTENERS_MAX:
            self.listeners.add(token[1:].split(b"/", 1)[0].decode("ascii", "replace"))

    def _latched_values(self) -> tuple[list[tuple[bytes, bytes]], dict[Outlet, int]]:
        """The values for a newcomer, and the topics for which there is no room, with their oldest number.

        Of those it begins there, and asks for the rest as for what was lost.
        """
        values = {o: o.latched() for h in self._x.hosts for o in h.outlets.values() if o.interest}
        sizes = {o: sum(len(f) + len(tail) for f, tail in frames) for o, frames in values.items() if frames}
        found: list[tuple[bytes, bytes]] = []
        later: dict[Outlet, int] = {}
        room = SYNC_MAX_BYTES
        for outlet in sorted(sizes, key=lambda o: sizes[o]):
            if sizes[outlet] <= room:
                room -= sizes[outlet]
                found += [(f, bytes(tail)) for f, tail in values[outlet]]
            else:
                later[outlet] = frame.parse(values[outlet][0][0]).seq
        return found, later

    def on_sync(self, token: bytes, payload: bytes) -> None:
        """A publisher's answer to our token.

        Raises:
            BadFrame: it is none.
        """
        intake = self._x.intake
        sync = frame.decode_sync(payload)
        peer = self._peers.get(sync.endpoint)
        if peer is None or token + b"\0" != self._token:
            return  # an answer to an earlier token knows nothing of what was subscribed since
        peer.synced = True
        now_ns = self._x.monotonic_ns()
        latched: dict[tuple[int, bytes], list[tuple[int, Item]]] = {}
        for data, tail in sync.latched:
            p = frame.parse(data)
            feed = intake.feed(p.publisher_id, p.topic)
            if feed is not None:
                kind = StaleItem if p.flags & frame.STALE else Item
                item = kind(feed, p.seq, now_ns, p.wall_ns, p.payload, memoryview(tail) if tail else None, None)
                latched.setdefault((p.publisher_id, p.topic), []).append((p.seq, item))
        for node in sync.nodes:
            for topic, next_seq in node.next_seq.items():
                key = (node.publisher_id, topic.encode())
                feed = intake.feed(*key)
                if feed is None or feed.link is None:
                    continue
                if feed.link.logged:
                    self._x.readers.synced(feed, LogAt(*node.logs.get(topic, (0, 0)), next_seq), now_ns)
                else:
                    intake.baseline(feed, feed.link, next_seq, latched.get(key, []), now_ns)
