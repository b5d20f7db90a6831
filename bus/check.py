"""The rules of `rise launch --check`: everything that can be known to be wrong before a process starts.

Each rule has a stable id, shown in brackets behind its mistakes:

file       launch-file syntax-error no-launch launch-failed no-actions no-action no-end include-cycle
arguments  bad-argument unknown-argument missing-argument bad-override
site       site-file site-syntax site-key site-value unknown-node
processes  bad-setting ignored-setting bad-name duplicate-node unknown-need needs-cycle
nodes      module-missing module-import no-node many-nodes unknown-parameter bad-parameter unknown-remap
           unhandled-silence, and what a class itself objects to (Node.mistakes): two-owners, ...
graph      two-writers two-servers incompatible-types unlike-qos unfed unserved
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from bus.launch import Restart
from bus.node import EVERY, BadParameter, Node, Parameter
from bus.plan import BROKEN, Plan, PlannedNode, PlannedProcess
from bus.site import Mistake, Where, did_you_mean
from bus.target import BadTarget, node_class
from schemas import topics
from schemas.base import BadName, Message, Service, Topic, check_name, resolve
from schemas.grammar import definition, match

AMBIENT = frozenset(t.name for t in (topics.LOG, topics.DIAGNOSTICS, topics.CLOCK, topics.PROCESSES)) | frozenset(
    s.name for s in (topics.RESTART_PROCESS, topics.STOP_PROCESS)
)
"""what every executor, the launcher and `bag play` write and serve: never missing"""


VERDICTS = frozenset(t.name for t in (topics.ALARM, topics.ASSESSMENT, topics.INTERVENTION, topics.PROTECTION))
"""who writes one of these judges a machine"""


def check(plan: Plan, *, partial: bool = False) -> list[Mistake]:
    """All mistakes of a plan, those of its loading included, in the order of files and lines.

    `partial`: other launches feed the rest, so an unfed subscription or an unserved service is only a warning.
    """
    found = list(plan.mistakes)
    classes: dict[str, type[Node] | BadTarget] = {}
    for node in plan.nodes():
        if node.target not in classes:
            try:
                with _no_longer_than(IMPORT_WITHIN_S):
                    classes[node.target] = node_class(node.target)
            except BadTarget as error:
                classes[node.target] = error
        cls = classes[node.target]
        if isinstance(cls, BadTarget):
            found.append(Mistake(cls.id, node.where, f"{node.name}: {cls}"))
        else:
            found += _parameters(node, cls)
            found += _remappings(node, cls)
            found += _silence(node, cls)
    for process in plan.processes:
        found += _settings(process)
    found += _names(plan)
    found += _needs(plan)
    known = [(n, c) for n in plan.nodes() if not isinstance(c := classes[n.target], BadTarget)]
    graph = Graph.of(known)
    found += _writers(graph)
    found += _types(graph)
    # with a launch file, a node or a name missing, half of the graph would be called unfed
    broken = any(m.id in BROKEN for m in plan.mistakes) or any(m.id in ("bad-name", "unknown-remap") for m in found)
    if len(known) == len(list(plan.nodes())) and not broken:
        found += _unfed(graph, "warning" if partial else "error")
    return sorted(dict.fromkeys(found), key=lambda m: (m.where, m.id, m.text))


IMPORT_WITHIN_S = 10.0


def errors(mistakes: list[Mistake]) -> list[Mistake]:
    return [m for m in mistakes if m.level == "error"]


@contextlib.contextmanager
def _no_longer_than(limit_s: float) -> Iterator[None]:
    """Raise TimeoutError where the block stands after `limit_s`: a module may hang in its import. Only the main thread
    can be interrupted; in another one the block takes as long as it takes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"not done after {limit_s:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- a node for itself ----------------------------------------------------------------------------------------------


