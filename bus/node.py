"""A node and what its class declares: parameters, publishers, subscriptions, timers, services, clients, workers.

Everything is declared on the class, so `SpindleWatch.interface` is readable without an instance; `rise launch --check`,
`rise node info`, the graph and replay stand on that. This module knows no socket, no file and no clock: a node reaches
the world through its `Context`, which the executor provides live and `bus.replay` provides from a bag.

    class SpindleWatch(Node):
        \"\"\"Warns when the spindle load stays above a limit.\"\"\"
        limit_pct = parameter(85.0, unit="%", doc="load above this counts as overload", ge=0, le=200)
        alarms = publisher(topics.ALARM)

        @subscription(topics.SAMPLES)
        def on_samples(self, block: SignalBlock) -> None: ...

        @timer(0.05)
        def assess(self) -> None: ...
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, Self, TypeVar, cast, overload

from schemas.base import Message, Service, Topic, resolve
from schemas.machine import Cause, ConditionLevel
from schemas.system import LogLevel

T = TypeVar("T")
M = TypeVar("M", bound=Message)
Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)
N = TypeVar("N", bound="Node")

EVERY = "*"
"""As a namespace: every namespace that is exactly one level deep."""


class DeclarationError(TypeError):
    """A node class declares something that cannot work; raised when the class is defined."""


class BadParameter(ValueError):
    """A value does not fit the parameter it is meant for; the text says what would."""


# --- what callbacks are told --------------------------------------------------------------------------------------


class Source(NamedTuple):
    """Where the message now being handled came from; `self.source` during a callback."""

    node: str
    """full name of the publisher"""
    topic: str
    seq: int
    stamp_ns: int
    """wall time at which it was published"""
    publisher_id: int = 0

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
    """Nothing came for the topic's `deadline_s`."""

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


LinkEvent = Lost | Stale | Gone | Synced


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


# --- the world as a node sees it ----------------------------------------------------------------------------------


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


# --- what a class declares ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Parameter(Generic[T]):
    """A value that the launch file, the site file, `-p` or `rise param set` may give. Reading it gives the value."""

    default: T
    unit: str = ""
    doc: str = ""
    ge: float = math.nan
    le: float = math.nan
    choices: tuple[T, ...] = ()
    name: str = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, node: None, owner: type) -> Self: ...
    @overload
    def __get__(self, node: Node, owner: type) -> T: ...
    def __get__(self, node: Node | None, owner: type) -> Self | T:
        return self if node is None else self.default

    @property
    def type_name(self) -> str:
        return "number" if isinstance(self.default, float) else type(self.default).__name__

    def check(self, value: Any) -> T:
        """`value` as this parameter's type.

        Raises:
            BadParameter: another type, outside ge..le, or not one of the choices.
        """
        wanted = type(self.default)
        if wanted is float and type(value) is int:
            value = float(value)
        if wanted is tuple and isinstance(value, list):
            value = tuple(value)
        if issubclass(wanted, StrEnum) and isinstance(value, str):
            try:
                value = wanted(value)
            except ValueError:
                raise BadParameter(f"{self.name}: {value!r} is not one of {[m.value for m in wanted]}") from None
        if type(value) is not wanted:
            raise BadParameter(f"{self.name}: expected {self.type_name}, got {type(value).__name__} {value!r}")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if not math.isnan(self.ge) and not value >= self.ge:
                raise BadParameter(f"{self.name}: {value!r} is below {self.ge:g}{self._unit()}")
            if not math.isnan(self.le) and not value <= self.le:
                raise BadParameter(f"{self.name}: {value!r} is above {self.le:g}{self._unit()}")
        if self.choices and value not in self.choices:
            raise BadParameter(f"{self.name}: {value!r} is not one of {list(self.choices)}")
        return value

    def _unit(self) -> str:
        return f" {self.unit}" if self.unit else ""


def parameter(
    default: T,
    *,
    unit: str = "",
    doc: str = "",
    ge: float = math.nan,
    le: float = math.nan,
    choices: tuple[T, ...] = (),
) -> Parameter[T]:
    """Declare a parameter: int, float, bool, str, a StrEnum, or a tuple or dict of plain data."""
    return Parameter(default, unit, doc, ge, le, choices)


