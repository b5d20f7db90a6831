"""The sides of the soak: one publishes and notes what was accepted, two consume, each with its form of the cursor."""

from __future__ import annotations

import mmap
import os
import sqlite3
import struct
from collections.abc import Mapping

from bus.node import Node, parameter, publisher, subscription, timer
from schemas.base import DURABLE, Message, Topic


class Counted(Message):
    """An event with an identity of its own: the how manieth of which life of its publisher."""

    life: int
    number: int
    text: str


COUNTED = Topic("soak/counted", Counted, DURABLE)
TEXT = "spindle load above its limit in block 4711 of program O0815, tool T12, held by feed hold"
ACCEPTED = struct.Struct("<Q")
HEARD = struct.Struct("<II")


class Producer(Node):
    """Publishes as fast as it can; a memory that outlives kill -9 says how often `publish` has returned."""

    folder = parameter("")
    life = parameter(0)
    total = parameter(0)
    per_tick = parameter(100)
    counted = publisher(COUNTED)

    def on_configure(self) -> None:
        with open(f"{self.folder}/accepted.{self.life}", "w+b") as file:
            file.write(bytes(mmap.PAGESIZE))
            file.flush()
            self.accepted = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.number = 0

    @timer(0.001)
    def tell(self) -> None:
        """Some more."""
        for _ in range(min(self.per_tick, self.total - self.number)):
            self.counted.publish(Counted(life=self.life, number=self.number + 1, text=TEXT))
            self.number += 1
            ACCEPTED.pack_into(self.accepted, 0, self.number)


class Accounts(Node):
    """Books every event in a database, with its cursor in the same transaction."""

    folder = parameter("")

    def on_configure(self) -> None:
        self.db = sqlite3.connect(f"{self.folder}/accounts.sqlite3", isolation_level=None, timeout=30)
        self.db.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            "CREATE TABLE IF NOT EXISTS booked (life INTEGER, number INTEGER);"
            "CREATE TABLE IF NOT EXISTS stands (publisher TEXT, topic TEXT, log_id INTEGER, seq INTEGER, "
            "PRIMARY KEY (publisher, topic, log_id));"
        )

    def stands(self, publisher: str, topic: str) -> Mapping[int, int]:
        """Where it stands, by the id of a log."""
        query = "SELECT log_id, seq FROM stands WHERE publisher = ? AND topic = ?"
        return dict(self.db.execute(query, (publisher, topic)))

    @subscription(COUNTED, batch_s=0.005, cursor="stands")
    def on_counted(self, events: list[Counted]) -> None:
        s = self.source
        with self.db:
            self.db.execute("BEGIN IMMEDIATE")
            self.db.executemany("INSERT INTO booked VALUES (?, ?)", [(e.life, e.number) for e in events])
            self.db.execute("INSERT OR REPLACE INTO stands VALUES (?, ?, ?, ?)", (s.node, s.topic, s.log_id, s.seq))


class Tally(Node):
    """Writes every event down; its cursor is a file."""

    folder = parameter("")

    def on_configure(self) -> None:
        self.fd = os.open(f"{self.folder}/tally", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @subscription(COUNTED)
    def on_counted(self, event: Counted) -> None:
        os.write(self.fd, HEARD.pack(event.life, event.number))


for _cls in (Producer, Accounts, Tally):
    _cls.default_name = _cls.__name__.lower()
