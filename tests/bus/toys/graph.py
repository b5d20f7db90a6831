"""Toys that fit together, or do not: for the rules of --check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bus import Node, client, on_link, parameter, publisher, service, subscription
from bus.node import LinkEvent
from schemas import topics
from schemas.base import EVENT, LATCHED, Message, Rpm, Service, Topic


class Speed(Message):
    speed_rpm: Rpm


class OtherSpeed(Message):
    """Not what a reader of Speed can read."""

    speed_rpm: str


class Ask(Message):
    """Nothing to say."""


SPEED = Topic("toy/speed", Speed, EVENT, deadline_s=0.5)
OTHER_SPEED = Topic("toy/speed", OtherSpeed, EVENT)
SPEED_OUT = Topic("toy/speed_out", OtherSpeed, EVENT)
LATCHED_SPEED = Topic("toy/speed", Speed, LATCHED)
HALT = Service("toy/halt", Ask, Ask, acts_on_machine=True)
OTHER_HALT = Service("toy/halt", Ask, Speed)


class Spindle(Node):
    rate_hz = parameter(10.0, unit="Hz", ge=0.1, le=1000)
    owners = parameter({"x": 1})
    speed = publisher(SPEED)

    @classmethod
    def mistakes(cls, parameters: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        if len(parameters["owners"]) > 1:
            yield "two-owners", "signal x has two owners"

    @service(HALT)
    def halt(self, request: Ask) -> Ask:
        return request


class OtherSpindle(Node):
    speed = publisher(OTHER_SPEED)


class LatchedSpindle(Node):
    speed = publisher(LATCHED_SPEED)


class Geared(Node):
    """Hears a speed and publishes another type."""

    out = publisher(SPEED_OUT)

    @subscription(SPEED)
    def on_speed(self, speed: Speed) -> None: ...

    @on_link(SPEED)
    def on_speed_link(self, event: LinkEvent) -> None: ...


class Careless(Node):
    """Acts on a machine and never asks what happens when its input falls silent."""

    halt = client(HALT)

    @subscription(SPEED)
    def on_speed(self, speed: Speed) -> None: ...


class Judge(Node):
    """Says what it thinks of a machine, and never asks what happens when its input falls silent."""

    alarms = publisher(topics.ALARM)

    @subscription(SPEED)
    def on_speed(self, speed: Speed) -> None: ...


class Careful(Careless):
    @on_link(SPEED)
    def on_speed_link(self, event: LinkEvent) -> None: ...


class Everywhere(Node):
    @subscription(SPEED, namespace="*")
    def on_speed(self, speed: Speed) -> None: ...


class OtherCaller(Node):
    halt = client(OTHER_HALT)
