"""How a recorded message reaches a callback of today: which method takes it, and as which type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bus.bag import BagMessage
from bus.node import Node, Source, Subscription
from bus.replay.inputs import Inputs, Key, Names, NotReplayable
from schemas.base import Message, Topic
from schemas.codec import DecodeError, codec
from schemas.grammar import definition, match, type_hash

if TYPE_CHECKING:
    from bus.replay.lockstep import Life

_new = tuple.__new__


@dataclass(slots=True)
class Handler:
    """What a MESSAGE or LINK record leads to."""

    method: Callable[..., Any]
    subscription: Subscription
    full_name: str
    type: type[Message]
    decode: Callable[[bytes], Message]
    checked: set[int] = field(default_factory=set)
    """channels whose type was compared with the class's"""


class Hearing:
    """The recorded input of one node.

    Args:
        skip: is told, once, what was recorded and cannot be heard.
    """

    def __init__(self, cls: type[Node], names: Names, inputs: Inputs, skip: Callable[[str], None]) -> None:
        self.inputs = inputs
        self.missing: dict[tuple[str, int], list[int]] = {}
        """by (topic, publisher): how many, first seq, time of the first"""
        self._cls = cls
        self._names = names
        self._skip = skip
        self._messages: dict[str, Handler | None] = {}
        self._links: dict[str, Handler | None] = {}

    def handler(self, node: Node, name: str) -> Handler | None:
        """The callback of `<method> <full topic>`; another one for the same topic when that name is gone."""
        if name in self._messages:
            return self._messages[name]
        full = name.partition(" ")[2]
        methods = [s.method for s in self._names.subscriptions(full)]
        made = self._messages[name] = self._bound(node, name, methods)
        return made

    def link_handler(self, node: Node, name: str) -> Handler | None:
        """The same for link events."""
        if name in self._links:
            return self._links[name]
        heard = self._names.subscriptions(name.partition(" ")[2])
        methods = [k.method for k in self._cls.interface.links if any(k.topic is s.topic for s in heard)]
        made = self._links[name] = self._bound(node, name, methods)
        return made

    def _bound(self, node: Node, name: str, methods: list[str]) -> Handler | None:
        method, _, full = name.partition(" ")
        if not methods:
            self._skip(f"{method} on {full} was recorded, and {self._cls.__name__} has no such callback")
            return None
        heard = self._names.subscriptions(full)
        chosen = method if method in methods else methods[0]
        subscription = next((s for s in heard if s.method == chosen), heard[0])
        kind: type[Message] = subscription.topic.type
        return Handler(getattr(node, chosen), subscription, full, kind, codec(kind).decode)

    def take(self, node: Node, handler: Handler, key: Key, now_ns: int) -> Message | None:
        """The message under this key, `node.source` set; None when there is none."""
        inputs = self.inputs
        if inputs.remade and (publisher := inputs.remade.get(key[:2])) is not None:
            return self._remade(node, handler, key, publisher, now_ns)
        found = inputs.held.get(key)
        if found is None:
            publisher_id, topic, seq = key
            missing = self.missing.setdefault((topic, publisher_id), [0, seq, now_ns])
            missing[0] += 1
            return None
        return self.decoded(node, handler, found)

    def _remade(self, node: Node, handler: Handler, key: Key, publisher: Life, now_ns: int) -> Message | None:
        """What the publisher, replayed too, says now under this number."""
        made = self.inputs.made.get(key)
        recorded = self.inputs.held.get(key)
        if made is None:
            if recorded is not None and publisher.ended_before(recorded.publish_ns):
                return self.decoded(node, handler, recorded)
            self._skip(f"{key[1]}: the replayed publisher did not publish some recorded messages")
            return None
        name, stamp_ns = (recorded.publisher, recorded.publish_ns) if recorded else ("", now_ns)
        node.source = Source(name, key[1], key[2], stamp_ns, key[0])
        return made

    def decoded(self, node: Node, handler: Handler, message: BagMessage) -> Message:
        """The recorded message as the class of today, `node.source` set."""
        channel, seq, _, publish_ns, payload = message
        if channel.id not in handler.checked:
            handler.checked.add(channel.id)
            self._check(handler.subscription.topic, message)
        # as Source() does, in a third of the time: every sample of a job passes here
        node.source = _new(Source, (channel.publisher, channel.topic, seq, publish_ns, channel.publisher_id, 0))
        latest = self.inputs.latest
        if latest[0] is message and type(latest[1]) is handler.type:
            found: Message = latest[1]
            return found
        try:
            made = handler.decode(payload)
        except DecodeError as error:
            wanted = handler.type.__name__
            raise NotReplayable(f"{channel.topic} of {channel.publisher} is recorded as no {wanted}: {error}") from None
        latest[0] = message
        latest[1] = made
        return made

    def _check(self, topic: Topic[Any], message: BagMessage) -> None:
        kind: type[Message] = topic.type
        if message.type_hash == type_hash(kind):
            return
        found = match(definition(kind), message.channel.definition)
        if found.outcome == "incompatible":
            reasons = "; ".join(found.reasons)
            raise NotReplayable(f"{message.topic} was recorded with an incompatible {message.type_name}: {reasons}")
        unknown = f", without {', '.join(found.unknown_fields)}" if found.unknown_fields else ""
        self._skip(
            f"{message.topic} was recorded with another version of {message.type_name}; read as today's{unknown}"
        )
