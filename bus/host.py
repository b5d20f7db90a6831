"""One node in its executor: the Context it runs in, and what happens around every callback.

Time stands still during a callback: `now_ns()` is the moment it began. That makes a callback a function of its inputs,
and is what lets replay give the same bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bus.choosing import choose_again
from bus.clock import Clock, WallClock
from bus.inbox import Inbox, TapInbox
from bus.node import EVERY, BlockingCallError, LinkEvent, Node, Outcome
from bus.outlet import Outlet
from bus.trace import Kind, TraceWriter, pack_arguments, pack_link
from bus.working import Working
from schemas import topics
from schemas.base import Message, Service, Topic, resolve
from schemas.codec import codec
from schemas.machine import ConditionLevel
from schemas.sayable import sayable
from schemas.system import (
    Finding,
    LogLevel,
    LogRecord,
)

if TYPE_CHECKING:
    from bus.entry import Entry
    from bus.executor import Executor

SLOW_NS = 50_000_000
SLOW_TOLD_NS = 60_000_000_000
"""how long a slow callback stays a finding when none follows"""
"""a callback that takes longer is reported"""
FAILURES_MAX = 10
FAILURES_WITHIN_NS = 10_000_000_000
SUBMITTED_MAX = 1024
LOG_MOST = 20_000
"""characters of a log line or finding: a traceback fits, a stranger's megabyte does not"""


@dataclass(frozen=True)
class Spec:
    """What to run: a node class under a name, with its parameters and remappings."""

    cls: type[Node]
    name: str = ""
    """default: the class's default_name"""
    namespace: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: Mapping[str, str] = field(default_factory=dict)
    """from a topic's or service's name in the table to another name"""

    @property
    def full_name(self) -> str:
        return resolve(self.name or self.cls.default_name, self.namespace)


class NodeFuture(Future[Any]):
    """A future that refuses to be waited for on the thread that must fulfil it."""

    def __init__(self, thread: int) -> None:
        super().__init__()
        self._thread = thread

    def result(self, timeout: float | None = None) -> Any:
        if not self.done() and threading.get_ident() == self._thread:
            raise BlockingCallError("waiting for an answer on the node's own thread; pass then= to call()")
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if not self.done() and threading.get_ident() == self._thread:
            raise BlockingCallError("waiting for an answer on the node's own thread; pass then= to call()")
        return super().exception(timeout)


class Job:
    """A callback that is no message: a timer, a reply, a worker's message."""

    __slots__ = ("args", "function", "host", "kind", "name", "payload", "seq")

    def __init__(
        self, host: Host, kind: Kind | None, name: str, function: Callable[..., Any], args: tuple[Any, ...] = (),
        *, seq: int = 0, payload: bytes = b"",
    ) -> None:  # fmt: skip
        self.host = host
        self.kind = kind
        self.name = name
        self.function = function
        self.args = args
        self.seq = seq
        self.payload = payload

    @property
    def what(self) -> str:
        return self.name

    def run(self, now_mono_ns: int) -> None:
        self.host.invoke(self.kind, self.name, self.function, self.args, seq=self.seq, payload=self.payload)


