"""What one publisher sends on one topic, as the recorder follows it."""

from __future__ import annotations

from enum import Enum

from bus.bag.latched import MAX_KEYS, key_of
from bus.node import Raw
from schemas.grammar import Definition


class Role(Enum):
    """What the recorder does with a topic beyond writing it down."""

    PLAIN = 0
    STATE = 1
    """machine/state: says whether the machine cuts, and for which run"""
    SIGNALS = 2
    """machine/samples: may be reduced while the machine does not cut"""
    VIBRATION = 3
    """machine/vibration: only in the black box, unless asked for"""
    INTERVENTION = 4
    ALARM = 5


_ROLES = {
    ("MachineState", "machine/state"): Role.STATE,
    ("SignalBlock", "machine/samples"): Role.SIGNALS,
    ("SignalBlock", "machine/vibration"): Role.VIBRATION,
    ("Intervention", "impact/intervention"): Role.INTERVENTION,
    ("Alarm", "alarm"): Role.ALARM,
}


def role_of(topic: str, type_name: str) -> Role:
    """By type and by the topic's name below its namespace."""
    for (kind, name), role in _ROLES.items():
        if kind == type_name and (topic == name or topic.endswith(f"/{name}")):
            return role
    return Role.PLAIN


class Stream:
    """One publisher's messages on one topic: their numbers, and what of them is in force."""

    __slots__ = (
        "definition",
        "index",
        "key",
        "last_seq",
        "latched",
        "namespace",
        "needed",
        "publisher",
        "publisher_id",
        "qos",
        "reduced_from",
        "role",
        "topic",
        "values",
    )

    def __init__(self, index: int, raw: Raw, definition: Definition, key: str) -> None:
        self.index = index
        self.topic = raw.topic
        self.publisher = raw.publisher
        self.publisher_id = raw.publisher_id
        self.qos = raw.qos
        self.definition = definition
        self.key = key
        self.role = role_of(raw.topic, raw.type_name)
        self.namespace = raw.topic.rsplit("/machine/", 1)[0] if "/machine/" in raw.topic else ""
        self.latched = raw.qos == "LATCHED"
        self.values: dict[str, Raw] = {}
        self.last_seq = 0
        self.needed = False
        """a node whose trace is recorded takes it: replay needs every message"""
        self.reduced_from = 0
        """first sequence number that was only counted in a range; 0 when none is"""

    def keep(self, raw: Raw) -> None:
        """Remember the value that a late joiner, the head of a split, would get."""
        key = key_of(self.key, raw.payload)
        self.values.pop(key, None)
        self.values[key] = raw
        if len(self.values) > MAX_KEYS:
            del self.values[next(iter(self.values))]
