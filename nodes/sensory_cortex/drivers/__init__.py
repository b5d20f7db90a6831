"""Kinds of source: one file each, one row in the table below. A driver is values in, messages out.

The node calls `advance(now_ns)` on every tick and publishes what comes back; a driver owns no clock, no socket and no
thread. What blocks (a file, a serial port) stands in `read`, which the node runs in its worker.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol, cast

from nodes.sensory_cortex.chunk import Chunk
from schemas.base import Message
from schemas.machine import InjectReply, InjectRequest, MachineState, SignalBlock, SignalInfo
from schemas.system import LogLevel

DRIVERS: Mapping[str, str] = {
    "simulator": "nodes.sensory_cortex.drivers.simulator:Simulator",
    "recording": "nodes.sensory_cortex.drivers.recording:Recording",
    "shdr": "nodes.sensory_cortex.drivers.shdr:Shdr",
    "mtconnect": "nodes.sensory_cortex.drivers.mtconnect:MTConnect",
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
    """Where signals come from."""

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
class Setting:
    """What the node gives a driver: its parameters, its chance, its counter of ids."""

    machine: str
    parameters: Mapping[str, Any]
    rng: Random
    next_id: Callable[[], str]
    log: Callable[[LogLevel, str], None]


class Driver(Protocol):
    """A source of signals and the machine behind it."""

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


def make(kind: str, setting: Setting) -> Driver:
    """The driver of a kind; its module is imported only now, so that one driver's library is not another's cost.

    Raises:
        ValueError: the parameters do not fit; the text says which.
    """
    module, _, name = DRIVERS[kind].partition(":")
    return cast(Driver, getattr(importlib.import_module(module), name)(setting))
