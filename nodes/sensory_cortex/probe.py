"""What answers at an address, and what it tells: a driver run by hand for a few seconds, for `rise machine probe`."""

from __future__ import annotations

import math
import queue
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bus.site import did_you_mean
from nodes.sensory_cortex.chunk import Chunk
from nodes.sensory_cortex.drivers import Driver, Setting, driver_class, options_class
from nodes.sensory_cortex.drivers.linuxcnc import LinuxCnc
from nodes.sensory_cortex.items import PORTS
from nodes.sensory_cortex.telling import Telling
from schemas.base import Message
from schemas.machine import Alarm, MachineState, SignalBlock, SignalInfo
from schemas.system import LogLevel
from schemas.wire.address import BadAddress

TICK_S = 0.001
BY_SCHEME: Mapping[str, str] = {
    **{scheme: driver for driver, ports in PORTS.items() for scheme in ports},
    "linuxcnc": "linuxcnc",  # on this computer: nothing follows
}
"""which driver reads what is behind an address"""


@dataclass(slots=True)
class Probed:
    """What was found; times are of the caller's clock."""

    driver: str
    address: str
    options: dict[str, Any]
    """what its driver is told of it"""
    answered: bool = False
    seconds: float = 0.0
    """from its first word on"""
    model: str = ""
    can_stop: bool = False
    state: MachineState | None = None
    signals: tuple[SignalInfo, ...] = ()
    last: dict[str, float] = field(default_factory=dict)
    """by signal: its last reading"""
    rows: Counter[str] = field(default_factory=Counter)
    """by source"""
    counts: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    """by key: the first value"""
    clock_offset_ms: float = math.nan
    """ours less the machine's"""
    alarms: dict[str, Alarm] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


def driver_of(text: str) -> str:
    """The driver for an address.

    Raises:
        BadAddress: nobody reads such a scheme.
    """
    scheme = text.partition("://")[0] if "://" in text else "shdr"
    if scheme not in BY_SCHEME:
        known = ", ".join(f"{s}://" for s in BY_SCHEME)
        raise BadAddress(f"no driver for {scheme[:40]}://; there is {known}; {did_you_mean(scheme, BY_SCHEME)}")
    return BY_SCHEME[scheme]


def probe(text: str, seconds: float, now_ns: Callable[[], int], *, items: Mapping[str, Any] | None = None) -> Probed:
    """Listen to what is at an address for some seconds.

    Args:
        now_ns: the caller's clock; a node has none of its own.
        items: rows beyond the usual ones, as the driver's option.

    Raises:
        BadAddress: it is none.
        ValueError: the driver refuses `items`.
    """
    kind = driver_of(text)
    table = _table(kind, text, items)
    options = options_class(kind)(**table)
    found = Probed(kind, text, {k: v for k, v in table.items() if v})
    log: Callable[[LogLevel, str], None] = lambda level, line: found.log.append(line)  # noqa: E731 # one line of it
    driver = driver_class(kind)(Setting("machine", kind, options, random.Random(0), lambda: "run", log, now_ns))
    assert isinstance(driver, Telling | LinuxCnc)  # whatever has a scheme is
    found.model, found.can_stop = driver.abilities.model, driver.abilities.can_stop
    chunks: queue.Queue[Chunk] = queue.Queue(16)
    end = threading.Event()
    reader = threading.Thread(target=_read, args=(driver, chunks, end), daemon=True)
    reader.start()
    started_ns = first_ns = now_ns()
    driver.start(started_ns)
    try:
        while (at_ns := now_ns()) - started_ns < seconds * 1e9:
            while not chunks.empty():
                driver.receive(chunks.get_nowait())
            for message in driver.advance(at_ns):
                _take(message, driver, found)
            if not found.answered and any(driver.counts.values()):
                found.answered, first_ns = True, at_ns
            end.wait(TICK_S)
    finally:
        end.set()
        reader.join(2.0)
    found.seconds = (at_ns - first_ns) / 1e9
    found.state = driver.state(at_ns)
    found.signals = tuple(driver.signals)
    found.counts = dict(driver.counts)
    found.clock_offset_ms = driver.quality[kind].clock_offset_ms
    found.unknown = dict(driver.unknown) if isinstance(driver, Telling) else {}
    return found


def _table(kind: str, text: str, items: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the driver of this kind is told."""
    if kind != "linuxcnc":
        return {"address": text, "items": dict(items or {})}
    if rest := text.partition("://")[2]:
        raise BadAddress(f"linuxcnc:// is the one on this computer: nothing follows, not {rest[:40]!r}")
    return {}


def _read(driver: Driver, chunks: queue.Queue[Chunk], end: threading.Event) -> None:
    for chunk in driver.read(end):
        while not end.is_set():
            try:
                chunks.put(chunk, timeout=0.1)
                break
            except queue.Full:
                continue


def _take(message: Message, driver: Driver, found: Probed) -> None:
    if isinstance(message, SignalBlock):
        found.rows[message.source] += len(message.data.array)
        names = [s.name for s in driver.signals if s.source == message.source]
        found.last.update(zip(names, map(float, message.data.array[-1]), strict=False))
    elif isinstance(message, Alarm):
        found.alarms[message.alarm_id] = message
