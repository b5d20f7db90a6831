"""What a bag holds for replay: the nodes that ran, and their input by (publisher, topic, seq)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from bus.bag import AnyBag, BagMessage
from bus.node import EVERY, Interface, Subscription
from schemas.base import Message, Service, Topic, resolve
from schemas.sayable import shown

if TYPE_CHECKING:
    from bus.replay.lockstep import Life

Key = tuple[int, str, int]
"""publisher_id, full topic, seq"""

KEEP_NS = 60_000_000_000
"""A best-effort message is let go so long after it was recorded: no queue holds it longer."""


class NotReplayable(ValueError):
    """The bag does not hold what the replay of this node needs; says what, and what to do."""


@dataclass(frozen=True, slots=True)
class RecordedNode:
    """A node that ran while the bag was recorded."""

    name: str
    """full name"""
    namespace: str = ""
    target: str = ""
    clock: str = "wall"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_entry(cls, name: str, entry: Mapping[str, Any]) -> Self:
        """From the node's discovery entry as the bag keeps it.

        Raises:
            TypeError, ValueError: it holds something else than an entry does.
        """
        words = (entry.get("namespace", name.rpartition("/")[0]), entry.get("target", ""), entry.get("clock", "wall"))
        remappings = dict(entry.get("remappings", {}))
        for text in (*words, *remappings, *remappings.values()):
            if not isinstance(text, str):
                raise TypeError(f"expected text, got {shown(text)}")
        return cls(name, *words, dict(entry.get("parameters", {})), remappings)

    @property
    def trace_topic(self) -> str:
        return f"{self.name}/trace"

    def resolve(self, name: str, namespace: str | None = None) -> str:
        """The full name of a topic or service of this node, remapped."""
        return resolve(self.remappings.get(name, name), self.namespace if namespace is None else namespace)


def recorded_nodes(bag: AnyBag) -> list[RecordedNode]:
    """Every node the bag knows, by full name."""
    try:
        return [RecordedNode.from_entry(name, entry) for name, entry in sorted(bag.nodes().items())]
    except (TypeError, AttributeError, ValueError) as error:
        raise NotReplayable(f"{bag.path}: what it says of its nodes is damaged: {error}") from None


class Names:
    """Full names to what a class declares under them, `*` included."""

    def __init__(self, node: RecordedNode, interface: Interface) -> None:
        self._exact: dict[str, Topic[Any]] = {}
        self._below: dict[str, Topic[Any]] = {}
        for p in interface.publishers:
            full = node.resolve(p.topic.name, p.namespace)
            if p.namespace == EVERY:
                self._below[full[1:]] = p.topic
            else:
                self._exact[full] = p.topic
        self._clients: dict[str, Service[Any, Any]] = {
            node.resolve(c.service.name, c.namespace): c.service for c in interface.clients
        }

        self._servers = {node.resolve(s.service.name): s.service for s in interface.servers}
        self._subscriptions = [(node.resolve(s.topic.name, s.namespace), s) for s in interface.subscriptions]
        self._heard: dict[str, list[Subscription]] = {}

    def subscriptions(self, full_name: str) -> list[Subscription]:
        """The subscriptions that hear a topic of this name."""
        found = self._heard.get(full_name)
        if found is None:
            below = f"{EVERY}/{full_name.partition('/')[2]}"
            found = [s for own, s in self._subscriptions if own == (below if s.namespace == EVERY else full_name)]
            self._heard[full_name] = found
        return found

    def published(self, full_name: str) -> Topic[Any] | None:
        """The topic the class declares to publish under this name."""
        exact = self._exact.get(full_name)
        if exact is None and self._below:
            return self._below.get(full_name[full_name.find("/") :])
        return exact

    def server(self, full_name: str) -> Service[Any, Any] | None:
        """The service the class declares to serve under this name."""
        return self._servers.get(full_name)

    def client(self, full_name: str) -> Service[Any, Any] | None:
        """The service the class declares to call under this name."""
        found = self._clients.get(full_name)
        return found or self._clients.get(EVERY + full_name[full_name.find("/") :])


class Inputs:
    """The recorded messages around the present of a replay.

    Best-effort messages are forgotten after KEEP_NS; kept topics (state, events) stay, since a late joiner may have got
    an old value. What a node that is replayed at the same time publishes takes the place of what was recorded.
    """

    def __init__(self) -> None:
        self.held: dict[Key, BagMessage] = {}
        self._order: deque[tuple[int, Key]] = deque()
        self.made: dict[Key, Message] = {}
        self.remade: dict[tuple[int, str], Life] = {}
        """by (publisher_id, topic): the replayed node its messages come from"""
        self.latest: list[Any] = [None, None]
        """the message decoded last, as recorded and as decoded: two lives of one node take each in turn"""

    def as_recorded(self) -> Inputs:
        """The same messages for one who hears all of them as they were recorded."""
        other = copy(self)
        other.made, other.remade = {}, {}
        return other

    def add(self, message: BagMessage) -> None:
        """Keep a recorded message."""
        channel = message[0]
        key = (channel.publisher_id, channel.topic, message[1])
        self.held[key] = message
        if channel.qos == "SENSOR":
            order = self._order
            order.append((message[2], key))
            if not len(order) & 1023:
                self._forget(message[2] - KEEP_NS)

    def _forget(self, before_ns: int) -> None:
        order = self._order
        while order[0][0] < before_ns:
            _, key = order.popleft()
            self.held.pop(key, None)
            self.made.pop(key, None)

    def before(self, stamp_ns: int, topics: Mapping[str, Topic[Any]], but: set[Key]) -> list[BagMessage]:
        """The latched values of these topics at a moment, in order of publishing; none of `but`."""
        found: dict[object, BagMessage] = {}
        for key, message in self.held.items():
            topic = topics.get(key[1])
            if topic is not None and topic.qos.latched and message.publish_ns <= stamp_ns and key not in but:
                found[key if topic.key else key[:2]] = message
        return sorted(found.values(), key=lambda m: (m.publish_ns, m.topic, m.publisher))
