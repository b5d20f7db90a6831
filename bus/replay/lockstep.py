"""One recorded node, run again callback by callback: no sockets, no clock, no threads."""

from __future__ import annotations

import bdb
import json
import traceback
import typing
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from bus import trace
from bus.bag import BagMessage
from bus.node import BadParameter, CallError, Node, Outcome, Source
from bus.replay.context import Asked, ReplayContext, Result
from bus.replay.decisions import Decision, zeroed
from bus.replay.hearing import Hearing
from bus.replay.inputs import Inputs, Names, NotReplayable, RecordedNode
from bus.trace import Kind, Record
from schemas.base import Message, Topic
from schemas.codec import codec

Invoke = Callable[[Record, Callable[..., Any], tuple[Any, ...]], Any]
"""Runs a callback in place of the replay: for a debugger that stops before it"""

MAX_ERRORS = 100
MESSAGE = int(Kind.MESSAGE)


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
        self.mid_run = False
        """followed from the middle of its run: its state at the beginning is not known"""
        self.begin_ns = 0
        """nothing before it is run"""
        self.configured_ns = 0
        self.twin: Life | None = None
        """the same with the recorded parameters: what it does otherwise than recorded, it does for lack of its past"""
        self._numbered: set[str] = set()
        self._numbering: deque[tuple[int, str, int]] = deque()
        """from which callback on how many calls of a service were made before"""
        self._names = Names(recorded, cls.interface)
        self.hearing = Hearing(cls, self._names, inputs, self.skip)
        self._overrides = overrides
        self._invoke = invoke
        self._node: Node | None = None
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
        if self._numbering:
            self._number()
        self.stepped += 1
        try:
            if kind == MESSAGE and node is not None:
                self._message(node, record)
            elif kind == Kind.CONFIGURE:
                self.configured_ns = record.now_ns
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
        if self.twin is not None:
            self.twin.step(record)

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

    # --- from mid-run on ----------------------------------------------------------------------------------------------

    def from_mid_run(self, begin_ns: int) -> None:
        """Follow it from here, where its state is not known."""
        self.mid_run, self.begin_ns = True, begin_ns
        self.context.counted = set()

    def begin_twin(self, unchanged: Result) -> None:
        """From here on also with its parameters as recorded; `unchanged` collects what comes of it."""
        self.twin = Life(self.cls, self.recorded, self.inputs.as_recorded(), unchanged, {})
        self.twin.parameters_json, self.twin.queue = self.parameters_json, self.queue
        self.twin.context.counted = set()

    def number_calls(self, records: list[Record]) -> None:
        """Count calls as the recording does from its first call on, so that each gets its own answer."""
        at = self.stepped + len(self.queue)
        for record in records:
            calls = record.kind == Kind.CALL
            if (calls or record.kind == Kind.REPLY) and record.name not in self._numbered:
                self._numbered.add(record.name)
                self._numbering.append((at - calls, record.name, record.seq - calls))
            at += not calls

    def _number(self) -> None:
        while self._numbering and self._numbering[0][0] <= self.stepped:
            _, name, before = self._numbering.popleft()
            for life in (self, self.twin):
                if life is not None:
                    life.context.called_before(name, before)

    def _begin_in_mid_run(self, record: Record) -> Node:
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

    # --- what is said -------------------------------------------------------------------------------------------------

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
        _, name, now_ns, publisher_id, seq, _ = record
        handler = self.hearing.handler(node, name)
        if handler is None:
            return
        message = self.hearing.take(node, handler, (publisher_id, handler.full_name, seq), now_ns)
        if message is None:
            return
        if self._invoke is None:
            handler.method(message)
        else:
            self._invoke(record, handler.method, (message,))

    def deliver(self, record: Record, name: str, messages: list[BagMessage]) -> None:
        """Messages outside the trace to the callback `<method> <full topic>`: one by one, or as one batch."""
        node = self._node or self.build()
        handler = self.hearing.handler(node, name)
        if handler is None:
            return
        if handler.subscription.batch_s is not None:
            self.run(record, handler.method, [self.hearing.decoded(node, handler, m) for m in messages])
            return
        for message in messages:
            self.run(record, handler.method, self.hearing.decoded(node, handler, message))

    def _batch(self, node: Node, record: Record) -> None:
        method, _, _ = record.name.partition(" ")
        messages = []
        for topic, publisher_id, seq in trace.unpack_batch(record.payload):
            handler = self.hearing.handler(node, f"{method} {topic}")
            if handler is not None:
                message = self.hearing.take(node, handler, (publisher_id, topic, seq), record.now_ns)
                if message is not None:
                    messages.append(message)
        if messages:
            self.run(record, getattr(node, method), messages)

    def _link(self, node: Node, record: Record) -> None:
        event = trace.unpack_link(record.payload)
        handler = self.hearing.link_handler(node, record.name)
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
