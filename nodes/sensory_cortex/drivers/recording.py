"""A recording as a source: a table of rows with a column map, or the machine's topics out of a bag.

The worker reads ahead, a few chunks at most; the node's thread lets rows go when they are due. `speed` 1 keeps the
recording's own pace (with the arrival stamps of the table, where it has them); 0 is as fast as the listeners of a
sensor topic can be trusted to take: `fast_rows_s` rows a second in blocks of 64, so that no queue overflows.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bus.bag.records import MAGIC
from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.columns import BadColumnMap, ColumnMap, map_of
from nodes.sensory_cortex.drivers import NO_QUALITY, Abilities, Answer, Setting, Source
from nodes.sensory_cortex.gathered import joins, rows_chunk
from nodes.sensory_cortex.options import Options, Wrong, option
from nodes.sensory_cortex.recorded import bag_chunks, restamped, shifted
from nodes.sensory_cortex.rows import BadRow, BadTable, Row, read_rows
from schemas.base import Message, Samples
from schemas.machine import (
    ConditionLevel,
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
from schemas.system import LogLevel
from schemas.topics import MACHINE_STATE

ROWS_PER_BLOCK = 64
CHUNKS_AHEAD = 8
BLOCKS_PER_TICK = 4
ROWS_PER_MESSAGE = 4
"""what a message out of a bag counts for in `fast_rows_s`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingOptions(Options):
    """What the playing of a file may be told."""

    knows_state: ClassVar[bool] = True

    path: str = option("", doc="a table (CSV and its kin) or a bag (.mcap)")
    column_map: str | Mapping[str, Any] = option(
        "", also=dict, doc="how the table is read: a TOML file, or the map itself"
    )
    bag_namespace: str = option("", doc="whose topics of a bag to play; empty when it holds one machine")
    on_bad_row: str = option("stop", choices=("stop", "skip"), doc="what a row that cannot be read does")
    loop: bool = option(True, doc="begin again at the end of the recording")
    speed: float = option(
        1.0, ge=0.0, le=1000.0, doc="1 is the recording's own pace; 0 is as fast as can be kept up with"
    )
    fast_rows_s: float = option(12_800.0, unit="1/s", ge=1.0, le=1e6, doc="most rows a second at speed 0")
    start_delay_s: float = option(2.0, unit="s", ge=0.0, le=3600.0, doc="time for listeners to come")

    @property
    def is_bag(self) -> bool:
        return self.path.endswith(".mcap")

    def mistakes(self) -> Iterator[Wrong]:
        if not self.path:
            yield "recording-path", "driver recording needs `path`: a table (CSV and its kin) or a bag (.mcap)"
            return
        try:
            by = None if self.is_bag else map_of(self.column_map)
        except BadColumnMap as error:
            yield from (("column-map", line) for line in str(error).splitlines())
        else:
            if text := unplayable(Path(self.path), by, skip_bad=self.on_bad_row == "skip"):
                yield "recording-path", f"path: {text}"

    def signals(self, name: str) -> Sequence[SignalInfo] | None:
        try:
            return None if self.is_bag else [c.info for c in map_of(self.column_map).columns]
        except BadColumnMap:  # which is told by `mistakes`
            return None


