"""Hearing topics from a command: raw messages, the definitions that read them, and what nodes say of their health."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Any

from bus.node import Raw
from bus.session import Select, Session
from schemas import topics
from schemas.base import Message
from schemas.codec import DecodeError, codec
from schemas.grammar import Definition
from schemas.system import Diagnostics

BATCH_MAX = 100_000
DIAGNOSTICS = topics.DIAGNOSTICS.name.removeprefix("/")
HEALTH_WITHIN_S = 1.5
"""Diagnostics are latched, so they come with the handshake; a node says them again every second."""


class Listening:
    """A session that hears the topics that `select(topic, type_name)` chooses; use as a context manager."""

    def __init__(self, domain: str | None, select: Select) -> None:
        self._heard: deque[Raw] = deque(maxlen=BATCH_MAX)
        self._definitions: dict[str, Definition] = {}
        self.session = Session(domain, select=select, heard=self._heard.extend)
        self.started_ns = self.session.now_ns

    def take(self, timeout_s: float) -> list[Raw]:
        """What has come; waits until there is something, at most `timeout_s`."""
        self.session.spin(lambda: bool(self._heard), timeout_s)
        found = list(self._heard)
        self._heard.clear()
        return found

    def definition(self, raw: Raw) -> Definition | None:
        """The type of a message as its publisher defined it; None when it is gone without having said."""
        found = self._definitions.get(raw.type_hash)
        if found is None:
            for entry in self.session.executor.peers.entries.values():
                self._definitions.update(entry.definitions)
            found = self._definitions.get(raw.type_hash)
        return found

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.session.close()


def diagnostics_in(batch: list[Raw]) -> dict[str, Diagnostics]:
    """The newest word of each node among messages."""
    found: dict[str, Diagnostics] = {}
    for raw in batch:
        if raw.topic == DIAGNOSTICS and not raw.lost_first:
            try:
                said = codec(Diagnostics).decode(raw.payload)
            except DecodeError:
                continue  # another version of the type; `rise doctor` names it
            found[said.node] = said
    return found


def health(domain: str | None, nodes: Collection[str]) -> dict[str, Diagnostics]:
    """What `nodes` say of their health; one that has not answered in time is left out."""
    found: dict[str, Diagnostics] = {}
    with Listening(domain, lambda topic, _: topic == DIAGNOSTICS) as listening:
        ends_ns = listening.session.now_ns + int(HEALTH_WITHIN_S * 1e9)
        while any(node not in found for node in nodes) and listening.session.now_ns < ends_ns:
            found |= diagnostics_in(listening.take(0.1))
    return {node: said for node, said in found.items() if node in nodes}


def plain_row(row: Message) -> dict[str, Any]:
    """A row of diagnostics as plain data."""
    return row.__dict__.copy()
