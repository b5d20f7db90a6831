"""A machine's recorded readings judged by many settings at once. Arrays in, decisions out; no bus, no file, no clock.

    test = Backtest([{"limit_pct": 85.0}, {"limit_pct": 95.0}])  # parameters of impact_cortex; others as by default
    test.signals(signals)  # what the columns are
    test.state(state, heard_ns)  # whenever the machine's state changes
    test.rows([Blocks.of("machine/samples", block)])  # the rows heard since, of every source; as many as there are
    test.finish()
    test.decided(0)  # what the first setting would have decided

The rows between two changes of state are judged as arrays, with the block forms of the detectors, and everything that
settings have in common (states, the model of the cut, tasks that do not differ) is done once. The decisions are those
of the live engine in mode OBSERVE, in which nothing follows from a decision: so they are, one by one, what a lock-step
replay in that mode gives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodes.impact_cortex.channel import Channel
from nodes.impact_cortex.cuts import BadCuts, Cuts, age_ms, known_execution
from nodes.impact_cortex.episodes import Decided, Episodes, Key, Passage, Word
from nodes.impact_cortex.fixed import Ints
from nodes.impact_cortex.job_rows import mistakes, watched_by
from nodes.impact_cortex.jobs import NO_JOB, Jobs, Run
from nodes.impact_cortex.tasks import BadTasks, Doing, Settings, Task
from nodes.impact_cortex.tuning import Tuning
from schemas import topics
from schemas.machine import Execution, MachineState, SignalBlock, Signals
from schemas.shop import JobRun, JobSpec

MOST_ROWS = 20_000
"""judged at once, of one source: more gains nothing and leaves the processor's cache"""
MOST_NS = 1 << 62
"""times beyond it do not fit into the arrays in which they are reckoned"""
MOST_KNOWN = 10_000
"""states of which it is kept what they say to tasks"""


class Blocks(NamedTuple):
    """Consecutive blocks of one source, of one period and width, as they were heard."""

    topic: str
    source: str
    period_ns: int
    data: NDArray[Any]
    """[rows, signals]"""
    first_rows: Ints
    """where in `data` each block begins"""
    stamps_ns: Ints
    """of the first row of each"""
    heard_ns: Ints
    """when each was heard"""

    @classmethod
    def of(cls, topic: str, block: SignalBlock, rows_each: int = 1) -> Blocks:
        """A long block as if it had come in pieces of `rows_each` rows, each heard when its last row was taken.

        Raises:
            ValueError: its rows have times that no clock shows.
        """
        data = block.data.array
        if abs(block.stamp_ns) >= MOST_NS or not 0 <= block.period_ns * (len(data) + 1) < MOST_NS:
            raise ValueError(f"{len(data)} rows from {block.stamp_ns} ns on, {block.period_ns} ns apart, cannot be")
        first_rows = np.arange(0, len(data), rows_each, dtype=np.int64)
        ends = np.minimum(first_rows + rows_each, len(data)) - 1
        stamps_ns = block.stamp_ns + first_rows * block.period_ns
        heard_ns = block.stamp_ns + ends * block.period_ns
        return cls(topic, block.source, block.period_ns, data, first_rows, stamps_ns, heard_ns)

    @property
    def kind(self) -> tuple[int, Any, int]:
        """What blocks have in common that are judged as one."""
        return self.period_ns, self.data.dtype, self.data.shape[1]


@dataclass(slots=True)
class _Group:
    """Settings with the same description of cuts: their channels are the same, too."""

    settings: list[int]
    site_cuts: Cuts
    cuts: Cuts
    channels: dict[Key, Channel]
    doing: Doing
    known: dict[Any, Doing] = field(default_factory=dict)
    """by what decides it in a state, with these cuts"""


