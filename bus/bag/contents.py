"""What a bag holds, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.grammar import Definition


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """What one publisher sends on one topic."""

    id: int
    topic: str
    publisher: str
    publisher_id: int
    type_name: str
    type_hash: str
    qos: str
    first_seq: int
    definition: Definition
    metadata: Mapping[str, str]


class BagMessage(NamedTuple):
    """A recorded message, undecoded."""

    channel: Channel
    seq: int
    log_ns: int
    """received, wall time"""
    publish_ns: int
    payload: bytes

    @property
    def topic(self) -> str:
        return self.channel.topic

    @property
    def publisher(self) -> str:
        return self.channel.publisher

    @property
    def publisher_id(self) -> int:
        return self.channel.publisher_id

    @property
    def type_name(self) -> str:
        return self.channel.type_name

    @property
    def type_hash(self) -> str:
        return self.channel.type_hash

    @property
    def qos(self) -> str:
        return self.channel.qos


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file kept beside the messages."""

    name: str
    media_type: str
    stamp_ns: int
    data: bytes


@dataclass(slots=True)
class Info:
    """What a bag holds."""

    path: str
    size_bytes: int
    finished: bool
    """the file has its summary: its recorder closed it"""
    note: str
    """why it is not finished, and at which byte"""
    start_ns: int
    end_ns: int
    messages: int
    counts: dict[int, int]
    """messages by channel"""
    channels: dict[int, Channel]
    damaged: list[str] = field(default_factory=list)
    """chunks that could not be read, with their place"""
