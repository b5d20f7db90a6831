"""What a node class declares beside parameters: publishers, subscriptions, timers, services, clients, workers, taps.

Everything stands on the class, so `interface_of(cls)` (bus/interface.py) reads it without an instance. Reading a
publisher or client off an instance binds it to the node's context.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, cast, overload

from bus.context import Context, LinkEvent, Outcome, Raw
from schemas.base import BadName, Message, Service, Topic, check_name

if TYPE_CHECKING:
    from bus.node import Node

T = TypeVar("T")
M = TypeVar("M", bound=Message)
Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)
N = TypeVar("N", bound="Node")

Start = Literal["beginning", "now"]

EVERY = "*"
"""As a namespace: every namespace that is exactly one level deep."""


class DeclarationError(TypeError):
    """A node class declares something that cannot work; raised when the class is defined."""


class Publisher(Generic[M]):
    """Publishes on one topic, or with `at(namespace)` in one of many, where the declaration says `namespace="*"`."""

    __slots__ = ("_context", "_names", "full_name", "topic")

    def __init__(self, context: Context, topic: Topic[M], full_name: str) -> None:
        self._context = context
        self.topic = topic
        self.full_name = full_name
        self._names: dict[str, Publisher[M]] = {}

    def publish(self, message: M) -> None:
        """Send to whoever listens; never blocks. Raises TypeError for a message of another type."""
        if type(message) is not self.topic.type:
            raise TypeError(f"{self.full_name} carries {self.topic.type.__name__}, not {type(message).__name__}")
        if not self.full_name:
            raise TypeError(f"{self.topic.name} is declared for many namespaces: at(namespace).publish(...)")
        self._context.publish(self.topic, self.full_name, message)

    def withdraw(self, key: str = "") -> None:
        """Forget the latched value of `key`: whoever joins later is not shown it."""
        self._context.withdraw(self.full_name, key)

    def at(self, namespace: str) -> Publisher[M]:
        """The topic in one of the many namespaces it is declared for.

        Raises:
            TypeError: it is declared for one only: others would not know of the name.
            BadName: `namespace` is not one segment.
        """
        found = self._names.get(namespace)
        if found is None:
            if self.full_name:
                raise TypeError(f"{self.full_name} is declared for one namespace, not with namespace='*'")
            if "/" in check_name(namespace):
                raise BadName(f"bad namespace {namespace!r}: it is one segment, as `*` stands for one")
            found = Publisher(self._context, self.topic, self._context.resolve(self.topic.name, namespace))
            self._names[namespace] = found
        return found


@dataclass(slots=True)
class PublisherDeclaration(Generic[M]):
    topic: Topic[M]
    namespace: str | None
    attribute: str = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    @overload
    def __get__(self, node: None, owner: type) -> Self: ...
    @overload
    def __get__(self, node: Node, owner: type) -> Publisher[M]: ...
    def __get__(self, node: Node | None, owner: type) -> Self | Publisher[M]:
        if node is None:
            return self
        full = "" if self.namespace == EVERY else node.context.resolve(self.topic.name, self.namespace)
        made = Publisher(node.context, self.topic, full)
        node.__dict__[self.attribute] = made
        return made


def publisher(topic: Topic[M], *, namespace: str | None = None) -> PublisherDeclaration[M]:
    """Declare that the node writes a topic; `namespace="*"` for one topic in many namespaces."""
    return PublisherDeclaration(topic, namespace)


class Client(Generic[Q, R]):
    """Calls one service; never blocks the node's thread."""

    __slots__ = ("_context", "full_name", "service")

    def __init__(self, context: Context, service: Service[Q, R], full_name: str) -> None:
        self._context = context
        self.service = service
        self.full_name = full_name

    def call(
        self, request: Q, *, timeout_s: float, then: Callable[[Outcome[R]], None] | None = None
    ) -> Future[Outcome[R]]:
        """Ask; `then` runs on the node's thread with the outcome within `timeout_s`.

        The future is for other threads: waiting for it on the node's own raises BlockingCallError.
        """
        if type(request) is not self.service.request:
            raise TypeError(f"{self.full_name} takes {self.service.request.__name__}, not {type(request).__name__}")
        return self._context.call(self.service, self.full_name, request, timeout_s, then)

    def at(self, namespace: str) -> Client[Q, R]:
        """The same service in another namespace."""
        return Client(self._context, self.service, self._context.resolve(self.service.name, namespace))


@dataclass(slots=True)
class ClientDeclaration(Generic[Q, R]):
    service: Service[Q, R]
    namespace: str | None
    attribute: str = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    @overload
    def __get__(self, node: None, owner: type) -> Self: ...
    @overload
    def __get__(self, node: Node, owner: type) -> Client[Q, R]: ...
    def __get__(self, node: Node | None, owner: type) -> Self | Client[Q, R]:
        if node is None:
            return self
        full = "" if self.namespace == EVERY else node.context.resolve(self.service.name, self.namespace)
        made = Client(node.context, self.service, full)
        node.__dict__[self.attribute] = made
        return made


def client(service: Service[Q, R], *, namespace: str | None = None) -> ClientDeclaration[Q, R]:
    """Declare that the node calls a service."""
    return ClientDeclaration(service, namespace)


@dataclass(frozen=True, slots=True)
class Subscription:
    topic: Topic[Any]
    method: str
    namespace: str | None
    depth: int
    lifespan_s: float | None
    batch_s: float | None
    cursor: str | None = ""
    start: Start = "beginning"


@dataclass(frozen=True, slots=True)
class Link:
    topic: Topic[Any]
    method: str


