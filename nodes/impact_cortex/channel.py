"""One source of samples: its columns by name, the tasks on them, and the last moments as evidence. No bus, no clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodes.impact_cortex.chatter import Chatter
from nodes.impact_cortex.detectors import Deviation, block, step
from nodes.impact_cortex.fixed import fixed_block
from nodes.impact_cortex.memory import Memory
from nodes.impact_cortex.procedures import Reads
from nodes.impact_cortex.tasks import LOAD, Doing, Settings, Task
from nodes.impact_cortex.told import Told
from nodes.impact_cortex.tunnel import TunnelState
from nodes.impact_cortex.watch import Level, Watch, watches_of
from schemas.machine import SignalBlock, SignalInfo

EVIDENCE_S = 0.2
EVIDENCE_LEAST = 20
"""readings of evidence, where 0.2 s of a slow source hold fewer"""
SILENT_NS = 250_000_000
GAP_NS = 200_000_000
"""after a longer one what came before is no evidence"""
PACE_NS = 100_000_000
"""taken for the period of a source that names none: values that come one by one"""
FASTEST_NS, SLOWEST_NS = 10_000, 3_600_000_000_000
"""bounds of a period that is believed: memory and detectors are made for so many readings as it says"""
MOST_PACES = 8
"""a source without a steady pace is judged by its readings, not begun anew for ever"""
BY_SAMPLE = 32
"""blocks of up to this many rows are judged row by row: below it numpy costs more than it saves"""
IDLE_S = 0.1
"""time constant of the idle load"""
IDLE_KNOWN_S = 0.02
"""idling that was seen for so long says what idle is: before, a model of the cut cannot be held against the load"""
IDLE_AFTER_S = 0.25
"""what is read sooner after a cut still shows it, on a meter that lags"""


class Hit(NamedTuple):
    """A task began to fire at this row of a block."""

    row: int
    watch: Watch
    value: float
    limit: float


class Channel:
    """What one source's blocks are judged by. Gate, idling and the cut's model are set from the machine's state."""

    def __init__(self, source: str, signals: Sequence[SignalInfo], settings: Settings, tasks: Sequence[Task]) -> None:
        self.source = source
        self.topic = signals[0].topic
        self.names = tuple(s.name for s in signals)
        self.signals = tuple(signals)
        self.settings = settings
        self.tasks = tasks
        self.watches: tuple[Watch, ...] = ()
        self._looking: tuple[Watch, ...] = ()
        self._tunnels: tuple[TunnelState, ...] = ()
        self.memory = Memory(len(self.names), EVIDENCE_LEAST)
        self.period_ns = 0
        self.rows_lost = 0
        self.misfits = 0
        """blocks whose columns are not those of machine/signals"""
        self.fits = True
        """the newest block was none of them"""
        self.heard_ns = 0
        self.span_ns = 0
        """time the last block covers"""
        self.idle_pct = 0.0
        self.doing = Doing()
        self._next_row = -1
        self._end_ns = 0
        self.newest_ns = 0
        """stamp of the last row"""
        self.fired_ns = 0
        """stamp of the last row in which a task fired"""
        self._fired_row = -1
        self._paces = 0
        self._load = self.names.index(LOAD) if LOAD in self.names else -1
        self._idle_wait_ns = 0
        self._idle_left_ns = round(IDLE_KNOWN_S * 1e9)
        """idling to be seen until the idle load is known"""
        self._idle_rows = 0
        self._idle_gain = 0.0
        self._settling = False
        """some armed task may still settle: saves a look at each"""

    def _pace(self, sent_ns: int) -> None:
        """Detectors count readings, so they are made for the source's pace, and anew when it is quite another."""
        period_ns = min(max(sent_ns or PACE_NS, FASTEST_NS), SLOWEST_NS)
        steady = period_ns < 2 * self.period_ns and self.period_ns < 2 * period_ns
        if not steady and (not self.period_ns or self._paces < MOST_PACES):
            self._paces += 1
            self._build(period_ns)

    def _build(self, period_ns: int) -> None:
        self.period_ns = period_ns
        period_s = period_ns / 1e9
        self._idle_gain = min(1.0, period_s / IDLE_S)
        self.memory = Memory(len(self.names), max(EVIDENCE_LEAST, round(EVIDENCE_S / period_s)))
        self.watches = tuple(
            w
            for column, info in enumerate(self.signals)
            for task in self.tasks
            if task.watches(info.name)
            for w in watches_of(task, info, column, period_s)
        )
        self._tunnels = tuple(w.state for w in self.watches if isinstance(w.state, TunnelState))
        self._aim()

    def _aim(self) -> None:
        now = self.doing if self._idle_left_ns <= 0 else replace(self.doing, model_pct=math.nan)
        for w in self.watches:
            w.aim(now, self.idle_pct)
        # a limit for when the gate is not known has nothing to follow while it is
        self._looking = tuple(w for w in self.watches if w.level is not Level.UNGATED or w.armed)
        self._settling = True

    def settle(self) -> None:
        """The machine was released: what pressed on it is let go, and readings of it are still on their way."""
        for w in self.watches:
            w.settle(self.doing)
            if not w.settle_left:
                w.forget()
        self._settling = True

    def configure(self, settings: Settings, tasks: Sequence[Task]) -> None:
        """Judge by other tasks from the next block on."""
        self.settings, self.tasks = settings, tasks
        self.period_ns = 0

    def set_gate(self, now: Doing) -> None:
        """What the machine does from now on; another model of the cut begins the settling of those that need one."""
        before, self.doing = self.doing, now
        if now.idling and not before.idling:
            self._idle_wait_ns = round(IDLE_AFTER_S * 1e9)
        self._aim()
        other = now.model_pct != before.model_pct and not (math.isnan(now.model_pct) and math.isnan(before.model_pct))
        for w in self.watches:
            reads = w.task.how.reads
            # the same load may be needed by another cut, which the tool has to enter first
            if (other and reads.against_model) or (now.cut != before.cut and reads is Reads.BELOW_MODEL):
                w.settle(now)

    def feed(self, sent: SignalBlock) -> list[Hit]:
        """Judge a block; the tasks that began to fire in it, earliest first."""
        data = sent.data.array
        shape = data.shape
        if len(shape) != 2 or shape[1] != len(self.names):
            self.misfits += 1
            self.fits = False
            return []
        self.fits = True
        if sent.period_ns != self.period_ns:
            self._pace(sent.period_ns)
        rows, period_ns = shape[0], self.period_ns
        first_row = sent.first_row
        if first_row > self._next_row >= 0:
            self.rows_lost += first_row - self._next_row
        self._next_row = first_row + rows
        stamp_ns = sent.stamp_ns
        memory, end_ns = self.memory, self._end_ns
        if not -2 * period_ns <= stamp_ns - end_ns <= GAP_NS + 2 * period_ns:
            memory.clear()
        self.span_ns = span_ns = rows * period_ns
        self._end_ns = end_ns = stamp_ns + span_ns
        self.newest_ns = end_ns - period_ns
        memory.add(data)
        self._fired_row = -1
        for tunnel in self._tunnels:  # by the time of the readings: some may be missing, and state may be late
            tunnel.at = (stamp_ns - tunnel.began_ns + period_ns // 2) // period_ns
        hits = self._by_sample(data) if rows <= BY_SAMPLE else self._by_block(data)
        if self._fired_row >= 0:
            self.fired_ns = stamp_ns + self._fired_row * period_ns
        if self._settling:
            self._settle(rows)
        if self.doing.idling and self._load >= 0:
            self._learn_idle(data)
        return hits

    @np.errstate(invalid="ignore")  # as in _by_block
    def tell(self, data: NDArray[Any], period_ns: int) -> list[Told]:
        """As `feed`, for a backtest: what the tasks said of each row. Keeps no evidence, and counts no lost rows."""
        if data.ndim != 2 or data.shape[1] != len(self.names) or not len(data):
            self.misfits += 1
            return []
        if period_ns != self.period_ns:
            self._pace(period_ns)
        told = list(self._told(data))
        for t in told:
            t.watch.fired = t.after()
        if self._settling:
            self._settle(len(data))
        if self.doing.idling and self._load >= 0:
            self._learn_idle(data)
        return told

    def _settle(self, rows: int) -> None:
        self._settling = False
        for w in self.watches:
            if w.settle_left and w.armed:
                w.settle_left = max(0, w.settle_left - rows)
                self._settling = True

    def _by_sample(self, data: NDArray[Any]) -> list[Hit]:
        hits: list[Hit] = []
        watches = self._looking
        for i, row in enumerate(data.tolist()):
            for w in watches:
                value = w.gain * row[w.column] + w.offset
                if value <= w.calm:
                    continue
                if w.guard is not None:
                    w.beyond = step(w.guard, w.guard_state, w.detector.reading(w.state, value), True)
                # `step`, written out: this is what happens a thousand times a second
                state = w.state
                if value != value:
                    state.lost += 1
                    w.calm = math.nan  # the next reading ends the loss
                    continue  # a missing reading tells nothing: what fired goes on firing
                state.lost = 0
                if i < w.settle_left or not w.armed:
                    w.detector.follow(state, value)
                    w.fired = w.fired and w.task.how.lasting
                elif w.detector.judge(state, value) is not w.fired:
                    w.fired = not w.fired
                    if w.fired:
                        hits.append(Hit(i, w, *w.shown(state, value)))
                if w.fired:
                    self._fired_row = i
                w.calm = math.nan if w.fired or w.guard is not None else w.detector.calm(state)
        return hits

    @np.errstate(invalid="ignore")  # a signalling NaN is no reading, like any other
    def _by_block(self, data: NDArray[Any]) -> list[Hit]:
        hits: list[Hit] = []
        for told in self._told(data):
            if not told.was and told.fired.any():
                row = int(told.fired.argmax())
                hits.append(Hit(row, told.watch, *told.value(row)))
            held = np.flatnonzero(told.held())
            if len(held):
                self._fired_row = max(self._fired_row, int(held[-1]))
            told.watch.fired = told.after()
        hits.sort(key=lambda h: h.row)
        return hits

    def _told(self, data: NDArray[Any]) -> Iterator[Told]:
        """What each task says of each row; of those that fired neither before nor now nothing."""
        rows = data.shape[0]
        columns = np.ascontiguousarray(data.T, dtype=np.float64)
        # with a missing reading in it a column has neither a least nor a greatest
        most, least = columns.max(axis=1).tolist(), columns.min(axis=1).tolist()
        whole = not math.isnan(sum(most))
        sums: list[int] = []
        for w in self._looking:
            # rounding keeps the order, so this is the greatest of what is judged
            detector, column = w.detector, w.column
            top = w.gain * (most if w.gain > 0 else least)[column] + w.offset
            if top <= detector.calm(w.state) and not w.fired and w.guard is None:
                w.state.lost = 0
                continue
            values = columns[column]
            if w.task.how.reads is not Reads.VALUE:
                values = w.gain * values + w.offset
            elif (
                whole and not w.fired and w.guard is None
            ):  # most readings of an accelerometer: nothing can come of them
                if isinstance(detector, Deviation) and detector.rests(w.state, rows, least[column], most[column]):
                    sums = sums or fixed_block(columns).sum(axis=1).tolist()
                    detector.fill(w.state, rows, sums[column])
                    w.state.lost = 0
                    continue
                if (
                    isinstance(detector, Chatter)
                    and (w.armed and not w.settle_left)
                    and detector.only_fills(w.state, values)
                ):
                    w.state.lost = 0
                    continue
            armed: NDArray[np.bool_] | bool = w.armed
            if armed and w.settle_left:
                armed = np.arange(rows) >= w.settle_left
            if w.guard is not None:
                readings = np.array([w.detector.reading(w.state, v) for v in values.tolist()])
                w.beyond = bool(block(w.guard, w.guard_state, readings, True)[-1])
            before = w.state.copy()
            w.calm = math.nan
            fired = block(w.detector, w.state, values, armed, whole)
            if w.fired or np.count_nonzero(fired):  # in a quarter of the time of any()
                yield Told(w, values, armed, fired, before, w.fired)

    def _learn_idle(self, data: NDArray[Any]) -> None:
        # row by row: what is learned must not depend on how many rows come in a block
        for load in data[:, self._load].tolist():
            if self._idle_wait_ns > 0:
                self._idle_wait_ns -= self.period_ns
            elif load == load:
                self._idle_rows += 1  # at first the mean of what was seen: from zero it would be too low for long
                self.idle_pct += max(self._idle_gain, 1.0 / self._idle_rows) * (load - self.idle_pct)
                self._idle_left_ns -= self.period_ns

    def evidence(self, back: int) -> NDArray[np.float32]:
        """A copy of the rows of the last 0.2 s up to the one `back` rows before the newest, oldest first."""
        return self.memory.last(self.memory.keep, back).copy()

    def silent(self, now_ns: int) -> bool:
        """Whether nothing came for SILENT_NS, or for four blocks of a slow source."""
        return now_ns - self.heard_ns > max(SILENT_NS, 4 * self.span_ns)

    def lately(self, seconds: float) -> NDArray[np.float32]:
        """The rows of the last `seconds`, at least the newest; a view."""
        return self.memory.last(max(1, round(seconds * 1e9 / max(self.period_ns, 1))))


def newest(channels: Iterable[Channel], signal: str) -> float:
    """The newest reading of a signal; NaN where there is none."""
    for channel in channels:
        if signal in channel.names and len(channel.memory):
            return float(channel.memory.last(1)[0, channel.names.index(signal)])
    return math.nan
