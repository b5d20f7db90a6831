"""A data acquisition device as a source: counted binary frames (frames.py) or lines of text; TCP, UDP or serial line.

The stamps of its rows are our clock's: the schedule of the device's counter, laid through the earliest arrivals
(schedule.py), never an arrival itself. So a network that is late for a moment moves no sample. Lines of text have no
counter: what is missing between two lines is not seen, only lines that cannot be read are counted.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.columns import BadColumnMap, Column, ColumnMap, channel_columns, map_of
from nodes.sensory_cortex.drivers import Abilities, Answer, Quality, Setting, Source
from nodes.sensory_cortex.endpoints import BadUrl, endpoint, packets
from nodes.sensory_cortex.machine import ONLY_SIMULATED, unknown_state
from nodes.sensory_cortex.options import Options, Wrong, option
from nodes.sensory_cortex.rows import BadTable
from nodes.sensory_cortex.schedule import LeastDelay, Schedule
from nodes.sensory_cortex.signals import TOPICS
from nodes.sensory_cortex.streamed import FrameReader, LineReader
from schemas.base import Message
from schemas.machine import InjectReply, InjectRequest, MachineState, Motion, SignalBlock, SignalInfo
from schemas.system import LogLevel

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""between attempts to connect, doubled each time"""
BLOCKS_MOST = 1024
"""that wait for a tick"""
BLOCKS_PER_TICK = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions(Options):
    """What a stream may be told."""

    url: str = option("", doc="tcp://HOST:PORT, udp://BIND:PORT or serial:///dev/DEVICE?baud=115200&framing=8N1")
    format: str = option("frames", choices=("frames", "csv"), doc="counted binary frames, or lines of text")
    columns: tuple[Any, ...] = option(
        (),
        doc="frames: the signal of each channel, or { signal, scale, offset, type, unit }; an empty name leaves it out",
    )
    column_map: str | Mapping[str, Any] = option(
        "", also=dict, doc="csv: how a line is read: a TOML file, or the map itself"
    )
    topic: str = option(TOPICS[0], choices=TOPICS, doc="frames: where its rows are published")

    def read_map(self, name: str) -> ColumnMap:
        """The column map of lines, or that of numbered channels.

        Raises:
            BadColumnMap: with every mistake.
        """
        if self.format == "frames":
            return ColumnMap(channel_columns(self.columns, name, self.topic), source=name)
        by = map_of(self.column_map)
        named = tuple(replace(c, info=_of_source(c, name)) for c in by.columns)
        return replace(by, columns=named, source=name)

    def mistakes(self) -> Iterator[Wrong]:
        try:
            endpoint(self.url)
        except BadUrl as error:
            yield "stream-url", f"url: {error}"
        try:
            self.read_map("x")
        except BadColumnMap as error:
            yield from (("column-map", line) for line in str(error).splitlines())
        if self.format == "frames" and self.column_map:
            yield "bad-option", "column_map is for format = 'csv'; the channels of frames are named by `columns`"
        if self.format == "csv" and self.columns:
            yield "bad-option", "columns is for format = 'frames'; lines are read by `column_map`"

    def signals(self, name: str) -> Sequence[SignalInfo] | None:
        try:
            return [c.info for c in self.read_map(name).columns]
        except BadColumnMap:  # which is told by `mistakes`
            return None


def _of_source(column: Column, name: str) -> SignalInfo:
    return SignalInfo(**{**column.info.__dict__, "source": name})


