"""A small shop for the commands to look at: a mill that talks, a watch that listens and warns, and what they say."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from bus import Node, parameter, publisher, service, subscription, timer
from bus.cli import cli
from bus.host import Spec
from bus.testing import Domain
from schemas.base import EVENT, LATCHED, SENSOR, Message, Nanoseconds, Percent, Rpm, Samples, Service, Topic
from schemas.machine import ConditionLevel


class Axis(Message):
    name: str
    load_pct: Percent


class Reading(Message):
    """What a mill reads; known to this test and to no table."""

    stamp_ns: Nanoseconds
    speed_rpm: Rpm
    load_pct: Percent
    axes: tuple[Axis, ...]
    data: Samples


class State(Message):
    stamp_ns: Nanoseconds
    word: str


class Feed(Message):
    percent: Percent
    note: str = ""


class Set(Message):
    """What became of it."""

    accepted: bool
    percent: Percent


class Park(Message):
    """Nothing to say."""


class Parked(Message):
    done: bool
    text: str = ""


READING = Topic("shop/reading", Reading, SENSOR)
STATE = Topic("shop/state", State, LATCHED)
EVENTS = Topic("shop/event", State, EVENT, writers="many")
FEED = Service("shop/feed", Feed, Set)
PARK = Service("shop/park", Park, Parked)


class Mill(Node):
    limit_pct = parameter(85.0, unit="%", doc="above it the feed is refused", ge=0, le=200)
    reading = publisher(READING)
    state = publisher(STATE)

    def on_configure(self) -> None:
        self.state.publish(State(stamp_ns=self.now_ns(), word="CUTTING"))

    @timer(0.01)
    def read(self) -> None:
        axes = (Axis(name="x", load_pct=1.5), Axis(name="y", load_pct=math.nan))
        data = Samples.take(np.arange(40, dtype="<f4").reshape(20, 2))
        self.reading.publish(Reading(stamp_ns=self.now_ns(), speed_rpm=9549.0, load_pct=math.nan, axes=axes, data=data))

    @service(FEED)
    def feed(self, request: Feed) -> Set:
        if request.percent < 0:
            raise ValueError("a feed below nothing")
        return Set(accepted=request.percent <= self.limit_pct, percent=request.percent)

    @service(PARK)
    def park(self, request: Park) -> Parked:
        return Parked(done=False, text="cutting")


class Watch(Node):
    """Hears the mills and says what is wrong with it."""

    words: tuple[str, ...] = ()

    def on_configure(self) -> None:
        self.report("spindle_hot", ConditionLevel.WARNING, "the spindle is hot")

    @subscription(READING)
    def on_reading(self, reading: Reading) -> None: ...

    @subscription(EVENTS, namespace="*")
    def on_event(self, event: State) -> None:
        self.words += (event.word,)
        self.log.info(f"heard {event.word}")


@contextmanager
def open_shop() -> Iterator[Domain]:
    """The shop, in a domain of its own; the nodes run in a thread."""
    with Domain("shop") as domain, domain.running(Spec(Mill, "mill", "vmc1"), Spec(Watch, "watch", "vmc1")):
        yield domain


def rise(*arguments: object) -> Result:
    """The command in this process; what it says on standard output and error apart."""
    return CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)


def document(*arguments: object) -> Any:
    """What a reader prints with --json."""
    done = rise(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def stream(*arguments: object) -> list[Any]:
    """As `document`, one per line."""
    done = rise(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]
