"""The world as a node sees it: where a message came from, what became of a link or a call, and what it may ask for.

The executor provides a `Context` live and `bus.replay` from a bag; a node cannot tell which. Knows no socket, no file
and no clock.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from schemas.base import Message, Service, Topic
from schemas.machine import Cause, ConditionLevel
from schemas.system import LogLevel

R = TypeVar("R", bound=Message)


class Source(NamedTuple):
    """Where the message now being handled came from; `self.source` during a callback."""

    node: str
    """full name of the publisher"""
    topic: str
    seq: int
    stamp_ns: int
    """wall time at which it was published"""
    publisher_id: int = 0
    log_id: int = 0
    """of a DURABLE topic: which log `seq` is a number of; 0 without one, and in replay.

    (node, topic, log_id, seq) is a cursor.
    """

    @property
    def namespace(self) -> str:
        """The first level of the topic's name: the machine."""
        return self.topic.split("/", 1)[0] if "/" in self.topic else ""

    def cause(self) -> Cause:
        """This message as the cause of a decision."""
        return Cause(publisher=self.node, topic=self.topic, seq=self.seq)


@dataclass(frozen=True, slots=True)
class Lost:
    """Messages `first`..`last` will not come: dropped on the way, and not to be repaired."""

    source: Source
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Stale:
    """Nothing came for the topic's `deadline_s`; or the value just heard, `source`, is of the publisher's last life.

    A publisher whose topic is kept on disk offers that until it says it anew, with its own stamp.
    """

    source: Source
    silent_s: float


@dataclass(frozen=True, slots=True)
class Gone:
    """The publisher ended; `clean` when it said so itself."""

    source: Source
    clean: bool


@dataclass(frozen=True, slots=True)
class Synced:
    """The publisher answered: from `source.seq` on nothing is missed unnoticed."""

    source: Source


@dataclass(frozen=True, slots=True)
class LogLost:
    """The publisher's log is another one than before: it was lost, or put back to an earlier state.

    What the old one held behind `handled` will not come, and how much that was nobody knows. The new one is heard from
    its beginning.
    """

    source: Source
    handled: int
    """number of the last event of the old log that was handled here"""


LinkEvent = Lost | Stale | Gone | Synced | LogLost


class CallError(StrEnum):
    """Why a call has no reply."""

    NOT_AVAILABLE = "NOT_AVAILABLE"
    """nobody serves it"""
    DEADLINE = "DEADLINE"
    """no answer in time; the request may or may not have been carried out"""
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    """the server restarted in between"""
    FAILED = "FAILED"
    """the server's callback raised"""
    REFUSED = "REFUSED"
    """the request did not decode, or is of an incompatible type"""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """What became of a call: a reply, or an error with its text."""

    reply: R | None
    error: CallError | None = None
    text: str = ""

    def unwrap(self) -> R:
        """The reply.

        Raises:
            CallFailed: there is none.
        """
        if self.reply is None:
            raise CallFailed(self.error or CallError.FAILED, self.text)
        return self.reply


class CallFailed(RuntimeError):
    """A call brought no reply; `.error` says why."""

    def __init__(self, error: CallError, text: str) -> None:
        super().__init__(f"{error}: {text}" if text else str(error))
        self.error = error


class BlockingCallError(RuntimeError):
    """A blocking wait on the node's own thread: it would stand still for ever. Pass `then=` instead."""


class Raw(NamedTuple):
    """A message as it crossed the wire, for a Tap: nothing is decoded."""

    topic: str
    publisher: str
    publisher_id: int
    seq: int
    stamp_ns: int
    """published, wall time"""
    received_ns: int
    payload: bytes
    type_name: str
    type_hash: str
    qos: str
    lost_first: int = 0
    """when > 0 this is no message: sequence numbers lost_first..seq of the topic never came"""


class Context(Protocol):
    """What a node is run by: an executor on a live bus, or a replay."""

    name: str
    """full name"""
    namespace: str
    rng: random.Random

    def now_ns(self) -> int: ...
    def resolve(self, name: str, namespace: str | None = None) -> str: ...
    def publish(self, topic: Topic[Any], full_name: str, message: Message) -> None: ...
    def withdraw(self, full_name: str, key: str) -> None: ...
    def call(
        self,
        service: Service[Any, Any],
        full_name: str,
        request: Message,
        timeout_s: float,
        then: Callable[[Outcome[Any]], None] | None,
    ) -> Future[Any]: ...
    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]: ...
    def log(self, level: LogLevel, text: str) -> None: ...
    def report(self, code: str, level: ConditionLevel, text: str) -> None: ...
    def clear(self, code: str) -> None: ...
