"""A nameless participant of a domain, for tools, tests and scripts: call a service, publish, listen, wait.

with Session() as session:
    reply = session.call("vmc1/machine/inject", topics.INJECT, InjectRequest(fault=Fault.CRASH), timeout_s=1.0)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from bus.discovery import Directory
from bus.executor import Executor
from bus.host import Spec
from bus.node import Node, Outcome, Raw, tap
from schemas.base import Message, Service, Topic

M = TypeVar("M", bound=Message)
Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)

Select = Callable[[str, str], bool]


class _Listener(Node):
    """The node behind a session: hears what `select` chooses."""

    chosen: Select = staticmethod(lambda topic, type_name: False)
    heard: Callable[[list[Raw]], None] = staticmethod(lambda batch: None)

    @tap(select="select")
    def on_raw(self, batch: list[Raw]) -> None:
        self.heard(batch)

    def select(self, topic: str, type_name: str) -> bool:
        return self.chosen(topic, type_name)


class _Silent(Node):
    """The node behind a session that does not listen."""


class Session:
    """Takes part in a domain from the calling thread.

    Args:
        select: `(full topic, type name) -> bool`; chosen topics arrive undecoded at `heard`, in lists. A message whose
            `lost_first` is above 0 stands for lost ones.
    """

    def __init__(
        self, domain: str | None = None, *, select: Select | None = None,
        heard: Callable[[list[Raw]], None] | None = None, name: str = "",
    ) -> None:  # fmt: skip
        cls: type[Node] = _Silent
        if select is not None:
            cls = type(
                "_Chosen", (_Listener,),
                {"chosen": staticmethod(select), "heard": staticmethod(heard or (lambda batch: None))},
            )  # fmt: skip
        self.executor = Executor([Spec(cls, name or f"_session_{os.urandom(4).hex()}")], domain=domain, durable=False)
        self.executor.start()

    @property
    def directory(self) -> Directory:
        return self.executor.directory

    @property
    def now_ns(self) -> int:
        return self.executor.now_ns()

    def call(self, full_name: str, service: Service[Q, R], request: Q, *, timeout_s: float) -> R:
        """Ask and wait.

        Raises:
            CallFailed: no reply; `.error` says why.
        """
        outcome = self.start_call(full_name, service, request, timeout_s=timeout_s)
        found: list[Outcome[R]] = outcome
        self.executor.spin(lambda: bool(found), timeout_s + 1.0)
        return found[0].unwrap()

    def start_call(self, full_name: str, service: Service[Q, R], request: Q, *, timeout_s: float) -> list[Outcome[R]]:
        """Ask; the outcome is appended to the returned list while `spin` runs."""
        found: list[Outcome[R]] = []
        self.executor.hosts[0].call(service, full_name, request, timeout_s, found.append)
        return found

    def publish(self, topic: Topic[M], full_name: str, message: M) -> None:
        """Send a message under a full name."""
        self.executor.publish(self.executor.hosts[0], topic, full_name, message)

    def spin(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Take part until a condition holds; False when it does not in time."""
        return self.executor.spin(until, timeout_s)

    def close(self) -> None:
        self.executor.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()
