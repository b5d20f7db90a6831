"""A machine, the hub's node and a browser's side of HTTP, all real, in a domain of the test's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from bus.host import Spec
from bus.node import Raw
from bus.session import Session
from bus.testing import Domain
from nodes.impact_cortex.node import ImpactCortex
from nodes.sensory_cortex.node import SensoryCortex
from schemas import topics
from schemas.audit import Audit
from schemas.base import Message, Topic
from schemas.codec import codec
from web.desk import web_folder
from web.node import FanucApi
from web.private import write_private
from web.users import User, Users, hash_password, text_of

PASSWORD = "battery staple"
WAIT_S = 15.0


class Shop:
    """What a test sees of it: HTTP as a page of the hub sends it, and what is said on the bus."""

    def __init__(self, node: FanucApi, session: Session, heard: dict[str, list[bytes]]) -> None:
        assert node.serving is not None
        self.node = node
        self.url = node.serving.url.rstrip("/")
        self.session = session
        self._heard = heard
        self._clients: list[httpx.Client] = []

    def browser(self, **headers: str) -> httpx.Client:
        """A page of the hub, with a jar of cookies of its own."""
        client = page(self.node)
        client.headers.update(headers)
        self._clients.append(client)
        return client

    def signed_on(self, user: str, password: str = PASSWORD) -> httpx.Client:
        client = self.browser()
        answer = client.post("/api/v1/session", json={"user": user, "password": password})
        assert answer.status_code == 200, answer.text
        return client

    def said(self, topic: Topic[Any], name: str) -> list[Any]:
        """What was said so far."""
        return [codec(topic.type).decode(payload) for payload in self._heard.get(name, [])]

    def wait(self, topic: Topic[Any], name: str, wanted: Any) -> Message:
        """The first message for which `wanted(message)` holds."""
        found: list[Message] = []

        def there() -> bool:
            found[:] = [m for m in self.said(topic, name) if wanted(m)]
            return bool(found)

        assert self.session.spin(there, WAIT_S), f"nothing such on {name}: {self.said(topic, name)[-3:]}"
        return found[0]

    def audit(self, **wanted: Any) -> Audit:
        """The first audit with these values."""
        found = self.wait(topics.AUDIT, "audit", lambda a: all(getattr(a, k) == v for k, v in wanted.items()))
        assert isinstance(found, Audit)
        return found

    def close(self) -> None:
        for client in self._clients:
            client.close()


@contextlib.contextmanager
def shop(
    domain: Domain, *, sources: tuple[dict[str, Any], ...] = ({"driver": "simulator"},), engine: bool = False,
    **parameters: Any,
) -> Iterator[Shop]:  # fmt: skip
    """vmc1 and the hub, both up."""
    heard: dict[str, list[bytes]] = {}
    publishers: set[str] = set()

    def hear(batch: list[Raw]) -> None:
        for raw in batch:
            publishers.add(raw.publisher)
            if not raw.lost_first:
                heard.setdefault(raw.topic, []).append(raw.payload)

    def select(topic: str, type_name: str) -> bool:
        return type_name in ("Audit", "MotionEvent", "StandingAlarm", "Alarm", "Intervention", "Diagnostics")

    machine = [Spec(SensoryCortex, namespace="vmc1", parameters={"sources": sources})]
    if engine:
        machine.append(Spec(ImpactCortex, namespace="vmc1", parameters={"mode": "STOP"}))
    with (
        domain.session(select=select, heard=hear) as session,
        domain.running(*machine),
        hub(domain, **parameters) as node,
    ):
        made = Shop(node, session, heard)
        # only who is heard already is heard from the first word on
        up = {"fanuc_api", "vmc1/sensory_cortex"}
        assert session.spin(lambda: "vmc1" in node.infos and up <= publishers, WAIT_S), f"heard {publishers}"
        try:
            yield made
        finally:
            made.close()


@contextlib.contextmanager
def hub(domain: Domain, **parameters: Any) -> Iterator[FanucApi]:
    """The hub alone."""
    with domain.running(Spec(FanucApi, "fanuc_api", parameters={"port": 0, **parameters})) as executor:
        node = executor.hosts[0].node
        assert isinstance(node, FanucApi)
        yield node


def page(node: FanucApi) -> httpx.Client:
    """A page of a hub."""
    assert node.serving is not None
    url = node.serving.url.rstrip("/")
    return httpx.Client(base_url=url, headers={"Origin": url}, timeout=20.0)


def folder(domain: Domain) -> Path:
    """Where the hub of the domain keeps its users."""
    return web_folder(domain.name)


def people(domain: Domain) -> Users:
    """A user of each role, `PASSWORD` for all; otto may command vmc2 alone."""
    rows = {
        name: User(name, (role,), hashed(), machines)
        for name, role, machines in (
            ("anna", "administrator", ()),
            ("erik", "engineer", ()),
            ("maria", "operator", ()),
            ("otto", "operator", ("vmc2",)),
            ("vera", "viewer", ()),
        )
    }
    users = Users(folder(domain))
    write_private(users.path, text_of(rows).encode())
    return users


@cache
def hashed() -> str:
    """Once for all tests: it takes its time on purpose."""
    return hash_password(PASSWORD)