class Stream:
    """Rows as they come. It knows nothing of a machine but what a column of its lines may say of its motion."""

    Options = StreamOptions
    abilities = Abilities("data acquisition", False, False, False, "none: a stream of samples stops nothing")
    last_stop_ms = math.nan
    ended = False
    lost_rows = 0

    def __init__(self, setting: Setting) -> None:
        options: StreamOptions = setting.options
        self._setting = setting
        self._where = endpoint(options.url)
        self._map = options.read_map(setting.name)
        self.signals = tuple(c.info for c in self._map.columns)
        self.sources: tuple[Source, ...] = (Source(setting.name, math.nan, carries_state=True),)
        if options.format == "frames":
            self._reader: FrameReader | LineReader = FrameReader(
                self._map.columns, len(options.columns), setting.now_ns, ordered=self._where.ordered
            )
        else:
            self._reader = LineReader(self._map, setting.name, setting.now_ns, ordered=self._where.ordered)
        self._blocks: deque[SignalBlock] = deque(maxlen=BLOCKS_MOST)
        self._schedule = Schedule()
        self._offset = LeastDelay()
        self._session = -1
        self._last_ns = 0
        """stamp of the last row that was told"""
        self._motion = Motion.UNKNOWN
        self._bad_rows = self._doubled_rows = 0
        self._trouble = "not connected yet"
        self.revision = 0

    def start(self, now_ns: int) -> None:
        """Nothing: the reader begins by itself."""

    # --- the node's thread -----------------------------------------------------------------------------------------

    def receive(self, chunk: Chunk) -> None:
        self._doubled_rows = max(self._doubled_rows, chunk.doubled_rows)
        if chunk.bad_rows > self._bad_rows:
            if not self._bad_rows:  # once: how many there are stands in machine/info
                self._log(f"what cannot be read is left out and counted: {chunk.text or 'bytes that are no frame'}")
            self._bad_rows = chunk.bad_rows
        if chunk.kind is ChunkKind.ROWS:
            self._rows(chunk)
        elif chunk.kind in (ChunkKind.LINK, ChunkKind.FAILED) and chunk.text != self._trouble:
            self._trouble = chunk.text
            self._log(chunk.text or "connected")

    def _log(self, text: str) -> None:
        self._setting.log(LogLevel.WARNING if self._trouble else LogLevel.INFO, f"source {self._setting.name}: {text}")

    def _rows(self, chunk: Chunk) -> None:
        rows = len(chunk.data.array)
        last_ns = chunk.offset_ns + (rows - 1) * chunk.period_ns
        if chunk.session != self._session:
            self._session = chunk.session
            self._schedule, self._offset = Schedule(), LeastDelay()
        self._schedule.heard(last_ns, chunk.arrival_ns)
        if chunk.origin_ns:
            taken_ns = chunk.origin_ns + (rows - 1) * chunk.period_ns
            self._offset.heard(chunk.arrival_ns - taken_ns, chunk.arrival_ns)
        period_ns = self._schedule.period_ns(chunk.period_ns) if chunk.period_ns else 0
        # a line that is laid anew may lie lower: time does not go back, it goes slower until it is there
        stamp_ns = max(self._schedule.stamp_ns(chunk.offset_ns), self._last_ns + period_ns // 2)
        self._last_ns = stamp_ns + (rows - 1) * period_ns
        if chunk.motion is not self._motion:
            self._motion = chunk.motion
            self.revision += 1
        self._blocks.append(
            SignalBlock(
                stamp_ns=stamp_ns,
                period_ns=period_ns,
                source=self._setting.name,
                first_row=chunk.first_row,
                data=chunk.data,
            )
        )

    def advance(self, now_ns: int) -> list[Message]:
        return [self._blocks.popleft() for _ in range(min(len(self._blocks), BLOCKS_PER_TICK))]

    @property
    def quality(self) -> Mapping[str, Quality]:
        return {
            self._setting.name: Quality(
                clock_offset_ms=self._offset.ms,
                jitter_p99_ms=self._schedule.jitter_p99_ms,
                bad_rows=self._bad_rows,
                doubled_rows=self._doubled_rows,
                trouble=self._trouble,
            )
        }

    def deferred(self) -> Sequence[SignalBlock]:
        return ()

    def state(self, stamp_ns: int) -> MachineState:
        return unknown_state(stamp_ns, self._motion)

    def hold(self, action_id: str, now_ns: int, *, stop: bool) -> Answer:
        return Answer(False, "", "a stream of samples cannot stop a machine")

    def reset(self, action_id: str, now_ns: int) -> Answer:
        return Answer(False, "", "a stream of samples cannot reset a machine")

    def inject(self, request: InjectRequest, now_ns: int) -> InjectReply:
        return InjectReply(accepted=False, text=ONLY_SIMULATED)

    # --- the reader's thread ---------------------------------------------------------------------------------------

    def read(self, end: threading.Event) -> Iterator[Chunk]:
        """Connects, reads, and connects again."""
        pause_s = FIRST_PAUSE_S
        while not end.is_set():
            text = ""
            try:
                coming = packets(self._where, end)
                first = next(coming, None)
                if first is not None:
                    yield Chunk(kind=ChunkKind.LINK)
                    pause_s = FIRST_PAUSE_S
                    yield from self._reader.chunks(itertools.chain((first,), coming))
            except (OSError, BadTable) as error:
                text = str(error) or type(error).__name__
            if end.is_set():
                return
            yield Chunk(kind=ChunkKind.LINK, text=text)
            end.wait(pause_s)
            pause_s = min(pause_s * 2.0, LONGEST_PAUSE_S)
