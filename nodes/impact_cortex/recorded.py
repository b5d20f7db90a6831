"""A machine's bag through the pure backtest: what its engine heard, in the order in which it did, as arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bus import labels, trace
from bus.backtest import COLUMNS, NoBacktest, Part, Question, Tally
from bus.bag import BadBag, BagMessage, BagReader
from bus.node import BadParameter, Gone, Interface, Stale
from bus.replay.columns import Begun, Columns, Happened, Heard
from bus.replay.inputs import NotReplayable, RecordedNode
from bus.trace import Kind, Record
from nodes.impact_cortex.backtest import Backtest, Blocks
from nodes.impact_cortex.cuts import BadCuts
from nodes.impact_cortex.episodes import Decided
from nodes.impact_cortex.judging import count, known
from nodes.impact_cortex.tasks import BadTasks
from schemas import topics
from schemas.base import Message, Samples
from schemas.codec import DecodeError, codec
from schemas.impact import Intervention, ModeRequest, Reaction, Verdict
from schemas.machine import MachineState, MotionEvent, MotionPhase, SignalBlock, Signals
from schemas.shop import JobRun, JobSpec

ROWS = ("on_samples", "on_vibration")
OTHERS = ("on_signals", "on_state", "on_motion", "on_state_link", "start_job", "on_spec", "on_run", "set_mode")
"""the callbacks that change how rows are judged"""
FROM_BEFORE = {
    topics.JOB_RUN.name: "on_run",
    topics.SIGNALS.name: "on_signals",
    topics.MACHINE_STATE.name: "on_state",
    topics.JOB_SPEC.name: "on_spec",
}
"""what was said before a life began, and held in it; in this order: what runs must be known before that it does"""
MOST_NOTES = 20
MOST_KEPT = 100


@dataclass(slots=True)
class Recording:
    """One machine's bag, judged by every setting."""

    bag: str
    node: str
    """full name of its engine"""
    machine: str
    start_ns: int
    end_ns: int
    decided: list[list[Decided]]
    """of each setting"""
    until_ns: list[dict[int, int]]
    """of each setting, when its episodes were over"""
    interventions: list[Intervention]
    """as recorded, without their evidence"""
    cycles_ns: list[int]
    notes: list[str] = field(default_factory=list)