class Host:
    """A node's Context, and its bookkeeping."""

    # what every callback touches lies together: at 1 kHz memory has gone cold since the last one
    __slots__ = (
        "__dict__", "__weakref__", "_anchor_ns", "_inside", "_now_ns", "callback_max_ns", "callbacks", "node",
        "submitted", "trace",
    )  # fmt: skip

    def __init__(self, executor: Executor, spec: Spec, clock: Clock) -> None:
        self.executor = executor
        self.spec = spec
        self.name = spec.full_name
        self.namespace = spec.namespace
        self.rng = random.Random(self.name)
        self.publisher_id = int.from_bytes(os.urandom(8), "little") >> 1
        self.clock = clock
        self.trace: TraceWriter | None = None
        self.outlets: dict[str, Outlet] = {}
        self.findings: dict[str, Finding] = {}
        self.callbacks = 0
        self.callback_max_ns = 0
        self._slow_mono_ns = 0
        self.inboxes: list[Inbox] = []
        self.taps: list[TapInbox] = []
        self._anchor_ns = clock.anchor_ns if isinstance(clock, WallClock) else None
        self._now_ns = clock.now_ns()
        self._inside = False
        self._ordinals: dict[str, int] = {}
        self._failures: deque[int] = deque(maxlen=FAILURES_MAX + 1)
        self._warned: set[str] = set()
        self.submitted: deque[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = deque()
        self._workers: list[Working] = []
        self._closed = False
        self.node = spec.cls(self, dict(spec.parameters))
        heard = {s.topic.name: self.resolve(s.topic.name, s.namespace) for s in self.node.interface.subscriptions}
        self._links = [(k, heard[k.topic.name], getattr(self.node, k.method)) for k in self.node.interface.links]

    # --- Context ---------------------------------------------------------------------------------------------------

    def now_ns(self) -> int:
        # time is held for the callback alone: a worker's thread stamps what arrives while one runs
        held = self._inside and threading.get_ident() == self.executor.thread
        return self._now_ns if held else self.clock.now_ns()

    def resolve(self, name: str, namespace: str | None = None) -> str:
        name = self.spec.remappings.get(name, name)
        if name.startswith("node/"):
            return f"{self.name}/{name[5:]}"
        return resolve(name, self.namespace if namespace is None else namespace)

    def publish(self, topic: Topic[Any], full_name: str, message: Message) -> None:
        self.executor.publish(self, topic, full_name, message)

    def withdraw(self, full_name: str, key: str) -> None:
        outlet = self.outlets.get(full_name)
        if outlet is not None:
            outlet.withdraw(key)

    def call(
        self, service: Service[Any, Any], full_name: str, request: Message, timeout_s: float,
        then: Callable[[Outcome[Any]], None] | None,
    ) -> Future[Any]:  # fmt: skip
        ordinal = self._ordinals.get(full_name, 0) + 1
        self._ordinals[full_name] = ordinal
        if self.trace is not None:
            self.trace.record(Kind.CALL, full_name, self.now_ns(), 0, ordinal, codec(type(request)).encode(request))
        return self.executor.caller.call(self, service, full_name, request, timeout_s, then, ordinal)

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        future = NodeFuture(self.executor.thread)
        if self._closed:
            future.cancel()
            return future
        if len(self.submitted) >= SUBMITTED_MAX:
            raise queue.Full(f"{self.name}: {SUBMITTED_MAX} submitted calls wait already")
        self.submitted.append((future, function, args))
        self.executor.transport.wake()
        return future

    def log(self, level: LogLevel, text: str) -> None:
        text = sayable(text, LOG_MOST)
        # standard error is the launcher's log; one write per line, so that lines of several nodes never mix
        sys.stderr.write(f"{level.value:<7} {self.name}: {text}\n")
        sys.stderr.flush()
        record = LogRecord(stamp_ns=self.now_ns(), level=level, node=self.name, text=text)
        if threading.get_ident() == self.executor.thread:
            self.publish(topics.LOG, "log", record)
        else:
            with contextlib.suppress(queue.Full):
                self.submit(self.publish, topics.LOG, "log", record)

    def report(self, code: str, level: ConditionLevel, text: str) -> None:
        old = self.findings.get(code)
        text = sayable(text, LOG_MOST)
        self.findings[code] = Finding(code=code, level=level, text=text, count=old.count + 1 if old else 1)
        if old is None or old.level != level:
            self.executor.diagnose(self)

    def clear(self, code: str) -> None:
        if self.findings.pop(code, None) is not None:
            self.executor.diagnose(self)

    def entries(self) -> dict[str, Entry]:
        """Every living node as discovery shows it, those of this process included, by full name."""
        return self.executor.entries()

    def choose_again(self) -> None:
        """Ask the node's taps anew which topics they want; from the node's own thread."""
        choose_again(self.executor)

    @property
    def domain(self) -> str:
        """The name of the domain."""
        return self.executor.directory.path.name

    # --- around callbacks ------------------------------------------------------------------------------------------

    def invoke(
        self, kind: Kind | None, name: str, function: Callable[..., Any], args: tuple[Any, ...] = (),
        publisher_id: int = 0, seq: int = 0, payload: bytes = b"",
    ) -> Any:  # fmt: skip
        """Run a callback on the node's thread: time held, traced, its exception contained."""
        self._now_ns = now_ns = self.clock.now_ns()
        self._inside = True
        if kind is not None and self.trace is not None:
            due = self.trace.record(kind, name, now_ns, publisher_id, seq, payload)
            if due:
                self.executor.flush_trace(self)
        try:
            return function(*args)
        except Exception as error:
            self.failed(name, error)
            return None
        finally:
            self._inside = False
            self.callbacks += 1

    def call_back(self, function: Callable[[Any], None], message: Any, now_mono_ns: int) -> None:
        """`invoke` for a message that need not be traced: the hot path."""
        self._now_ns = self.clock.now_ns() if self._anchor_ns is None else now_mono_ns + self._anchor_ns
        self._inside = True
        try:
            function(message)
        except Exception as error:
            self.failed(function.__name__, error)
        self._inside = False
        self.callbacks += 1

    def took(self, what: str, took_ns: int) -> None:
        """A callback was the slowest of this second."""
        self.callback_max_ns = took_ns
        if took_ns > SLOW_NS:
            self._slow_mono_ns = self.executor.monotonic_ns()
            self.report("slow_callback", ConditionLevel.WARNING, f"{what} took {took_ns / 1e6:.0f} ms")

    def forget_slow(self) -> None:
        """What was slow once, on a busy computer say, is no finding for good."""
        if self.executor.monotonic_ns() - self._slow_mono_ns > SLOW_TOLD_NS:
            self.findings.pop("slow_callback", None)

    def failed(self, name: str, error: Exception) -> None:
        """A callback raised: told and counted, and the process goes on unless it keeps happening."""
        now_mono_ns = self.executor.monotonic_ns()
        self.warn_once(f"{name} {type(error).__name__}", "".join(traceback.format_exception(error)).rstrip())
        self.report("callback_failed", ConditionLevel.FAULT, f"{name}: {type(error).__name__}: {error}")
        self._failures.append(now_mono_ns)
        often = len(self._failures) > FAILURES_MAX and now_mono_ns - self._failures[0] < FAILURES_WITHIN_NS
        if often and not self.executor.loop.stopping:
            self.log(LogLevel.ERROR, f"more than {FAILURES_MAX} failed callbacks in 10 s; this process ends")
            self.executor.fail(f"{self.name}: callbacks keep failing: {error}")

    def warn_once(self, kind: str, text: str) -> None:
        """Log a kind of trouble at its first occurrence; its counter shows the rest."""
        if kind not in self._warned and len(self._warned) < 1000:
            self._warned.add(kind)
            self.log(LogLevel.WARNING, text)

    def link_event(self, topic: str, event: LinkEvent) -> None:
        """Queue a link event for the methods that handle the topic."""
        for declared, handled, method in self._links:
            if handled == topic or (handled.startswith(f"{EVERY}/") and topic.partition("/")[2] == handled[2:]):
                packed = pack_link(event) if self.trace is not None else b""
                name = f"{declared.method} {topic}"
                self.executor.loop.ready.append(Job(self, Kind.LINK, name, method, (event,), payload=packed))

    def configure(self) -> None:
        """First start, and again when the clock jumped back."""
        self.invoke(Kind.CONFIGURE, "on_configure", self.node.on_configure, publisher_id=self.publisher_id)

    # --- submitted calls and workers -------------------------------------------------------------------------------

    def run_submitted(self) -> None:
        """Queue what other threads submitted."""
        while self.submitted:
            future, function, args = self.submitted.popleft()
            if future.set_running_or_notify_cancel():
                name = getattr(function, "__name__", "call")
                packed = pack_arguments(args) if self.trace is not None else b""
                self.executor.loop.ready.append(
                    Job(self, Kind.SUBMIT, name, _fulfil, (future, function, args), payload=packed)
                )

    def start_workers(self) -> None:
        self._workers = [Working(self, w) for w in self.node.interface.workers]
        self.executor.loop.polled += [w.take for w in self._workers]

    def shutdown(self) -> None:
        """Stop the workers, then say goodbye to the node."""
        for working in self._workers:
            working.stopping.set()
        for working in self._workers:
            working.thread.join(timeout=1.0)
        self.invoke(Kind.SHUTDOWN, "on_shutdown", self.node.on_shutdown)

    def close(self) -> None:
        """Cancel what other threads submitted and is not going to run."""
        self._closed = True
        while self.submitted:
            self.submitted.popleft()[0].cancel()

    # --- what discovery shows of it ----------------------------------------------------------------------------------

    def parameters_json(self) -> str:
        return json.dumps({name: self.node.__dict__[name] for name in self.node.interface.parameters})

    def publishes(self) -> list[tuple[Topic[Any], str]]:
        """(topic, full name) of everything this node may publish, `*` standing for any namespace."""
        own = [(d.topic, self.resolve(d.topic.name, d.namespace)) for d in self.node.interface.publishers]
        # what every node writes by itself
        own += [
            (t, self.resolve(t.name))
            for t in (topics.LOG, topics.DIAGNOSTICS, topics.NODE_TRACE, topics.NODE_PARAMETERS)
        ]
        own += [(topics.SERVICE_EVENT, f"{self.resolve(s.service.name)}/_event") for s in self.node.interface.servers]
        return own

    def subscribes(self) -> list[tuple[Topic[Any], str]]:
        return [(s.topic, self.resolve(s.topic.name, s.namespace)) for s in self.node.interface.subscriptions]

    def serves(self) -> list[tuple[Service[Any, Any], str]]:
        own = [(s.service, self.resolve(s.service.name)) for s in self.node.interface.servers]
        node = (topics.NODE_DESCRIBE_PARAMETERS, topics.NODE_SET_PARAMETER)
        return own + [(s, self.resolve(s.name)) for s in node]

    def calls(self) -> list[tuple[Service[Any, Any], str]]:
        return [
            (c.service, self.resolve(c.service.name, c.namespace))
            for c in self.node.interface.clients
            if c.namespace != EVERY
        ]


def _fulfil(future: Future[Any], function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        future.set_result(function(*args))
    except Exception as error:
        future.set_exception(error)
