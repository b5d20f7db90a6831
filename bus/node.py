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

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, ClassVar, TypeVar

from bus.context import (
    BlockingCallError,
    CallError,
    CallFailed,
    Context,
    Gone,
    LinkEvent,
    LogLost,
    Lost,
    Outcome,
    Raw,
    Source,
    Stale,
    Synced,
)
from bus.declare import (
    EVERY,
    Client,
    ClientDeclaration,
    DeclarationError,
    Link,
    Publisher,
    PublisherDeclaration,
    Server,
    Subscription,
    Tap,
    Timer,
    Worker,
    client,
    on_link,
    publisher,
    service,
    subscription,
    tap,
    timer,
    worker,
)
from bus.interface import Interface, interface_of
from bus.parameters import BadParameter, Parameter, parameter
from schemas.machine import ConditionLevel
from schemas.system import LogLevel

__all__ = [
    "EVERY", "BadParameter", "BlockingCallError", "CallError", "CallFailed", "Client", "ClientDeclaration", "Context",
    "DeclarationError", "Gone", "Interface", "Link", "LinkEvent", "Log", "LogLost", "Lost", "Node", "Objection",
    "Outcome", "Parameter", "Publisher", "PublisherDeclaration", "Raw", "Server", "Source", "Stale", "Subscription",
    "Synced", "Tap", "Timer", "Worker", "client", "on_link", "parameter", "publisher", "service", "subscription", "tap",
    "timer", "worker",
]  # fmt: skip

T = TypeVar("T")

Objection = tuple[str, str, *tuple[str | int, ...]]
"""what is wrong with a node's parameters: stable id, text, and which one: the parameter's name, the item of its list"""


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
    backtest: ClassVar[str] = ""
    """the module that judges recordings by many settings at once, see bus/backtest.py; empty: there is none"""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.interface = interface_of(cls)
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
    def mistakes(cls, parameters: Mapping[str, Any]) -> Iterable[Objection]:
        """What is wrong with these parameters taken together, for `rise launch --check`.

        Every value has been checked alone; those not given have their defaults. Must not touch the world.
        """
        return ()

    def on_configure(self) -> None:
        """Set up state; called before the first callback, and again when the clock jumps back."""

    def on_parameter(self, name: str) -> None:
        """A parameter was set while running."""

    def on_shutdown(self) -> None:
        """Called once after the last callback."""
