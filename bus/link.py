"""What a subscriber knows of one topic of one publisher: sequence numbers, gaps, repair, counts. Sans-IO.

    link.accept(seq, item, now_ns, room)   -> items to deliver now, in order
    link.take(now_ns, room)                -> what waited for room, when there is some
    link.gap(now_ns)                       -> (first, last) to ask the publisher for, when a repaired topic has a hole
    link.give_up(now_ns, room)             -> a hole that waited too long: lost

A SENSOR link only counts what is missing. A repaired link (LATCHED, EVENT, DURABLE) delivers each number once and in
order: it holds back what came behind a hole, at most HOLD_NS, and what the reader has no room for. What exceeds
HELD_MAX is not kept: it stays a hole, and is asked for again.

A link to a log (DURABLE) begins where its reader stands, not where the publisher is, and gives nothing up: what does
not come now is in the log, and only the publisher can say that it is gone.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

HOLD_NS = 2_000_000_000
"""How long later messages wait for a hole to be repaired."""
ASK_AGAIN_NS = 200_000_000
HELD_MAX = 4096
REPAIR_MAX = 512
"""Sequence numbers asked for at once."""
JUMP_MAX = 1 << 32
"""No publisher gets so far ahead: a number beyond is no number of this link, and no count of losses leaves 64 bits."""
PLENTY = 1 << 30


class Counts:
    """What became of one publisher's messages on one topic, for /diagnostics."""

    __slots__ = ("delays_ns", "dropped", "expired", "lost", "received", "repaired", "undecodable", "unknown_fields")

    def __init__(self) -> None:
        self.received = 0
        self.lost = 0
        self.dropped = 0
        self.expired = 0
        self.repaired = 0
        self.undecodable = 0
        self.unknown_fields = 0
        self.delays_ns: deque[int] = deque(maxlen=256)