class Reader:
    """Follows one engine of a bag.

    Args:
        settings: parameters other than recorded, one for each setting.

    Raises:
        BadBag, BadTrace: damaged.
        NotReplayable: recorded parameters that no longer fit.
        BadParameter, BadTasks, BadCuts: a setting that cannot be used.
    """

    def __init__(
        self, reader: BagReader, node: RecordedNode, interface: Interface, settings: Sequence[Mapping[str, Any]]
    ) -> None:
        self._reader = reader
        self._node = node
        self._interface = interface
        self._settings = [dict(s) for s in settings]
        self._varied = set.intersection(*(set(s) for s in settings)) if settings else set()
        """what every setting says itself: of that nothing recorded matters"""
        self._test: Backtest | None = None
        self._likes: dict[BagMessage, SignalBlock] = {}
        """decoded examples of stacks"""
        self.found = Recording(
            str(reader.path),
            node.name,
            node.namespace,
            reader.start_ns,
            reader.end_ns,
            [[] for _ in settings],
            [{} for _ in settings],
            [],
            [],
        )

    def read(self, progress: Callable[[float], None] | None = None) -> Recording:
        """Go through the bag once."""
        columns = self.columns(progress)
        for item in columns:
            self.take(item)
        return self.finish(columns)

    def columns(self, progress: Callable[[float], None] | None = None) -> Columns:
        """What the engine heard, to be taken one by one."""
        return Columns(
            self._reader,
            self._node,
            self._interface,
            columns=(ROWS, ("stamp_ns", "first_row"), "data"),
            wanted=_wanted,
            also={self._node.resolve(topics.INTERVENTION.name): self._intervention},
            progress=progress,
        )

    def take(self, item: list[Heard] | Happened | Begun) -> None:
        """What was heard next."""
        if isinstance(item, list):
            self._backtest().rows([blocks for heard in item if (blocks := self._blocks(heard)) is not None])
        elif isinstance(item, Happened):
            self._happened(item.record, item.message)
        else:
            self._begin(item)

    def finish(self, columns: Columns) -> Recording:
        """All was taken: what was decided."""
        self._end()
        if columns.missing:
            self._note(f"{columns.missing} messages that {self._node.name} handled are not in the bag")
        self.found.notes += columns.notes[:MOST_NOTES]
        return self.found

    def _note(self, text: str) -> None:
        if text not in self.found.notes and len(self.found.notes) < MOST_NOTES:
            self.found.notes.append(text)

    # --- a life of the engine -----------------------------------------------------------------------------------------

    def _backtest(self) -> Backtest:
        if self._test is None:  # heard before its trace begins
            self._begin(Begun(self._reader.start_ns, "", []))
        assert self._test is not None
        return self._test

    def _begin(self, begun: Begun) -> None:
        self._end()
        recorded = self._parameters(begun.parameters_json)
        self._test = Backtest([{**recorded, **s} for s in self._settings])
        before = {message.topic.removeprefix(f"{self._node.namespace}/"): message for message in begun.before}
        for name, method in FROM_BEFORE.items():
            if name in before:
                self._happened(Record(int(Kind.MESSAGE), f"{method} ", begun.now_ns, 0, 0, b""), before[name])

    def _end(self) -> None:
        test, self._test = self._test, None
        if test is None:
            return
        test.acknowledged()
        if test.unjudged:
            self._note(f"not judged: {', '.join(test.unjudged)}: what a tunnel was taught is no setting")
        self.found.cycles_ns += test.cycles_ns
        for n, (decided, until_ns) in enumerate(zip(self.found.decided, self.found.until_ns, strict=True)):
            before = max(until_ns, default=0)
            decided += [_later(d, before) for d in test.decided(n)]
            until_ns.update({before + episode: ns for episode, ns in test.episodes[n].until_ns.items()})

    def _parameters(self, text: str) -> dict[str, Any]:
        """The engine's parameters as recorded, but for those that are varied."""
        known = self._interface.parameters
        try:
            values = json.loads(text) if text else dict(self._node.parameters)
        except ValueError as error:
            raise trace.BadTrace(f"trace: damaged parameters: {error}") from None
        if not isinstance(values, dict):
            raise trace.BadTrace("trace: damaged parameters: expected an object")
        try:
            return {n: known[n].check(v) for n, v in values.items() if n in known and n not in self._varied}
        except BadParameter as error:
            raise NotReplayable(
                f"{self._node.name}: recorded parameter {error}; vary it, and it is not needed"
            ) from None

    # --- what it heard ------------------------------------------------------------------------------------------------

    def _happened(self, record: Record, message: BagMessage | None) -> None:
        try:
            self._tell(self._backtest(), record, message)
        except DecodeError as error:
            self._note(f"{record.name}: {error}")

    def _tell(self, test: Backtest, record: Record, message: BagMessage | None) -> None:
        kind, now_ns = record.kind, record.now_ns
        method = record.name.partition(" ")[0]
        if kind == Kind.MESSAGE and message is not None:
            if method == "on_state":
                test.state(_decoded(MachineState, message), now_ns)
            elif method == "on_signals":
                test.signals(_decoded(Signals, message))
            elif method == "on_spec":
                test.job(_decoded(JobSpec, message), message.publish_ns)
            elif method == "on_run":
                test.run(_decoded(JobRun, message))
            elif method == "on_motion":
                if _decoded(MotionEvent, message).phase is MotionPhase.RELEASED:
                    test.released()
            else:
                block = _decoded(SignalBlock, message)
                topic = topics.SAMPLES if method == "on_samples" else topics.VIBRATION
                try:
                    blocks = Blocks.of(topic.name, block, max(1, len(block.data.array)))
                except ValueError as error:
                    self._note(f"{message.topic}: {error}")
                    return
                test.rows([blocks._replace(heard_ns=np.full(len(blocks.first_rows), now_ns))])
        elif kind == Kind.LINK:
            if isinstance(trace.unpack_link(record.payload), (Stale, Gone)):
                test.state_lost()
        elif kind == Kind.REQUEST and method == "start_job":
            test.job(codec(JobSpec).decode(record.payload), now_ns)
        elif kind == Kind.REQUEST:
            request = codec(ModeRequest).decode(record.payload)
            if request.changed_by and request.reason:
                test.acknowledged()
        elif kind == Kind.PARAMETER:
            self._changed(test, record)

    def _blocks(self, heard: Heard) -> Blocks | None:
        """The messages of a stack as blocks of rows; None where they are no blocks of signals."""
        stack = heard.stack
        like = self._likes.get(stack.like)
        if like is None:
            if len(self._likes) > MOST_KEPT:
                self._likes.clear()
            try:
                like = self._likes[stack.like] = _decoded(SignalBlock, stack.like)
            except DecodeError as error:
                self._note(f"{stack.channel.topic}: {error}")
                return None
        count, rows_each = len(stack.seqs), stack.arrays.shape[1] if stack.arrays.ndim > 1 else 0
        topic = topics.SAMPLES.name if stack.channel.topic.endswith(topics.SAMPLES.name) else topics.VIBRATION.name
        data = stack.arrays.reshape(count * rows_each, *stack.arrays.shape[2:]) if rows_each else stack.arrays
        first_rows = np.arange(count, dtype=np.int64) * rows_each
        return Blocks(topic, like.source, like.period_ns, data, first_rows, stack.numbers["stamp_ns"], heard.heard_ns)

    def _changed(self, test: Backtest, record: Record) -> None:
        declared = self._interface.parameters.get(record.name)
        if declared is None or record.name in self._varied or record.name == "mode":
            return
        try:
            value = declared.check(json.loads(record.payload))
        except (BadParameter, ValueError) as error:
            self._note(f"parameter {record.name} was set to what it cannot be: {error}")
            return
        test.parameter(record.name, [s.get(record.name, value) for s in self._settings])

    def _intervention(self, message: BagMessage) -> None:
        if message.publisher == self._node.name:
            try:
                said = _decoded(Intervention, message)
            except DecodeError as error:
                self._note(f"{message.topic}: {error}")
                return
            self.found.interventions.append(said.model_copy(update={"evidence": Samples([]), "evidence_names": ()}))