class Publisher(Generic[M]):
    """Publishes on one topic; `at(namespace)` where the declaration says `namespace="*"`."""

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
        self._context.publish(self.topic, self.full_name, message)

    def withdraw(self, key: str = "") -> None:
        """Forget the latched value of `key`: whoever joins later is not shown it."""
        self._context.withdraw(self.full_name, key)

    def at(self, namespace: str) -> Publisher[M]:
        """The same topic in another namespace."""
        found = self._names.get(namespace)
        if found is None:
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


@dataclass(frozen=True, slots=True)
class Raw:
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


_MARK = "__declared__"


def _mark(method: Callable[..., Any], declaration: Any) -> Any:
    method.__dict__.setdefault(_MARK, []).append(declaration)
    return method


@overload
def subscription(
    topic: Topic[M],
    *,
    namespace: str | None = None,
    depth: int | None = None,
    lifespan_s: float | None = None,
) -> Callable[[Callable[[N, M], None]], Callable[[N, M], None]]: ...
@overload
def subscription(
    topic: Topic[M],
    *,
    batch_s: float,
    namespace: str | None = None,
    depth: int | None = None,
    lifespan_s: float | None = None,
) -> Callable[[Callable[[N, list[M]], None]], Callable[[N, list[M]], None]]: ...
def subscription(
    topic: Topic[Any],
    *,
    namespace: str | None = None,
    depth: int | None = None,
    lifespan_s: float | None = None,
    batch_s: float | None = None,
) -> Any:
    """The method is called with every message of the topic, or with lists of them every `batch_s`.

    `namespace="*"` hears the topic in every namespace one level deep; `self.source` says whose it is.
    """

    def decorate(method: Callable[..., Any]) -> Any:
        lifespan = topic.lifespan_s if lifespan_s is None else lifespan_s
        return _mark(method, Subscription(topic, method.__name__, namespace, depth or topic.depth, lifespan, batch_s))

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
    *, select: str, batch_s: float = 0.005, depth: int = 65536
) -> Callable[[Callable[[N, list[Raw]], None]], Callable[[N, list[Raw]], None]]:
    """The method gets lists of undecoded messages of each topic for which method `select(topic, type_name)` is true."""
    return lambda method: cast(
        Callable[[N, list[Raw]], None], _mark(method, Tap(method.__name__, select, batch_s, depth))
    )


