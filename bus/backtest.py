"""One node's logic over many recordings, with many settings: what each of them would have decided, and was it right.

A node class that can be judged so names a module, `backtest = "nodes.watch.backtest"`, with a function

    def backtest(reader, node, interface, settings, question, progress) -> Part

that goes through one bag once and gives for each setting the counts of `COLUMNS`, and a function `gathered` (see
`Judge`). Bags are read in processes of their own, one for each core.
"""

from __future__ import annotations

import importlib
import itertools
import math
import multiprocessing
import os
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Protocol

from bus.arguments import value_of
from bus.bag import BadBag, BagReader
from bus.labels import Label
from bus.node import BadParameter, Interface, Node
from bus.replay import NotReplayable
from bus.replay.inputs import RecordedNode, recorded_nodes
from bus.site import did_you_mean
from bus.target import node_class, recorded_class, target_of
from bus.trace import BadTrace
from schemas.base import Message
from schemas.names import is_tool
from schemas.sayable import shown

MOST_SETTINGS = 1000
COLUMNS: Mapping[str, str] = {
    "interventions": "decisions that a setting would have made, one for each episode",
    "justified": "of those: something was wrong",
    "false_stops": "of those: nothing was wrong",
    "not_judged": "of those: neither a label nor a verdict says",
    "misses": "something was wrong, and it decided nothing",
    "cannot_be_known": "behind a recorded intervention, which changed the rest of its cycle, or behind an own decision",
}

Progress = Callable[[float], None]


class NoBacktest(ValueError):
    """The node, a setting or a bag cannot be used; the text says why, and what could be."""


@dataclass(slots=True)
class Tally:
    """One setting's counts, by name of COLUMNS, and how long its decisions took."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COLUMNS, 0))
    delays_ms: list[float] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Another bag's on top."""
        for name, count in other.counts.items():
            self.counts[name] += count
        self.delays_ms += other.delays_ms

    def delay_ms(self, percent: float) -> float:
        """A percentile of the delays; NaN without any."""
        delays = sorted(self.delays_ms)
        rank = math.ceil(len(delays) * percent / 100)
        return delays[max(0, rank - 1)] if delays else math.nan


@dataclass(slots=True)
class Part:
    """One node of one bag."""

    bag: str
    node: str
    span_s: float
    tallies: list[Tally]
    notes: list[str] = field(default_factory=list)
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of every bag beside the settings."""

    labels: tuple[Label, ...] = ()
    said: tuple[Message, ...] = ()
    """what was said in any of the bags: see `gathered`"""
    least: str = ""
    """the weakest reaction that counts; empty: as the node thinks"""


class Judge(Protocol):
    """What the module of a node offers."""

    def gathered(self, reader: BagReader, node: RecordedNode) -> list[Message]:
        """What of this bag matters for the others, too: people's word on what was decided."""
        ...

    def backtest(
        self,
        reader: BagReader,
        node: RecordedNode,
        interface: Interface,
        settings: Sequence[Mapping[str, Any]],
        question: Question,
        progress: Progress,
    ) -> Part:
        """One bag, by every setting."""
        ...


# --- settings ---------------------------------------------------------------------------------------------------------