class Recording:
    """Plays a file as if the machine were there."""

    Options = RecordingOptions
    quality = NO_QUALITY
    last_stop_ms = math.nan
    lost_rows = 0

    def __init__(self, setting: Setting) -> None:
        options: RecordingOptions = setting.options
        self._setting = setting
        self._path = Path(options.path)
        self._map = None if options.is_bag else map_of(options.column_map)
        self._bag_namespace = options.bag_namespace
        self._skip_bad = options.on_bad_row == "skip"
        self._loop = options.loop
        self._speed = options.speed
        self._fast_rows_s = options.fast_rows_s
        self._delay_ns = round(options.start_delay_s * 1e9)
        self._program = self._path.name
        rows = self._map
        model = rows.model if rows is not None else f"recording of {self._bag_namespace or 'a machine'}"
        self.abilities = Abilities(model, False, False, False, "none: a recording cannot be stopped")
        self.signals: tuple[SignalInfo, ...] = () if rows is None else tuple(c.info for c in rows.columns)
        self.sources: tuple[Source, ...] = ()
        self._pace = min(self._speed, 1.0) or 1.0
        if rows is not None:
            rate_hz = 1e9 / rows.period_ns if rows.period_ns else 1.0
            self.sources = (Source(rows.source, rate_hz, carries_state=True, pace=self._pace),)
        self.revision = 0
        self.ended = True
        """until the first row is due"""
        self._credit = threading.Semaphore(CHUNKS_AHEAD)  # not bounded: in replay nobody reads ahead
        self._waiting: deque[Chunk] = deque()
        self._taken = 0
        """rows of the first waiting chunk that have gone"""
        self._row = 0
        self._start_ns = 0
        self._spent = 0.0
        self._recorded_state: MachineState | None = None
        self._run_id = ""
        self._execution = Execution.READY
        self._motion = Motion.IDLE
        self._block = ""
        self._part_count = 0
        self._bad_rows = 0

    def start(self, now_ns: int) -> None:
        self._start_ns = now_ns + self._delay_ns

    # --- the node's thread -----------------------------------------------------------------------------------------

    def receive(self, chunk: Chunk) -> None:
        self._waiting.append(chunk)

    def advance(self, now_ns: int) -> list[Message]:
        elapsed = now_ns - self._start_ns
        if elapsed < 0 or not self._waiting:
            return []
        out: list[Message] = []
        budget = self._fast_rows_s * elapsed / 1e9 - self._spent if not self._speed else math.inf
        if not self._speed and budget > BLOCKS_PER_TICK * ROWS_PER_BLOCK:
            # a late tick is no reason for a burst
            self._spent += budget - BLOCKS_PER_TICK * ROWS_PER_BLOCK
        told = self.revision
        for _ in range(BLOCKS_PER_TICK):
            if not self._waiting or budget <= 0:
                break
            if (out or self.revision != told) and self._changes_state(self._waiting[0]):
                break  # the node tells one state, and before the rows: what comes under another waits for the next tick
            spent = self._go(self._waiting[0], round(elapsed * self._speed), now_ns, out)
            if not spent:
                break
            budget -= spent
            self._spent += spent
        return out

    def _changes_state(self, chunk: Chunk) -> bool:
        if chunk.kind is ChunkKind.ROWS:
            return (Execution.ACTIVE, chunk.motion, chunk.block) != (self._execution, self._motion, self._block)
        return chunk.kind is not ChunkKind.MESSAGE or chunk.topic == MACHINE_STATE.name

    def _go(self, chunk: Chunk, reached_ns: int, now_ns: int, out: list[Message]) -> int:
        """Let what is due of the first chunk go; returns what it counts for, 0 when nothing is due."""
        fast = not self._speed
        due_ns = chunk.arrival_ns if chunk.arrival_ns >= 0 else chunk.offset_ns
        match chunk.kind:
            case ChunkKind.ROWS:
                rows = len(chunk.data.array)
                ready = rows
                if not fast and chunk.arrival_ns < 0 and chunk.period_ns:
                    ready = min(rows, (reached_ns - chunk.offset_ns) // chunk.period_ns + 1)
                elif not fast and reached_ns < due_ns:
                    ready = 0
                count = min(ready - self._taken, ROWS_PER_BLOCK)
                if count <= 0:
                    return 0
                self._tell_bad(chunk, now_ns, out)
                self._note(Execution.ACTIVE, chunk.motion, chunk.block)
                out.append(self._rows(chunk, count))
                if self._taken == rows:
                    self._done()
                return count
            case ChunkKind.MESSAGE:
                if not fast and reached_ns < due_ns:
                    return 0
                self._replayed(shifted(chunk, self._start_ns), out)
                self._done()
                return ROWS_PER_MESSAGE
            case ChunkKind.END:
                if not fast and reached_ns < due_ns:
                    return 0
                self._tell_bad(chunk, now_ns, out)
                self._part_count += 1
                self.revision += 1
                if not self._loop:
                    self.ended = True
                    self._note(Execution.PROGRAM_COMPLETED, Motion.IDLE, "")
                text = f"end of recording {self._program}: {self._row} rows, {self._bad_rows} bad rows skipped"
                self._setting.log(LogLevel.INFO, text)
            case ChunkKind.FAILED:
                self.ended = True
                self._note(Execution.UNAVAILABLE, Motion.UNKNOWN, "")
                self._setting.log(LogLevel.ERROR, f"recording stopped: {chunk.text}")
                out.append(self._setting.alarm("failed", ConditionLevel.FAULT, chunk.text, now_ns))
        self._done()
        return 1

    def _replayed(self, message: Message, out: list[Message]) -> None:
        self.ended = False
        if isinstance(message, MachineState):
            self._recorded_state = message
            self.revision += 1
            return
        if isinstance(message, SignalBlock):
            self._row += len(message.data.array)
        elif isinstance(message, Signals):
            self._learn(message)
        out.append(message)

    def _learn(self, message: Signals) -> None:
        """The bag says which signals there are; the rates show in their blocks."""
        self.signals = message.signals
        names = dict.fromkeys(s.source for s in message.signals)
        self.sources = tuple(
            Source(name, math.nan, carries_state=i == 0, pace=self._pace) for i, name in enumerate(names)
        )

    def _rows(self, chunk: Chunk, count: int) -> SignalBlock:
        assert self._map is not None
        first = self._taken
        block = SignalBlock(
            stamp_ns=self._start_ns + chunk.offset_ns + first * chunk.period_ns,
            period_ns=chunk.period_ns,
            source=self._map.source,
            first_row=chunk.first_row + first,
            data=Samples(chunk.data.array[first : first + count]),
        )
        self._taken += count
        self._row += count
        return block

    def _done(self) -> None:
        self._waiting.popleft()
        self._taken = 0
        self._credit.release()

    def _note(self, execution: Execution, motion: Motion, block: str) -> None:
        if execution is Execution.ACTIVE and not self._run_id:
            self._run_id = self._setting.next_id()
            self.ended = False
        if (execution, motion, block) != (self._execution, self._motion, self._block):
            self._execution, self._motion, self._block = execution, motion, block
            self.revision += 1

    def _tell_bad(self, chunk: Chunk, now_ns: int, out: list[Message]) -> None:
        if chunk.bad_rows > self._bad_rows:
            self._bad_rows = chunk.bad_rows
            text = f"{chunk.bad_rows} bad rows skipped, the last: {chunk.text}"
            out.append(self._setting.alarm("bad_rows", ConditionLevel.WARNING, text, now_ns))

    def state(self, stamp_ns: int) -> MachineState:
        recorded = self._recorded_state
        if recorded is not None and not self.ended:
            return restamped(recorded, stamp_ns)
        return MachineState(
            stamp_ns=stamp_ns,
            execution=self._execution,
            controller_mode=ControllerMode.AUTOMATIC,
            emergency_stop=EmergencyStop.UNAVAILABLE,
            motion=self._motion,
            program=self._program,
            block_number=0,
            block=self._block,
            tool_number=0,
            tool_serial="",
            part_count=self._part_count,
            spindle_speed_commanded_rpm=math.nan,
            feed_commanded_mm_min=math.nan,
            feed_override_pct=math.nan,
            run_id=self._run_id if self._execution is Execution.ACTIVE else "",
        )

    def hold(self, action_id: str, now_ns: int, *, stop: bool) -> Answer:
        return Answer(False, "", "a recording cannot be stopped")

    def reset(self, action_id: str, now_ns: int) -> Answer:
        return Answer(False, "", "a recording cannot be reset")

    def inject(self, request: InjectRequest, now_ns: int) -> InjectReply:
        return InjectReply(accepted=False, text="only a simulated machine can be made to fail")

    # --- the worker ------------------------------------------------------------------------------------------------

    def deferred(self) -> Sequence[SignalBlock]:
        return ()

    def read(self, end: threading.Event) -> Iterator[Chunk]:
        """Chunks, never more than CHUNKS_AHEAD before the node's thread."""
        if self._map is None:
            chunks = bag_chunks(self._path, self._bag_namespace, loop=self._loop)
        else:
            chunks = table_chunks(self._path, self._map, skip_bad=self._skip_bad, loop=self._loop)
        for chunk in chunks:
            while not self._credit.acquire(timeout=0.2):
                if end.is_set():
                    return
            if end.is_set():
                return
            yield chunk


def unplayable(path: Path, by: ColumnMap | None, *, skip_bad: bool) -> str:
    """Why not even the first row of a table, or of a bag (without a map), could be played; empty when it can be."""
    try:
        with path.open("rb") as bag:
            if by is None:
                return "" if bag.read(len(MAGIC)) == MAGIC else f"{path} is no bag"
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as table:
            first = next(read_rows(iter(lambda: table.readline(1 << 20), ""), by, path.name), None)
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"
    except BadTable as error:
        return str(error)
    if first is None:
        return f"{path} holds no row"
    return first.text if isinstance(first, BadRow) and not skip_bad else ""


def table_chunks(path: Path, by: ColumnMap, *, skip_bad: bool, loop: bool = False) -> Iterator[Chunk]:
    """A table as chunks; ends with END, or FAILED at the first bad row unless `skip_bad`."""
    base_ns = base_row = bad = 0
    text = ""
    while True:
        gathered: list[Row] = []
        last: Row | None = None
        try:
            with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                lines = iter(lambda: file.readline(1 << 20), "")
                for row in read_rows(lines, by, path.name):
                    if isinstance(row, BadRow):
                        bad, text = bad + 1, row.text
                        if not skip_bad:
                            if gathered:
                                yield rows_chunk(gathered, base_ns, base_row, 0, "", by)
                            yield Chunk(kind=ChunkKind.FAILED, bad_rows=bad, text=text)
                            return
                        continue
                    if gathered and not joins(gathered, row):
                        yield rows_chunk(gathered, base_ns, base_row, bad, text, by)
                        gathered = []
                    gathered.append(row)
                    last = row
        except (BadTable, OSError) as error:
            yield Chunk(kind=ChunkKind.FAILED, bad_rows=bad, text=str(error))
            return
        if gathered:
            yield rows_chunk(gathered, base_ns, base_row, bad, text, by)
        if last is None:
            yield Chunk(
                kind=ChunkKind.FAILED, bad_rows=bad, text=f"{path.name}: no row" + (f"; {text}" if text else "")
            )
            return
        ended_ns = max(last.offset_ns, last.arrival_ns)
        yield Chunk(kind=ChunkKind.END, offset_ns=base_ns + ended_ns, bad_rows=bad, text=text)
        if not loop:
            return
        base_ns += ended_ns + (by.period_ns or 1_000_000)
        base_row += last.index + 1