def _parameters(node: PlannedNode, cls: type[Node]) -> Iterator[Mistake]:
    declared: Mapping[str, Parameter[Any]] = cls.interface.parameters
    values = {name: p.default for name, p in declared.items()}
    sound = True
    for name, given in node.parameters.items():
        if name not in declared:
            text = f"{node.name}: {cls.__name__} has no parameter {name!r}"
            yield Mistake("unknown-parameter", given.where, text, did_you_mean(name, declared))
            sound = False
            continue
        try:
            json.dumps(given.value)
            values[name] = declared[name].check(given.value)
        except BadParameter as error:
            yield Mistake("bad-parameter", given.where, f"{node.name}: {error}")
            sound = False
        except (TypeError, ValueError) as error:
            yield Mistake("bad-parameter", given.where, f"{node.name}: {name} is no plain data: {error}")
            sound = False
    if sound:
        last = max((g.where for g in node.parameters.values()), default=node.where)
        for id_, text, *path in cls.mistakes(values):
            of = node.parameters.get(str(path[0])) if path else None
            yield Mistake(id_, of.at(*path[1:]) if of else last, f"{node.name}: {text}")


def _remappings(node: PlannedNode, cls: type[Node]) -> Iterator[Mistake]:
    interface = cls.interface
    names = {t.name for t in (*(p.topic for p in interface.publishers), *(s.topic for s in interface.subscriptions))}
    names |= {s.service.name for s in interface.servers} | {c.service.name for c in interface.clients}
    for old, new in node.remappings.items():
        if old not in names:
            text = f"{node.name}: {cls.__name__} has no topic or service {old!r} to remap"
            yield Mistake("unknown-remap", node.where, text, did_you_mean(str(old), names))
        try:
            check_name(new)
        except (BadName, TypeError, AttributeError) as error:
            yield Mistake("bad-name", node.where, f"{node.name}: remapped to {new!r}: {error}")
    for name in node.outside:
        if name not in names:
            text = f"{node.name}: {cls.__name__} has no topic or service {name!r}, named in outside"
            yield Mistake("unknown-remap", node.where, text, did_you_mean(str(name), names))


def _silence(node: PlannedNode, cls: type[Node]) -> Iterator[Mistake]:
    interface = cls.interface
    if any(c.service.acts_on_machine for c in interface.clients):
        does = "acts on a machine"
    elif verdicts := [p.topic.name for p in interface.publishers if p.topic.name in VERDICTS]:
        does = f"judges a machine by {verdicts[0]}"
    else:
        return
    for s in interface.subscriptions:
        if s.topic.deadline_s is not None and not interface.handles_silence(s.topic):
            yield Mistake(
                "unhandled-silence",
                node.where,
                f"{node.name}: {cls.__name__} {does} and hears {s.topic.name}, but does not say what happens "
                f"when it is silent for {s.topic.deadline_s:g} s",
                f"add a method decorated with on_link for {s.topic.name!r}",
            )


# --- processes ------------------------------------------------------------------------------------------------------


def _settings(process: PlannedProcess) -> Iterator[Mistake]:
    s = process.settings

    def wrong(text: str) -> Mistake:
        return Mistake("bad-setting", s.where, f"{process.name}: {text}")

    def number(value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0

    def whole(value: Any, low: int, high: int) -> bool:
        return type(value) is int and low <= value <= high

    if s.realtime is not None and not whole(s.realtime, 1, 99):
        yield wrong(f"realtime is a priority 1..99 or None, not {s.realtime!r}")
    if not whole(s.nice, -20, 19):
        yield wrong(f"nice is -20..19, not {s.nice!r}")
    if isinstance(s.cpus, str) or not all(whole(c, 0, 4095) for c in s.cpus):
        yield wrong(f"cpus is a tuple of CPU numbers, not {s.cpus!r}")
    elif absent := [c for c in s.cpus if c >= (count := os.cpu_count() or 4096)]:
        text = f"{process.name}: this computer has no CPU {', '.join(map(str, absent))}, only 0..{count - 1}"
        yield Mistake("bad-setting", s.where, text, level="warning")
    if s.critical not in ("", "namespace"):
        yield wrong(f"critical is '' or 'namespace', not {s.critical!r}")
    if s.critical and not process.namespace:
        yield wrong("critical='namespace' needs a namespace: its companions there are restarted with it")
    if s.on_death not in ("", "feed_hold", "stop"):
        yield wrong(f"on_death is '', 'feed_hold' or 'stop', not {s.on_death!r}")
    if not isinstance(s.restart, (Restart, type(None))):
        yield wrong(f"restart is Restart(...) or None, not {s.restart!r}")
    if not all(map(number, (s.ready_timeout_s, s.hang_s, s.end_s))):
        yield wrong("ready_timeout_s, hang_s and end_s are seconds above 0")
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in dict(s.env).items()):
        yield wrong("env is a dict of strings")
    if not process.nodes:
        yield wrong("has no node in it")


