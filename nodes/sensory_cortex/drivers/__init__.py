"""Kinds of source: one file each, one row in the table below. A driver is values in, messages out.

The node calls `advance(now_ns)` on every tick and publishes what comes back; a driver owns no clock, no socket and no
thread. What blocks (a file, a serial port) stands in `read`, which the node runs in a thread beside its own. A driver's
class names in `Options` what it may be told (options.py). Its module imports no library of a controller when it is
loaded: `--check` reads the options where that library is not installed.
"""

from __future__ import annotations

import importlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

from nodes.sensory_cortex.chunk import Chunk
from nodes.sensory_cortex.options import Options
from schemas.base import Message
from schemas.machine import Alarm, ConditionLevel, InjectReply, InjectRequest, MachineState, SignalBlock, SignalInfo
from schemas.system import LogLevel

DRIVERS: Mapping[str, str] = {
    "simulator": "nodes.sensory_cortex.drivers.simulator:Simulator",
    "recording": "nodes.sensory_cortex.drivers.recording:Recording",
    "stream": "nodes.sensory_cortex.drivers.stream:Stream",
    "shdr": "nodes.sensory_cortex.drivers.shdr:Shdr",
    "mtconnect": "nodes.sensory_cortex.drivers.mtconnect:MTConnect",
    "linuxcnc": "nodes.sensory_cortex.drivers.linuxcnc:LinuxCnc",
}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the machine behind a driver is, and what may be asked of it."""

    model: str
    simulated: bool
    can_feed_hold: bool
    can_stop: bool
    stop_path: str
    """how a stop reaches the drives, in words"""


@dataclass(frozen=True, slots=True)
class Source:
    """Rows of one clock and one rate. A driver has one or more; their names are those of `SignalBlock.source`."""

    name: str
    rate_hz: float
    carries_state: bool
    """machine/state is known through this source: without it the machine is UNAVAILABLE"""
    pace: float = 1.0
    """below 1: its time goes so much slower than ours, and silence is judged in its time"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request to act."""

    accepted: bool
    action_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Quality:
    """What a driver knows of one of its sources that its blocks do not show."""

    clock_offset_ms: float = math.nan
    """of the source's own clock, where its rows carry one and their stamps are not it; see SourceStatus"""
    jitter_p99_ms: float = math.nan
    """arrival after the schedule of the source's counter, 99 of 100"""
    bad_rows: int = 0
    """rows, or frames of rows, that came and could not be read"""
    doubled_rows: int = 0
    """rows that came again, or after they had been given up"""
    lost_rows: int = 0
    """what its sender had no longer when it was asked for, beside the gaps that its blocks show"""
    heard_ns: int = 0
    """when it last gave a sign of life, by the node's time: a source that tells only changes lives without rows; 0 gave
    none, or its rows are its only ones"""
    trouble: str = ""
    """what is wrong with the connection now"""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the node gives a driver: its options, its chance, its counter of ids."""

    machine: str
    name: str
    """of the source: what it was given, else its kind"""
    options: Any
    """of the class that the driver names"""
    rng: Random
    next_id: Callable[[], str]
    log: Callable[[LogLevel, str], None]
    now_ns: Callable[[], int] = lambda: 0
    """for `read` alone: when something arrived"""

    @property
    def full_name(self) -> str:
        return f"{self.machine}/{self.name}"

    def alarm(self, code: str, level: ConditionLevel, text: str, now_ns: int) -> Alarm:
        """A condition of the source itself, not of the machine behind it."""
        origin = self.full_name
        return Alarm(
            stamp_ns=now_ns,
            alarm_id=f"{origin}/{code}",
            level=level,
            origin=origin,
            native_code=code.upper(),
            text=text,
        )


class Driver(Protocol):
    """A source of signals and the machine behind it."""

    Options: ClassVar[type[Options]]
    abilities: Abilities
    signals: Sequence[SignalInfo]
    sources: Sequence[Source]
    revision: int
    """changes when `state` would say something new"""
    last_stop_ms: float
    """request to standing axes at the last stop; NaN before the first"""
    ended: bool
    """silence is no fault: everything there was has come"""
    lost_rows: int
    """rows that will not come, by the driver's own fault"""
    quality: Mapping[str, Quality]
    """by name of a source; what is not in it has nothing to say"""

    def start(self, now_ns: int) -> None:
        """The first tick."""

    def advance(self, now_ns: int) -> Sequence[Message]:
        """What happened up to `now_ns`, in order."""

    def deferred(self) -> Sequence[SignalBlock]:
        """What was too much work for `advance`; asked for every 5 ms, in a callback of its own."""

    def state(self, stamp_ns: int) -> MachineState: ...
    def hold(self, action_id: str, now_ns: int, *, stop: bool) -> Answer: ...
    def reset(self, action_id: str, now_ns: int) -> Answer: ...
    def inject(self, request: InjectRequest, now_ns: int) -> InjectReply: ...

    def read(self, end: threading.Event) -> Iterator[Chunk]:
        """The blocking side, in a thread of its own; empty for drivers that need none."""

    def receive(self, chunk: Chunk) -> None:
        """What `read` gave, on the node's thread."""


@runtime_checkable
class Guarded(Protocol):
    """A driver whose machine can be told that the brain lives, and holds by itself when that stays away."""

    def beat(self, now_ns: int, *, acting: bool) -> None:
        """impact_cortex lives; `acting`: it may ask something of the machine, so its silence is a loss."""


NO_QUALITY: Mapping[str, Quality] = MappingProxyType({})


def driver_class(kind: str) -> Callable[[Setting], Driver]:
    """The driver of a kind; its module is imported only now, so that one driver's library is not another's cost."""
    module, _, name = DRIVERS[kind].partition(":")
    return cast(Callable[[Setting], Driver], getattr(importlib.import_module(module), name))


def options_class(kind: str) -> type[Options]:
    """What a driver of a kind may be told."""
    return cast(type[Options], driver_class(kind).Options)  # type: ignore[attr-defined] # every driver's class has it
