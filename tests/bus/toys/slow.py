"""A publisher at 1 kHz, and a subscriber that takes 3 ms for each message."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from threading import Event

from bus.node import Node, parameter, publisher, subscription, timer
from schemas.base import EVENT, SENSOR, Message, Topic


class Number(Message):
    number: int


class Got(Message):
    """What the slow one had when the last number came."""

    messages: int
    in_order: bool
    median_age: int
    """how many newer ones had been published when its callback began"""


DEPTH = 8
NUMBERS = Topic("slow/numbers", Number, SENSOR, depth=DEPTH)
GOT = Topic("slow/got", Got, EVENT)
COUNTER = struct.Struct("<q")


def shared(path: str) -> mmap.mmap:
    """How many were published, seen by both processes without the bus."""
    with Path(path).open("r+b") as file:
        return mmap.mmap(file.fileno(), COUNTER.size)


class Quick(Node):
    """Publishes `limit` numbers, one a millisecond."""

    counter = parameter("")
    limit = parameter(5000)
    numbers = publisher(NUMBERS)

    def on_configure(self) -> None:
        self.number = 0
        self.published = shared(self.counter)

    @timer(0.001)
    def tick(self) -> None:
        if self.number < self.limit:
            self.number += 1
            self.numbers.publish(Number(number=self.number))
            COUNTER.pack_into(self.published, 0, self.number)


class Slow(Node):
    """Takes its time."""

    counter = parameter("")
    limit = parameter(5000)
    got = publisher(GOT)

    def on_configure(self) -> None:
        self.published = shared(self.counter)
        self.ages: list[int] = []
        self.last = 0
        self.in_order = True
        self.pause = Event()

    @subscription(NUMBERS)
    def on_number(self, said: Number) -> None:
        (published,) = COUNTER.unpack_from(self.published, 0)
        self.ages.append(published - said.number)
        self.in_order &= said.number > self.last
        self.last = said.number
        self.pause.wait(0.003)
        if said.number == self.limit:
            median = sorted(self.ages)[len(self.ages) // 2]
            self.got.publish(Got(messages=len(self.ages), in_order=self.in_order, median_age=median))