def _names(plan: Plan) -> Iterator[Mistake]:
    nodes: dict[str, Where] = {}
    processes: dict[str, Where] = {}

    def twice(kind: str, name: str, where: Where, seen: dict[str, Where]) -> Iterator[Mistake]:
        if name in seen:
            text = f"a {kind} {name!r} is already launched at {seen[name]}"
            yield Mistake("duplicate-node", where, text, "give one of them a name or a namespace of its own")
        seen.setdefault(name, where)

    for process in plan.processes:
        same = list(twice("process", process.name, process.settings.where, processes))
        told = [m for node in process.nodes for m in twice("node", node.name, node.where, nodes)]
        if same and len(told) == len(process.nodes):  # the same thing yielded twice is one mistake
            yield same[0] if len(told) != 1 else told[0]
        else:
            yield from (*told, *same)


def _needs(plan: Plan) -> Iterator[Mistake]:
    needs: dict[str, set[str]] = {}
    where: dict[str, Where] = {}
    for p in plan.processes:  # a name that is there twice waits for what either waits for
        needs.setdefault(p.name, set()).update(p.needs, p.after)
        where.setdefault(p.name, p.settings.where)
    while True:
        try:
            TopologicalSorter(needs).prepare()
            return
        except CycleError as error:
            circle: list[str] = error.args[1]
            text = f"{circle[0]} waits for itself: {' <- '.join(circle)}"
            yield Mistake("needs-cycle", where[circle[0]], text, "take one of these needs away")
            needs[circle[1]].discard(circle[0])


# --- the graph ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class End:
    """One end of a topic or service: which node, the full name with `*` unresolved, and the row it declares."""

    node: PlannedNode
    name: str
    row: Any
    declared: str

    @property
    def every(self) -> bool:
        return self.name.startswith(f"{EVERY}/")

    def meets(self, other: End) -> bool:
        """Whether both mean one name; `*` is exactly one level."""
        if self.every == other.every:
            return self.name == other.name
        pattern, name = (self, other) if self.every else (other, self)
        level, _, rest = name.name.partition("/")
        return bool(level) and rest == pattern.name[2:]


@dataclass(frozen=True, slots=True)
class Graph:
    """Who writes, reads, serves and calls what."""

    writers: tuple[End, ...]
    readers: tuple[End, ...]
    servers: tuple[End, ...]
    callers: tuple[End, ...]

    @classmethod
    def of(cls, nodes: list[tuple[PlannedNode, type[Node]]]) -> Graph:
        def end(node: PlannedNode, row: Topic[Any] | Service[Any, Any], namespace: str | None) -> End:
            below = node.namespace if namespace is None else namespace
            return End(node, resolve(node.remappings.get(row.name, row.name), below), row, row.name)

        each = [(node, c.interface) for node, c in nodes]
        return cls(
            tuple(end(n, p.topic, p.namespace) for n, i in each for p in i.publishers),
            tuple(end(n, s.topic, s.namespace) for n, i in each for s in i.subscriptions),
            tuple(end(n, s.service, None) for n, i in each for s in i.servers),
            tuple(end(n, c.service, c.namespace) for n, i in each for c in i.clients),
        )


