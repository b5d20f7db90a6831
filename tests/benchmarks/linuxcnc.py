"""A real control end to end: an overload while the axis moves at 50 mm/s -> decision -> deceleration -> standing.

The cell of launch/linuxcnc.py as it is shipped. All times but the decision's are those of the controller's own rows,
one each servo period (1 ms). The overload counts from the first row that shows it: it was injected up to 1 ms before.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from bus.node import Raw
from bus.session import Session
from bus.testing import Domain
from nodes.linuxcnc.control import APT, installed
from schemas import topics
from schemas.codec import codec
from schemas.machine import (
    Execution,
    Fault,
    InjectRequest,
    MachineState,
    MotionEvent,
    MotionPhase,
    ResetRequest,
    SignalBlock,
    Signals,
)
from tests.benchmarks.measure import Interval, Row, interval, percentile, pooled
from tests.soak.ending import ends_with_us

STOPS = 200
LEG = {50, 70}
"""blocks of the program along x, 200 mm at 50 mm/s"""
FEED_MM_MIN, FAR_MM = 2990.0, 60.0
"""at speed, and with way enough before it"""
OVERLOAD = InjectRequest(fault=Fault.CRASH, magnitude=0.5, duration_s=0.05)
"""100 % of spindle load, above the limit of 85 %: a feed hold; gone before the hold is judged without effect"""
SETTLE_S = 0.3
FORMS = {"limit 2 of 3, as shipped": (), "limit 3 of 5": ("limit_k=3", "limit_n=5")}


@dataclass
class Heard:
    """What the machine told last, and the steps of its stops."""

    state: MachineState | None = None
    x_column: int = -1
    feed_column: int = -1
    row: tuple[float, float] = (0.0, 0.0)
    """x in mm, feed in mm/min"""
    steps: list[MotionEvent] = field(default_factory=list)

    def __call__(self, batch: list[Raw]) -> None:
        for raw in batch:
            if not raw.payload:
                continue
            kind = raw.topic.removeprefix("mill/")
            if kind == topics.SAMPLES.name and self.feed_column >= 0:
                data = codec(SignalBlock).decode(raw.payload).data.array
                self.row = (float(data[-1, self.x_column]), float(data[-1, self.feed_column]))
            elif kind == topics.MACHINE_STATE.name:
                self.state = codec(MachineState).decode(raw.payload)
            elif kind == topics.MOTION.name:
                self.steps.append(codec(MotionEvent).decode(raw.payload))
            elif kind == topics.SIGNALS.name:
                names = [s.name for s in codec(Signals).decode(raw.payload).signals]
                self.x_column, self.feed_column = names.index("x_mm"), names.index("feed_mm_min")

    def at_speed(self) -> bool:
        s = self.state
        return (
            s is not None
            and s.execution is Execution.ACTIVE
            and s.block_number in LEG
            and self.row[1] > FEED_MM_MIN
            and abs(self.row[0]) < FAR_MM
        )

    def of(self, phase: MotionPhase) -> MotionEvent:
        return next(e for e in self.steps if e.phase is phase)


@dataclass(frozen=True)
class Stop:
    """One stop, in ms and mm."""

    decelerating_ms: float
    """overload in the rows -> lower speed in the rows"""
    decided_ms: float
    """overload in the rows -> the request at the HAL"""
    standing_ms: float
    overtravel_mm: float


def release(session: Session) -> None:
    """As an operator does."""
    request = ResetRequest(operator="benchmark", reason="measured")
    if not session.spin(
        lambda: session.call("mill/machine/reset", topics.RESET, request, timeout_s=2.0).accepted, 10.0
    ):
        raise TimeoutError("the machine was not released")


def stops(session: Session, heard: Heard, count: int) -> Iterator[Stop]:
    """Stop the machine so many times."""
    for _ in range(count):
        spin = session.executor.spin
        if not spin(heard.at_speed, 60.0):
            raise TimeoutError(f"the machine does not run its program: {heard.state}")
        spin(lambda: False, SETTLE_S)
        if not heard.at_speed() and not spin(heard.at_speed, 60.0):
            raise TimeoutError("the machine does not come to speed")
        heard.steps.clear()
        assert session.call("mill/machine/inject", topics.INJECT, OVERLOAD, timeout_s=2.0).accepted
        if not spin(lambda: any(e.phase is MotionPhase.AXES_STANDING for e in heard.steps), 5.0):
            raise TimeoutError(f"the machine was not stopped: {heard.steps}")
        stands = heard.of(MotionPhase.AXES_STANDING)
        begun_ns = heard.of(MotionPhase.CONTACT).stamp_ns
        yield Stop(
            _ms(heard.of(MotionPhase.DECELERATING).stamp_ns - begun_ns),
            _ms(heard.of(MotionPhase.ACCEPTED).stamp_ns - begun_ns),
            _ms(stands.stamp_ns - begun_ns),
            stands.travel_mm,
        )
        release(session)


def _ms(ns: int) -> float:
    """To the microsecond: rows are on a schedule that is rounded to ns, and three periods may be some ns above 3 ms."""
    return round(ns / 1e6, 3)


@contextlib.contextmanager
def cell(domain: str, parameters: tuple[str, ...]) -> Iterator[None]:
    """launch/linuxcnc.py, ready."""
    rise = os.path.join(os.path.dirname(sys.executable), "rise")
    command = [rise, "launch", "linuxcnc", "record:=false", "--domain", domain]
    for parameter in parameters:
        command += ["-p", f"mill/impact_cortex.{parameter}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=ends_with_us) as launch:
        assert launch.stdout is not None
        try:
            while line := launch.stdout.readline():
                if line.startswith("ready:"):
                    break
            drain = threading.Thread(target=launch.stdout.read, daemon=True)
            drain.start()
            yield
        finally:
            launch.send_signal(signal.SIGINT)
            launch.wait(30)


def linuxcnc(domain: Domain, count: int) -> list[Row]:
    """Overload -> deceleration as launch/linuxcnc.py ships it, and with the third reading that is the default."""
    if not installed():
        return [Row("LinuxCNC, overload", "-> deceleration", Interval.single(float("nan")), missing=APT)]
    return [
        row
        for number, (form, parameters) in enumerate(FORMS.items())
        for row in rows(form, measured(f"lcnc{number}", parameters, max(STOPS, count)), shipped=not parameters)
    ]


def measured(name: str, parameters: tuple[str, ...], count: int) -> list[Stop]:
    """So many stops of a cell of its own."""
    heard = Heard()
    chosen = {f"mill/{t.name}" for t in (topics.SAMPLES, topics.MACHINE_STATE, topics.MOTION, topics.SIGNALS)}
    with (
        cell(name, parameters),
        Session(name, select=lambda topic, _: topic in chosen, heard=heard) as session,
    ):
        return list(stops(session, heard, count))


def rows(form: str, found: list[Stop], *, shipped: bool) -> list[Row]:
    """What is told of the stops."""
    bursts = [[s.decelerating_ms for s in part] for part in np.array_split(np.array(found, dtype=object), 20)]
    what = f"LinuxCNC, {form}"
    travel = [s.overtravel_mm for s in found]
    return [
        Row(
            what,
            "overload -> deceleration p50",
            interval([s.decelerating_ms for s in found]),
            3.0 if shipped else math.nan,
            unit="ms",
            also={"to the HAL ms": interval([s.decided_ms for s in found]).median, "stops": len(found)},
        ),
        Row(what, "overload -> deceleration p99", pooled(bursts, 99), 10.0, unit="ms"),
        Row(
            what,
            "overload -> standing p50",
            interval([s.standing_ms for s in found]),
            unit="ms",
            also={
                "overtravel mm": interval(travel).median,
                "p99 mm": percentile(travel, 99),
                "most mm": max(travel),
            },
        ),
    ]
