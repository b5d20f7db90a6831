"""A LinuxCNC control on this computer as a source: 1 kHz by its HAL sampler, its task's status, and a stop by HAL pins.

A hold and a stop are one pin, set by a component beside the driver: motion is inhibited from the next servo period on.
What takes the task's 20 to 80 ms (pausing the program, so that a release does not start it) follows behind it and is
never waited for. Feed before spindle: the spindle is switched off when the controller's rows show that the axes stand.

With `watchdog` the beat of impact_cortex goes on to a watchdog in HAL, which inhibits motion when it stays away for
250 ms: also when this process, or the whole computer's load, is why.
"""

from __future__ import annotations

import json
import struct
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.drivers import Abilities, Answer, Quality, Setting, Source
from nodes.sensory_cortex.linuxcnc import standing
from nodes.sensory_cortex.linuxcnc.link import HAL, TASK, Link
from nodes.sensory_cortex.linuxcnc.said import BadWord, Obeyed, OperatorText, Status, word
from nodes.sensory_cortex.linuxcnc.simulated import Operator, Overload
from nodes.sensory_cortex.linuxcnc.stopping import Stopping, readings
from nodes.sensory_cortex.linuxcnc.table import AT, MOTIONS, Layout
from nodes.sensory_cortex.machine import unknown_state
from nodes.sensory_cortex.options import Options, Wrong, option
from nodes.sensory_cortex.schedule import Schedule
from schemas.base import Message, Samples
from schemas.machine import (
    ConditionLevel,
    InjectReply,
    InjectRequest,
    MachineState,
    Motion,
    SignalBlock,
    SignalInfo,
)
from schemas.system import LogLevel

SILENT_NS = 600_000_000
"""rows or status this old say nothing of now"""
CHUNKS_MOST = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxCncOptions(Options):
    """What a LinuxCNC source may be told."""

    knows_state: ClassVar[bool] = True

    python: str = option("/usr/bin/python3", doc="the Python that LinuxCNC's modules are built for")
    more: tuple[str, ...] = option((), doc="signals on further float pins of the sampler, after the usual ones")
    watchdog: bool = option(False, doc="hold the feed in HAL when the beat of impact_cortex stays away for 250 ms")
    simulated: bool = option(False, doc="nothing moves: faults may be injected, and it may start a program by itself")
    program: str = option("", doc="simulated: the program to start by itself, beside the INI file; empty: none")
    loop: bool = option(True, doc="simulated: begin again at the end of the program")

    def mistakes(self) -> Iterator[Wrong]:
        try:
            Layout.of(self.more)
        except KeyError as error:
            yield "bad-option", f"more: {error} is no signal of the vocabulary (signals.py)"
        if self.program and not self.simulated:
            yield "bad-option", "program: a machine that is not simulated is started by its operator"

    def signals(self, name: str) -> Sequence[SignalInfo] | None:
        try:
            return Layout.of(self.more).signals(name)
        except KeyError:  # which is told by `mistakes`
            return None


