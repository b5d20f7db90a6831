"""A Context without a bus: time moves when told, what is published is kept."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from bus.node import Outcome
from nodes.sensory_cortex.node import SensoryCortex
from schemas.base import Message, Service, Topic, resolve
from schemas.machine import ConditionLevel
from schemas.system import LogLevel

M = TypeVar("M", bound=Message)
START_NS = 1_700_000_000_000_000_000


class Stage:
    """Runs one SensoryCortex by hand."""

    def __init__(self, parameters: Mapping[str, Any] | None = None, seed: int | str = "vmc1/sensory_cortex") -> None:
        self.name = "vmc1/sensory_cortex"
        self.namespace = "vmc1"
        self.rng = random.Random(seed)
        self.time_ns = START_NS
        self.published: dict[str, list[Message]] = defaultdict(list)
        self.sent: list[tuple[int, Topic[Any], Message]] = []
        """everything published, with its time, in order"""
        self.logged: list[tuple[LogLevel, str]] = []
        self.findings: dict[str, str] = {}
        self.node = SensoryCortex(self, parameters)
        self.node.on_configure()

    @classmethod
    def of_source(cls, **table: Any) -> Stage:
        """A machine with this one source."""
        return cls({"sources": (table,)})

    def now_ns(self) -> int:
        return self.time_ns

    def resolve(self, name: str, namespace: str | None = None) -> str:
        return resolve(name, self.namespace if namespace is None else namespace)

    def publish(self, topic: Topic[Any], full_name: str, message: Message) -> None:
        assert type(message) is topic.type
        self.published[topic.name].append(message)
        self.sent.append((self.time_ns, topic, message))

    def withdraw(self, full_name: str, key: str) -> None:
        raise AssertionError("alarms are withdrawn by their level")

    def call(
        self,
        service: Service[Any, Any],
        full_name: str,
        request: Message,
        timeout_s: float,
        then: Callable[[Outcome[Any]], None] | None,
    ) -> Future[Any]:
        raise AssertionError("a sensory cortex calls nobody")

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        raise AssertionError("nothing runs beside this node")

    def log(self, level: LogLevel, text: str) -> None:
        self.logged.append((level, text))

    def report(self, code: str, level: ConditionLevel, text: str) -> None:
        self.findings[code] = text

    def clear(self, code: str) -> None:
        self.findings.pop(code, None)

    def of(self, topic: Topic[M]) -> list[M]:
        """What was published on a topic, in order."""
        return self.published[topic.name]  # type: ignore[return-value] # publish checked the type

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Tick every millisecond; True when `until` came to hold (or there is none)."""
        for _ in range(round(seconds * 1000)):
            self.time_ns += 1_000_000
            self.node.tick()
            if self.time_ns % 5_000_000 == 0:
                self.node.later()
            if self.time_ns % 200_000_000 == 0:
                self.node.look()
            if until is not None and until():
                return True
        return until is None
