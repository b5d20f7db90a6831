"""What a class declares can be read without an instance, and what cannot work is refused when it is defined."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from enum import StrEnum
from threading import Event
from typing import Any

import pytest

from bus.node import (
    BadParameter,
    DeclarationError,
    LinkEvent,
    Node,
    Raw,
    Source,
    client,
    on_link,
    parameter,
    publisher,
    service,
    subscription,
    tap,
    timer,
    worker,
)
from schemas.base import resolve
from schemas.machine import ConditionLevel
from schemas.system import LogLevel
from tests.bus.toys.talk import ASK, KEPT, SAID, SENSED, Answer, Question, Word


class Colour(StrEnum):
    RED = "RED"
    GREEN = "GREEN"


class Full(Node):
    """Declares one of each."""

    limit_pct = parameter(85.0, unit="%", doc="load above this counts as overload", ge=0, le=200)
    count = parameter(3, ge=1)
    colour = parameter(Colour.RED)
    names = parameter(("a",))
    word = parameter("x", choices=("x", "y"))

    said = publisher(SAID)
    kept = publisher(KEPT, namespace="*")
    ask = client(ASK)

    @subscription(SENSED, depth=5, lifespan_s=0.2)
    def on_sensed(self, word: Word) -> None: ...

    @subscription(KEPT, namespace="*", batch_s=0.1)
    def on_kept(self, words: list[Word]) -> None: ...

    @on_link(SENSED)
    def on_link(self, event: LinkEvent) -> None: ...

    @timer(0.05)
    def tick(self) -> None: ...

    @service(ASK)
    def answer(self, question: Question) -> Answer:
        return Answer(number=question.number, pid=1)

    @worker(depth=3, on_full="drop_oldest")
    def dig(self, stop: Event) -> Iterator[Word]:
        yield Word(number=1, text="")

    @dig.received
    def on_dug(self, word: Word) -> None: ...

    @tap(select="chosen")
    def on_raw(self, batch: list[Raw]) -> None: ...

    def chosen(self, topic: str, type_name: str) -> bool:
        return False


class Quiet:
    """A context that writes down what a node does in it."""

    def __init__(self, name: str = "vmc1/full", namespace: str = "vmc1") -> None:
        self.name = name
        self.namespace = namespace
        self.rng = random.Random(name)
        self.published: list[tuple[str, Any]] = []

    def now_ns(self) -> int:
        return 7

    def resolve(self, name: str, namespace: str | None = None) -> str:
        return resolve(name, self.namespace if namespace is None else namespace)

    def publish(self, topic: Any, full_name: str, message: Any) -> None:
        self.published.append((full_name, message))

    def withdraw(self, full_name: str, key: str) -> None:
        self.published.append((full_name, key))

    def call(
        self, service: Any, full_name: str, request: Any, timeout_s: float, then: Callable[[Any], None] | None
    ) -> Future[Any]:
        self.published.append((full_name, request))
        return Future()

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        return Future()

    def log(self, level: LogLevel, text: str) -> None: ...

    def report(self, code: str, level: ConditionLevel, text: str) -> None: ...

    def clear(self, code: str) -> None: ...


def test_the_interface_is_read_off_the_class() -> None:
    found = Full.interface
    assert list(found.parameters) == ["limit_pct", "count", "colour", "names", "word"]
    assert [(p.attribute, p.topic.name, p.namespace) for p in found.publishers] == [
        ("said", "talk/said", None),
        ("kept", "talk/kept", "*"),
    ]
    subscribed = [(s.topic.name, s.method, s.namespace, s.depth, s.lifespan_s, s.batch_s) for s in found.subscriptions]
    assert subscribed == [
        ("talk/sensed", "on_sensed", None, 5, 0.2, None),
        ("talk/kept", "on_kept", "*", 256, None, 0.1),
    ]
    assert [(t.period_s, t.method) for t in found.timers] == [(0.05, "tick")]
    assert [(s.service.name, s.method) for s in found.servers] == [("talk/ask", "answer")]
    assert [c.service.name for c in found.clients] == ["talk/ask"]
    assert [(w.name, w.method, w.depth, w.on_full) for w in found.workers] == [("dig", "on_dug", 3, "drop_oldest")]
    assert [(t.method, t.select) for t in found.taps] == [("on_raw", "chosen")]
    assert found.handles_silence(SENSED)
    assert not found.handles_silence(SAID)
    assert Full.default_name == "test_node"


def test_a_subclass_adds_and_replaces() -> None:
    class More(Full):
        count = parameter(9)
        extra = publisher(SENSED)

    assert More.interface.parameters["count"].default == 9
    assert len(More.interface.publishers) == 3
    assert Full.interface.parameters["count"].default == 3


def test_what_cannot_work_is_refused_when_the_class_is_defined() -> None:
    with pytest.raises(DeclarationError, match=r"Bad\.on_gone: on_link\('talk/said'\) without a subscription to it"):

        class Bad(Node):
            @on_link(SAID)
            def on_gone(self, event: LinkEvent) -> None: ...

    with pytest.raises(DeclarationError, match=r"Bad2\.dig: a worker needs a method decorated @dig\.received"):

        class Bad2(Node):
            @worker()
            def dig(self, stop: Event) -> Iterator[Word]:
                yield Word(number=1, text="")

    with pytest.raises(DeclarationError, match=r"tap\(select='nothing'\) names no method"):

        class Bad3(Node):
            @tap(select="nothing")
            def on_raw(self, batch: list[Raw]) -> None: ...

    for period_s in (0.0, -1.0, float("nan")):
        with pytest.raises(DeclarationError, match="a timer's period must be above 0 s"):
            timer(period_s)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("limit_pct", 50, 50.0),
        ("limit_pct", 0.0, 0.0),
        ("colour", "GREEN", Colour.GREEN),
        ("names", ["b", "c"], ("b", "c")),
        ("word", "y", "y"),
    ],
)
def test_a_parameter_takes_what_fits(name: str, value: Any, kept: Any) -> None:
    made = Full(Quiet(), {name: value})
    assert getattr(made, name) == kept
    assert type(getattr(made, name)) is type(kept)
    assert made.count == 3


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("limit_pct", 200.5, "limit_pct: 200.5 is above 200 %"),
        ("limit_pct", -1, "limit_pct: -1.0 is below 0 %"),
        ("limit_pct", float("nan"), "limit_pct: nan is no number"),
        ("limit_pct", "85", "limit_pct: expected number, got str '85'"),
        ("limit_pct", True, "limit_pct: expected number, got bool True"),
        ("count", 0, "count: 0 is below 1"),
        ("count", 2.0, "count: expected int, got float 2.0"),
        ("colour", "BLUE", "colour: 'BLUE' is not one of ['RED', 'GREEN']"),
        ("word", "z", "word: 'z' is not one of ['x', 'y']"),
        ("word", "z" * 10**6, f"word: '{'z' * 39} ... {'z' * 39}' is not one of ['x', 'y']"),
        ("no_such", 1, "Full has no parameter no_such"),
    ],
)
def test_a_parameter_refuses_with_its_bound_and_unit(name: str, value: Any, text: str) -> None:
    with pytest.raises(BadParameter) as refused:
        Full(Quiet(), {name: value})
    assert str(refused.value) == text


def test_publishers_and_clients_know_their_names() -> None:
    context = Quiet()
    made = Full(context)
    made.said.publish(Word(number=1, text=""))
    made.kept.at("vmc2").publish(Word(number=2, text=""))
    made.kept.at("vmc2").withdraw("k")
    made.ask.call(Question(number=3), timeout_s=1)
    made.ask.at("vmc9").call(Question(number=4), timeout_s=1)
    assert [name for name, _ in context.published] == [
        "vmc1/talk/said",
        "vmc2/talk/kept",
        "vmc2/talk/kept",
        "vmc1/talk/ask",
        "vmc9/talk/ask",
    ]
    assert made.kept.at("vmc2") is made.kept.at("vmc2")
    with pytest.raises(TypeError, match="vmc1/talk/said carries Word, not Question"):
        made.said.publish(Question(number=1))  # type: ignore[arg-type] # what mypy refuses, refused at run time too


def test_ids_names_and_sources() -> None:
    made = Full(Quiet())
    assert [made.next_id(), made.next_id()] == ["vmc1/full#1", "vmc1/full#2"]
    assert made.now_ns() == 7
    assert made.rng.random() == random.Random("vmc1/full").random()
    source = Source("vmc1/sensory_cortex", "vmc1/machine/samples", 9, 5)
    assert source.namespace == "vmc1"
    assert Source("log", "log", 1, 2).namespace == ""
    assert (source.cause().publisher, source.cause().topic, source.cause().seq) == (source.node, source.topic, 9)