class LinuxCnc:
    """Reads, holds and stops one LinuxCNC."""

    Options = LinuxCncOptions
    ended = False
    lost_rows = 0

    def __init__(self, setting: Setting) -> None:
        options: LinuxCncOptions = setting.options
        self._setting, self._options = setting, options
        try:
            self._layout = Layout.of(options.more)
        except KeyError as error:
            raise ValueError(f"more: {error} is no signal of the vocabulary") from None
        self.signals = self._layout.signals(setting.name)
        self.sources = (Source(setting.name, 1000.0, carries_state=True),)
        self.abilities = Abilities(
            "LinuxCNC",
            options.simulated,
            True,
            True,
            "HAL pin motion.feed-inhibit, set by a component beside the driver: the next servo period decelerates;"
            " spindle off when the axes stand",
        )
        self._link = Link(options.python, self._layout.types, setting.now_ns)
        self._waiting: deque[Chunk] = deque(maxlen=CHUNKS_MOST)
        self._stopping = Stopping()
        self._pending: list[Message] = []
        """what an act made happen, until the next `advance`"""
        self._open = self._alive = False
        self._trouble = "not connected yet"
        self._bad = 0
        self._status: Status | None = None
        self._status_ns = self._rows_ns = 0
        self._row: list[float] = []
        """the newest, of every pin"""
        self._schedule = Schedule()
        self._stamp_ns = 0
        """of the newest row"""
        self._next_row = -1
        self._base = self._told_rows = self._doubled = 0
        self._factors = self._layout.factors(1.0)
        self._operator = Operator(options.program, options.loop)
        self._overload = Overload()
        self._run_id = self._releasing = ""
        self._parts = 0
        self._spindle_off = self._operator_told = False
        self._counts = Counter[str]()
        self.revision = 0

    # --- the node's thread --------------------------------------------------------------------------------------------

    @property
    def last_stop_ms(self) -> float:
        return self._stopping.last_stop_ms

    @property
    def quality(self) -> Mapping[str, Quality]:
        jitter_ms = self._schedule.jitter_p99_ms
        said = Quality(jitter_p99_ms=jitter_ms, bad_rows=self._bad, doubled_rows=self._doubled, trouble=self._trouble)
        return {self._setting.name: said}

    @property
    def counts(self) -> Mapping[str, int]:
        """How often the status was looked at."""
        return self._counts

    def start(self, now_ns: int) -> None:
        """Nothing: the worker begins by itself."""

    def receive(self, chunk: Chunk) -> None:
        self._waiting.append(chunk)

    def advance(self, now_ns: int) -> list[Message]:
        out, self._pending = self._pending, []
        while self._waiting:
            chunk = self._waiting.popleft()
            if chunk.kind is ChunkKind.ROWS:
                self._rows(chunk, now_ns, out)
            elif chunk.kind is ChunkKind.BYTES:
                self._said(chunk.payload, now_ns, out)
            elif chunk.kind is ChunkKind.LINK:
                self._linked(chunk.text, now_ns, out)
            elif chunk.kind is ChunkKind.BAD:
                if not self._bad:
                    self._log(LogLevel.WARNING, f"what cannot be read is counted: {chunk.text}")
                self._bad = chunk.bad_rows
        alive = self._open and now_ns - min(self._rows_ns, self._status_ns) <= SILENT_NS
        if alive != self._alive:
            self._alive = alive
            self.revision += 1
        if alive:
            self._see_to_it(now_ns, out)
        return out

    def _linked(self, why: str, now_ns: int, out: list[Message]) -> None:
        if self._open is not (not why):
            self._open = not why
            self.revision += 1
        self._status, self._row = None, []
        self._operator.forget()
        self._schedule, self._next_row = Schedule(), -1
        self._status_ns = self._rows_ns = 0 if why else now_ns
        self._stopping.lost()
        if self._open and self._stopping.in_force:  # also in its next life, until an operator releases it
            self._link.send(HAL, b"s" if self._stopping.stops else b"h")
        if why != self._trouble:
            self._trouble = why
            self._log(LogLevel.WARNING if why else LogLevel.INFO, why or "connected")
            level = ConditionLevel.UNAVAILABLE if why else ConditionLevel.NORMAL
            out.append(self._setting.alarm("connection", level, why, now_ns))

    def _said(self, payload: bytes, now_ns: int, out: list[Message]) -> None:
        try:
            said = word(payload)
        except BadWord:  # the worker lets none through
            return
        if isinstance(said, Status):
            before, self._status, self._status_ns = self._status, said, now_ns
            self._counts["observations"] += said.looks - (0 if before is None else before.looks)
            if said != before:
                self.revision += 1
                self._count_parts(before, said)
                if before is None or said.units_per_mm != before.units_per_mm:
                    self._factors = self._layout.factors(said.units_per_mm)
        elif isinstance(said, OperatorText):
            self._log(LogLevel.WARNING, f"the control says: {said.text}")
            self._operator_told = True
            out.append(self._setting.alarm("operator", ConditionLevel.WARNING, said.text, now_ns))
        elif isinstance(said, Obeyed) and said.text:
            self._log(LogLevel.WARNING, f"{said.do} was not taken: {said.text}")

    def _count_parts(self, before: Status | None, now: Status) -> None:
        if before is None:
            return
        if standing.runs_program(now) and not standing.runs_program(before):
            self._run_id = self._setting.next_id()
        over = standing.runs_program(before) and not standing.runs_program(now)
        if over and now.stop_word in (standing.M2, standing.M30):
            self._parts += 1

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _rows(self, chunk: Chunk, now_ns: int, out: list[Message]) -> None:
        if self._status is None:
            return  # in which unit they are is not known yet
        with np.errstate(all="ignore"):  # an odd reading must arrive
            table = np.multiply(chunk.data.array, self._factors)
        first, count = chunk.first_row, len(table)
        if self._next_row < 0:  # another life of the control: its periods count from zero again, ours go on
            self._base = self._told_rows - first
        elif first < self._next_row:
            self._doubled += count
            return
        elif first > self._next_row:
            self._stopping.lost()
        self._next_row, self._told_rows = first + count, self._base + first + count
        device_ns = first * chunk.period_ns
        self._schedule.heard(device_ns + (count - 1) * chunk.period_ns, chunk.arrival_ns)
        period_ns = self._schedule.period_ns(chunk.period_ns)
        # a line that is laid anew may lie lower: time does not go back, it goes slower until it is there
        stamp_ns = max(self._schedule.stamp_ns(device_ns), self._stamp_ns + period_ns // 2)
        stamps_ns = [stamp_ns + n * period_ns for n in range(count)]
        self._stamp_ns, self._rows_ns = stamps_ns[-1], now_ns
        listed = table.tolist()
        for reading, row in zip(readings(stamps_ns, listed, AT), listed, strict=True):
            if self._overload.appears(row[AT["load"]]):
                out.append(self._stopping.contact(reading.stamp_ns))
            out.extend(self._stopping.row(reading))
        before, self._row = self._row, listed[-1]
        if not before or any(before[n] != self._row[n] for n in _STATE_PINS):
            self.revision += 1
        released = bool(self._releasing) and self._row[AT["inhibited"]] == 0.0
        data = Samples.take(np.ascontiguousarray(table[:, self._layout.columns]))
        out.append(
            SignalBlock(
                stamp_ns=stamp_ns,
                period_ns=period_ns,
                source=self._setting.name,
                first_row=self._base + first,
                data=data,
            )
        )
        if released:  # not before: rows on their way still show what the machine was stopped for
            out.append(self._stopping.released(self._releasing, self._stamp_ns))
            self._releasing = ""

    # --- what follows -------------------------------------------------------------------------------------------------

    def _see_to_it(self, now_ns: int, out: list[Message]) -> None:
        """The slow side of a stop, and the simulated operator."""
        if self._stopping.stops and self._stopping.stands and not self._spindle_off:
            self._spindle_off = True
            self._link.send(HAL, b"q")
            self._load_off()  # a spindle that is switched off has none
            self._task("abort")
        if self._overload.over(now_ns):
            self._load_off()
        if self._status is not None and not self._held:
            command = self._operator.command(self._status, now_ns)
            if command is not None:
                self._task(*command)

    def _task(self, do: str, arg: str = "") -> bool:
        return self._link.send(TASK, json.dumps({"do": do, "arg": arg}).encode())

    @property
    def _held(self) -> bool:
        """Motion is inhibited, by whom ever."""
        return bool(self._stopping.in_force) or (bool(self._row) and self._row[AT["inhibited"]] != 0.0)

    def deferred(self) -> Sequence[SignalBlock]:
        return ()

    # --- state and acts -----------------------------------------------------------------------------------------------

    def state(self, stamp_ns: int) -> MachineState:
        status, row = self._status, self._row
        if not self._alive or status is None or not row:
            return unknown_state(stamp_ns)
        running = standing.runs_program(status)
        motion = MOTIONS.get(row[AT["motion_type"]], Motion.UNKNOWN)
        if running and status.exec_state == standing.EXEC_WAITING_FOR_DELAY:
            motion = Motion.DWELL
        return MachineState(
            stamp_ns=stamp_ns,
            execution=standing.execution(status, held=self._held, stopped=self._stopping.stops),
            controller_mode=standing.controller_mode(status),
            emergency_stop=standing.emergency_stop(status),
            motion=motion,
            program=status.file.rpartition("/")[2],
            block_number=standing.block_number(status),
            block=status.block,
            tool_number=int(tool) if 0.0 <= (tool := row[AT["tool"]]) < 1e6 else 0,
            tool_serial="",
            part_count=self._parts,
            spindle_speed_commanded_rpm=row[AT["spindle_rpm_asked"]],
            feed_commanded_mm_min=row[AT["velocity_asked"]],
            feed_override_pct=row[AT["feed_override"]],
            run_id=self._run_id if running else "",
        )

    def hold(self, action_id: str, now_ns: int, *, stop: bool) -> Answer:
        if not self._open:
            return Answer(False, "", f"LinuxCNC is not connected: {self._trouble}")
        if not self._link.send(HAL, b"s" if stop else b"h") and self._link.working:  # a replay has no link
            return Answer(False, "", "the process that holds the pins takes nothing")
        in_force, event = self._stopping.asked(action_id, now_ns, stop=stop)
        if event is not None:
            self._pending.append(event)
        self.revision += 1
        if self._status is None or standing.runs_program(self._status):
            self._task("pause")  # so that a release does not start it
        return Answer(True, in_force, "" if in_force == action_id else "already in force")

    def reset(self, action_id: str, now_ns: int) -> Answer:
        status = self._status
        if not self._open or status is None:
            return Answer(False, "", f"LinuxCNC is not connected: {self._trouble}")
        if not self._stopping.stands:
            return Answer(False, "", "the axes still move: a release would let them go on")
        if standing.runs_program(status) and not status.paused:
            by_hand = status.task_mode == standing.MODE_MDI  # a block that was typed in is not paused
            self._task("abort" if by_hand or self._stopping.stops else "pause")
            return Answer(False, "", "the program is not paused yet: a release would let it go on; try again")
        self._load_off()
        self._link.send(HAL, b"c")
        self._spindle_off = False
        self._operator.forget()
        self._stopping.forget()
        self._releasing = action_id
        if self._operator_told:
            self._operator_told = False
            self._pending.append(self._setting.alarm("operator", ConditionLevel.NORMAL, "", now_ns))
        self.revision += 1
        return Answer(True, action_id, "")

    def beat(self, now_ns: int, *, acting: bool) -> None:
        """The brain lives; `acting`: it may ask something of the machine."""
        if self._options.watchdog and self._open:
            self._link.send(HAL, b"b" if acting else b"g")

    def inject(self, request: InjectRequest, now_ns: int) -> InjectReply:
        if why := self._overload.refused(request, simulated=self._options.simulated):
            return InjectReply(accepted=False, text=why)
        self._overload.inject(request, now_ns)
        self._send_load()
        return InjectReply(accepted=True, text=f"spindle load {self._overload.pct:g} %")

    def _load_off(self) -> None:
        self._overload = Overload()
        self._send_load()

    def _send_load(self) -> None:
        self._link.send(HAL, b"l" + struct.pack("<d", self._overload.pct))

    def _log(self, level: LogLevel, text: str) -> None:
        self._setting.log(level, f"source {self._setting.name}: {text}")

    # --- the worker ---------------------------------------------------------------------------------------------------

    def read(self, end: threading.Event) -> Iterator[Chunk]:
        yield from self._link.chunks(end)


_STATE_PINS = tuple(
    AT[key]
    for key in ("inhibited", "enabled", "motion_type", "tool", "feed_override", "velocity_asked", "spindle_rpm_asked")
)
"""what `state` says of a row"""
