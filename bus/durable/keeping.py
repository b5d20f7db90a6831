"""The persisted topics of a process: opened with what their last life said, looked after once a second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus import frame
from bus.durable.cursor import dotted
from bus.durable.kept import Kept, Value, namespaces
from bus.inbox import Item, StaleItem
from schemas.base import Message, Topic
from schemas.codec import DecodeError, codec
from schemas.machine import ConditionLevel
from schemas.system import LogLevel

if TYPE_CHECKING:
    from bus.durable.syncer import Syncer
    from bus.host import Host
    from bus.outlet import Outlet

NOT_KEPT = "not_kept"
"""the finding while values are sent and not on the disk"""
DAMAGED = "kept_damaged"


class Keeping:
    """Everything that this process keeps of its LATCHED topics."""

    def __init__(self, folder: Path, syncer: Syncer) -> None:
        self._folder = folder / "kept"
        self._syncer = syncer
        self._kept: dict[Host, dict[str, Kept]] = {}

    def open(self, host: Host, outlet: Outlet, mono_ns: int) -> Iterator[Item]:
        """Let a topic begin with what an earlier life of the node said last; that, for those who hear it here."""
        name, feed = outlet.full_name, outlet.feed
        kept = outlet.kept = Kept(self._folder / dotted(host.name) / dotted(name), self._syncer)
        self._kept.setdefault(host, {})[name] = kept
        for value in kept.values():
            try:
                message, wall_ns = _said(outlet.topic, name, value)
            except (frame.BadFrame, DecodeError) as error:
                kept.notes.append(f"{kept.folder}: a value is no {outlet.topic.type.__name__} of today: {error}")
                continue
            outlet.offer_again(message, mono_ns, wall_ns)
            if feed is not None:
                feed.counts.received += 1
                feed.heard_mono_ns = mono_ns
                yield StaleItem(feed, outlet.seq, mono_ns, wall_ns, None, None, message)

    def names(self, host: Host, base: str) -> Iterable[str]:
        """The full names of a topic declared for every namespace that an earlier life of the node has kept."""
        return [f"{namespace}/{base}" for namespace in namespaces(self._folder / dotted(host.name), base)]

    def look(self) -> None:
        """Try again what the disk refused, and tell what became of it."""
        for host, topics in self._kept.items():
            problems = []
            for name, kept in topics.items():
                kept.retry()
                for note in kept.notes:
                    host.log(LogLevel.WARNING, note)
                    host.report(DAMAGED, ConditionLevel.WARNING, note)
                kept.notes.clear()
                if kept.problem:
                    problems.append(f"{name} is sent and will not survive a restart: {kept.problem}")
                elif kept.sync_error:
                    problems.append(f"{name} may not survive a power failure: {kept.sync_error}")
            if problems:
                host.report(NOT_KEPT, ConditionLevel.FAULT, "; ".join(problems))
            elif NOT_KEPT in host.findings:
                host.clear(NOT_KEPT)


def _said(topic: Topic[Any], full_name: str, value: Value) -> tuple[Message, int]:
    """A message, and when it was said."""
    p = frame.parse(value.frame)
    if p.topic != full_name.encode():
        raise frame.BadFrame(f"a message of {p.topic[:100]!r}")
    message: Message = codec(topic.type).decode(p.payload, memoryview(value.tail) if value.tail else None)
    return message, p.wall_ns