class Backtest:
    """One machine, many settings: what each of them would have decided.

    Raises:
        BadTasks, BadCuts: a setting's tasks or cuts cannot be used.
    """

    def __init__(self, settings: Sequence[Mapping[str, Any]]) -> None:
        self.settings = [dict(s) for s in settings]
        rearm_s = [float(s.get("rearm_s", Tuning.rearm_s.default)) for s in self.settings]
        self.episodes = [Episodes(round(s * 1e9)) for s in rearm_s]
        self.cycles_ns: list[int] = []
        """when cycles began: another run, or another part"""
        self._site_tasks = [Tuning.watched(s) for s in self.settings]
        self._groups: list[_Group] = []
        for n, setting in enumerate(self.settings):
            cuts = Tuning.described(setting)
            group = next((g for g in self._groups if g.site_cuts == cuts), None)
            if group is None:
                group = _Group([], cuts, cuts, {}, cuts.doing(None, 0.0))
                self._groups.append(group)
            group.settings.append(n)
        self._jobs = Jobs()
        self._wanted_ns = 0
        self._state: MachineState | None = None
        self._execution: Execution | None = None
        self._silent = True
        self._age_ms = 0.0
        self._waiting: dict[Key, list[Blocks]] = {}
        self._newest_ns: dict[Key, int] = {}
        self._owners: dict[int, list[int]] = {}
        """by id of a task, the settings that have it"""
        self._tasks: list[tuple[Task, ...]] = []
        """of each group, those of all its settings"""
        self._use()

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Tasks that rest here: what a tunnel was taught is no setting."""
        names = (t.name for tasks in self._tasks for t in tasks if t.procedure == "tunnel")
        return tuple(dict.fromkeys(names))

    def decided(self, setting: int) -> list[Decided]:
        """Everything that a setting would have said and asked, in order."""
        return self.episodes[setting].decided

    # --- what the machine says ----------------------------------------------------------------------------------------

    def signals(self, signals: Signals) -> None:
        """What the columns of each source are from now on."""
        self.finish()
        of: dict[Key, list[Any]] = {}
        for info in signals.signals:
            of.setdefault((info.topic, info.source), []).append(info)
        for group, tasks in zip(self._groups, self._tasks, strict=True):
            for key in group.channels.keys() - of.keys():
                del group.channels[key]
            for key, columns in of.items():
                known = group.channels.get(key)
                if known is None or known.signals != tuple(columns):
                    group.channels[key] = Channel(key[1], columns, Settings(), tasks)
                    self._newest_ns[key] = 0
                    for n in group.settings:
                        self.episodes[n].forget(key)
            for channel in group.channels.values():
                channel.set_gate(group.doing)
        self._newest_ns = {key: ns for key, ns in self._newest_ns.items() if key in of}

    def state(self, state: MachineState, heard_ns: int) -> None:
        """What the machine does from now on."""
        before, self._state = self._state, state
        self._silent, self._age_ms = False, age_ms(state, heard_ns)
        if before is not None and (before.run_id != state.run_id or before.part_count < state.part_count):
            self.cycles_ns.append(heard_ns)
        job = (self._jobs.spec, self._jobs.mismatch)
        for _ in self._jobs.state(state):
            pass  # its book is kept by the live engine; here it says which job is made
        if (self._jobs.spec, self._jobs.mismatch) != job:
            self.finish()
            self._use()
        self._set_gates()
        executed, self._execution = self._execution, known_execution(self._execution, state)
        if executed not in (None, Execution.ACTIVE) and state.execution is Execution.ACTIVE:
            self.released()

    def state_lost(self) -> None:
        """Nobody says any more what the machine does."""
        self._silent = True
        self._set_gates()

    def released(self) -> None:
        """An operator released the machine, or its program runs again."""
        self.finish()
        for group in self._groups:
            for channel in group.channels.values():
                channel.settle()
        self.acknowledged()

    def acknowledged(self) -> None:
        """An operator took note: the event is over."""
        self.finish()
        for episodes in self.episodes:
            episodes.end()

    def job(self, spec: JobSpec, stamp_ns: int) -> None:
        """The job of the next start of a program; one that is older, or would be refused, changes nothing."""
        none = not spec.job_id and not spec.program
        if stamp_ns < self._wanted_ns:
            return
        if none or not any(mistakes(spec, self._groups[0].site_cuts.base, self._site_tasks[0])):
            self._wanted_ns, self._jobs.wanted = stamp_ns, NO_JOB if none else spec

    def run(self, said: JobRun) -> None:
        """The run that is on when the engine begins; later it is what the states show."""
        if self._state is None and self._jobs.run is None and said.run_id:
            self._jobs.run = Run.resume(said)
            self._use()

    def parameter(self, name: str, values: Sequence[Any]) -> None:
        """A parameter was changed while the machine was watched; `values`: what it is then in each setting."""
        self.finish()
        for n, (setting, value) in enumerate(zip(self.settings, values, strict=True)):
            before = dict(setting)
            setting[name] = value
            try:
                self._site_tasks[n] = Tuning.watched(setting)
                Tuning.described(setting)
            except (BadTasks, BadCuts):  # as the live engine does: what was described before stays in force
                self.settings[n] = setting = before
            self.episodes[n].rearm_ns = round(float(setting.get("rearm_s", Tuning.rearm_s.default)) * 1e9)
        for group in list(self._groups):
            self._describe(group)
        self._use()
        self._set_gates()

    def _describe(self, group: _Group) -> None:
        """Cuts as the parameters are now; settings that no longer have the same go on as a group of their own."""
        cuts = {n: Tuning.described(self.settings[n]) for n in group.settings}
        group.site_cuts = cuts[group.settings[0]]
        apart = [n for n in group.settings if cuts[n] != group.site_cuts]
        group.settings = [n for n in group.settings if n not in apart]
        for n in apart:
            channels = {key: copy(channel) for key, channel in group.channels.items()}  # their tasks are made anew
            self._groups.append(replace(group, settings=[n], site_cuts=cuts[n], channels=channels, known={}))

    # --- judging ------------------------------------------------------------------------------------------------------

    def rows(self, heard: Sequence[Blocks]) -> None:
        """Rows of the sources, heard together and after everything given before. The arrays are kept until judged."""
        if any(sum(len(b.data) for b in blocks) >= MOST_ROWS for blocks in self._waiting.values()):
            self.finish()
        for blocks in heard:
            if not len(blocks.data) or blocks.data.ndim != 2:
                continue
            waiting = self._waiting.get((blocks.topic, blocks.source), [])
            if waiting and waiting[0].kind != blocks.kind:
                self.finish()
            self._waiting.setdefault((blocks.topic, blocks.source), []).append(blocks)

    def finish(self) -> None:
        """Judge what is waiting."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        heard = {key: _together(key, blocks) for key, blocks in waiting.items()}
        for group in self._groups:
            by_setting: dict[int, list[Word]] = {}
            passages: dict[Key, Passage] = {}
            for key, (data, passage) in heard.items():
                channel = group.channels.get(key)
                if channel is None:
                    continue
                passages[key] = passage
                for told in channel.tell(data, passage.period_ns):
                    word = Word(told, passage)
                    for n in self._owners[id(told.watch.task)]:
                        by_setting.setdefault(n, []).append(word)
            for n, words in by_setting.items():
                self.episodes[n].take(words, self._newest_ns, passages)
        for key, (_, passage) in heard.items():
            if key in self._newest_ns:
                self._newest_ns[key] = passage.stamp(passage.rows - 1)

    def _use(self) -> None:
        """Judge from now on by the run's job, or by the machine's own cuts and tasks."""
        self._owners, self._tasks = {}, []
        for group in self._groups:
            lists: list[tuple[Task, ...]] = []
            for n in group.settings:
                try:
                    group.cuts, tasks = watched_by(self._jobs, group.site_cuts, self._site_tasks[n])
                except (BadCuts, BadTasks):
                    group.cuts, tasks = group.site_cuts, self._site_tasks[n]
                group.known.clear()
                lists.append(tasks)
                self.episodes[n].forget()
            self._tasks.append(self._all(group.settings, lists))
            for channel in group.channels.values():
                channel.configure(Settings(), self._tasks[-1])

    def _all(self, settings: Sequence[int], lists: Sequence[tuple[Task, ...]]) -> tuple[Task, ...]:
        """The tasks of all settings, each once, in the order in which every setting has them."""
        made: list[Task] = []
        for place in range(max(len(tasks) for tasks in lists)):
            for n, tasks in zip(settings, lists, strict=True):
                if place >= len(tasks):
                    continue
                task = next((t for t in made if t == tasks[place]), None)
                if task is None:
                    task = tasks[place]
                    made.append(task)
                self._owners.setdefault(id(task), []).append(n)
        return tuple(made)

    def _set_gates(self) -> None:
        state = None if self._silent else self._state
        now = [(group, self._doing(group, state)) for group in self._groups]
        if all(self._same(group, doing) for group, doing in now):
            return
        self.finish()
        for group, doing in now:
            group.doing = doing
            for channel in group.channels.values():
                channel.set_gate(doing)

    def _doing(self, group: _Group, state: MachineState | None) -> Doing:
        """What the machine does; a program says the same few things again and again."""
        if state is None:
            return group.cuts.doing(None, 0.0)
        key = (
            *(state.execution, state.motion, state.tool_number, state.block_number),
            *(state.spindle_speed_commanded_rpm, state.feed_commanded_mm_min, state.feed_override_pct),
        )
        found = group.known.get(key)
        if found is None:
            if len(group.known) > MOST_KNOWN:
                group.known.clear()
            found = group.known[key] = group.cuts.doing(state, 0.0)
        return found if math.isinf(found.age_ms) else replace(found, age_ms=self._age_ms)

    def _same(self, group: _Group, now: Doing) -> bool:
        """Whether nothing would come of this: then the rows before and after it are judged as one."""
        before = group.doing
        if before.idling or now.idling:  # what is learned of idling takes effect now
            return False
        same = all(
            a == b or (a != a and b != b)
            for a, b in (
                (before.gate, now.gate),
                (before.model_pct, now.model_pct),
                (before.speed_rpm, now.speed_rpm),
                (before.teeth, now.teeth),
                (before.cut, now.cut),
                (before.enters_s, now.enters_s),
            )
        )
        bounds = {t.max_state_age_ms for t in self._tasks[self._groups.index(group)]} if same else set()
        return same and all((before.age_ms > b) is (now.age_ms > b) for b in bounds)


def _together(key: Key, blocks: Sequence[Blocks]) -> tuple[NDArray[Any], Passage]:
    if len(blocks) == 1:
        only = blocks[0]
        return only.data, Passage(key, only.period_ns, len(only.data), only.first_rows, only.stamps_ns, only.heard_ns)
    data = np.concatenate([b.data for b in blocks])
    first_rows = np.concatenate([b.first_rows + at for b, at in zip(blocks, _starts(blocks), strict=True)])
    stamps_ns = np.concatenate([b.stamps_ns for b in blocks])
    heard_ns = np.concatenate([b.heard_ns for b in blocks])
    return data, Passage(key, blocks[0].period_ns, len(data), first_rows, stamps_ns, heard_ns)


def _starts(blocks: Iterable[Blocks]) -> Iterator[int]:
    at = 0
    for b in blocks:
        yield at
        at += len(b.data)


ROW_TOPICS = (topics.SAMPLES.name, topics.VIBRATION.name)
"""whose blocks are judged"""
