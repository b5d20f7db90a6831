"""`rise bag play`: what was recorded, published again at its pace, in a domain without machines.

The schedule is absolute: a late message does not delay the next, and how late it was is told. /clock carries the bag's
time, so nodes started with a simulated clock live in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus.bag import BagMessage, BagReader, Channel
from bus.bag.types import against_today
from bus.cli.defined_types import message_type
from bus.clock import monotonic_ns
from bus.diagnostics import percentiles_ms
from bus.discovery import Directory, Entry
from bus.executor import Executor
from bus.host import Spec
from bus.node import Node, publisher
from schemas import topics
from schemas.base import PROFILES, Message, Topic
from schemas.codec import Codec, DecodeError, codec
from schemas.grammar import type_hash
from schemas.sayable import sayable
from schemas.system import ClockTick

TICK_NS = 10_000_000
"""/clock ticks at least so often, in time of the bag"""
LOOK_NS = 1_000_000_000
LATENESS_KEPT = 100_000
NOT_PLAYED = re.compile(r"(^|/)(diagnostics|log|clock)$|/(trace|parameters|_event)$|^(bag|launch)/|_reduced$")
"""what nodes say of themselves: the nodes that listen say it anew"""


class MachinesHere(RuntimeError):
    """The domain holds a node that acts on a machine: nothing is played into it."""


@dataclass(slots=True)
class Played:
    """What was published, and how punctually."""

    messages: int = 0
    loops: int = 0
    undecodable: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    """topics that cannot be published, and why"""
    late_p50_ms: float = 0.0
    late_p99_ms: float = 0.0
    late_max_ms: float = 0.0


def _type_of(channel: Channel) -> type[Message]:
    """Today's class where it reads what was recorded, else one as the recording defines it."""
    cls, matched = against_today(channel.definition)
    if cls is not None and matched is not None and matched.outcome != "incompatible":
        return cls
    made = message_type(channel.definition)
    if type_hash(made) != channel.type_hash:
        raise ValueError("its definition leaves what a message may be")
    return made


class _Silent(Node):
    """The base of the player."""


def acting(entries: Mapping[str, Entry]) -> list[str]:
    """Nodes that act on a machine, and by which service."""
    return [f"{e.name} serves {s.name}" for e in entries.values() for s in e.serves if s.acts_on_machine]


