"""Lock-step replay: a recorded node run again from its bag, without sockets or sleeps, as fast as the computer allows.

    result = replay(ImpactCortex, "crash.mcap", limit_pct=120.0)
    for line in differences(result.recorded, result):
        print(line)

The node's trace says which callback ran when and on what, so the same code gives the same bytes. Replay is open loop:
the recorded world answers what was recorded, whatever the node decides now.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bus import trace
from bus.bag import AnyBag, Bags, open_bags, opened
from bus.node import Node
from bus.replay.context import Result
from bus.replay.decisions import Decision, Decisions, lines
from bus.replay.differences import differences, identical
from bus.replay.follow import Progress, follow, follow_canonically
from bus.replay.inputs import Inputs, NotReplayable, RecordedNode, recorded_nodes
from bus.replay.known import Known
from bus.replay.lockstep import Invoke
from bus.replay.run import Run
from bus.replay.window import MID_RUN_REACH_S, Span, Window, warm_up_s
from bus.site import did_you_mean
from bus.target import target_of
from bus.trace import Kind
from schemas.codec import DecodeError, codec
from schemas.names import is_tool
from schemas.system import TraceBlock

__all__ = [
    "Decision",
    "Decisions",
    "Known",
    "NotReplayable",
    "Result",
    "Wanted",
    "Window",
    "differences",
    "identical",
    "lines",
    "reference",
    "replay",
    "replay_many",
]


@dataclass(slots=True)
class Wanted:
    """A node to replay: the class, which recorded node, and parameters other than recorded."""

    cls: type[Node]
    node: str = ""
    """full name; may be left out when the bag has only one node of this class"""
    parameters: Mapping[str, Any] = field(default_factory=dict)


def replay(
    cls: type[Node],
    bag: Bags,
    *,
    node: str | None = None,
    window: Window | None = None,
    progress: Progress | None = None,
    invoke: Invoke | None = None,
    **parameters: Any,
) -> Result:
    """Run a recorded node again and collect what it decides.

    A node that the bag, or the window, shows from the middle of its run on starts there as new: see `Known` for what
    is compared then.

    Args:
        cls: the class as it is now.
        bag: a bag, or several into which one recording was split.
        node: full name of the recorded node, when the bag has several of this class.
        window: only a part of the bag, and a warm-up before it.
        progress: told how much of the bag is done, 0 to 1.
        invoke: runs each callback, for a debugger.
        parameters: instead of the recorded ones; recorded changes of them are left out.

    Raises:
        NotReplayable: the bag has no such node, or its input is of an incompatible type.
        BadBag: the file is no bag, or damaged.
        BadParameter: a parameter does not fit.
    """
    wanted = Wanted(cls, node or "", parameters)
    return replay_many([wanted], bag, window=window, progress=progress, invoke=invoke)[0]


def replay_many(
    wanted: Sequence[Wanted],
    bag: Bags | AnyBag,
    *,
    window: Window | None = None,
    progress: Progress | None = None,
    invoke: Invoke | None = None,
) -> list[Result]:
    """Several nodes of one bag at once, each along its own trace, in the order of their callbacks.

    What one of them publishes now is what the others hear, under the recorded sequence numbers. A bag that is open
    already stays so.
    """
    with opened(bag) as reader:
        inputs = Inputs()
        nodes = [_choose(reader, w) for w in wanted]
        span = _span(reader, window, nodes)
        runs = [Run(w.cls, node, inputs, span, w.parameters, invoke) for w, node in zip(wanted, nodes, strict=True)]
        if window is not None and any(run.recorded.clock != "wall" for run in runs):
            raise NotReplayable(f"{reader.path}: a node on simulated time is replayed from the beginning: no window")
        started = time.perf_counter()
        traces = {channel.topic for channel in reader.channels.values()}
        traced = [run for run in runs if run.recorded.trace_topic in traces]
        # nothing here makes cycles, and a collector that looks at every message held costs 5 % of the time
        thresholds = gc.get_threshold()
        gc.set_threshold(1_000_000, *thresholds[1:])
        try:
            follow(reader, traced, progress)
            for run in runs:
                if run not in traced:
                    follow_canonically(reader, run, progress)
        finally:
            gc.set_threshold(*thresholds)
        wall_s = time.perf_counter() - started
        for run in runs:
            run.finish(reader.metadata().get("rise", {}).get("continues", ""))
            run.result.wall_s = wall_s
    return [run.result for run in runs]


def reference(bag: Bags, cls: type[Node], node: str | None = None) -> Decisions:
    """What the recorded node itself decided.

    Raises:
        NotReplayable, BadBag: as `replay`.
    """
    with open_bags(bag) as reader:
        run = Run(cls, _choose(reader, Wanted(cls, node or "")), Inputs(), _span(reader, None, ()), dry=True)
        follow(reader, [run])
        run.finish()
    return run.result.recorded


def _span(reader: AnyBag, window: Window | None, nodes: Sequence[RecordedNode]) -> Span:
    span = Span.of(window, reader.start_ns)
    if window is not None and window.warm_up_s is None:
        calls = _calls(reader, {node.trace_topic for node in nodes}, span.from_ns)
        span = Span.of(window, reader.start_ns, warm_up_s(window.start_s, calls))
    if span.from_ns > reader.end_ns:
        length_s = (reader.end_ns - reader.start_ns) / 1e9
        raise NotReplayable(f"{reader.path}: nothing lies in that window; the bag is {length_s:.3f} s long")
    return span


def _calls(reader: AnyBag, traces: set[str], until_ns: int) -> Iterator[float]:
    """When these nodes called a service, seconds since the bag's first message."""
    start_ns = max(reader.start_ns, until_ns - round(MID_RUN_REACH_S * 1e9))
    for message in reader.messages(topics=traces.__contains__, start_ns=start_ns, end_ns=until_ns):
        with contextlib.suppress(DecodeError, trace.BadTrace):  # told when it is replayed
            for record in trace.records(codec(TraceBlock).decode(message.payload)):
                if record.kind == Kind.CALL:
                    yield (record.now_ns - reader.start_ns) / 1e9


def _choose(reader: AnyBag, wanted: Wanted) -> RecordedNode:
    if wanted.cls.interface.taps:
        raise NotReplayable(f"{wanted.cls.__name__} hears the bus through a tap: no trace can hold what it heard")
    nodes = recorded_nodes(reader)
    if not nodes:
        raise NotReplayable(f"{reader.path}: the bag says of no node what it was; it was not made by the recorder")
    if wanted.node:
        found = [n for n in nodes if n.name == wanted.node]
    else:
        target = target_of(wanted.cls)
        found = [n for n in nodes if n.target == target]
    if len(found) == 1:
        return found[0]
    if not found:
        name = wanted.node or wanted.cls.__name__
        known = did_you_mean(name, [n.name for n in nodes if not is_tool(n.name)])
        raise NotReplayable(f"{reader.path}: no node {name} in it; {known}")
    raise NotReplayable(
        f"{reader.path}: {', '.join(n.name for n in found)} are all {wanted.cls.__name__}; say which by its full name"
    )
