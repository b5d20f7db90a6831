"""The hub: what comes from the bus goes to clients, every 20 ms, encoded once for all who want the same.

Everything here runs on the thread of the web server's loop; web/crossing.py takes it over from the node's. Knows no
socket: clients are queues.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from bus.context import CallError, Outcome, Raw
from bus.entry import Entry
from bus.outlet import LATCHED_KEYS
from schemas.base import Message as BusMessage
from schemas.base import Service
from schemas.impact import Intervention, ReactionResult, Verdict
from schemas.machine import MotionEvent
from web import protocol
from web.batches import batch, chunks, spans
from web.client import BATCHES_MAX, Client, wanted_rows
from web.crossing import Crossing
from web.feeds import Feed, Feeds
from web.history import KEEP_NS, History
from web.protocol import BadRequest, Message, Ping, Subscribe, Unsubscribe
from web.ticks import BLOCK, Decimator, Tick, tick

CLIENTS_MAX = 100
LATCHED_MAX = LATCHED_KEYS
"""values per feed: as many as its publisher keeps"""
EVENTS_MAX = 1000
RENEW_NS = 1_000_000_000
R = TypeVar("R", bound=BusMessage)
Ask = Callable[[Service[Any, Any], str, Any, float], "Future[Outcome[Any]]"]


class NoRoom(RuntimeError):
    """As many clients as the hub takes are there already."""


class Hub:
    """What is known of the bus, and who is told."""

    def __init__(self, domain: str = "default") -> None:
        self.domain = domain
        self.now_ns: Callable[[], int] = time.time_ns
        """the time of the domain, once there is a node"""
        self.crossing = Crossing(self.take)
        self.asks: Ask | None = None
        """calls a service from the node's thread; None without a node"""
        self.somebody_looks: Callable[[], None] = lambda: None
        """is called when a client comes after nobody looked: signals are wanted from now on"""
        self.feeds = Feeds()
        self.history = History()
        self.clients: set[Client] = set()
        self.newest: dict[int, Message] = {}
        """by feed: its last message"""
        self.latched: dict[int, dict[str, Message]] = {}
        """by feed and key"""
        self.simulated: dict[str, bool] = {}
        """by machine, as machine/info says"""
        self.interventions: deque[tuple[str, Intervention]] = deque(maxlen=EVENTS_MAX)
        """with the machine, the oldest first"""
        self.verdicts: dict[tuple[str, str, int], Verdict] = {}
        """by machine, intervention and its stamp"""
        self.reactions: deque[tuple[str, ReactionResult]] = deque(maxlen=EVENTS_MAX)
        self.motion: deque[tuple[str, MotionEvent]] = deque(maxlen=EVENTS_MAX)
        self.counts: Counter[str] = Counter()
        """since the start: messages, batches, bytes, dropped, unreadable, busy, refused"""
        self.unreadable: deque[str] = deque(maxlen=20)
        self.last_heard_ns = 0
        self.node_seen_ns = 0
        """when the node on the bus last said that it lives"""
        self._last_seq: dict[tuple[str, int], int] = {}
        self._decimators: dict[tuple[int, int], Decimator] = {}
        self._views: dict[Client, frozenset[tuple[int, int]]] = {}
        self._left_ns = 0

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Who is alive, by full name."""
        return self.feeds.entries

    @property
    def idle(self) -> bool:
        """Whether nobody looks, and nobody looked within what the history keeps: signals need not be handled."""
        return not self.clients and self.now_ns() - self._left_ns > KEEP_NS

    async def ask(self, service: Service[Any, R], full_name: str, request: Any, timeout_s: float) -> Outcome[R]:
        """Call a service of a node; the outcome comes within `timeout_s` and a second."""
        if self.asks is None:
            return Outcome(None, CallError.NOT_AVAILABLE, "the hub has no node on the bus at the moment")
        try:
            future = self.asks(service, full_name, request, timeout_s)
            return await asyncio.wait_for(asyncio.wrap_future(future), timeout_s + 1.0)
        except queue.Full as error:
            return Outcome(None, CallError.FAILED, f"the hub is busy: {error}")
        except TimeoutError:
            return Outcome(None, CallError.DEADLINE, f"no answer of {full_name} within {timeout_s:g} s")

    def keep(self, what: str, machine: str, said: BusMessage) -> None:
        """Something that is listed later: an intervention, a verdict, a step of a stop."""
        if isinstance(said, Verdict):
            key = (machine, said.intervention_id, said.intervention_ns)
            self.verdicts.pop(key, None)
            self.verdicts[key] = said
            if len(self.verdicts) > EVENTS_MAX:
                del self.verdicts[next(iter(self.verdicts))]
        else:
            getattr(self, what).append((machine, said))

    # --- from the bus -------------------------------------------------------------------------------------------------

    def learn_entries(self, entries: Mapping[str, Entry]) -> None:
        """Who is alive has changed."""
        went = self.feeds.learn_entries(entries, self.now_ns())
        for feed in went:
            for client in self.clients:
                if feed.n in client.wanted:
                    client.say(protocol.withdrawn(feed.n, None))
        known = {feed.n for feed in self.feeds}
        for table in (self.newest, self.latched):
            for n in table.keys() - known:
                del table[n]
        for client in self.clients:
            client.named &= known
            if client.wanted.keys() - known:
                client.wanted = {n: rows for n, rows in client.wanted.items() if n in known}
                self._views.pop(client, None)
        living = {feed.publisher_id for feed in self.feeds}
        self._last_seq = {key: seq for key, seq in self._last_seq.items() if key[1] in living}

    def take(self, raws: list[Raw]) -> None:
        """Messages have come: remember what must be, and tell everybody what they want of it."""
        if self.idle:
            raws = [raw for raw in raws if raw.type_name != BLOCK]
        now_ns = self.last_heard_ns = self.now_ns()
        made = tick(raws, self.feeds, now_ns, named=self._named, latch=self._latch)
        self.counts["messages"] += len(made.messages)
        self.counts["signals"] += sum(s[2] - s[1] + 1 for s in made.signals)
        self.counts["unreadable"] += len(made.unreadable)
        self.unreadable.extend(made.unreadable)
        for message in made.messages:
            self.newest[message[0]] = message
        if self.idle:
            return
        for n, first, last in spans(made):
            feed = self.feeds[n]
            self._tell_hole(feed, first, now_ns)
            key = (feed.topic, feed.publisher_id)
            self._last_seq[key] = max(last, self._last_seq.get(key, 0))
        self.history.put(made)
        self._send(made)

    def _named(self, feed: Feed) -> None:
        """A feed is new, or its columns are."""
        for client in self.clients:
            rows = wanted_rows(client.subscriptions, feed.topic)
            if rows is not None:
                self._want(client, feed, rows)
                self._say_names(client, feed)

    def _latch(self, feed: Feed, message: Message, fields: Mapping[str, Any]) -> None:
        values = self.latched.setdefault(feed.n, {})
        key = str(fields.get(feed.key, "")) if feed.key else ""
        values.pop(key, None)
        values[key] = message
        if len(values) > LATCHED_MAX:
            del values[next(iter(values))]
        if feed.type_name == "MachineInfo" and len(self.simulated) < EVENTS_MAX:
            self.simulated[feed.topic.partition("/")[0]] = fields.get("simulated") is True

    def _tell_hole(self, feed: Feed, first: int, now_ns: int) -> None:
        """The first that is heard of a topic that somebody resumes, and that this hub has not heard before."""
        key = (feed.topic, feed.publisher_id)
        for client in self.clients:
            last = client.resuming.get(key)
            if last is None or first <= last or feed.n not in client.wanted:
                continue
            del client.resuming[key]
            if first > last + 1:
                client.put(protocol.batch(now_ns, [], [], [(feed.n, last + 1, first - 1, "history")]))

    # --- to clients ---------------------------------------------------------------------------------------------------

    def _send(self, made: Tick) -> None:
        views: dict[frozenset[tuple[int, int]], list[Client]] = {}
        for client in self.clients:
            view = self._views.get(client)
            if view is None:
                view = self._views[client] = frozenset(client.wanted.items())
            views.setdefault(view, []).append(client)
        binned = self._decimated(made, views)
        for view, clients in views.items():
            data = batch(made, dict(view), binned)
            if data is None:
                continue
            self.counts["encoded"] += 1
            for client in clients:
                client.put(data)
        for client in self.clients:
            # when it has caught up; for one that never does once a second
            if client.behind and (client.queued <= BATCHES_MAX // 2 or made.now_ns - client.renewed_ns > RENEW_NS):
                self.counts["dropped"] += client.renewed(made.now_ns)
                self._put_latched(client, client.wanted)

    def _decimated(
        self, made: Tick, views: Iterable[frozenset[tuple[int, int]]]
    ) -> dict[tuple[int, int], list[protocol.Signals]]:
        """What each decimation that somebody wants has ready now."""
        wanted = {(n, rows) for view in views for n, rows in view if rows > 1}
        for unwanted in self._decimators.keys() - wanted:
            del self._decimators[unwanted]
        out: dict[tuple[int, int], list[protocol.Signals]] = {}
        for n, rows in wanted:
            for entry in made.signals:
                if entry[0] == n:
                    decimator = self._decimators.setdefault((n, rows), Decimator(rows))
                    out.setdefault((n, rows), []).extend(decimator.take(entry))
        return out

    def _want(self, client: Client, feed: Feed, rows: int) -> bool:
        """Whether that is news for the client."""
        rows = rows if feed.type_name == BLOCK else 1
        news = client.wanted.get(feed.n) != rows
        if news:
            client.wanted[feed.n] = rows
            self._views.pop(client, None)
        return news

    def _say_names(self, client: Client, feed: Feed) -> None:
        client.named.add(feed.n)
        client.say(
            protocol.names(
                feed.n, name=feed.topic, type_name=feed.type_name, publisher=feed.publisher,
                publisher_id=feed.publisher_id, source=feed.source, qos=feed.qos, columns=feed.columns,
                units=feed.units,
            )
        )  # fmt: skip
        rows = client.wanted.get(feed.n, 1)
        if rows > 1:
            client.say(protocol.decimated(feed.n, rows))

    def _put_latched(self, client: Client, numbers: Iterable[int]) -> None:
        values = [m for n in numbers for m in self.latched.get(n, {}).values()]
        if values:
            client.put(protocol.batch(self.now_ns(), values, [], []))

    # --- from clients -------------------------------------------------------------------------------------------------

    def connect(self) -> Client:
        """A client came.

        Raises:
            NoRoom.
        """
        if len(self.clients) >= CLIENTS_MAX:
            self.counts["refused"] += 1
            raise NoRoom(f"{CLIENTS_MAX} clients are connected already")
        was_idle = self.idle
        client = Client()
        self.clients.add(client)
        if was_idle:  # what is kept ends where nobody looked any more
            self.history.clear()
            self._last_seq.clear()
            self._decimators.clear()
            self.somebody_looks()
        return client

    def disconnect(self, client: Client) -> None:
        self.clients.discard(client)
        self._views.pop(client, None)
        self._left_ns = self.now_ns()

    def hello(self, client: Client, user: Mapping[str, Any] | None) -> None:
        simulated = bool(self.simulated) and all(self.simulated.values())
        client.say(protocol.hello(self.domain, self.now_ns(), simulated=simulated, user=user))

    def request(self, client: Client, data: bytes) -> None:
        """Do what a client asks; what is no request is answered with an error."""
        try:
            asked = protocol.decode(data)
            match asked:
                case Ping(n):
                    client.say(protocol.pong(n, self.now_ns()))
                case Subscribe():
                    self._subscribe(client, asked)
                case Unsubscribe(number):
                    if client.subscriptions.pop(number, None) is None:
                        raise BadRequest(f"there is no subscription {number}", number)
                    self._choose(client)
        except BadRequest as error:
            self.counts["bad_requests"] += 1
            client.say(protocol.error(str(error), error.id))

    def _subscribe(self, client: Client, asked: Subscribe) -> None:
        if asked.id not in client.subscriptions and len(client.subscriptions) >= protocol.SUBSCRIPTIONS_MAX:
            raise BadRequest(f"at most {protocol.SUBSCRIPTIONS_MAX} subscriptions", asked.id)
        client.subscriptions[asked.id] = asked
        new = self._choose(client)
        self._put_latched(client, new)
        if asked.resume:
            self._resume(client, asked)

    def _choose(self, client: Client) -> list[int]:
        """What the client wants by its subscriptions of now; those feeds that it did not want before."""
        before = client.wanted
        client.wanted = {}
        new: list[int] = []
        for feed in self.feeds:
            rows = wanted_rows(client.subscriptions, feed.topic)
            if rows is None:
                continue
            self._want(client, feed, rows)
            if feed.n not in before:
                new.append(feed.n)
            if feed.n not in client.named:
                self._say_names(client, feed)
                if feed.gone_ns:
                    client.say(protocol.withdrawn(feed.n, None))
            elif before.get(feed.n, 1) != client.wanted[feed.n]:
                client.say(protocol.decimated(feed.n, client.wanted[feed.n]))
        self._views.pop(client, None)
        return new

    def _resume(self, client: Client, asked: Subscribe) -> None:
        """Send what the history still has behind what the client heard last; say what is missing."""
        behind: dict[int, int] = {}
        gaps: list[protocol.Gap] = []
        for name, last in asked.resume.items():
            topic, _, publisher = name.rpartition("|")
            if not publisher.isascii() or not publisher.isdigit() or len(publisher) > 20 or last < 0:
                raise BadRequest(f"resume: {name!r} is no '<topic>|<publisher_id>' with a sequence number", asked.id)
            if not any(protocol.matches(p, topic) for p in asked.topics):
                continue
            key = (topic, int(publisher))
            numbers = [f.n for f in self.feeds if (f.topic, f.publisher_id) == key and f.n in client.wanted]
            if any(self.feeds[n].qos == "LATCHED" for n in numbers):
                continue  # the newest values came already
            newest = self._last_seq.get(key)
            if newest is None or not numbers:
                if len(client.resuming) < protocol.RESUME_MAX:
                    client.resuming[key] = last
                continue
            first = self.history.first_seq(numbers)
            missing = newest if first is None else first - 1
            if missing > last:
                gaps.append((numbers[0], last + 1, missing, "history"))
            behind.update(dict.fromkeys(numbers, last))
        parts = [Tick(self.now_ns(), gaps=gaps), *self.history.since(behind)]
        for data in chunks(parts, client.wanted):
            client.put(data)
