"""One recorded node, run again callback by callback: no sockets, no clock, no threads."""

from __future__ import annotations

import bdb
import json
import traceback
import typing
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bus import trace
from bus.bag import BagMessage
from bus.node import BadParameter, CallError, Node, Outcome, Source, Subscription
from bus.replay.context import Asked, ReplayContext, Result
from bus.replay.decisions import Decision, zeroed
from bus.replay.inputs import Inputs, Key, Names, NotReplayable, RecordedNode
from bus.trace import Kind, Record
from schemas.base import Message, Topic
from schemas.codec import DecodeError, codec
from schemas.grammar import definition, match, type_hash

Invoke = Callable[[Record, Callable[..., Any], tuple[Any, ...]], Any]
"""Runs a callback in place of the replay: for a debugger that stops before it"""

MAX_ERRORS = 100
MESSAGE = int(Kind.MESSAGE)


@dataclass(slots=True)
class _Handler:
    """What a MESSAGE or LINK record leads to."""

    method: Callable[..., Any]
    subscription: Subscription
    full_name: str
    decode: Callable[[bytes], Message]
    checked: set[int] = field(default_factory=set)
    """channels whose type was compared with the class's"""


class Life:
    """One start of a node, followed through its trace."""

    def __init__(
        self,
        cls: type[Node],
        recorded: RecordedNode,
        inputs: Inputs,
        result: Result,
        overrides: Mapping[str, Any],
        invoke: Invoke | None = None,
    ) -> None:
        self.cls = cls
        self.recorded = recorded
        self.inputs = inputs
        self.result = result
        self.context = ReplayContext(recorded, result)
        self.queue: deque[Record] = deque()
        self.stepped = 0
        self.parameters_json = ""
        """the parameters as the trace begins; empty: as the node's entry says"""
        self.missing: dict[tuple[str, int], list[int]] = {}
        """by (topic, publisher): how many, first seq, time of the first"""
        self._names = Names(recorded, cls.interface)
        self._overrides = overrides
        self._invoke = invoke
        self._node: Node | None = None
        self._messages: dict[str, _Handler | None] = {}
        self._links: dict[str, _Handler | None] = {}
        self._workers: dict[str, tuple[Callable[..., Any], type[Message]] | None] = {}
        self._skipped: set[str] = set()
        self._steps: dict[int, Callable[[Node, Record], None]] = {
            MESSAGE: self._message,
            Kind.BATCH: self._batch,
            Kind.TIMER: self._timer,
            Kind.LINK: self._link,
            Kind.REQUEST: self._request,
            Kind.REPLY: self._reply,
            Kind.WORKER: self._worker,
            Kind.SUBMIT: self._submit,
            Kind.PARAMETER: self._parameter,
            Kind.SHUTDOWN: self._shutdown,
        }

    # --- stepping -----------------------------------------------------------------------------------------------------

    def step(self, record: Record) -> None:
        """Run one recorded callback.

        Raises:
            NotReplayable: the node cannot be built from what was recorded.
            BadTrace: the record's payload is damaged.
            BadParameter: a parameter given for this replay does not fit.
        """
        context, node, kind = self.context, self._node, record[0]
        context.stamp_ns = record[2]
        self.stepped += 1
        try:
            if kind == MESSAGE and node is not None:
                self._message(node, record)
            elif kind == Kind.CONFIGURE:
                node = node or self.build()
                self.run(record, node.on_configure)
            else:
                node = node or self._begin_in_mid_run(record)
                self._steps[kind](node, record)
            while context.due:
                self._answered(record, *context.due.popleft())
        except (bdb.BdbQuit, NotReplayable, trace.BadTrace, BadParameter):
            raise
        except Exception as error:  # as the executor does: the message is skipped, the node goes on
            self._failed(record, error)
        if context.asked:
            self._expire(record)

    def run(self, record: Record, method: Callable[..., Any], *args: Any) -> Any:
        """The callback itself."""
        if self._invoke is None:
            return method(*args)
        return self._invoke(record, method, args)

    def build(self) -> Node:
        """The node, with its recorded parameters under those given for this replay."""
        wanted = self._recorded_parameters()
        known = self.cls.interface.parameters
        gone = sorted(set(wanted) - set(known))
        if gone:
            self.skip(f"parameter {', '.join(gone)} was recorded, and {self.cls.__name__} has none of that name")
        values: dict[str, Any] = {}
        for name, value in wanted.items():
            if name in known and name not in self._overrides:
                try:
                    values[name] = known[name].check(value)
                except BadParameter as error:
                    raise NotReplayable(
                        f"{self.recorded.name}: recorded parameter {error}; give a value that fits with -p {name}=..."
                    ) from None
        node = self.cls(self.context, {**values, **self._overrides})
        self.result.parameters = {name: node.__dict__[name] for name in known}
        self._node = node
        return node

    def _recorded_parameters(self) -> Mapping[str, Any]:
        if not self.parameters_json:
            return self.recorded.parameters
        try:
            found = json.loads(self.parameters_json)
        except ValueError as error:
            raise trace.BadTrace(f"trace: damaged parameters: {error}") from None
        if not isinstance(found, dict):
            raise trace.BadTrace(f"trace: damaged parameters: expected an object, got {type(found).__name__}")
        return found

    def _begin_in_mid_run(self, record: Record) -> Node:
        self.skip(
            "the bag begins in the middle of the node's run: it starts here as new, with the latched state before"
        )
        node = self.build()
        node.on_configure()
        keys = {(r.publisher_id, r.name.rpartition(" ")[2], r.seq) for r in (record, *self.queue)}
        topics: dict[str, Topic[Any]] = {}
        methods: dict[str, str] = {}
        for full in {topic for _, topic, _ in self.inputs.held}:
            for s in self._names.subscriptions(full):
                topics[full], methods[full] = s.topic, s.method
        for message in self.inputs.before(record.now_ns, topics, keys):
            self.deliver(record, f"{methods[message.topic]} {message.topic}", [message])
        return node

    def ended_before(self, stamp_ns: int) -> bool:
        """Whether its trace ends before this moment: what a bag's last blocks hold of each node differs."""
        return not self.queue and self.context.stamp_ns <= stamp_ns

    def skip(self, why: str) -> None:
        """Something recorded that this class cannot do: noted once."""
        if why not in self._skipped:
            self._skipped.add(why)
            self.result.notes.append(f"{self.recorded.name}: {why}")

    def _failed(self, record: Record, error: Exception) -> None:
        if len(self.result.errors) < MAX_ERRORS:
            last = traceback.extract_tb(error.__traceback__)[-1]
            seconds = (record.now_ns - self.result.start_ns) / 1e9
            self.result.errors.append(
                f"{self.recorded.name} {seconds:.3f} s  {Kind(record.kind).name} {record.name}: "
                f"{type(error).__name__}: {error} ({last.filename}:{last.lineno} {last.name})"
            )

    # --- messages -----------------------------------------------------------------------------------------------------

    def _message(self, node: Node, record: Record) -> None:
        # the hot path: every sample of a job passes here
        _, name, _, publisher_id, seq, _ = record
        handler = self._messages.get(name)
        if handler is None:
            handler = self._bind(node, name)
            if handler is None:
                return
        message = self._take(node, handler, (publisher_id, handler.full_name, seq))
        if message is None:
            return
        if self._invoke is None:
            handler.method(message)
        else:
            self._invoke(record, handler.method, (message,))

    def deliver(self, record: Record, name: str, messages: list[BagMessage]) -> None:
        """Messages outside the trace to the callback `<method> <full topic>`: one by one, or as one batch."""
        node = self._node or self.build()
        handler = self._bind(node, name)
        if handler is None:
            return
        if handler.subscription.batch_s is not None:
            self.run(record, handler.method, [self._decoded(node, handler, m) for m in messages])
            return
        for message in messages:
            self.run(record, handler.method, self._decoded(node, handler, message))

    def _bind(self, node: Node, name: str, *, link: bool = False) -> _Handler | None:
        """The callback of `<method> <full topic>`; another one for the same topic when that name is gone."""
        bound = self._links if link else self._messages
        if name in bound:
            return bound[name]
        method, _, full = name.partition(" ")
        interface = self.cls.interface
        heard = self._names.subscriptions(full)
        methods = (
            [k.method for k in interface.links if any(k.topic is s.topic for s in heard)]
            if link
            else [s.method for s in heard]
        )
        if not methods:
            self.skip(f"{method} on {full} was recorded, and {self.cls.__name__} has no such callback")
            bound[name] = None
            return None
        chosen = method if method in methods else methods[0]
        subscription = next((s for s in heard if s.method == chosen), heard[0])
        kind: type[Message] = subscription.topic.type
        decode = codec(kind).decode
        made = bound[name] = _Handler(getattr(node, chosen), subscription, full, decode)
        return made

    def _take(self, node: Node, handler: _Handler, key: Key) -> Message | None:
        """The message under this key, `node.source` set; None when there is none."""
        inputs = self.inputs
        if inputs.remade and (publisher := inputs.remade.get(key[:2])) is not None:
            return self._remade(node, handler, key, publisher)
        found = inputs.held.get(key)
        if found is None:
            publisher_id, topic, seq = key
            missing = self.missing.setdefault((topic, publisher_id), [0, seq, self.context.stamp_ns])
            missing[0] += 1
            return None
        return self._decoded(node, handler, found)

    def _remade(self, node: Node, handler: _Handler, key: Key, publisher_life: Life) -> Message | None:
        """What the publisher, replayed too, says now under this number."""
        made = self.inputs.made.get(key)
        recorded = self.inputs.held.get(key)
        if made is None:
            if recorded is not None and publisher_life.ended_before(recorded.publish_ns):
                return self._decoded(node, handler, recorded)
            self.skip(f"{key[1]}: the replayed publisher did not publish some recorded messages")
            return None
        publisher, stamp_ns = (recorded.publisher, recorded.publish_ns) if recorded else ("", self.context.stamp_ns)
        node.source = Source(publisher, key[1], key[2], stamp_ns, key[0])
        return made

    def _decoded(self, node: Node, handler: _Handler, message: BagMessage) -> Message:
        channel, seq, _, publish_ns, payload = message
        if channel.id not in handler.checked:
            handler.checked.add(channel.id)
            self._check(handler.subscription.topic, message)
        node.source = Source(channel.publisher, channel.topic, seq, publish_ns, channel.publisher_id)
        try:
            return handler.decode(payload)
        except DecodeError as error:
            wanted = handler.subscription.topic.type.__name__
            raise NotReplayable(f"{channel.topic} of {channel.publisher} is recorded as no {wanted}: {error}") from None

    def _check(self, topic: Topic[Any], message: BagMessage) -> None:
        kind: type[Message] = topic.type
        if message.type_hash == type_hash(kind):
            return
        found = match(definition(kind), message.channel.definition)
        if found.outcome == "incompatible":
            reasons = "; ".join(found.reasons)
            raise NotReplayable(f"{message.topic} was recorded with an incompatible {message.type_name}: {reasons}")
        unknown = f", without {', '.join(found.unknown_fields)}" if found.unknown_fields else ""
        self.skip(f"{message.topic} was recorded with another version of {message.type_name}; read as today's{unknown}")

    def _batch(self, node: Node, record: Record) -> None:
        method, _, _ = record.name.partition(" ")
        messages = []
        for topic, publisher_id, seq in trace.unpack_batch(record.payload):
            handler = self._bind(node, f"{method} {topic}")
            if handler is not None:
                message = self._take(node, handler, (publisher_id, topic, seq))
                if message is not None:
                    messages.append(message)
        if messages:
            self.run(record, getattr(node, method), messages)

    def _link(self, node: Node, record: Record) -> None:
        event = trace.unpack_link(record.payload)
        handler = self._bind(node, record.name, link=True)
        if handler is not None:
            self.run(record, handler.method, event)

    # --- everything else ----------------------------------------------------------------------------------------------

    def _timer(self, node: Node, record: Record) -> None:
        if any(t.method == record.name for t in self.cls.interface.timers):
            self.run(record, getattr(node, record.name))
        else:
            self.skip(f"timer {record.name} was recorded, and {self.cls.__name__} has none of that name")

    def _request(self, node: Node, record: Record) -> None:
        method, _, client = record.name.partition(" ")
        server = next((s for s in self.cls.interface.servers if s.method == method), None)
        if server is None:
            self.skip(f"service method {method} was recorded, and {self.cls.__name__} has none of that name")
            return
        asks: type[Message] = server.service.request
        answers: type[Message] = server.service.reply
        full = self.recorded.resolve(server.service.name)
        node.source = Source(client, full, record.seq, record.now_ns)
        reply = self.run(record, getattr(node, method), codec(asks).decode(record.payload))
        payload = codec(answers).encode(zeroed(reply))
        self.result.made.append(Decision(full, answers, payload, record.now_ns, what="reply"))

    def _reply(self, node: Node, record: Record) -> None:
        answer = trace.unpack_outcome(record.payload)
        asked = self.context.asked.pop((record.name, record.seq), None)
        if asked is None:
            self.context.early[record.name, record.seq] = answer
        else:
            self._answered(record, asked, answer)

    def _answered(self, record: Record, asked: Asked, answer: tuple[CallError | None, str, bytes | None]) -> None:
        error, text, payload = answer
        kind: type[Message] = asked.service.reply
        reply = None if payload is None else codec(kind).decode(payload)
        outcome: Outcome[Any] = Outcome(reply, error, text)
        asked.future.set_result(outcome)
        if asked.then is not None:
            self.run(record, asked.then, outcome)

    def _expire(self, record: Record) -> None:
        """Calls that the recorded node did not make, so that no answer was recorded."""
        over = [key for key, asked in self.context.asked.items() if asked.deadline_ns < record.now_ns]
        for key in over:
            asked = self.context.asked.pop(key)
            self._answered(record, asked, (CallError.DEADLINE, "this call is not in the recording", None))

    def _worker(self, node: Node, record: Record) -> None:
        if record.name not in self._workers:
            self._workers[record.name] = self._find_worker(node, record.name)
        found = self._workers[record.name]
        if found is not None:
            method, kind = found
            self.run(record, method, codec(kind).decode(record.payload))

    def _find_worker(self, node: Node, name: str) -> tuple[Callable[..., Any], type[Message]] | None:
        method, _, type_name = name.partition(" ")
        if not any(w.method == method for w in self.cls.interface.workers):
            self.skip(f"worker method {method} was recorded, and {self.cls.__name__} has none of that name")
            return None
        hints = list(typing.get_type_hints(getattr(self.cls, method)).items())
        wanted = [hint for hint_name, hint in hints if hint_name != "return"]
        kinds = [k for hint in wanted for k in (typing.get_args(hint) or (hint,)) if isinstance(k, type)]
        kinds = [k for k in kinds if issubclass(k, Message)]
        chosen = next((k for k in kinds if not type_name or k.__name__ == type_name), None)
        if chosen is None:
            raise NotReplayable(
                f"{self.recorded.name}: {method} was handed a {type_name or 'message'}, and its parameter is annotated "
                f"{', '.join(k.__name__ for k in kinds) or 'without a message type'}"
            )
        return getattr(node, method), chosen

    def _submit(self, node: Node, record: Record) -> None:
        waiting = self.context.submitted
        if waiting and waiting[0][0].__name__ == record.name:
            function, args, future = waiting.popleft()
            future.set_result(self.run(record, function, *args))
        elif record.payload and callable(getattr(node, record.name, None)):
            self.run(record, getattr(node, record.name), *trace.unpack_arguments(record.payload))
        elif record.name not in ("publish", "report"):  # the executor's own: a log line or finding of a worker
            self.skip(f"{record.name} was submitted from another thread with arguments that no trace holds: left out")

    def _parameter(self, node: Node, record: Record) -> None:
        name = record.name
        declared = self.cls.interface.parameters.get(name)
        if declared is None:
            self.skip(f"parameter {name} was set, and {self.cls.__name__} has none of that name")
        elif name in self._overrides:
            self.skip(f"parameter {name} was set while recorded; the value given for this replay stays")
        else:
            node.__dict__[name] = declared.check(json.loads(record.payload))
            self.run(record, node.on_parameter, name)

    def _shutdown(self, node: Node, record: Record) -> None:
        self.run(record, node.on_shutdown)