def varied(texts: Sequence[str], cls: type[Node]) -> list[dict[str, Any]]:
    """The settings of `NAME=FROM:TO:STEP` or `NAME=A,B,C`, every one with every other; before them, as recorded.

    Raises:
        NoBacktest: with every mistake.
    """
    wrong: list[str] = []
    axes: list[list[tuple[str, Any]]] = []
    for text in texts:
        try:
            axes.append(_axis(text, cls))
        except (NoBacktest, BadParameter) as error:
            wrong.append(f"--vary {text}: {error}")
    names = [axis[0][0] for axis in axes]
    wrong += [f"--vary {name}: given twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if wrong:
        raise NoBacktest("\n".join(wrong))
    if math.prod(len(axis) for axis in axes) > MOST_SETTINGS:
        raise NoBacktest(f"these are {math.prod(map(len, axes))} settings: at most {MOST_SETTINGS} are judged at once")
    made = [dict(chosen) for chosen in itertools.product(*axes)]
    return [{}, *made] if axes else [{}]


def _axis(text: str, cls: type[Node]) -> list[tuple[str, Any]]:
    name, sign, given = text.partition("=")
    declared = cls.interface.parameters.get(name)
    if not sign or not given:
        raise NoBacktest("expected NAME=FROM:TO:STEP or NAME=A,B,C")
    if declared is None:
        hint = did_you_mean(name, cls.interface.parameters)
        raise NoBacktest(f"{cls.__name__} has no parameter {name!r}; {hint}")
    values = list(_range(given)) if ":" in given else [value_of(word) for word in given.split(",")]
    return [(name, declared.check(value)) for value in values]


def _range(text: str) -> Iterator[Any]:
    """The numbers of FROM:TO:STEP, both ends included; in decimals, so that 0.1 is 0.1."""
    try:
        first, last, step = (Decimal(word) for word in text.split(":"))
        if not (first.is_finite() and last.is_finite() and step.is_finite() and step):
            raise InvalidOperation
        count = int((last - first) / step) + 1
    except (InvalidOperation, ValueError, OverflowError):
        raise NoBacktest(f"expected FROM:TO:STEP, three numbers with a step that is not 0, got {shown(text)}") from None
    if not 1 <= count <= MOST_SETTINGS:
        raise NoBacktest(f"from {first} to {last} by {step} are {max(0, count)} values: 1 to {MOST_SETTINGS} are taken")
    for n in range(count):
        value = first + n * step
        yield int(value) if "." not in text and value == int(value) else float(value)


def text_of(setting: Mapping[str, Any]) -> str:
    """A setting in words."""
    return ", ".join(f"{n}={v:g}" if isinstance(v, float) else f"{n}={v}" for n, v in setting.items()) or "as recorded"


# --- nodes ------------------------------------------------------------------------------------------------------------


def nodes_of(node: str, bag: Path) -> list[tuple[RecordedNode, type[Node]]]:
    """The nodes that are meant in a bag: one by its full name, or those of a module whose machine is in it.

    Raises:
        NoBacktest: there is none, or it offers no backtest.
        BadBag, BadTarget, NotReplayable: as replay.
    """
    with BagReader(bag) as reader:
        recorded = [n for n in recorded_nodes(reader) if not is_tool(n.name)]
        topics = [channel.topic for channel in reader.channels.values()]
    names = {n.name: n for n in recorded}
    if node in names:
        found = [(names[node], recorded_class(names[node].target, bag))]
    elif "/" in node and not node.endswith(".py"):
        raise NoBacktest(f"{bag}: no node {node} in it; {did_you_mean(node, names)}")
    else:
        cls = node_class(node)
        # a bag that was cut for one machine still knows the nodes of the others
        spoken = [n for n in recorded if any(topic.startswith(f"{n.namespace}/") for topic in topics)]
        found = [(n, cls) for n in spoken if n.target == target_of(cls)]
        if not found:
            raise NoBacktest(f"{bag}: no {cls.__name__} in it; there is {', '.join(names) or 'no node'}")
    for _, cls in found:
        if not cls.backtest:
            raise NoBacktest(f"{cls.__name__} offers no backtest: `rise replay` runs it in lock-step")
    return found


JOINT_NS = 1_000_000_000
"""between two splits of one recording lies less; and so long before it may begin what a black box repeats"""


@dataclass(frozen=True, slots=True)
class Held:
    """What a bag holds of one node."""

    bag: Path
    node: str
    lives: frozenset[int]
    """ids under which the node published: another start has another"""
    start_ns: int
    end_ns: int

    @classmethod
    def of(cls, bag: Path, node: RecordedNode) -> Held:
        """Raises BadBag: it is damaged."""
        with BagReader(bag) as reader:
            lives = frozenset(c.publisher_id for c in reader.channels.values() if c.publisher == node.name)
            return cls(bag, node.name, lives, reader.start_ns, reader.end_ns)

    def within(self, others: Sequence[Held]) -> bool:
        """Whether the others together hold all of its time."""
        end_ns = self.start_ns
        for other in sorted(others, key=lambda o: o.start_ns):
            if other.start_ns - JOINT_NS <= end_ns:
                end_ns = max(end_ns, other.end_ns)
        return bool(others) and self.end_ns <= end_ns + JOINT_NS


def twice(held: Sequence[Held]) -> set[int]:
    """Which of them to leave out, lest decisions count twice: a black box beside the bag out of which it is, a copy."""
    out: set[int] = set()
    for n in sorted(range(len(held)), key=lambda n: held[n].end_ns - held[n].start_ns):
        mine = held[n]
        others = [h for m, h in enumerate(held) if m != n and m not in out and h.node == mine.node]
        same = [h for h in others if h.lives & mine.lives and h.start_ns <= mine.end_ns and mine.start_ns <= h.end_ns]
        if mine.within(same):
            out.add(n)
    return out


# --- over bags --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Job:
    """One node of one bag, to be judged by every setting."""

    bag: Path
    node: RecordedNode
    target: str
    settings: tuple[Mapping[str, Any], ...]
    question: Question


def gathered(node: RecordedNode, cls: type[Node], bag: Path) -> list[Message]:
    """What of a bag matters for all of them.

    Raises:
        BadBag: it is damaged.
    """
    offered: Judge = importlib.import_module(cls.backtest)
    with BagReader(bag) as reader:
        return offered.gathered(reader, node)


def judged(job: Job, progress: Progress) -> Part:
    """Do it here.

    Raises:
        NoBacktest: the bag or a setting cannot be used.
    """
    cls = node_class(job.target)
    offered: Judge = importlib.import_module(cls.backtest)
    started_s = time.process_time()
    try:
        with BagReader(job.bag) as reader:
            part = offered.backtest(reader, job.node, cls.interface, job.settings, job.question, progress)
    except (BadBag, BadTrace, NotReplayable, BadParameter) as error:
        raise NoBacktest(str(error)) from None
    part.cpu_s = time.process_time() - started_s
    return part


_told: Any = None
"""in a worker: where progress is told"""


def _begin_worker(told: Any) -> None:
    global _told
    _told = told


def _in_worker(number: int, job: Job) -> Part:
    last = 0.0

    def progress(done: float) -> None:
        nonlocal last
        if done - last >= 0.01:
            last = done
            _told.put_nowait((number, done))

    return judged(job, progress)


def run(jobs: Sequence[Job], processes: int, progress: Progress) -> Iterator[tuple[Job, Part | str]]:
    """The parts as they are done, or why one cannot be; in processes of their own where there is more than one."""
    if processes <= 1 or len(jobs) <= 1:
        for n, job in enumerate(jobs):

            def here(done: float, n: int = n) -> None:
                progress((n + done) / len(jobs))

            try:
                yield job, judged(job, here)
            except NoBacktest as error:
                yield job, str(error)
        return
    context = multiprocessing.get_context("spawn")
    told: Any = context.Queue()
    done = [0.0] * len(jobs)
    with ProcessPoolExecutor(min(processes, len(jobs)), context, _begin_worker, (told,)) as pool:
        running: dict[Future[Part], int] = {pool.submit(_in_worker, n, job): n for n, job in enumerate(jobs)}
        try:
            while running:
                finished, _ = wait(running, 0.1, FIRST_COMPLETED)
                _listen(told, done)
                for future in finished:
                    n = running.pop(future)
                    done[n] = 1.0
                    try:
                        yield jobs[n], future.result()
                    except NoBacktest as error:
                        yield jobs[n], str(error)
                    except BrokenProcessPool:
                        yield jobs[n], f"{jobs[n].bag}: the process that read it died (out of memory?)"
                progress(sum(done) / len(jobs))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _listen(told: Any, done: list[float]) -> None:
    while True:
        try:
            number, part = told.get_nowait()
        except queue.Empty:
            return
        done[number] = max(done[number], part)


def cores() -> int:
    """How many processes may compute at once."""
    return len(os.sched_getaffinity(0))