@dataclass(frozen=True, slots=True)
class Interface:
    """Everything a node class declares."""

    parameters: Mapping[str, Parameter[Any]] = field(default_factory=dict)
    publishers: tuple[PublisherDeclaration[Any], ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    links: tuple[Link, ...] = ()
    timers: tuple[Timer, ...] = ()
    servers: tuple[Server, ...] = ()
    clients: tuple[ClientDeclaration[Any, Any], ...] = ()
    workers: tuple[Worker[Any, Any], ...] = ()
    taps: tuple[Tap, ...] = ()

    def handles_silence(self, topic: Topic[Any]) -> bool:
        """Whether the node says what happens when a topic falls silent."""
        return any(link.topic is topic for link in self.links)


def _read_interface(cls: type[Node]) -> Interface:
    found: dict[type, list[Any]] = {}
    parameters: dict[str, Parameter[Any]] = {}
    attributes: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        attributes.update(vars(base))
    for name, value in attributes.items():
        if isinstance(value, Parameter):
            parameters[name] = value
        elif isinstance(value, (PublisherDeclaration, ClientDeclaration, Worker)):
            found.setdefault(type(value), []).append(value)
        for declaration in getattr(value, _MARK, ()) if callable(value) else ():
            found.setdefault(type(declaration), []).append(declaration)

    def listed(kind: type[T]) -> tuple[T, ...]:
        return tuple(found.get(kind, ()))

    subscribed = {s.topic.name for s in listed(Subscription)}
    for link in listed(Link):
        if link.topic.name not in subscribed:
            raise DeclarationError(
                f"{cls.__name__}.{link.method}: on_link({link.topic.name!r}) without a subscription to it"
            )
    for w in listed(Worker):
        if not w.method:
            raise DeclarationError(f"{cls.__name__}.{w.name}: a worker needs a method decorated @{w.name}.received")
    for t in listed(Tap):
        if t.select not in attributes:
            raise DeclarationError(f"{cls.__name__}.{t.method}: tap(select={t.select!r}) names no method")
    return Interface(
        MappingProxyType(parameters),
        listed(PublisherDeclaration),
        listed(Subscription),
        listed(Link),
        listed(Timer),
        listed(Server),
        listed(ClientDeclaration),
        listed(Worker),
        listed(Tap),
    )


class Log:
    """Writes to /log and the process's standard error; `self.log.warning("...")`."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def debug(self, text: str) -> None:
        self._context.log(LogLevel.DEBUG, text)

    def info(self, text: str) -> None:
        self._context.log(LogLevel.INFO, text)

    def warning(self, text: str) -> None:
        self._context.log(LogLevel.WARNING, text)

    def error(self, text: str) -> None:
        self._context.log(LogLevel.ERROR, text)


class Node:
    """The base of every node. Callbacks run one at a time on one thread, so a node needs no locks.

    `self.now_ns()`, timers and `self.rng` (seeded by the node's full name) are the only sources of time and chance.
    """

    interface: ClassVar[Interface] = Interface()
    default_name: ClassVar[str] = ""
    """the node's name when the launch file gives none: the module's last segment"""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.interface = _read_interface(cls)
        last = cls.__module__.rsplit(".", 1)[-1]
        cls.default_name = cls.__module__.rsplit(".", 2)[-2] if last == "node" and "." in cls.__module__ else last

    def __init__(self, context: Context, parameters: Mapping[str, Any] | None = None) -> None:
        self.context = context
        self.source = Source("", "", 0, 0)
        self.log = Log(context)
        self.rng = context.rng
        self.now_ns = context.now_ns
        unknown = set(parameters or ()) - set(self.interface.parameters)
        if unknown:
            raise BadParameter(f"{type(self).__name__} has no parameter {', '.join(sorted(unknown))}")
        for name, declared in self.interface.parameters.items():
            self.__dict__[name] = (
                declared.check(parameters[name]) if parameters and name in parameters else declared.default
            )
        self._ids = 0

    @property
    def name(self) -> str:
        """The full name, `vmc1/impact_cortex`."""
        return self.context.name

    def next_id(self) -> str:
        """An id that no other node gives and that replay gives again: `<node>#<counter>`."""
        self._ids += 1
        return f"{self.context.name}#{self._ids}"

    def submit(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Run `function(*args)` on the node's thread; the one door for other threads. Bounded: raises queue.Full."""
        return self.context.submit(function, *args)

    def report(self, code: str, level: ConditionLevel, text: str) -> None:
        """Raise a finding on /diagnostics; it stays until `clear(code)`."""
        self.context.report(code, level, text)

    def clear(self, code: str) -> None:
        """Withdraw a finding."""
        self.context.clear(code)

    @classmethod
    def mistakes(cls, parameters: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """What is wrong with these parameters taken together, as (stable id, text), for `rise launch --check`.

        Every value has been checked alone; those not given have their defaults. Must not touch the world.
        """
        return ()

    def on_configure(self) -> None:
        """Set up state; called before the first callback, and again when the clock jumps back."""

    def on_parameter(self, name: str) -> None:
        """A parameter was set while running."""

    def on_shutdown(self) -> None:
        """Called once after the last callback."""


def full_topic_names(
    interface: Interface, namespace: str, remappings: Mapping[str, str]
) -> Iterator[tuple[str, Topic[Any], str]]:
    """`("pub" | "sub", topic, full name)` of every topic a node with this interface touches; `*` stands for itself."""
    for p in interface.publishers:
        yield (
            "pub",
            p.topic,
            resolve(remappings.get(p.topic.name, p.topic.name), namespace if p.namespace is None else p.namespace),
        )
    for s in interface.subscriptions:
        yield (
            "sub",
            s.topic,
            resolve(remappings.get(s.topic.name, s.topic.name), namespace if s.namespace is None else s.namespace),
        )
