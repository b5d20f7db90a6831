"""One node that says readings and one that hears them, each in three versions of the program."""

from __future__ import annotations

from bus.node import Node, publisher, subscription, timer
from schemas.base import EVENT, LATCHED, Message, Topic


class V1:
    class Reading(Message):
        number: int


class V2:
    class Reading(Message):
        number: int
        extra: str = "not said"


class V3:
    """Does not fit the others."""

    class Reading(Message):
        number: str


class V4:
    """Nor does this one."""

    class Reading(Message):
        numeral: int


class Heard(Message):
    """What a hearer heard last."""

    count: int
    number: int
    extra: str


READING = "versions/reading"
HEARD = Topic("versions/heard", Heard, EVENT)
ALIVE = Topic("versions/alive", Heard, LATCHED)


class _Says(Node):
    def on_configure(self) -> None:
        self.number = 0


class SaysV1(_Says):
    out = publisher(Topic(READING, V1.Reading, EVENT))

    @timer(0.005)
    def tick(self) -> None:
        self.number += 1
        self.out.publish(V1.Reading(number=self.number))


class SaysV2(_Says):
    out = publisher(Topic(READING, V2.Reading, EVENT))

    @timer(0.005)
    def tick(self) -> None:
        self.number += 1
        self.out.publish(V2.Reading(number=self.number, extra="said"))


class SaysV3(_Says):
    out = publisher(Topic(READING, V3.Reading, EVENT))

    @timer(0.005)
    def tick(self) -> None:
        self.out.publish(V3.Reading(number="three"))


class SaysV4(_Says):
    out = publisher(Topic(READING, V4.Reading, EVENT))

    @timer(0.005)
    def tick(self) -> None:
        self.out.publish(V4.Reading(numeral=4))


class _Hears(Node):
    heard = publisher(HEARD)
    alive = publisher(ALIVE)

    def on_configure(self) -> None:
        self.count = 0
        self.beats = 0

    @timer(0.05)
    def beat(self) -> None:
        self.beats += 1
        self.alive.publish(Heard(count=self.count, number=self.beats, extra=""))

    def hear(self, number: int, extra: str) -> None:
        self.count += 1
        self.heard.publish(Heard(count=self.count, number=number, extra=extra))


class HearsV1(_Hears):
    @subscription(Topic(READING, V1.Reading, EVENT))
    def on_reading(self, reading: V1.Reading) -> None:
        self.hear(reading.number, "")


class HearsV2(_Hears):
    @subscription(Topic(READING, V2.Reading, EVENT))
    def on_reading(self, reading: V2.Reading) -> None:
        self.hear(reading.number, reading.extra)