@dataclass(frozen=True, slots=True)
class Timer:
    period_s: float
    method: str


@dataclass(frozen=True, slots=True)
class Server:
    service: Service[Any, Any]
    method: str


@dataclass(frozen=True, slots=True)
class Tap:
    """A declared pattern: the node hears every topic for which `select(name, type_name)` says yes, undecoded."""

    method: str
    select: str
    batch_s: float
    depth: int
    rest_s: float


@dataclass(slots=True)
class Worker(Generic[N, M]):
    """A thread beside the node; every message its generator yields is handed to the `received` method.

    The generator gets the node (for parameters, read once) and an Event that is set when the node ends; it must look at
    it at least every 0.5 s. The queue is bounded by `depth`; when full, the thread waits, or the oldest is dropped and
    counted.
    """

    run: Callable[[N, threading.Event], Iterator[M]]
    depth: int
    on_full: Literal["wait", "drop_oldest"]
    name: str = ""
    method: str = ""

    def received(self, method: Callable[[N, M], None]) -> Callable[[N, M], None]:
        """Decorates the method that handles what the worker hands over."""
        self.method = method.__name__
        return method

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name


def worker(
    *, depth: int = 64, on_full: Literal["wait", "drop_oldest"] = "wait"
) -> Callable[[Callable[[N, threading.Event], Iterator[M]]], Worker[N, M]]:
    """Declare blocking work (a serial port, a camera, a file) that runs in a thread and yields Messages."""
    return lambda run: Worker(run, depth, on_full)


MARK = "__declared__"


def _mark(method: Callable[..., Any], declaration: Any) -> Any:
    method.__dict__.setdefault(MARK, []).append(declaration)
    return method


@overload
def subscription(
    topic: Topic[M],
    *,
    namespace: str | None = None,
    depth: int | None = None,
    lifespan_s: float | None = None,
    cursor: str | None = "",
    start: Start = "beginning",
) -> Callable[[Callable[[N, M], None]], Callable[[N, M], None]]: ...
@overload
def subscription(
    topic: Topic[M],
    *,
    batch_s: float,
    namespace: str | None = None,
    depth: int | None = None,
    lifespan_s: float | None = None,
    cursor: str | None = "",
    start: Start = "beginning",
) -> Callable[[Callable[[N, list[M]], None]], Callable[[N, list[M]], None]]: ...
def subscription(
    topic: Topic[Any],
    *,
    namespace: str | None = None,
    depth: int | None = None,
    lifespan_s: float | None = None,
    batch_s: float | None = None,
    cursor: str | None = "",
    start: Start = "beginning",
) -> Any:
    """The method is called with every message of the topic, or with lists of them every `batch_s`.

    `namespace="*"` hears the topic in every namespace one level deep; `self.source` says whose it is.

    Of a DURABLE topic nothing is passed over, whoever dies: the node goes on where its cursor stands.

    cursor: "" keeps it in a file, written after the callback, so after a crash the last message may come again. The
        name of a method `(publisher, full topic) -> {log_id: seq}` when the node keeps it in its own transaction, from
        `self.source`. None keeps none: the node hears what is published while it runs.
    start: where to begin without a cursor yet: "beginning" of what the log holds, or "now".
    """

    def decorate(method: Callable[..., Any]) -> Any:
        if not topic.qos.logged and (cursor or start != "beginning"):
            raise DeclarationError(f"{method.__name__}: {topic.name} is not DURABLE and has no log to keep a cursor in")
        lifespan = topic.lifespan_s if lifespan_s is None else lifespan_s
        bound = depth or topic.depth
        return _mark(method, Subscription(topic, method.__name__, namespace, bound, lifespan, batch_s, cursor, start))

    return decorate


def on_link(topic: Topic[Any]) -> Callable[[Callable[[N, LinkEvent], None]], Callable[[N, LinkEvent], None]]:
    """The method is told when messages of a subscribed topic are lost, late, or its publisher goes or comes."""
    return lambda method: cast(Callable[[N, LinkEvent], None], _mark(method, Link(topic, method.__name__)))


def timer(period_s: float) -> Callable[[Callable[[N], None]], Callable[[N], None]]:
    """The method is called every `period_s` of the node's clock, on an absolute schedule; missed ones are skipped."""
    if not period_s > 0:
        raise DeclarationError(f"a timer's period must be above 0 s, not {period_s}")
    return lambda method: cast(Callable[[N], None], _mark(method, Timer(period_s, method.__name__)))


def service(declared: Service[Q, R]) -> Callable[[Callable[[N, Q], R]], Callable[[N, Q], R]]:
    """The method answers a service. It runs on the node's thread, so it must not wait."""
    return lambda method: cast(Callable[[N, Q], R], _mark(method, Server(declared, method.__name__)))


def tap(
    *, select: str, batch_s: float = 0.005, depth: int = 65536, rest_s: float = 0.0
) -> Callable[[Callable[[N, list[Raw]], None]], Callable[[N, list[Raw]], None]]:
    """The method gets lists of undecoded messages of each topic for which method `select(topic, type_name)` is true.

    Args:
        batch_s: so long after its first message a list is handed over.
        depth: of the queue.
        rest_s: how long what is published lies on the way while a list waits to be handed over anyhow: otherwise every
            message wakes the process. Subscriptions of the same process hear as much later, services and timers do
            not. In a process of several nodes it holds when each of them has a tap that rests.
    """
    return lambda method: cast(
        Callable[[N, list[Raw]], None], _mark(method, Tap(method.__name__, select, batch_s, depth, rest_s))
    )