def _wanted(kind: int, name: str) -> bool:
    return kind == Kind.PARAMETER or (
        kind in (Kind.MESSAGE, Kind.LINK, Kind.REQUEST) and name.partition(" ")[0] in OTHERS
    )


def _decoded(kind: type[Any], message: BagMessage) -> Any:
    return codec(kind).decode(message.payload)


def _later(d: Decided, episodes: int) -> Decided:
    return replace(d, episode=d.episode + episodes) if episodes else d


def gathered(reader: BagReader, node: RecordedNode) -> list[Message]:
    """The verdicts in a bag: an intervention may be judged days later, in another bag."""
    topic = node.resolve(topics.VERDICT.name)
    found: list[Message] = []
    for message in reader.messages(topics=topic.__eq__):
        try:
            found.append(_decoded(Verdict, message))
        except DecodeError as error:
            raise BadBag(reader.path, f"{topic} number {message.seq}: {error}") from None
    return found


def backtest(
    reader: BagReader,
    node: RecordedNode,
    interface: Interface,
    settings: Sequence[Mapping[str, Any]],
    question: Question,
    progress: Callable[[float], None],
) -> Part:
    """What each setting would have decided in one bag, and what that is worth: see bus/backtest.py.

    Raises:
        NoBacktest: the weakest reaction that is asked for is none.
    """
    try:
        least = Reaction(question.least or Reaction.FEED_HOLD)
    except ValueError:
        raise NoBacktest(f"{question.least!r} is no reaction: WARN, FEED_HOLD or STOP") from None
    try:
        found = Reader(reader, node, interface, settings).read(progress)
    except (BadTasks, BadCuts) as error:
        raise NoBacktest(f"{reader.path}: {error}") from None
    wrong = labels.of(question.labels, Path(reader.path), node.namespace, found.start_ns, found.end_ns)
    verdicts = [v for v in question.said if isinstance(v, Verdict)]
    of_bag = known(wrong, found.interventions, verdicts, found.cycles_ns, found.end_ns)
    tallies = []
    for decided, until_ns in zip(found.decided, found.until_ns, strict=True):
        c = count(decided, until_ns, of_bag, least)
        counts = (c.interventions, c.justified, c.false_stops, c.not_judged, c.misses, c.unknown)
        tallies.append(Tally(dict(zip(COLUMNS, counts, strict=True)), c.delays_ms))
    return Part(found.bag, node.name, (found.end_ns - found.start_ns) / 1e9, tallies, found.notes)
