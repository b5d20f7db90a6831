"""The 20-field nested message that every latency and rate row sends."""

from __future__ import annotations

from schemas.base import EVENT, SENSOR, Message, Millimetres, Nanoseconds, Percent, Rpm, Samples, Service, Topic
from schemas.machine import Execution


class Axis(Message):
    """One axis."""

    position_mm: Millimetres
    load_pct: Percent
    moving: bool


class Twenty(Message):
    """20 values in all: 14 here and 3 in each of the two axes."""

    stamp_ns: Nanoseconds
    sent_mono_ns: Nanoseconds
    count: int
    execution: Execution
    program: str
    block_number: int
    tool_serial: str
    load_pct: Percent
    speed_rpm: Rpm
    feed_pct: Percent
    torque_nm: float
    power_kw: float
    x: Axis
    y: Axis


class Image(Message):
    """A camera's picture."""

    count: int
    pixels: Samples


class Ask(Message):
    """A request of the service rows."""

    sent_mono_ns: Nanoseconds


TWENTY = Topic("bench/twenty", Twenty, SENSOR, depth=64)
FLOOD = Topic("bench/flood", Twenty, SENSOR, depth=100_000)
DECISION = Topic("bench/decision", Twenty, EVENT)
IMAGE = Topic("bench/image", Image, SENSOR, depth=4)
ACT = Service("bench/act", Ask, Ask, idempotent=True)


def twenty(count: int, stamp_ns: int, sent_mono_ns: int) -> Twenty:
    """A realistic message."""
    axis = Axis(position_mm=123.456 + count, load_pct=12.5, moving=True)
    return Twenty(
        stamp_ns=stamp_ns,
        sent_mono_ns=sent_mono_ns,
        count=count,
        execution=Execution.ACTIVE,
        program="O1234",
        block_number=120,
        tool_serial="EM10-0042",
        load_pct=43.2,
        speed_rpm=9549.0,
        feed_pct=100.0,
        torque_nm=1.13,
        power_kw=1.13,
        x=axis,
        y=axis,
    )