class Link(Generic[T]):
    """One (publisher, topic) as one subscriber sees it."""

    __slots__ = (
        "_asked_ns",
        "_backlog",
        "_blocked_ns",
        "_held",
        "_superseded",
        "_tail",
        "_tail_ns",
        "counts",
        "latched",
        "logged",
        "next_seq",
        "repaired",
        "synced",
    )

    def __init__(self, *, repaired: bool, latched: bool = False, logged: bool = False) -> None:
        self.repaired = repaired
        self.logged = logged
        """it reads a log: see `begin`"""
        self.latched = latched
        """a value that was replaced before it arrived is not a loss"""
        self.next_seq: int | None = None
        """number that is delivered next"""
        self.synced = False
        self.counts = Counts()
        self._held: dict[int, tuple[T, int]] = {}
        """by number, none below next_seq: (item, when it came)"""
        self._backlog: deque[T] = deque()
        """older than next_seq: what was latched when the subscriber joined"""
        self._tail = 0
        """highest number known to have been published"""
        self._tail_ns = 0
        self._superseded = 0
        """latched: what is missing up to here has been replaced, so it is not waited for"""
        self._asked_ns = 0
        self._blocked_ns = 0
        """when the reader last had no room"""

    # --- what comes --------------------------------------------------------------------------------------------------

    def accept(self, seq: int, item: T, now_ns: int, room: int = PLENTY) -> list[T]:
        """A message came; returns what may be delivered now, in order. Repeats return nothing."""
        expected = self.next_seq
        if expected is None:
            if self.logged:
                return []  # it is in the log, and read from there when the reader has said where it stands
            expected = self.next_seq = seq
        if seq < expected or seq - expected > JUMP_MAX:
            return []
        if not self.repaired:
            self.counts.lost += seq - expected
            self.next_seq = seq + 1
            self.counts.received += 1
            return [item]
        if seq == expected and room > 0 and not self._held and not self._backlog:
            self.next_seq = seq + 1
            self.counts.received += 1
            return [item]
        self._note_tail(seq, now_ns)
        if seq not in self._held and (len(self._held) < HELD_MAX or seq == expected):
            self._held[seq] = (item, now_ns)
        return self.take(now_ns, room)

    def join(self, items: list[T]) -> None:
        """What was latched when the subscriber joined: older than everything else, delivered before it."""
        self._backlog.extend(items)

    def take(self, now_ns: int, room: int = PLENTY) -> list[T]:
        """What may be delivered now, at most `room` of it."""
        taken: list[T] = []
        while self._backlog and len(taken) < room:
            taken.append(self._backlog.popleft())
        if self.next_seq is not None and not self._backlog:
            self._take_held(taken, room)
        if len(taken) >= room and self.blocked:
            self._blocked_ns = now_ns
        self.counts.received += len(taken)
        return taken

    def _take_held(self, taken: list[T], room: int) -> None:
        assert self.next_seq is not None
        ahead: deque[int] | None = None
        while True:
            if self.next_seq in self._held:
                if len(taken) >= room:
                    return
                taken.append(self._held.pop(self.next_seq)[0])
                self.next_seq += 1
            elif self.next_seq > self._superseded:
                return
            else:  # in strides: the publisher may have said any number
                if ahead is None:
                    ahead = deque(sorted(s for s in self._held if s <= self._superseded))
                while ahead and ahead[0] < self.next_seq:
                    ahead.popleft()
                self.next_seq = ahead[0] if ahead else self._superseded + 1

    def _note_tail(self, seq: int, now_ns: int) -> None:
        if seq > self._tail:
            if self._tail < (self.next_seq or 0):
                self._tail_ns = now_ns
            self._tail = seq

    def baseline(self, next_seq: int, now_ns: int) -> int:
        """The publisher says which number comes next; returns how many messages are thereby known to be lost.

        The first time this is where the subscriber joins; later, after a reconnect, numbers in between were missed.
        """
        self.synced = True
        if self.next_seq is None:
            if self.logged:
                return 0
            self.next_seq = next_seq
        if not 0 < next_seq - self.next_seq <= JUMP_MAX:
            return 0
        if self.repaired:
            self._note_tail(next_seq - 1, now_ns)
            return 0
        lost = next_seq - self.next_seq
        self.counts.lost += lost
        self.next_seq = next_seq
        return lost

    def begin(self, next_seq: int) -> None:
        """A link to a log begins with this number."""
        self.next_seq = next_seq

    def end(self) -> None:
        """The publisher is gone: what waits behind a hole, or for room, is read from its log when it is back."""
        self._held.clear()
        self._tail = 0

    def beacon(self, last_seq: int, now_ns: int) -> None:
        """The publisher's last number on a repaired topic."""
        if self.repaired and self.next_seq is not None and 0 <= last_seq - self.next_seq <= JUMP_MAX:
            self._note_tail(last_seq, now_ns)

    @property
    def last_known(self) -> int:
        """The highest number known to have been published."""
        return max(self._tail, (self.next_seq or 1) - 1)

    # --- what is missing -----------------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Whether something is missing, or waits for room."""
        return bool(self._held or self._backlog) or (self.next_seq is not None and self._tail >= self.next_seq)

    @property
    def blocked(self) -> bool:
        """Whether the next message is here and only waits for room."""
        return bool(self._backlog) or self.next_seq in self._held

    def _hole(self) -> tuple[int, int] | None:
        """What is missing before the next message that is here."""
        if self.next_seq is None or self.blocked:
            return None
        last = min(self._held) - 1 if self._held else self._tail
        return (self.next_seq, last) if last >= self.next_seq else None

    def _hole_since_ns(self) -> int:
        known_ns = min(came_ns for _, came_ns in self._held.values()) if self._held else self._tail_ns
        return max(known_ns, self._blocked_ns)

    def gap(self, now_ns: int) -> tuple[int, int] | None:
        """What to ask for, when it is time to (again): from the first missing number to the last one within reach."""
        if now_ns - self._asked_ns < ASK_AGAIN_NS:
            return None
        hole = self._hole()
        if hole is None:
            return None
        self._asked_ns = now_ns
        first, last = hole[0], min(max(self._tail, hole[1]), hole[0] + REPAIR_MAX - 1)
        while last in self._held:
            last -= 1
        return first, last

    def repair(
        self, first_kept: int, last: int, items: list[tuple[int, T]], now_ns: int, room: int = PLENTY
    ) -> tuple[tuple[int, int] | None, list[T]]:
        """The publisher's answer up to `last`: the (first, last) that is lost for good, and what may be delivered."""
        expected = self.next_seq
        if expected is None or not 0 <= last - expected <= JUMP_MAX:
            return None, []
        self._asked_ns = 0
        for seq, item in items:
            if expected <= seq <= last and seq not in self._held:
                self._held[seq] = (item, now_ns)
                self.counts.repaired += 1
        if self.latched:
            self._superseded = max(self._superseded, last)
            return None, self.take(now_ns, room)
        lost = None
        if first_kept > expected and (hole := self._hole()) is not None:
            lost = self._lose(min(first_kept - 1, last, hole[1]))
        return lost, self.take(now_ns, room)

    def _lose(self, last: int) -> tuple[int, int]:
        assert self.next_seq is not None
        first, self.next_seq = self.next_seq, last + 1
        self.counts.lost += last - first + 1
        return first, last

    def give_up(
        self, now_ns: int, room: int = PLENTY, *, at_once: bool = False
    ) -> tuple[tuple[int, int] | None, list[T]]:
        """When the first hole is older than HOLD_NS: the lost (first, last), and what was held behind it.

        Args:
            at_once: the publisher is gone, there is nobody to ask.
        """
        hole = None if self.logged else self._hole()
        if hole is None or not (at_once or now_ns - self._hole_since_ns() >= HOLD_NS):
            return None, []
        lost = None
        if self.latched:
            self._superseded = max(self._superseded, hole[1])
        else:
            lost = self._lose(hole[1])
        return lost, self.take(now_ns, room)
