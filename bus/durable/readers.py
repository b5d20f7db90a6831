"""Who in this process reads logs, and where in them each begins.

A feed of a DURABLE topic is read once for all its readers, from the number that the one furthest behind needs; each
takes what is behind its own cursor. Readers without a cursor, and taps, hear what was published since they joined.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bus.context import Synced
from bus.durable.inbox import CursorInbox
from bus.inbox import Feed, Inbox, Item, Route
from bus.link import Link
from schemas.system import CursorStatus

if TYPE_CHECKING:
    from bus.declare import Subscription
    from bus.executor import Executor
    from bus.host import Host
    from bus.outlet import Outlet

TRY_AGAIN_S = 1.0


class LogAt(NamedTuple):
    """What a publisher says of a log."""

    log_id: int
    """0: it keeps none"""
    first_kept: int
    next_seq: int


class LoggedRoute(Route):
    """The route of one feed that is read from a log."""

    __slots__ = ("live_from",)

    def __init__(self, route: Route) -> None:
        self.topic = route.topic
        self.named = route.named
        self.inboxes = route.inboxes
        self.taps = route.taps
        self.live_from = 1 << 64
        """the first number of those who keep no cursor"""

    @property
    def cursors(self) -> list[CursorInbox]:
        return [i for i in self.inboxes if isinstance(i, CursorInbox)]

    def put(self, item: Item, received_ns: int) -> None:
        live = item.seq >= self.live_from
        if not item.feed.refused:
            for inbox in self.inboxes:
                if live or isinstance(inbox, CursorInbox):
                    inbox.put(item)
        if live:
            for tap in self.taps:
                tap.put(item, received_ns)

    def put_lost(self, feed: Feed, first: int, last: int, received_ns: int) -> None:
        if last >= self.live_from:
            super().put_lost(feed, max(first, self.live_from), last, received_ns)


class Readers:
    """The subscriptions with cursors of this process."""

    def __init__(self, executor: Executor, folder: Path | None) -> None:
        self._x = executor
        self._folder = folder
        self._waiting: dict[Feed, LogAt | Outlet] = {}
        """feeds that have not begun: their nodes are not configured, or do not know where they stand"""
        self.at_hand: dict[Feed, Outlet] = {}
        """of this process: what is missing is not asked for by socket"""
        self._started = False
        self._armed = False

    def inbox(self, host: Host, subscription: Subscription) -> Inbox:
        """The queue for a subscription."""
        if not subscription.topic.qos.logged or subscription.cursor is None or self._folder is None:
            return Inbox(host, subscription)
        return CursorInbox(host, subscription, self._folder)

    def attach(self, feed: Feed) -> None:
        """Have a new feed of a DURABLE topic read from its log, when somebody here keeps a cursor in it."""
        if feed.link is not None and any(isinstance(i, CursorInbox) for i in feed.route.inboxes):
            feed.link.logged = True
            feed.route = LoggedRoute(feed.route)

    def own(self, feed: Feed, outlet: Outlet) -> None:
        """A feed of this process, whose log is at hand."""
        if not any(isinstance(i, CursorInbox) for i in feed.route.inboxes):
            return
        feed.link = Link(repaired=True)
        feed.counts = feed.link.counts
        self.attach(feed)
        self.at_hand[feed] = outlet
        self._waiting[feed] = outlet
        self._begin_all()

    def synced(self, feed: Feed, log: LogAt, now_ns: int) -> None:
        """A publisher says where its log is, at the first sync and after every reconnect."""
        link = feed.link
        assert link is not None
        if not log.log_id:
            assert isinstance(feed.route, LoggedRoute)
            link.logged = False  # heard as an EVENT topic
            feed.route.live_from = 0
            self._x.intake.baseline(feed, link, log.next_seq, [], now_ns)
        elif link.next_seq is None:
            self._waiting[feed] = log
            self._begin_all()
        else:
            link.baseline(log.next_seq, now_ns)
            if link.waiting:
                self._x.intake.tend()

    def start(self) -> None:
        """The nodes are configured: they can say where they stand."""
        self._started = True
        self._begin_all()

    def _begin_all(self) -> None:
        if not self._started:
            return
        for feed, at in list(self._waiting.items()):
            if self._is_gone(feed) or self._begin(feed, at):
                self._waiting.pop(feed, None)
        if self._waiting and not self._armed:
            self._armed = True
            self._x.after(TRY_AGAIN_S, self._again)

    def _again(self) -> None:
        self._armed = False
        self._begin_all()

    def _is_gone(self, feed: Feed) -> bool:
        return (
            feed not in self.at_hand and self._x.intake.feeds.get((feed.publisher_id, feed.topic.encode())) is not feed
        )

    def _begin(self, feed: Feed, at: LogAt | Outlet) -> bool:
        link, route = feed.link, feed.route
        assert link is not None
        assert isinstance(route, LoggedRoute)
        if not isinstance(at, LogAt):
            assert at.log is not None
            at = LogAt(at.log.log_id, at.first_kept, at.seq + 1)
        feed.log_id = at.log_id
        begins: dict[int, int] = {}
        for inbox in route.cursors:
            begin = inbox.begin(feed, *at)
            if begin is None:
                return False
            begins[id(inbox)] = begin
        route.live_from = at.next_seq
        now_ns = self._x.monotonic_ns()
        live = route.taps or len(begins) < len(route.inboxes)
        link.begin(min([*begins.values(), at.next_seq] if live else begins.values()))
        link.baseline(at.next_seq, now_ns)
        feed.heard_mono_ns = feed.heard_mono_ns or now_ns
        for reader in route.inboxes:
            begin = begins.get(id(reader), at.next_seq)
            reader.host.link_event(feed.topic, Synced(feed.source(begin)))
        if link.waiting:
            self._x.intake.tend()
        return True

    def close(self) -> None:
        """After `Syncer.stop`."""
        for host in self._x.hosts:
            for inbox in host.inboxes:
                if isinstance(inbox, CursorInbox):
                    inbox.close()

    def status(self, host: Host) -> tuple[CursorStatus, ...]:
        """For /diagnostics."""
        known = {
            (f.node, f.topic): f.link.last_known
            for f in (*self._x.intake.feeds.values(), *self._x.own_feeds.values())
            if f.link is not None and f.log_id
        }
        return tuple(
            CursorStatus(
                topic=topic, publisher=publisher, log_id=f"{p.log_id:016x}", seq=p.handled,
                behind=max(0, known[publisher, topic] - p.handled) if (publisher, topic) in known else -1,
            )
            for inbox in host.inboxes
            if isinstance(inbox, CursorInbox)
            for (publisher, topic), p in inbox.positions.items()
        )  # fmt: skip
