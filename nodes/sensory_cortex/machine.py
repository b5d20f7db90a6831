"""The sources of one machine as one: who owns which signal, whose state is the machine's, whom a stop goes to.

A driver that fails is asked nothing any more but to stop; the others go on.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.drivers import Abilities, Answer, Driver, Guarded, Quality, Setting, Source, driver_class
from nodes.sensory_cortex.entries import Entry
from nodes.sensory_cortex.merging import Reader
from schemas.base import Message, Samples
from schemas.machine import (
    ControllerMode,
    EmergencyStop,
    Execution,
    InjectReply,
    InjectRequest,
    MachineState,
    Motion,
    SignalBlock,
    SignalInfo,
    Signals,
)

T = TypeVar("T")
NOTHING = Abilities("unknown", False, False, False, "none: no source can stop the machine")
ONLY_SIMULATED = "only a simulated machine can be made to fail"


@dataclass(slots=True)
class Fitted:
    """A source of the list with its driver."""

    entry: Entry
    driver: Driver | None
    failed: str = ""
    """why it is asked nothing any more"""
    known: Sequence[SignalInfo] = ()
    """the columns of its next block: a driver may have learnt of more already than it has told"""
    columns: dict[str, Sequence[int] | None] = field(default_factory=dict)
    """by name of its rows, the columns it owns; None: all of them"""
    signals: tuple[SignalInfo, ...] = ()
    """what it owns"""
    dropped: int = 0
    """chunks that its reader handed over faster than they were taken"""


class Machine:
    """Several drivers as one. Driver errors end in `Fitted.failed`, never in the node's tick."""

    def __init__(self, entries: Sequence[Entry], setting: Callable[[Entry], Setting]) -> None:
        self.fitted = [self._fit(entry, setting) for entry in entries]
        # the one that carries the state first: its state is told before anybody's rows of the same moment
        self._order = sorted(self.fitted, key=lambda f: not f.entry.state)
        self._of_state = next((f for f in self._order if f.entry.state), None)
        self.doubly: dict[str, str] = {}
        """signals that two sources have, with the one that owns it"""
        self._failures = 0
        self._know()

    @staticmethod
    def _fit(entry: Entry, setting: Callable[[Entry], Setting]) -> Fitted:
        try:
            return Fitted(entry, driver_class(entry.kind)(setting(entry)))
        except ValueError:
            raise  # what it was told cannot be
        except Exception as error:  # a library that is not there: the other sources run
            return Fitted(entry, None, f"{type(error).__name__}: {error}")

    def _know(self) -> None:
        """Ask every driver for its signals."""
        for fitted in self.fitted:
            fitted.known = () if fitted.driver is None else tuple(fitted.driver.signals)
        self._own()

    def _own(self) -> None:
        """Give every signal its one owner: the first that has it."""
        owner: dict[str, str] = {}
        self.doubly = {}
        for fitted in self.fitted:
            owned: list[SignalInfo] = []
            columns: dict[str, list[int]] = {}
            widths: dict[str, int] = {}
            for s in fitted.known:
                at = widths.get(s.source, 0)
                widths[s.source] = at + 1
                columns.setdefault(s.source, [])
                if not fitted.entry.owns(s.name):
                    continue
                if owner.setdefault(s.name, fitted.entry.name) != fitted.entry.name:
                    self.doubly[s.name] = f"{owner[s.name]} owns it, {fitted.entry.name} has it too"
                    continue
                columns[s.source].append(at)
                owned.append(s)
            fitted.signals = tuple(owned)
            fitted.columns = {name: None if len(at) == widths[name] else at for name, at in columns.items()}

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def signals(self) -> tuple[SignalInfo, ...]:
        return tuple(s for fitted in self.fitted for s in fitted.signals)

    def sources(self) -> Iterator[tuple[Fitted, Source]]:
        """Every source of rows with its owner; one whose signals all belong to others, and that carries no state, is
        none."""
        for fitted in self.fitted:
            if fitted.driver is None:
                yield fitted, Source(fitted.entry.name, math.nan, carries_state=True)
                continue
            for source in fitted.driver.sources:
                if fitted.columns.get(source.name, None) != [] or (fitted.entry.state and source.carries_state):
                    yield fitted, source

    def acting(self) -> Fitted | None:
        """Whom a request to stop goes to: the source that can stop the machine, else one that can hold the feed."""
        able = [(f, f.driver.abilities) for f in self._order if f.driver is not None]
        stops = [f for f, can in able if can.can_stop] or [f for f, can in able if can.can_feed_hold]
        return stops[0] if stops else None

    @property
    def abilities(self) -> Abilities:
        """Those of the source that a stop goes to; where nobody can stop, of the one that carries the state."""
        fitted = self.acting() or self._of_state
        return NOTHING if fitted is None or fitted.driver is None else fitted.driver.abilities

    @property
    def last_stop_ms(self) -> float:
        fitted = self.acting()
        return math.nan if fitted is None or fitted.driver is None else fitted.driver.last_stop_ms

    @property
    def revision(self) -> tuple[int, int]:
        """Changes when `state` would say something new."""
        fitted = self._of_state
        return self._failures, -1 if fitted is None or fitted.driver is None else fitted.driver.revision

    @property
    def lost_rows(self) -> int:
        """Rows that will not come by a driver's own fault: this node ran late."""
        return sum(f.driver.lost_rows for f in self.fitted if f.driver is not None)

    def quality(self, fitted: Fitted, source: str) -> Quality:
        """What the driver says of a source beyond its rows."""
        if fitted.failed or fitted.driver is None:
            return Quality(trouble=fitted.failed)
        return fitted.driver.quality.get(source, Quality())

    def readers(self) -> list[Reader]:
        """The blocking sides, in the order of the list."""
        return [_nothing if f.driver is None else f.driver.read for f in self.fitted]

    # --- time --------------------------------------------------------------------------------------------------------

    def start(self, now_ns: int) -> None:
        for fitted in self._order:
            self._guarded(fitted, lambda driver: driver.start(now_ns))
        self._know()

    def advance(self, now_ns: int) -> list[Message]:
        """What happened up to `now_ns`: only blocks and columns that belong to their source."""
        out: list[Message] = []
        for fitted in self._order:
            for message in self._guarded(fitted, lambda driver: driver.advance(now_ns)) or ():
                if type(message) is SignalBlock:
                    self._block(fitted, message, out)
                    continue
                if type(message) is Signals:
                    fitted.known = message.signals
                    self._own()
                    message = Signals(signals=self.signals)
                out.append(message)
        return out

    def deferred(self) -> list[SignalBlock]:
        out: list[Message] = []
        for fitted in self._order:
            for block in self._guarded(fitted, lambda driver: driver.deferred()) or ():
                self._block(fitted, block, out)
        return [m for m in out if type(m) is SignalBlock]

    def receive(self, chunk: Chunk) -> bool:
        """What the blocking side of a source gave.

        True when it should not wait for the next tick: a stop is decided on rows of the source that can stop.
        """
        fitted = self.fitted[chunk.entry]
        fitted.dropped = chunk.dropped
        self._guarded(fitted, lambda driver: driver.receive(chunk))
        return chunk.kind is ChunkKind.ROWS and fitted is self.acting()

    @staticmethod
    def _block(fitted: Fitted, block: SignalBlock, out: list[Message]) -> None:
        columns = fitted.columns.get(block.source, None)
        if columns is None:
            out.append(block)
        elif columns:
            data = Samples.take(np.ascontiguousarray(block.data.array[:, columns]))
            out.append(
                SignalBlock(
                    stamp_ns=block.stamp_ns,
                    period_ns=block.period_ns,
                    source=block.source,
                    first_row=block.first_row,
                    data=data,
                )
            )

    def _guarded(self, fitted: Fitted, ask: Callable[[Driver], T]) -> T | None:
        """Ask a driver; one that raises is asked nothing any more, or every tick would fail with it."""
        if fitted.failed or fitted.driver is None:
            return None
        try:
            return ask(fitted.driver)
        except Exception as error:
            fitted.failed = f"{type(error).__name__}: {error}"
            self._failures += 1
            return None

    # --- state and acts ----------------------------------------------------------------------------------------------

    def state(self, stamp_ns: int) -> MachineState:
        fitted = self._of_state
        said = None if fitted is None else self._guarded(fitted, lambda driver: driver.state(stamp_ns))
        return unknown_state(stamp_ns) if said is None else said

    def hold(self, action_id: str, now_ns: int, *, stop: bool) -> Answer:
        """Also a driver that has failed is asked: it may still reach the machine."""
        fitted = self.acting() or self._of_state
        if fitted is None or fitted.driver is None:
            return Answer(False, "", "no source can stop the machine")
        try:
            return fitted.driver.hold(action_id, now_ns, stop=stop)
        except Exception as error:
            fitted.failed = fitted.failed or f"{type(error).__name__}: {error}"
            self._failures += 1
            return Answer(False, "", f"{fitted.entry.name} failed: {error}")

    def beat(self, now_ns: int, *, acting: bool) -> None:
        """The brain lives: for the watchdog of the machine that a stop goes to, where it has one."""
        fitted = self.acting()
        if fitted is not None and isinstance(fitted.driver, Guarded):
            guarded = fitted.driver
            self._guarded(fitted, lambda _: guarded.beat(now_ns, acting=acting))

    def reset(self, action_id: str, now_ns: int) -> Answer:
        fitted = self.acting() or self._of_state
        answer = None if fitted is None else self._guarded(fitted, lambda driver: driver.reset(action_id, now_ns))
        return answer or Answer(False, "", "no source can reset the machine")

    def inject(self, request: InjectRequest, now_ns: int) -> InjectReply:
        for fitted in self._order:
            if fitted.driver is not None and fitted.driver.abilities.simulated:
                reply = self._guarded(fitted, lambda driver: driver.inject(request, now_ns))
                return reply or InjectReply(accepted=False, text=f"{fitted.entry.name} failed: {fitted.failed}")
        return InjectReply(accepted=False, text=ONLY_SIMULATED)


def _nothing(end: threading.Event) -> Iterator[Chunk]:
    yield from ()


def unknown_state(stamp_ns: int, motion: Motion = Motion.UNKNOWN) -> MachineState:
    """The state of a machine of which nothing is known."""
    return MachineState(
        stamp_ns=stamp_ns,
        execution=Execution.UNAVAILABLE,
        controller_mode=ControllerMode.UNAVAILABLE,
        emergency_stop=EmergencyStop.UNAVAILABLE,
        motion=motion,
        program="",
        block_number=0,
        block="",
        tool_number=0,
        tool_serial="",
        part_count=0,
        spindle_speed_commanded_rpm=math.nan,
        feed_commanded_mm_min=math.nan,
        feed_override_pct=math.nan,
    )
