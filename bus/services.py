"""Requests and replies: the calling side with its deadlines, the serving side with its memory of what was answered.

A call carries an id. Sent again (a lost connection, a restarted server) it is still the same call: a server that has
answered it repeats the answer, one that is at it lets the repetition attach, and one that was restarted in between
says OUTCOME_UNKNOWN unless the service is idempotent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from bus import frame, parameter_services
from bus.host import Host, Job, NodeFuture
from bus.node import CallError, Outcome, Source
from bus.trace import Kind, pack_outcome
from schemas import topics
from schemas.base import Message, Service
from schemas.codec import DecodeError, codec
from schemas.sayable import sayable
from schemas.system import ServiceEvent

if TYPE_CHECKING:
    from bus.entry import Entry
    from bus.executor import Executor

RETRY_NS = 500_000_000
REMEMBER_NS = 10_000_000_000
"""how long after its deadline an answer is kept for a repeated request"""
PENDING_MAX = 1024
REMEMBERED_MAX = 4096
WAITING_MAX = 1024
REMAINING_MAX_MS = 24 * 3600 * 1000


class _Pending:
    __slots__ = (
        "attempt",
        "deadline_ns",
        "entry",
        "future",
        "host",
        "ordinal",
        "request",
        "service",
        "then",
        "wire_name",
    )

    def __init__(
        self, host: Host, service: Service[Any, Any], wire_name: str, request: bytes, deadline_ns: int,
        future: Future[Any], then: Callable[[Outcome[Any]], None] | None, ordinal: int, entry: Entry | None,
    ) -> None:  # fmt: skip
        self.host = host
        self.service = service
        self.wire_name = wire_name
        self.request = request
        self.deadline_ns = deadline_ns
        self.future = future
        self.then = then
        self.ordinal = ordinal
        self.entry = entry
        """the server the first attempt went to"""
        self.attempt = 0


class Caller:
    """The calls that the nodes of this process have open."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._pending: dict[int, _Pending] = {}
        self._last_id = 0

    def call(
        self, host: Host, service: Service[Any, Any], full_name: str, request: Message, timeout_s: float,
        then: Callable[[Outcome[Any]], None] | None, ordinal: int,
    ) -> Future[Any]:  # fmt: skip
        """Ask. The outcome arrives as a job on the node's thread, at the latest at the deadline."""
        executor = self._executor
        future = NodeFuture(executor.thread)
        deadline_ns = executor.monotonic_ns() + int(timeout_s * 1e9)
        if executor.desk.serves(full_name):

            def answered(outcome: Outcome[Any]) -> None:
                self._deliver(host, service, full_name, outcome, future, then, ordinal)

            executor.desk.call_here(full_name, host, ordinal, request, deadline_ns, answered)
            return future
        entry = executor.peers.server(full_name)
        if entry is None:
            text = f"nobody serves {full_name} in domain {executor.directory.domain!r}"
            self._deliver(host, service, full_name, Outcome(None, CallError.NOT_AVAILABLE, text), future, then, ordinal)
            return future
        if len(self._pending) >= PENDING_MAX:
            text = f"{PENDING_MAX} calls are open already"
            self._deliver(host, service, full_name, Outcome(None, CallError.FAILED, text), future, then, ordinal)
            return future
        self._last_id += 1
        pending = _Pending(
            host, service, full_name, codec(type(request)).encode(request), deadline_ns, future, then, ordinal, entry
        )
        self._pending[self._last_id] = pending
        self._send(self._last_id, pending, entry)
        self._arm(self._last_id, pending)
        return future

    def _send(self, call_id: int, pending: _Pending, entry: Entry) -> None:
        executor = self._executor
        first = pending.entry or entry
        remaining_ms = max(0, (pending.deadline_ns - executor.monotonic_ns()) // 1_000_000)
        request = frame.Request(
            pending.wire_name, pending.host.name, pending.host.publisher_id, call_id, pending.attempt,
            first.publisher_id, remaining_ms, pending.request, executor.monotonic_ns(),
        )  # fmt: skip
        executor.transport.ask(entry.rpc[0], frame.encode(request))
        pending.attempt += 1

    def _arm(self, call_id: int, pending: _Pending) -> None:
        executor = self._executor
        left_ns = pending.deadline_ns - executor.monotonic_ns()
        executor.after(max(0.0, min(RETRY_NS, left_ns) / 1e9), lambda: self._again(call_id))

    def _again(self, call_id: int) -> None:
        pending = self._pending.get(call_id)
        if pending is None:
            return
        executor = self._executor
        entry = executor.peers.server(pending.wire_name)
        if executor.monotonic_ns() >= pending.deadline_ns:
            del self._pending[call_id]
            restarted = entry is None or entry.publisher_id != (pending.entry.publisher_id if pending.entry else 0)
            error = CallError.OUTCOME_UNKNOWN if restarted else CallError.DEADLINE
            text = f"{pending.wire_name} {'went away' if entry is None else 'did not answer'} before the deadline"
            self._finish(pending, Outcome(None, error, text))
            return
        if entry is not None:
            self._send(call_id, pending, entry)
        self._arm(call_id, pending)

    def server_changed(self, full_name: str) -> None:
        """A server came (back): ask it at once what is still open."""
        entry = self._executor.peers.server(full_name)
        for call_id, pending in self._pending.items():
            if entry is not None and pending.wire_name == full_name:
                self._send(call_id, pending, entry)

    def close(self) -> None:
        """Nobody is going to answer what is still open."""
        for pending in self._pending.values():
            if not pending.future.done():
                text = f"{pending.host.name} ended while waiting for {pending.wire_name}"
                pending.future.set_result(Outcome(None, CallError.OUTCOME_UNKNOWN, text))
        self._pending.clear()

    def on_reply(self, reply: frame.Reply) -> None:
        pending = self._pending.pop(reply.call_id, None)
        if pending is None:
            return  # a repetition of an answer, or one that came after the deadline
        if reply.error:
            try:
                error = CallError(reply.error)
            except ValueError:
                error = CallError.FAILED
            self._finish(pending, Outcome(None, error, reply.text))
            return
        try:
            self._finish(pending, Outcome(codec(pending.service.reply).decode(reply.payload)))
        except DecodeError as bad:
            self._finish(pending, Outcome(None, CallError.REFUSED, f"the answer of {pending.wire_name}: {bad}"))

    def _finish(self, pending: _Pending, outcome: Outcome[Any]) -> None:
        self._deliver(
            pending.host, pending.service, pending.wire_name, outcome, pending.future, pending.then, pending.ordinal
        )

    def _deliver(
        self, host: Host, service: Service[Any, Any], full_name: str, outcome: Outcome[Any], future: Future[Any],
        then: Callable[[Outcome[Any]], None] | None, ordinal: int,
    ) -> None:  # fmt: skip
        if not future.done():
            future.set_result(outcome)
        if then is None and host.trace is None:
            return
        packed = b""
        if host.trace is not None:
            reply = None if outcome.reply is None else codec(type(outcome.reply)).encode(outcome.reply)
            packed = pack_outcome(outcome.error, outcome.text, reply)
        self._executor.loop.ready.append(
            Job(host, Kind.REPLY, full_name, then or _ignore, (outcome,), seq=ordinal, payload=packed)
        )


def _ignore(outcome: Outcome[Any]) -> None:
    """The caller asked for no callback; the trace keeps the answer all the same."""


Answer = Callable[[Outcome[Any]], None]


class _Served:
    __slots__ = ("function", "host", "kind", "method", "service")

    def __init__(
        self, host: Host, service: Service[Any, Any], method: str, function: Callable[[Any], Message], kind: Kind | None
    ) -> None:
        self.host = host
        self.service = service
        self.method = method
        self.function = function
        self.kind = kind


class _Request(Job):
    """A request in its turn. One that is too late is refused without reaching the node, or the node's trace."""

    __slots__ = ("last_ns", "refuse")

    def __init__(
        self, host: Host, served: _Served, source: Source, serve: Callable[[Any], None], request: Message,
        packed: bytes, last_ns: int | None, refuse: Callable[[], None],
    ) -> None:  # fmt: skip
        name = f"{served.method} {source.node}"
        super().__init__(host, served.kind, name, serve, (request,), seq=source.seq, payload=packed)
        self.last_ns = last_ns
        self.refuse = refuse

    def run(self, now_mono_ns: int) -> None:
        if self.last_ns is not None and now_mono_ns > self.last_ns:
            self.host.invoke(None, self.name, self.refuse)
        else:
            super().run(now_mono_ns)


class _Remembered:
    __slots__ = ("expires_ns", "identity", "reply")

    def __init__(self, identity: bytes, expires_ns: int) -> None:
        self.identity = identity
        self.expires_ns = expires_ns
        self.reply: bytes | None = None
        """None while the request is being served"""


class Desk:
    """The services that the nodes of this process offer."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._served: dict[str, _Served] = {}
        self._waiting = 0
        self._remembered: OrderedDict[tuple[int, int], _Remembered] = OrderedDict()

    def add(self, host: Host) -> None:
        for server in host.node.interface.servers:
            name = host.resolve(server.service.name)
            self._served[name] = _Served(
                host, server.service, server.method, getattr(host.node, server.method), Kind.REQUEST
            )
        for service, function in (
            (topics.NODE_DESCRIBE_PARAMETERS, partial(parameter_services.describe, host)),
            (topics.NODE_SET_PARAMETER, partial(parameter_services.change, host)),
        ):
            self._served[host.resolve(service.name)] = _Served(host, service, service.name, function, None)

    def serves(self, full_name: str) -> bool:
        return full_name in self._served

    def call_here(
        self, full_name: str, client: Host, ordinal: int, request: Message, deadline_ns: int, answer: Answer
    ) -> None:
        """A call from a node of this process: the request is handed over by reference, in turn with everything else."""
        source = Source(client.name, full_name, ordinal, 0)
        self._queue(self._served[full_name], source, request, None, deadline_ns, answer)

    def on_request(self, identity: bytes, r: frame.Request) -> None:
        """A request from another process."""
        executor = self._executor
        served = self._served.get(r.service)
        key = (r.client_id, r.call_id)
        known = self._remembered.get(key)
        if known is not None:
            known.identity = identity
            if known.reply is not None:
                executor.transport.answer(identity, known.reply)
            return
        if served is None:
            self._answer(identity, r.call_id, CallError.NOT_AVAILABLE, f"{r.service} is not served here", b"", 0)
            return
        server_id = served.host.publisher_id
        if r.attempt and r.server_id != server_id and not served.service.idempotent:
            text = f"{served.host.name} was restarted after the request was sent"
            self._answer(identity, r.call_id, CallError.OUTCOME_UNKNOWN, text, b"", server_id)
            return
        try:
            request = codec(served.service.request).decode(r.payload)
        except DecodeError as error:
            served.host.warn_once("bad request", f"{r.service} from {r.client}: {error}")
            self._answer(identity, r.call_id, CallError.REFUSED, str(error), b"", server_id)
            return
        now_ns = executor.monotonic_ns()
        if self._waiting >= WAITING_MAX:
            text = f"{served.host.name} has {WAITING_MAX} requests waiting"
            self._answer(identity, r.call_id, CallError.FAILED, text, b"", server_id)
            return
        # a stamp from another host's clock, or none, says nothing about the way
        on_the_way_ns = now_ns - r.sent_mono_ns if 0 < r.sent_mono_ns <= now_ns < r.sent_mono_ns + REMEMBER_NS else 0
        deadline_ns = now_ns - on_the_way_ns + max(0, min(r.remaining_ms, REMAINING_MAX_MS)) * 1_000_000
        remembered = _Remembered(identity, deadline_ns + REMEMBER_NS)
        self._remembered[key] = remembered
        while len(self._remembered) > REMEMBERED_MAX or next(iter(self._remembered.values())).expires_ns < now_ns:
            self._remembered.popitem(last=False)

        def answer(outcome: Outcome[Any]) -> None:
            payload = b"" if outcome.reply is None else codec(type(outcome.reply)).encode(outcome.reply)
            reply = frame.Reply(r.call_id, outcome.error or "", outcome.text, payload, server_id)
            remembered.reply = frame.encode(reply)
            executor.transport.answer(remembered.identity, remembered.reply)

        source = Source(r.client, r.service, r.call_id, 0)
        self._queue(served, source, request, r.payload, deadline_ns, answer)

    def _answer(
        self, identity: bytes, call_id: int, error: CallError, text: str, payload: bytes, server_id: int
    ) -> None:
        self._executor.transport.answer(identity, frame.encode(frame.Reply(call_id, error, text, payload, server_id)))

    def _queue(
        self, served: _Served, source: Source, request: Message, encoded: bytes | None, deadline_ns: int,
        answer: Answer,
    ) -> None:  # fmt: skip
        executor, host, service, full_name = self._executor, served.host, served.service, source.topic
        self._waiting += 1

        def serve(request: Message) -> None:
            self._waiting -= 1
            start_ns = executor.monotonic_ns()
            host.node.source = source._replace(stamp_ns=host.now_ns())
            try:
                reply = served.function(request)
                if type(reply) is not service.reply:
                    raise TypeError(f"{served.method} returned {type(reply).__name__}, not {service.reply.__name__}")
            except Exception as error:
                text = sayable(f"{full_name}: {type(error).__name__}: {error}")
                outcome: Outcome[Any] = Outcome(None, CallError.FAILED, text)
                answer(outcome)
                self._tell(served, full_name, source.node, request, outcome, executor.monotonic_ns() - start_ns)
                raise
            outcome = Outcome(reply)
            answer(outcome)
            self._tell(served, full_name, source.node, request, outcome, executor.monotonic_ns() - start_ns)

        def refuse() -> None:
            self._waiting -= 1
            outcome: Outcome[Any] = Outcome(None, CallError.DEADLINE, f"{full_name}: came to it after the deadline")
            answer(outcome)
            self._tell(served, full_name, source.node, request, outcome, 0)

        packed = b""
        if host.trace is not None and served.kind is not None:
            packed = encoded if encoded is not None else codec(type(request)).encode(request)
        last_ns = deadline_ns if service.late == "drop" else None
        executor.loop.ready.append(_Request(host, served, source, serve, request, packed, last_ns, refuse))

    def _tell(
        self, served: _Served, full_name: str, client: str, request: Message, outcome: Outcome[Any], took_ns: int
    ) -> None:
        if served.kind is None:
            return  # reading parameters is nobody's business; setting one has an event of its own
        host = served.host
        event = ServiceEvent(
            stamp_ns=host.now_ns(), service=full_name, client=client, server=host.name, outcome=outcome.error or "OK",
            duration_ms=took_ns / 1e6, request=codec(type(request)).encode(request),
            reply=b"" if outcome.reply is None else codec(type(outcome.reply)).encode(outcome.reply),
        )  # fmt: skip
        host.publish(topics.SERVICE_EVENT, f"{full_name}/_event", event)
