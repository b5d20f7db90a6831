"""What stands behind each number `n` of the wire: a topic of a publisher, and for signals one source of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bus.cli.show_values import units
from schemas.machine import Signals

if TYPE_CHECKING:
    from bus.entry import Entry

KEEP_GONE_NS = 60_000_000_000
"""how long the numbers of a publisher that is gone are remembered: a client may resume"""
GONE_MAX = 1000

Columns = tuple[Mapping[str, str], ...]


@dataclass(slots=True)
class Feed:
    """One number of the wire."""

    n: int
    topic: str
    publisher: str
    publisher_id: int
    source: str
    type_name: str
    qos: str
    key: str | None = None
    """LATCHED: the field of which every value is kept"""
    units: Mapping[str, str] = field(default_factory=dict)
    columns: Columns | None = None
    gone_ns: int = 0
    """when its publisher was seen no more; 0 while it is there"""


class Feeds:
    """Every feed, by number and by what it is."""

    def __init__(self) -> None:
        self.entries: Mapping[str, Entry] = {}
        self._by_n: dict[int, Feed] = {}
        self._by_key: dict[tuple[str, int, str], Feed] = {}
        self._columns: dict[tuple[str, int, str], Columns] = {}
        """by full topic, publisher id and source"""
        self._last = 0

    def __getitem__(self, n: int) -> Feed:
        return self._by_n[n]

    def __iter__(self) -> Iterator[Feed]:
        return iter(self._by_n.values())

    def __len__(self) -> int:
        return len(self._by_n)

    def find(self, topic: str, publisher_id: int, source: str) -> Feed | None:
        return self._by_key.get((topic, publisher_id, source))

    def any_of(self, topic: str, publisher_id: int) -> Feed | None:
        """One of the feeds of a topic of a publisher, whatever the source of its rows."""
        return next((f for (t, p, _), f in self._by_key.items() if t == topic and p == publisher_id), None)

    def add(
        self, topic: str, publisher: str, publisher_id: int, source: str, type_name: str, type_hash: str, qos: str
    ) -> Feed:
        """A feed that is new, with units and key as its publisher's entry has them."""
        entry = self.entries.get(publisher)
        described = next((t for t in entry.publishes if t.name == topic), None) if entry is not None else None
        defined = entry.definitions.get(type_hash) if entry is not None else None
        self._last += 1
        feed = Feed(
            self._last, topic, publisher, publisher_id, source, type_name, qos,
            key=described.key if described is not None else None, units=units(defined),
            columns=self._columns.get((topic, publisher_id, source)),
        )  # fmt: skip
        self._by_n[feed.n] = feed
        self._by_key[topic, publisher_id, source] = feed
        return feed

    def learn_columns(self, namespace: str, publisher_id: int, said: Signals) -> list[Feed]:
        """Take the columns that a machine says its rows have; the feeds that look otherwise now."""
        rows: dict[tuple[str, int, str], list[Mapping[str, str]]] = {}
        for s in said.signals:
            topic = f"{namespace}/{s.topic}" if namespace else s.topic
            column = {"name": s.name, "unit": s.unit, "mtconnect_type": s.mtconnect_type}
            rows.setdefault((topic, publisher_id, s.source), []).append(column)
        changed = []
        for key, columns in rows.items():
            if self._columns.get(key) != tuple(columns):
                self._columns[key] = tuple(columns)
                feed = self._by_key.get(key)
                if feed is not None:
                    feed.columns = tuple(columns)
                    changed.append(feed)
        return changed

    def learn_entries(self, entries: Mapping[str, Entry], now_ns: int) -> list[Feed]:
        """Take who is there; the feeds whose publisher is not any more. Those gone for long are forgotten."""
        self.entries = entries
        living = {entry.publisher_id for entry in entries.values()}
        went = []
        for feed in self._by_n.values():
            if feed.publisher_id in living:
                feed.gone_ns = 0
            elif not feed.gone_ns:
                feed.gone_ns = now_ns
                went.append(feed)
        self._forget(self._past(now_ns))
        known = {f.publisher_id for f in self._by_n.values()} | living
        self._columns = {key: columns for key, columns in self._columns.items() if key[1] in known}
        return went

    def _past(self, now_ns: int) -> list[Feed]:
        """Whom nobody asks for any more. What a machine latched last stays until its node is back: it is silent, not
        gone, and whoever comes now must see that."""
        here = {(f.topic, f.publisher) for f in self._by_n.values() if not f.gone_ns}
        gone = [f for f in self._by_n.values() if f.gone_ns]
        old = [
            f
            for f in gone
            if now_ns - f.gone_ns > KEEP_GONE_NS and (f.qos != "LATCHED" or (f.topic, f.publisher) in here)
        ]
        kept = sorted((f for f in gone if f not in old), key=lambda f: f.gone_ns)
        return old + kept[: max(0, len(kept) - GONE_MAX)]

    def _forget(self, feeds: Iterable[Feed]) -> None:
        for feed in feeds:
            del self._by_n[feed.n]
            del self._by_key[feed.topic, feed.publisher_id, feed.source]


def plain(feed: Feed) -> dict[str, Any]:
    """A feed as REST shows it."""
    return {
        "topic": feed.topic, "publisher": feed.publisher, "publisher_id": str(feed.publisher_id),
        "source": feed.source, "type": feed.type_name, "qos": feed.qos, "n": feed.n, "gone": bool(feed.gone_ns),
        "columns": feed.columns, "units": dict(feed.units),
    }  # fmt: skip
