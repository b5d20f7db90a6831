"""A talker and a listener with real sockets, for launches of real processes."""

from __future__ import annotations

from bus import Node, on_link, parameter, publisher, subscription, timer
from bus.node import Gone, LinkEvent, Lost
from schemas.base import EVENT, LATCHED, Message, Topic


class Count(Message):
    value: int


class Heard(Message):
    """What a listener has got."""

    received: int
    lost: int
    gone: int


COUNT = Topic("toy/count", Count, EVENT)
HEARD = Topic("toy/heard", Heard, LATCHED)


class Talker(Node):
    step = parameter(1, doc="counted up by this much", ge=1)
    count = publisher(COUNT)

    def on_configure(self) -> None:
        self.value = 0
        self.log.info("talking")

    @timer(0.005)
    def talk(self) -> None:
        self.value += self.step
        self.count.publish(Count(value=self.value))


class Listener(Node):
    heard = publisher(HEARD)

    def on_configure(self) -> None:
        self.received = self.lost = self.gone = 0

    @subscription(COUNT)
    def on_count(self, count: Count) -> None:
        self.received += 1

    @on_link(COUNT)
    def on_count_link(self, event: LinkEvent) -> None:
        if isinstance(event, Lost):
            self.lost += event.last - event.first + 1
        self.gone += isinstance(event, Gone)

    @timer(0.1)
    def say(self) -> None:
        self.heard.publish(Heard(received=self.received, lost=self.lost, gone=self.gone))
