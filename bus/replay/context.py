"""The world of a replayed node: time from the trace, chance seeded as live, answers as recorded."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from bus.node import BlockingCallError, CallError, Outcome
from bus.replay.decisions import Decision, Decisions, zeroed
from bus.replay.inputs import RecordedNode
from schemas.base import Message, Service, Topic
from schemas.codec import codec
from schemas.machine import ConditionLevel
from schemas.system import LogLevel

NEVER_NS = 1 << 63
GRACE_NS = 1_000_000_000
"""so long after its deadline a call that was not recorded is answered"""


@dataclass(slots=True)
class Result(Decisions):
    """What became of a node's replay: its decisions now, the recorded ones, and what the bag lacked."""

    recorded: Decisions = field(default_factory=lambda: Decisions(""))
    order: str = "trace"
    """trace: exactly as recorded. canonical: no trace, so by log time, topic, publisher, seq, then timers"""
    parameters: dict[str, Any] = field(default_factory=dict)
    callbacks: int = 0
    span_ns: int = 0
    """from the first callback to the last, recorded time"""
    wall_s: float = 0.0
    """what the replay took"""
    problems: list[str] = field(default_factory=list)
    """why the bag is no reference: input that is missing, lost or of another type"""
    notes: list[str] = field(default_factory=list)
    """what the reader of the result should know"""
    errors: list[str] = field(default_factory=list)
    """exceptions in callbacks, the first hundred"""
    logs: list[tuple[int, LogLevel, str]] = field(default_factory=list)

    @property
    def speed(self) -> float:
        """Recorded seconds per second."""
        return self.span_ns / 1e9 / self.wall_s if self.wall_s else 0.0


class Answer(Future[Any]):
    """A call's future; waiting for it on the node's thread would never end."""

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            raise BlockingCallError("the answer comes after this callback: pass then=")
        return super().result(timeout)


@dataclass(slots=True)
class Asked:
    service: Service[Any, Any]
    then: Callable[[Outcome[Any]], None] | None
    future: Answer
    deadline_ns: int


class ReplayContext:
    """bus.node.Context from a bag; publishes and calls become decisions."""

    def __init__(self, node: RecordedNode, result: Result) -> None:
        self.name = node.name
        self.namespace = node.namespace
        self.rng = random.Random(node.name)
        self.stamp_ns = 0
        self.asked: dict[tuple[str, int], Asked] = {}
        self.early: dict[tuple[str, int], tuple[CallError | None, str, bytes | None]] = {}
        """answers recorded before this replay asked"""
        self.due: deque[tuple[Asked, tuple[CallError | None, str, bytes | None]]] = deque()
        self.submitted: deque[tuple[Callable[..., Any], tuple[Any, ...], Future[Any]]] = deque()
        self.remade: Callable[[str, Message], None] | None = None
        """told of every message published, when another replayed node hears this one"""
        self._node = node
        self._result = result
        self._ordinals: dict[str, int] = {}
        self.counted: set[str] | None = None
        """the services of which it is known how often they were called before; None: all, it was never"""

    def now_ns(self) -> int:
        return self.stamp_ns

    def resolve(self, name: str, namespace: str | None = None) -> str:
        return self._node.resolve(name, namespace)

    def publish(self, topic: Topic[Any], full_name: str, message: Message) -> None:
        message = zeroed(message)
        kind: type[Message] = topic.type
        payload = codec(kind).encode(message)
        self._result.made.append(Decision.published(topic, full_name, message, payload, self.stamp_ns))
        if self.remade is not None:
            self.remade(full_name, message)

    def withdraw(self, full_name: str, key: str) -> None:
        self._result.logs.append((self.stamp_ns, LogLevel.INFO, f"withdrawn: {full_name} {key}"))

    def call(
        self,
        service: Service[Any, Any],
        full_name: str,
        request: Message,
        timeout_s: float,
        then: Callable[[Outcome[Any]], None] | None,
    ) -> Future[Any]:
        # one that was not recorded must not take the answer of one that was: it has a number that none has
        counted = self.counted is None or full_name in self.counted
        step = 1 if counted else -1
        ordinal = self._ordinals[full_name] = self._ordinals.get(full_name, 0) + step
        kind: type[Message] = service.request
        payload = codec(kind).encode(zeroed(request))
        self._result.made.append(called(full_name, service, payload, self.stamp_ns))
        # begun in the middle of a stop it asks for that again, and no answer is less wrong than any
        deadline_ns = self.stamp_ns + int(timeout_s * 1e9) + GRACE_NS if counted else NEVER_NS
        asked = Asked(service, then, Answer(), deadline_ns)
        answer = self.early.pop((full_name, ordinal), None)
        if answer is None:
            self.asked[full_name, ordinal] = asked
        else:
            self.due.append((asked, answer))
        return asked.future

    def called_before(self, full_name: str, count: int) -> None:
        """So many calls of this service were made before what comes now."""
        if self.counted is not None:
            self.counted.add(full_name)
        self._ordinals[full_name] = count

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Answer()
        self.submitted.append((function, args, future))
        return future

    def log(self, level: LogLevel, text: str) -> None:
        self._result.logs.append((self.stamp_ns, level, text))

    def report(self, code: str, level: ConditionLevel, text: str) -> None:
        self._result.logs.append((self.stamp_ns, LogLevel.WARNING, f"{code} {level}: {text}"))

    def clear(self, code: str) -> None:
        self._result.logs.append((self.stamp_ns, LogLevel.INFO, f"{code} cleared"))


def called(full_name: str, service: Service[Any, Any], payload: bytes, stamp_ns: int) -> Decision:
    """A request as a decision."""
    return Decision(full_name, service.request, payload, stamp_ns, what="call", reaction=True)