def _writers(graph: Graph) -> Iterator[Mistake]:
    for ends, rule, does in ((graph.writers, "two-writers", "writes"), (graph.servers, "two-servers", "serves")):
        first: dict[str, End] = {}
        clashes: dict[tuple[str, str], list[End]] = {}  # of the same two nodes: one mistake
        for end in ends:
            if end.every or (isinstance(end.row, Topic) and end.row.writers == "many"):
                continue
            other = first.setdefault(end.name, end)
            if other.node.name != end.node.name:
                clashes.setdefault((other.node.name, end.node.name), []).append(end)
        for clash in clashes.values():
            node, before = clash[0].node, first[clash[0].name].node
            text = f"{node.name} {does} {_listed(clash)}, and so does {before.name} ({before.where})"
            yield Mistake(rule, node.where, text, "only one may: remap one, or put it in another namespace")


def _listed(ends: list[End]) -> str:
    return ", ".join(dict.fromkeys(e.name for e in ends))


def _types(graph: Graph) -> Iterator[Mistake]:
    for reader in graph.readers:
        for writer in (w for w in graph.writers if w.meets(reader)):  # a node hears itself, too
            if reader.row.type is not writer.row.type:
                yield from _mismatch(reader, writer, reader.row.type, writer.row.type)
            mine, theirs = reader.row.qos.name, writer.row.qos.name
            if mine != theirs:
                text = f"{reader.node.name} reads {reader.name} as {mine}, but {writer.node.name} writes it as {theirs}"
                yield Mistake("unlike-qos", reader.node.where, text, level="warning")
    for caller in graph.callers:
        for server in (s for s in graph.servers if s.meets(caller)):
            if caller.row is not server.row:
                yield from _mismatch(server, caller, server.row.request, caller.row.request)
                yield from _mismatch(caller, server, caller.row.reply, server.row.reply)


def _mismatch(reader: End, writer: End, mine: type[Message], theirs: type[Message]) -> Iterator[Mistake]:
    result = match(definition(mine), definition(theirs))
    if result.outcome == "incompatible":
        yield Mistake(
            "incompatible-types",
            reader.node.where,
            f"{reader.name}: {reader.node.name} expects {mine.__name__}, {writer.node.name} ({writer.node.where}) "
            f"sends {theirs.__name__}: {'; '.join(result.reasons[:4])}",
        )


def _unfed(graph: Graph, level: Literal["error", "warning"]) -> Iterator[Mistake]:
    rows = (
        (graph.readers, graph.writers, "unfed", "hears", "writes"),
        (graph.callers, graph.servers, "unserved", "calls", "serves"),
    )
    for wanting, giving, rule, wants, gives in rows:
        names = {e.name for e in giving}
        patterns: dict[str, list[End]] = {}
        for end in wanting:
            if (
                end.declared in AMBIENT
                or end.declared.startswith(("node/", "service/"))
                or end.declared in end.node.outside
                or any(end.meets(g) for g in giving)
            ):
                continue
            if end.every:
                patterns.setdefault(end.node.name, []).append(end)
                continue
            same = sorted(n for n in names if n.rpartition("/")[2] == end.name.rpartition("/")[2])
            hint = f"did you mean {same[0]!r}? " if same else ""
            yield Mistake(
                rule,
                end.node.where,
                f"{end.node.name} {wants} {end.name}, which nobody {gives}",
                f"{hint}launch who {gives} it, remap it, or say outside=({end.declared!r},)",
                level=level,
            )
        for ends in patterns.values():  # a node that looks at every machine may find none
            text = f"{ends[0].node.name} {wants} {_listed(ends)}, which nobody {gives}"
            hint = f"launch who {gives} {'it' if len(ends) == 1 else 'them'}, or name them in outside=(...)"
            yield Mistake(rule, ends[0].node.where, text, hint, level="warning")
