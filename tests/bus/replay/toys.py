"""A saw that reads a load, one that judges it, and one that can be stopped: every kind of callback there is."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from bus.node import (
    LinkEvent,
    Node,
    Outcome,
    Raw,
    client,
    on_link,
    parameter,
    publisher,
    service,
    subscription,
    tap,
    timer,
    worker,
)
from schemas.base import (
    DURABLE,
    EVENT,
    LATCHED,
    SENSOR,
    MeasuredMilliseconds,
    Message,
    Nanoseconds,
    Percent,
    Service,
    Topic,
)
from schemas.impact import Reaction


class Delay(Message):
    arrival_ms: MeasuredMilliseconds
    note: str = ""


class Reading(Message):
    stamp_ns: Nanoseconds
    load_pct: Percent


class Verdict(Message):
    stamp_ns: Nanoseconds
    reaction: Reaction
    load_pct: Percent
    chance: float
    verdict_id: str
    age_ms: MeasuredMilliseconds
    delays: tuple[Delay, ...] = ()
    reason: str = ""


class Trend(Message):
    stamp_ns: Nanoseconds
    light: Reaction
    mean_pct: Percent


class Told(Message):
    text: str


READINGS = Topic("toy/readings", Reading, SENSOR, depth=256)
VERDICT = Topic("toy/verdict", Verdict, DURABLE)
TREND = Topic("toy/trend", Trend, SENSOR)
TOLD = Topic("toy/told", Told, EVENT)
JOB = Topic("toy/job", Told, LATCHED)
STOP = Service("toy/stop", Told, Told, idempotent=True)
ASK = Service("toy/ask", Told, Told)


class Saw(Node):
    """Reads a load that rises now and then; its worker says what it cuts."""

    period = parameter(20, doc="readings from one peak to the next", ge=2)
    readings = publisher(READINGS)
    job = publisher(JOB)

    def on_configure(self) -> None:
        self.count = 0
        self.job.publish(Told(text="sawing"))

    @timer(0.002)
    def read(self) -> None:
        self.count += 1
        load = 100.0 if self.count % self.period == 0 else 40.0
        self.readings.publish(Reading(stamp_ns=self.now_ns(), load_pct=load + self.rng.random()))

    @worker()
    def serial_line(self, ending: threading.Event) -> Iterator[Told]:
        for i in range(20):
            if ending.wait(0.003):
                return
            yield Told(text=f"line {i}")

    @serial_line.received
    def on_line(self, line: Told) -> None:
        self.job.publish(line)

    @service(STOP)
    def stop(self, request: Told) -> Told:
        self.count = 0
        return Told(text=f"stopped: {request.text}")


class Judge(Node):
    """Stops the saw when the load is above a limit."""

    limit_pct = parameter(90.0, unit="%", doc="load above this stops the saw", ge=0, le=200)
    verdicts = publisher(VERDICT)
    trend = publisher(TREND)
    told = publisher(TOLD)
    stop = client(STOP)
    absent = client(ASK)

    def on_configure(self) -> None:
        self.loads = [0.0]
        self.batches = 0
        self.told.publish(Told(text=f"configured with {self.limit_pct:g}"))

    @subscription(READINGS)
    def on_reading(self, reading: Reading) -> None:
        self.loads.append(reading.load_pct)
        if reading.load_pct > self.limit_pct:
            age_ms = (self.now_ns() - reading.stamp_ns) / 1e6
            self.verdicts.publish(
                Verdict(
                    stamp_ns=self.now_ns(),
                    reaction=Reaction.STOP,
                    load_pct=reading.load_pct,
                    chance=self.rng.random(),
                    verdict_id=self.next_id(),
                    age_ms=age_ms,
                    delays=(Delay(arrival_ms=age_ms, note=self.source.node),),
                    reason=f"load {reading.load_pct:.0f} % above {self.limit_pct:g} %",
                )
            )
            self.stop.call(Told(text="too much"), timeout_s=1.0, then=self.on_stopped)

    def on_stopped(self, outcome: Outcome[Told]) -> None:
        text = outcome.reply.text if outcome.reply else f"{outcome.error}"
        self.told.publish(Told(text=f"{text} at {self.now_ns()}"))
        if len(self.loads) < 100:
            self.submit(self.on_submitted, len(self.loads))

    def on_submitted(self, count: int) -> None:
        self.told.publish(Told(text=f"submitted after {count}"))

    @on_link(READINGS)
    def on_reading_link(self, event: LinkEvent) -> None:
        self.told.publish(Told(text=f"{type(event).__name__} {event.source.node}"))

    @subscription(JOB, namespace="*", batch_s=0.01)
    def on_jobs(self, jobs: list[Told]) -> None:
        self.batches += 1
        self.told.publish(Told(text=f"{self.batches}: {'+'.join(j.text for j in jobs)} from {self.source.namespace}"))

    @timer(0.02)
    def assess(self) -> None:
        light = Reaction.WARN if self.loads[-1] > self.limit_pct else Reaction.NONE
        self.trend.publish(Trend(stamp_ns=self.now_ns(), light=light, mean_pct=sum(self.loads) / len(self.loads)))

    @service(ASK)
    def ask(self, request: Told) -> Told:
        if request.text == "fail":
            raise ValueError("asked to")
        return Told(text=f"{request.text}: {self.limit_pct:g}")

    def on_parameter(self, name: str) -> None:
        self.told.publish(Told(text=f"{name} is {self.limit_pct:g}"))

    def on_shutdown(self) -> None:
        self.told.publish(Told(text="bye"))


class Tape(Node):
    """Hears everything."""

    heard: list[Raw]

    def on_configure(self) -> None:
        type(self).heard = []

    def all(self, topic: str, type_name: str) -> bool:
        return True

    @tap(select="all", batch_s=0.002)
    def on_raw(self, raws: list[Raw]) -> None:
        self.heard.extend(raws)
