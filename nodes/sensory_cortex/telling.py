"""A machine that only tells, behind a connection: the node's side of a driver, in the node's time and without a socket.

The worker of such a driver knows no time: when to connect, what to send and when to hang up is decided here, tick by
tick, and goes to it as orders. What it gives back are chunks: LINK, BYTES. So a replay runs through it.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, ClassVar

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.drivers import Abilities, Answer, Quality, Setting, Source
from nodes.sensory_cortex.items import BadItems, items
from nodes.sensory_cortex.machine import ONLY_SIMULATED
from nodes.sensory_cortex.observed import Observed
from nodes.sensory_cortex.options import Options, Wrong, option
from nodes.sensory_cortex.orders import Do, Order, Orders
from schemas.base import Message
from schemas.machine import (
    ConditionLevel,
    InjectReply,
    InjectRequest,
    MachineState,
    SignalBlock,
    SignalInfo,
)
from schemas.system import LogLevel
from schemas.wire.address import Address, BadAddress, address
from schemas.wire.shdr import Command, Decoder, Event

SILENT_NS = 600_000_000
"""nothing was heard for so long: what was told may not hold any longer"""
REPEAT_NS = 150_000_000
"""at least between two rows that only say that nothing changed"""
BACKOFF_FIRST_NS, BACKOFF_MOST_NS = 100_000_000, 5_000_000_000
SOUND_NS = 2_000_000_000
"""a connection that lived so long was a sound one: the next attempt may be at once"""
CHUNKS_AHEAD = 8
CHUNK_BYTES = 1024
"""small, so that what is read of one at a time does not make a tick too long"""
EVENTS_PER_TICK, MESSAGES_PER_TICK = 24, 4
COUNTS_EVERY_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TellingOptions(Options):
    """What a machine that only tells may be told."""

    knows_state: ClassVar[bool] = True
    ports: ClassVar[Mapping[str, int]] = {}
    """by scheme of its address: the usual port"""

    address: str = option("", doc="where it answers")
    items: Mapping[str, Any] = option({}, doc="what its keys mean beyond the usual ones")

    @property
    def at(self) -> Address:
        """Raises BadAddress."""
        return address(self.address, self.ports)

    def mistakes(self) -> Iterator[Wrong]:
        try:
            address(self.address, self.ports)
        except BadAddress as error:
            yield "source-address", f"address: {error}"
        try:
            items(self.items)
        except BadItems as error:
            yield from (("source-items", line) for line in str(error).splitlines())


class Telling:
    """The part of a driver that all machines have in common that are heard and cannot be held."""

    last_stop_ms = math.nan
    ended = False
    lost_rows = 0

    def __init__(self, setting: Setting, model: str) -> None:
        """Raises BadAddress, BadItems."""
        options: TellingOptions = setting.options
        source = setting.name
        self._setting = setting
        self._at = options.at
        self._name = setting.full_name
        self._table = items(options.items)
        self._observed = Observed(self._name, source, self._table, setting.next_id, setting.log)
        self._decoder = Decoder(self._table.kinds)
        self.abilities = Abilities(model, False, False, False, f"none: {source} only tells")
        # a rate of 5 Hz is what an idle machine's rows come at: with each sign of life
        self.sources: Sequence[Source] = (Source(source, 5.0, carries_state=True),)
        self.orders = Orders()
        self._credit = threading.Semaphore(CHUNKS_AHEAD)  # not bounded: in replay nobody reads ahead
        self._waiting: deque[Chunk] = deque()
        self._events: deque[Event] = deque()
        self._open = self._alive = False
        self._opened_ns = self._heard_ns = self._connect_ns = 0
        self._backoff_ns = BACKOFF_FIRST_NS
        self._asked = self._fresh = False
        self._row_ns = 0
        self.lost = 0
        """observations that the sender had no longer when they were asked for"""
        self._told: dict[str, str] = {}
        self._trouble = "not connected yet"
        self._counted_ns = 0
        self._revision = 0

    # --- for the kinds -----------------------------------------------------------------------------------------------

    def opened(self, now_ns: int) -> None:
        """A connection was made."""

    def beat(self, now_ns: int) -> None:
        """Every tick of an open connection."""

    def command(self, command: Command, now_ns: int) -> None:
        """What stands in a line that begins with `*`."""

    def send(self, data: bytes) -> None:
        self.orders.put(Order(Do.SEND, data))

    def hang_up(self, why: str) -> None:
        self.orders.put(Order(Do.CLOSE, why.encode()))

    # --- the node's thread --------------------------------------------------------------------------------------------

    @property
    def signals(self) -> Sequence[SignalInfo]:
        return self._observed.signals

    @property
    def revision(self) -> int:
        return self._revision + self._observed.revision

    @property
    def counts(self) -> Mapping[str, int]:
        """What came, and what could not be read of it."""
        return self._observed.counts

    @property
    def quality(self) -> Mapping[str, Quality]:
        offset_ns = self._observed.clock.offset_ns
        return {
            self._setting.name: Quality(
                clock_offset_ms=math.nan if offset_ns is None else offset_ns / 1e6,
                bad_rows=self._observed.bad,
                lost_rows=self.lost,
                heard_ns=self._heard_ns,
                trouble=self._trouble,
            )
        }

    @property
    def unknown(self) -> Mapping[str, str]:
        """Keys that no row has, and what was told of each first."""
        return self._observed.unknown

    def start(self, now_ns: int) -> None:
        self._connect_ns = self._counted_ns = now_ns

    def receive(self, chunk: Chunk) -> None:
        self._waiting.append(chunk)

    def advance(self, now_ns: int) -> list[Message]:
        out: list[Message] = []
        if not self._open and not self._asked and now_ns >= self._connect_ns:
            self._asked = True
            self.orders.put(Order(Do.CONNECT))
        taken = 0
        while taken < EVENTS_PER_TICK and len(out) < MESSAGES_PER_TICK:
            if not self._events and not self._next_chunk(now_ns, out):
                break
            moment = self._moment()
            if any(map(self._observed.changes_state, moment)) and any(type(m) is SignalBlock for m in out):
                break  # the node tells one state, and before the rows: what comes under another waits for the next tick
            for event in moment:
                if isinstance(event, Command):
                    self.command(event, now_ns)
                self._observed.hear(event, now_ns, out)
            taken += len(moment)
            for _ in moment:
                self._events.popleft()
            self._observed.flush(now_ns, out)
        if any(type(m) is SignalBlock for m in out):
            self._row_ns, self._fresh = now_ns, False
        elif self._fresh and not self._events and not self._waiting and now_ns - self._row_ns >= REPEAT_NS:
            # a sign of life without a reading: what was told still holds
            self._row_ns, self._fresh = now_ns, False
            self._observed.unchanged(now_ns, out)
        if self._open:
            self.beat(now_ns)
        self._live(now_ns)
        if now_ns - self._counted_ns >= COUNTS_EVERY_NS:
            self._tell_counts(now_ns, out)
        return out

    def _moment(self) -> list[Event]:
        """The next events of one stamp: a state is never told with half of a line."""
        stamp_ns = getattr(self._events[0], "stamp_ns", None) if self._events else None
        return list(takewhile(lambda e: getattr(e, "stamp_ns", stamp_ns) == stamp_ns, self._events))

    def _next_chunk(self, now_ns: int, out: list[Message]) -> bool:
        """Read the next chunk into events; False when there is none."""
        if not self._waiting:
            return False
        chunk = self._waiting.popleft()
        self._credit.release()
        match chunk.kind:
            case ChunkKind.LINK if not chunk.text:
                self._open, self._asked = True, False
                self._opened_ns = self._heard_ns = now_ns
                self._setting.log(LogLevel.INFO, f"{self._name}: connected to {self._at}")
                self._trouble = ""
                out.append(self._setting.alarm("connection", ConditionLevel.NORMAL, "", now_ns))
                self.opened(now_ns)
            case ChunkKind.BYTES:
                self._heard_ns = now_ns
                self._events.extend(self._decoder.receive(chunk.payload))
                self._fresh = True
            case ChunkKind.LINK | ChunkKind.FAILED:
                self._closed(chunk.text, now_ns, out)
        return True

    def _closed(self, why: str, now_ns: int, out: list[Message]) -> None:
        if self._open:
            self._events.extend(self._decoder.close())
            self._observed.forget(now_ns, out)
            if now_ns - self._opened_ns > SOUND_NS:
                self._backoff_ns = BACKOFF_FIRST_NS
        self._open = self._asked = False
        jitter = self._setting.rng.uniform(0.8, 1.2)
        self._connect_ns = now_ns + round(self._backoff_ns * jitter)
        self._backoff_ns = min(2 * self._backoff_ns, BACKOFF_MOST_NS)
        text = f"no connection to {self._at}: {why}"
        if text != self._trouble:
            self._trouble = text
            self._setting.log(LogLevel.WARNING, f"{self._name}: {text}")
            out.append(self._setting.alarm("connection", ConditionLevel.UNAVAILABLE, text, now_ns))

    def _live(self, now_ns: int) -> None:
        alive = self._open and now_ns - self._heard_ns <= SILENT_NS
        if alive != self._alive:
            self._alive = alive
            self._revision += 1

    def _tell_counts(self, now_ns: int, out: list[Message]) -> None:
        self._counted_ns = now_ns
        lost = f"{self.lost} observations lost: the sender held them no longer" if self.lost else ""
        for code, text in (("lines", self._observed.misunderstood()), ("lost", lost)):
            if text != self._told.get(code, ""):
                self._told[code] = text
                out.append(self._setting.alarm(code, ConditionLevel.WARNING, text, now_ns))

    def deferred(self) -> Sequence[SignalBlock]:
        return ()

    def state(self, stamp_ns: int) -> MachineState:
        return self._observed.state(stamp_ns, alive=self._alive)

    def hold(self, action_id: str, now_ns: int, *, stop: bool) -> Answer:
        return Answer(False, "", f"{self._at} only tells: it cannot {'stop' if stop else 'hold'} this machine")

    def reset(self, action_id: str, now_ns: int) -> Answer:
        return Answer(False, "", f"{self._at} only tells: it cannot reset this machine")

    def inject(self, request: InjectRequest, now_ns: int) -> InjectReply:
        return InjectReply(accepted=False, text=ONLY_SIMULATED)

    # --- the worker ---------------------------------------------------------------------------------------------------

    def pieces(self, data: bytes) -> Iterator[Chunk]:
        """Bytes as chunks of a size that a tick can read."""
        for n in range(0, len(data), CHUNK_BYTES):
            yield Chunk(kind=ChunkKind.BYTES, payload=data[n : n + CHUNK_BYTES])

    def paced(self, chunks: Iterator[Chunk], end: threading.Event) -> Iterator[Chunk]:
        """The same, never more than CHUNKS_AHEAD before the node's thread: TCP holds back the rest."""
        for chunk in chunks:
            while not self._credit.acquire(timeout=0.2):
                if end.is_set():
                    return
            yield chunk
