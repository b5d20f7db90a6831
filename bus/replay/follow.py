"""Going through a bag once, running each node's callbacks as their traces come by; without a trace, in order."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bus import trace
from bus.bag import AnyBag, BagMessage, Channel
from bus.replay.lockstep import Life
from bus.replay.run import Run
from bus.trace import Kind, Record
from schemas.base import Message, Topic
from schemas.codec import DecodeError, codec
from schemas.system import ServiceEvent, TraceBlock

HORIZON_NS = 5_000_000_000
"""What a trace refers to is in the bag at most so long after the trace."""
REPORT_EVERY = 2000
"""messages between two reports of progress"""

Progress = Callable[[float], None]


@dataclass(slots=True)
class _Route:
    """What the messages of one channel are to the nodes being replayed."""

    trace_of: Run | None
    heard: bool
    outputs: list[tuple[Run, Topic[Any]]]
    replies_of: list[Run]


def _route(runs: Sequence[Run], channel: Channel) -> _Route:
    topic = channel.topic
    own = [run for run in runs if run.recorded.name == channel.publisher]
    outputs = [(run, found) for run in own if (found := run.names.published(topic)) is not None]
    service = topic.removesuffix("/_event")
    return _Route(
        next((run for run in own if run.recorded.trace_topic == topic), None),
        any(run.names.subscriptions(topic) for run in runs if not run.dry),
        outputs,
        [run for run in own if service != topic and run.names.server(service) is not None],
    )


class _Routes(dict[int, _Route]):
    """Routes by channel number, made when first met."""

    def __init__(self, reader: AnyBag, runs: Sequence[Run]) -> None:
        self._reader = reader
        self._runs = runs

    def __missing__(self, channel_id: int) -> _Route:
        made = self[channel_id] = _route(self._runs, self._reader.channels[channel_id])
        return made


def _wanted(runs: Sequence[Run]) -> Callable[[str], bool]:
    """Which topics matter to these runs, so that chunks without them need not be unpacked."""

    def select(topic: str) -> bool:
        service = topic.removesuffix("/_event")
        return any(
            topic == run.recorded.trace_topic
            or run.names.published(topic) is not None
            or (service != topic and run.names.server(service) is not None)
            or bool(run.names.subscriptions(topic))
            for run in runs
        )

    return select


def _messages(reader: AnyBag, runs: Sequence[Run], progress: Progress | None) -> Iterator[BagMessage]:
    span, wanted = runs[0].span, _wanted(runs)
    yield from reader.state_before(span.read_ns, topics=wanted)
    end_ns = span.end_ns + HORIZON_NS
    length = max(1, min(reader.end_ns, end_ns) - span.read_ns)
    messages = reader.messages(topics=wanted, start_ns=span.read_ns, end_ns=end_ns)
    if progress is None:
        yield from messages
        return
    for count, message in enumerate(messages):
        if not count % REPORT_EVERY:
            progress(min(1.0, (message.log_ns - span.read_ns) / length))
        yield message
    progress(1.0)


def _note(route: _Route, message: BagMessage) -> None:
    """A message that a recorded node published or answered with."""
    for run, topic in route.outputs:
        run.keep(message, topic)
    if route.replies_of:
        try:
            event = codec(ServiceEvent).decode(message.payload)
        except DecodeError as error:
            for run in route.replies_of:
                run.problem(f"{message.topic} number {message.seq}: {error}")
            return
        for run in route.replies_of:
            run.keep_reply(event)


def follow(reader: AnyBag, runs: Sequence[Run], progress: Progress | None = None) -> None:
    """One pass over the bag. Each block of a trace is run once everything it may refer to has been read."""
    if not runs:
        return
    routes = _Routes(reader, runs)
    inputs = runs[0].inputs
    due: deque[tuple[int, Life, int]] = deque()
    lives: list[Life] = []
    decode = codec(TraceBlock).decode
    for message in _messages(reader, runs, progress):
        route = routes[message.channel.id]
        if route.heard:
            inputs.add(message)
        if route.outputs or route.replies_of:
            _note(route, message)
        if route.trace_of is not None:
            run = route.trace_of
            publisher_id = message.channel.publisher_id
            try:
                block = decode(message.payload)
            except DecodeError as error:
                raise trace.BadTrace(f"{message.topic} number {message.seq}: {error}") from None
            if publisher_id not in run.lives:
                lives.append(run.life(publisher_id))
                if next((r.kind for r in trace.records(block)), 0) == Kind.CONFIGURE:
                    _feed(reader, run, publisher_id, runs)
            life = run.take(block, publisher_id)
            due.append((message.log_ns, life, life.stepped + len(life.queue)))
        while due and due[0][0] + HORIZON_NS < message.log_ns:
            _, life, target = due.popleft()
            _run(lives, life, target)
    for _, life, target in due:
        _run(lives, life, target)


def _run(lives: list[Life], life: Life, target: int) -> None:
    """Run callbacks until `life` has had `target` of them; those of other nodes in between in order of time."""
    if len(lives) == 1:
        step, take = life.step, life.queue.popleft
        for _ in range(target - life.stepped):
            step(take())
        return
    while life.stepped < target:
        waiting = [one for one in lives if one.queue]
        first = min(waiting, key=lambda one: one.queue[0].now_ns)
        first.step(first.queue.popleft())


def _feed(reader: AnyBag, run: Run, publisher_id: int, runs: Sequence[Run]) -> None:
    """Let the other nodes hear what this one publishes now, under the numbers its executor would give."""
    inputs, life = run.inputs, run.life(publisher_id)
    next_seq: dict[str, int] = {}
    for channel in reader.channels.values():
        topic = run.names.published(channel.topic) if channel.publisher_id == publisher_id else None
        if topic is not None and topic.persist:
            continue  # its first numbers may be those of what an earlier life said: it is heard as recorded
        if topic is not None and any(other.names.subscriptions(channel.topic) for other in runs if other is not run):
            # a DURABLE topic goes on counting where the node's last life ended
            next_seq[channel.topic] = channel.first_seq if topic.qos.logged else 1
            inputs.remade[publisher_id, channel.topic] = life

    def remade(full_name: str, message: Message) -> None:
        seq = next_seq.get(full_name)
        if seq is not None:
            inputs.made[publisher_id, full_name, seq] = message
            next_seq[full_name] = seq + 1

    if next_seq:
        life.context.remade = remade


# --- without a trace --------------------------------------------------------------------------------------------------


def follow_canonically(reader: AnyBag, run: Run, progress: Progress | None = None) -> None:
    """Run a node that left no trace: messages by log time, topic, publisher, seq; then timers and batches when due."""
    run.result.order = "canonical"
    run.result.notes.append(
        f"{run.recorded.name}: no trace in the bag; callbacks run in order of recording, timers at their periods"
    )
    life = run.life(0)
    routes = _Routes(reader, [run])
    start_ns = run.span.read_ns
    if start_ns > reader.start_ns:
        life.from_mid_run(start_ns)
        if run.changed:
            life.begin_twin(run.unchanged)

    def step(kind: Kind, name: str, now_ns: int, publisher_id: int = 0, seq: int = 0, payload: bytes = b"") -> None:
        run.times.append(now_ns)
        life.step(Record(kind, name, now_ns, publisher_id, seq, payload))

    step(Kind.CONFIGURE, "on_configure", start_ns)
    interface = run.cls.interface
    batches: dict[str, list[tuple[str, int, int]]] = {s.method: [] for s in interface.subscriptions if s.batch_s}
    periods = [(int(t.period_s * 1e9), t.method) for t in interface.timers]
    periods += [(int(s.batch_s * 1e9), s.method) for s in interface.subscriptions if s.batch_s]
    clock = [(start_ns + period, order, period, method) for order, (period, method) in enumerate(periods)]
    heapq.heapify(clock)

    def pass_time(until_ns: int) -> None:
        while clock and clock[0][0] < until_ns:
            now_ns, order, period, method = clock[0]
            heapq.heapreplace(clock, (now_ns + period, order, period, method))
            if method not in batches:
                step(Kind.TIMER, method, now_ns)
            elif batches[method]:
                step(Kind.BATCH, method, now_ns, payload=trace.pack_batch(batches[method]))
                batches[method].clear()

    end_ns = min(reader.end_ns + 1, run.span.end_ns)
    for message in _by_time(_messages(reader, [run], progress)):
        if message.log_ns >= end_ns:
            break
        pass_time(message.log_ns)
        route = routes[message.channel.id]
        _note(route, message)
        if route.heard:
            run.inputs.add(message)
            for s in run.names.subscriptions(message.topic):
                if s.batch_s:
                    batches[s.method].append((message.topic, message.publisher_id, message.seq))
                else:
                    name = f"{s.method} {message.topic}"
                    step(Kind.MESSAGE, name, message.log_ns, message.publisher_id, message.seq)
    pass_time(end_ns)


def _by_time(messages: Iterator[BagMessage]) -> Iterator[BagMessage]:
    """Messages of the same log time in order of topic, publisher and seq."""
    together: list[BagMessage] = []
    for message in messages:
        if together and message.log_ns != together[0].log_ns:
            yield from sorted(together, key=_place)
            together = []
        together.append(message)
    yield from sorted(together, key=_place)


def _place(message: BagMessage) -> tuple[str, str, int]:
    return message.topic, message.publisher, message.seq
