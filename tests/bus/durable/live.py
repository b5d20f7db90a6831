"""Telling and hearing durably, for tests that run the toys in threads."""

from __future__ import annotations

from pathlib import Path

from bus.executor import Executor
from bus.host import Spec
from bus.testing import Domain
from tests.bus.durable.toys import Booker
from tests.bus.live import node, until

TOPIC = "count/events"


def tell(executor: Executor, count: int, size: int = 0) -> None:
    executor.hosts[0].submit(node(executor).tell, count, size).result(20)


def hears(executor: Executor, numbers: list[int], index: int = 0) -> None:
    """It hears exactly these."""
    heard = node(executor, index).heard
    until(lambda: len(heard) >= len(numbers))
    assert heard == numbers


def log_folder(domain: Domain, name: str = "teller") -> Path:
    return domain.root / "state" / domain.name / "log" / name / "count.events"


def booker(domain: Domain, cls: type[Booker] = Booker, name: str = "") -> Spec:
    return Spec(cls, name, parameters={"path": str(domain.root / "erp.sqlite3")})
