"""What a node class declares, read off it and checked when the class is defined."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import FunctionType, MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from bus.declare import (
    EVERY,
    MARK,
    ClientDeclaration,
    DeclarationError,
    Link,
    PublisherDeclaration,
    Server,
    Subscription,
    Tap,
    Timer,
    Worker,
)
from bus.parameters import BadParameter, Parameter
from schemas.base import Topic

if TYPE_CHECKING:
    from bus.node import Node

T = TypeVar("T")


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


def interface_of(cls: type[Node]) -> Interface:
    """What a class and its bases declare.

    Raises:
        DeclarationError: an on_link without its subscription, a worker or tap without its method, a method that does
            not take what it will be called with, a parameter whose bounds its own default does not keep.
    """
    found: dict[type, list[Any]] = {}
    parameters: dict[str, Parameter[Any]] = {}
    attributes: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        attributes.update(vars(base))
    for name, value in attributes.items():
        if isinstance(value, Parameter):
            _check_parameter(cls, value)
            parameters[name] = value
        elif isinstance(value, (PublisherDeclaration, ClientDeclaration, Worker)):
            found.setdefault(type(value), []).append(value)
        for declaration in getattr(value, MARK, ()) if callable(value) else ():
            _check_arguments(cls, value, declaration)
            found.setdefault(type(declaration), []).append(declaration)

    def listed(kind: type[T]) -> tuple[T, ...]:
        return tuple(found.get(kind, ()))

    subscribed = {s.topic.name for s in listed(Subscription)}
    _check_cursors(cls, listed(Subscription), attributes)
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


def _check_parameter(cls: type[Node], declared: Parameter[Any]) -> None:
    bounds = [word for word in ("ge", "le") if not math.isnan(getattr(declared, word))]
    if bounds and type(declared.default) not in (int, float):
        raise DeclarationError(
            f"{cls.__name__}.{declared.name}: {bounds[0]} bounds a number, and this parameter is a {declared.type_name}"
        )
    try:
        declared.check(declared.default)
    except BadParameter as error:
        raise DeclarationError(f"{cls.__name__}: the default of {error}") from None


_TAKES = {Subscription: "the message", Link: "the event", Timer: "", Server: "the request", Tap: "the messages"}


def _check_arguments(cls: type[Node], method: Any, declaration: Any) -> None:
    takes = _TAKES[type(declaration)]
    if not isinstance(method, FunctionType):  # whatever a decorator made of it
        return
    try:
        inspect.signature(method).bind(*(("self", takes) if takes else ("self",)))
    except TypeError:
        wanted = f"self and {takes}" if takes else "self alone"
        raise DeclarationError(
            f"{cls.__name__}.{method.__name__}{inspect.signature(method)}: it will be called with {wanted}"
        ) from None


def _check_cursors(cls: type[Node], subscriptions: tuple[Subscription, ...], attributes: Mapping[str, Any]) -> None:
    seen: dict[str, list[Subscription]] = {}
    for s in subscriptions:
        if not s.topic.qos.logged or s.cursor is None:
            continue
        if s.cursor and s.cursor not in attributes:
            raise DeclarationError(f"{cls.__name__}.{s.method}: subscription(cursor={s.cursor!r}) names no method")
        for other in seen.setdefault(s.topic.name, []):
            if s.namespace == other.namespace or EVERY in (s.namespace, other.namespace):
                raise DeclarationError(
                    f"{cls.__name__}: {other.method} and {s.method} would share one cursor in {s.topic.name!r}"
                )
        seen[s.topic.name].append(s)
