"""Nodes that count durably: run in threads and processes by the tests of logs and cursors."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from bus.node import LinkEvent, Node, Source, on_link, parameter, publisher, subscription
from schemas.base import DURABLE, Message, Topic


class Event(Message):
    number: int
    text: str = ""


EVENTS = Topic("count/events", Event, DURABLE)


class Teller(Node):
    """Publishes numbers, `burst` of them at its start, more when told to."""

    burst = parameter(0)
    events = publisher(EVENTS)

    def on_configure(self) -> None:
        self.number = 0
        self.tell(self.burst)

    def tell(self, count: int, size: int = 0) -> None:
        for _ in range(count):
            self.number += 1
            self.events.publish(Event(number=self.number, text="x" * size))


class Hearer(Node):
    """What the readers below have in common."""

    def on_configure(self) -> None:
        self.heard: list[int] = []
        self.sources: list[Source] = []
        self.links: list[LinkEvent] = []
        self.fails: set[int] = set()
        self.tried = 0

    def note(self, event: Event) -> None:
        self.tried += 1
        if event.number in self.fails:
            raise ConnectionError(f"no connection at {event.number}")
        self.heard.append(event.number)
        self.sources.append(self.source)

    def told(self, kind: type[LinkEvent]) -> list[LinkEvent]:
        return [e for e in self.links if isinstance(e, kind)]


class Reader(Hearer):
    """Keeps its cursor in a file."""

    @subscription(EVENTS)
    def on_event(self, event: Event) -> None:
        self.note(event)

    @on_link(EVENTS)
    def on_events_link(self, event: LinkEvent) -> None:
        self.links.append(event)


class Newcomer(Hearer):
    """Begins with what is published after its first start."""

    @subscription(EVENTS, start="now")
    def on_event(self, event: Event) -> None:
        self.note(event)


class Onlooker(Hearer):
    """Keeps no cursor."""

    @subscription(EVENTS, cursor=None)
    def on_event(self, event: Event) -> None:
        self.note(event)


class Batcher(Hearer):
    """Takes what comes in lists."""

    def on_configure(self) -> None:
        super().on_configure()
        self.batches: list[list[int]] = []

    @subscription(EVENTS, namespace="*", batch_s=0.01)
    def on_events(self, events: list[Event]) -> None:
        for event in events:
            self.note(event)
        self.batches.append([e.number for e in events])


class Booker(Hearer):
    """Books events in a database, with its cursor in the same transaction: each is booked exactly once.

    This is the form for the ERP: `stands` is one query, the cursor one more statement in the transaction.
    """

    path = parameter("", doc="the database")

    def on_configure(self) -> None:
        super().on_configure()
        self.open()

    def open(self) -> None:
        self.db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self.db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
        self.db.execute("CREATE TABLE IF NOT EXISTS booked (publisher TEXT, number INTEGER)")
        self.db.execute(
            "CREATE TABLE IF NOT EXISTS stands (publisher TEXT, topic TEXT, log_id INTEGER, seq INTEGER, "
            "PRIMARY KEY (publisher, topic, log_id))"
        )

    def stands(self, publisher: str, topic: str) -> Mapping[int, int]:
        """Where it stands: by the id of a log the number of the last event booked."""
        query = "SELECT log_id, seq FROM stands WHERE publisher = ? AND topic = ?"
        return dict(self.db.execute(query, (publisher, topic)))

    @subscription(EVENTS, cursor="stands")
    def on_event(self, event: Event) -> None:
        s = self.source
        self.db.execute("BEGIN IMMEDIATE")
        try:
            self.db.execute("INSERT INTO booked VALUES (?, ?)", (s.node, event.number))
            self.db.execute("INSERT OR REPLACE INTO stands VALUES (?, ?, ?, ?)", (s.node, s.topic, s.log_id, s.seq))
            self.note(event)
            self.db.execute("COMMIT")
        except Exception:
            self.db.execute("ROLLBACK")
            raise

    @on_link(EVENTS)
    def on_events_link(self, event: LinkEvent) -> None:
        self.links.append(event)

    def booked(self) -> list[int]:
        return [n for (n,) in self.db.execute("SELECT number FROM booked ORDER BY rowid")]


for _cls in (Teller, Reader, Newcomer, Onlooker, Batcher, Booker):
    _cls.default_name = _cls.__name__.lower()