class Player:
    """Plays one bag.

    Args:
        domain: where to; it must hold no node that acts on a machine.
        rate: 2.0 is twice as fast as recorded.
        start_s, duration_s: the part of the bag, from its first message; the state before it is published first.
        remap: from a recorded full topic name to another.
        select: which topics; all but what nodes say of themselves when None.

    Raises:
        BadBag: the bag is none.
        MachinesHere: see `domain`.
    """

    def __init__(
        self,
        path: str | Path,
        domain: str,
        *,
        rate: float = 1.0,
        loop: bool = False,
        start_s: float = 0.0,
        duration_s: float | None = None,
        remap: Mapping[str, str] | None = None,
        select: Callable[[str], Any] | None = None,
    ) -> None:
        self.bag = BagReader(path)
        self.rate = rate
        self.loop = loop
        self.played = Played()
        self.paused = False
        self.position_s = 0.0
        """where in the bag it is"""
        self._refuse(domain)
        self._select = select or (lambda topic: not NOT_PLAYED.search(topic))
        self._start_ns = self.bag.start_ns + int(start_s * 1e9)
        self._end_ns = self.bag.end_ns + 1
        if duration_s is not None:
            self._end_ns = min(self._end_ns, self._start_ns + int(duration_s * 1e9))
        self._remap = dict(remap or {})
        self._steps = 0
        self._keyed = False
        self._stopped = False
        self._anchor = (0, 0)
        self._ticked_ns = 0
        self._looked_ns = 0
        self._late_ns: list[int] = []
        self._topics: dict[str, tuple[Topic[Any], Codec[Any]] | None] = {}
        found = {self._remap.get(t.name[1:], t.name[1:]): t for t in self._playable()}
        declared: dict[str, Any] = {f"topic{n}": publisher(t) for n, t in enumerate(found.values())}
        declared["clock"] = publisher(topics.CLOCK)
        cls = type("Player", (_Silent,), declared)
        self.executor = Executor([Spec(cls, "player")], domain=domain, durable=False)
        self._host = self.executor.hosts[0]

    def _refuse(self, domain: str) -> None:
        directory = Directory(domain)
        try:
            found = acting(directory.entries())
        finally:
            directory.close()
        if found:
            raise MachinesHere(
                f"domain {domain!r} holds what acts on a machine ({'; '.join(found[:3])}): recorded samples and states "
                "must not reach it. Play into a domain of its own: --domain play"
            )

    def _playable(self) -> Iterator[Topic[Message]]:
        for channel in self.bag.channels.values():
            if channel.topic in self._topics or not self._select(channel.topic):
                continue
            self._topics[channel.topic] = None
            try:
                cls = _type_of(channel)
                name = self._remap.get(channel.topic, channel.topic)
                key = channel.metadata.get("key") or None
                if channel.qos not in PROFILES:
                    raise ValueError(f"nobody knows its profile {channel.qos!r} today")
                topic = Topic(f"/{name}", cls, PROFILES[channel.qos], key=key, writers="many")
            except Exception as error:  # whatever a foreign definition brings about: the rest can be played
                self.played.skipped[channel.topic] = sayable(
                    f"no {channel.type_name} can be made: {type(error).__name__}: {error}"
                )
                continue
            self._topics[channel.topic] = (topic, codec(cls))
            yield topic

    # --- while it plays ---------------------------------------------------------------------------------------------

    def toggle(self) -> None:
        """Pause, or go on."""
        self.paused = not self.paused
        self._keyed = True

    def step(self) -> None:
        """Publish one message more, and stay paused."""
        self.paused = True
        self._steps += 1
        self._keyed = True

    def stop(self) -> None:
        """End after the current message; from any thread."""
        self._stopped = True
        self.executor.stop()

    def run(self, told: Callable[[Player], None] | None = None) -> Played:
        """Play to the end, or until `stop`; `told` is called now and then.

        Raises:
            BadBag: a part of the bag is damaged.
            MachinesHere: a node that acts on a machine came into the domain.
        """
        self.executor.start()
        while not self._stopped:
            self._once(told)
            self.played.loops += 1
            if not self.loop:
                break
        # the last messages reach those that listen before the publisher leaves
        self.executor.spin(lambda: False, 0.05)
        if self._late_ns:
            self.played.late_p50_ms, self.played.late_p99_ms = percentiles_ms(self._late_ns)
        return self.played

    def _once(self, told: Callable[[Player], None] | None) -> None:
        self._anchor = (monotonic_ns(), self._start_ns)
        self._ticked_ns = 0
        self._tick(self._start_ns)
        for message in self.bag.state_before(self._start_ns, topics=self._select):
            self._publish(message)
        for message in self.bag.messages(topics=self._select, start_ns=self._start_ns, end_ns=self._end_ns):
            if not self._until(message.log_ns, told):
                return
            late_ns = monotonic_ns() - self._due_ns(message.log_ns)
            self._publish(message)
            self.played.late_max_ms = max(self.played.late_max_ms, late_ns / 1e6)
            if len(self._late_ns) < LATENESS_KEPT:
                self._late_ns.append(max(0, late_ns))
            if self._steps:
                self._steps -= 1
        self._until(self._end_ns, told)

    def _due_ns(self, log_ns: int) -> int:
        mono_ns, bag_ns = self._anchor
        return mono_ns + int((log_ns - bag_ns) / self.rate)

    def _until(self, log_ns: int, told: Callable[[Player], None] | None) -> bool:
        """Take part in the domain until a message is due; False when it is stopped."""
        while not self._stopped:
            if self.paused:
                paused_ns = monotonic_ns()
                self._keyed = False
                self.executor.spin(lambda: self._keyed or self._steps > 0, 0.2)
                mono_ns, bag_ns = self._anchor
                self._anchor = (mono_ns + monotonic_ns() - paused_ns, bag_ns)
                self._look(told)
                if self._steps:
                    # the step is due now, and those after it as far behind as they were recorded
                    self._anchor = (monotonic_ns(), log_ns)
                    self._tick(log_ns)
                    return True
                continue
            next_ns = min(log_ns, max(self._ticked_ns, self._start_ns) + TICK_NS)
            wait_s = (self._due_ns(next_ns) - monotonic_ns()) / 1e9
            if wait_s > 0:
                self._keyed = False
                self.executor.spin(lambda: self._keyed, wait_s)
                if self._keyed:
                    continue
            self._look(told)
            if next_ns - self._ticked_ns >= TICK_NS or next_ns == log_ns:
                self._tick(next_ns)
            if next_ns == log_ns:
                return True
        return False

    def _look(self, told: Callable[[Player], None] | None) -> None:
        now_ns = monotonic_ns()
        if now_ns - self._looked_ns < LOOK_NS // 10:
            return
        # messages that are all due at once must not keep the sockets waiting
        self.executor.spin(lambda: False, 0.0005)
        self._looked_ns = now_ns
        found = acting(self.executor.entries())
        if found:
            raise MachinesHere(f"playing ended: {'; '.join(found[:3])}, and acts on a machine")
        if told is not None:
            told(self)

    def _tick(self, bag_ns: int) -> None:
        if bag_ns == self._ticked_ns:
            return
        self._ticked_ns = bag_ns
        self.position_s = (bag_ns - self.bag.start_ns) / 1e9
        self.executor.publish(self._host, topics.CLOCK, "clock", ClockTick(now_ns=bag_ns, rate=float(self.rate)))

    def _publish(self, message: BagMessage) -> None:
        found = self._topics.get(message.topic)
        if found is None:
            return
        topic, decoder = found
        try:
            decoded = decoder.decode(message.payload)
        except DecodeError:
            self.played.undecodable += 1
            return
        self.executor.publish(self._host, topic, topic.name[1:], decoded)
        self.played.messages += 1

    def close(self) -> None:
        """Leave the domain."""
        self.executor.close()
        self.bag.close()

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


__all__ = ["MachinesHere", "Played", "Player", "acting"]
