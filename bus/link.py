"""What a subscriber knows of one topic of one publisher: sequence numbers, gaps, repair, counts. Sans-IO.

    link.accept(seq, item)   -> items to deliver now, in order
    link.gap()               -> (first, last) to ask the publisher for, when a repaired topic has a hole
    link.give_up(now_ns)     -> holes that waited too long: lost

A SENSOR link only counts what is missing. A repaired link (LATCHED, EVENT, DURABLE) holds later messages back while a
hole is being repaired, at most HOLD_NS, and delivers each number once.
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

    __slots__ = ("_asked_ns", "_held", "_hole_since_ns", "_tail", "counts", "latched", "next_seq", "repaired", "synced")

    def __init__(self, *, repaired: bool, latched: bool = False) -> None:
        self.repaired = repaired
        self.latched = latched
        """a value that was replaced before it arrived is not a loss"""
        self.next_seq: int | None = None
        self.synced = False
        self.counts = Counts()
        self._held: dict[int, T] = {}
        self._tail = 0
        """highest number known to have been published"""
        self._hole_since_ns: int | None = None
        self._asked_ns = 0

    def accept(self, seq: int, item: T, now_ns: int) -> list[T]:
        """A message came; returns what may be delivered now, in order. Repeats return nothing."""
        expected = self.next_seq
        if expected is None or seq == expected:
            self.next_seq = seq + 1
            self.counts.received += 1
            if not self._held:
                self._hole_since_ns = None
                return [item]
            return [item, *self._release(now_ns)]
        if seq < expected:
            return []
        if not self.repaired:
            self.counts.lost += seq - expected
            self.next_seq = seq + 1
            self.counts.received += 1
            return [item]
        if seq not in self._held and len(self._held) < HELD_MAX:
            self._held[seq] = item
        self._note_tail(seq, now_ns)
        return []

    def _release(self, now_ns: int) -> list[T]:
        released = []
        assert self.next_seq is not None
        while self.next_seq in self._held:
            released.append(self._held.pop(self.next_seq))
            self.next_seq += 1
        self.counts.received += len(released)
        self._hole_since_ns = now_ns if self._held or self._tail >= self.next_seq else None
        return released

    def _note_tail(self, seq: int, now_ns: int) -> None:
        self._tail = max(self._tail, seq)
        if self._hole_since_ns is None:
            self._hole_since_ns = now_ns

    def baseline(self, next_seq: int, now_ns: int) -> int:
        """The publisher says which number comes next; returns how many messages are thereby known to be lost.

        The first time this is where the subscriber joins; later, after a reconnect, numbers in between were missed.
        """
        self.synced = True
        if self.next_seq is None:
            self.next_seq = next_seq
        if next_seq <= self.next_seq:
            return 0
        if self.repaired:
            self._note_tail(next_seq - 1, now_ns)
            return 0
        lost = next_seq - self.next_seq
        self.counts.lost += lost
        self.next_seq = next_seq
        return lost

    def beacon(self, last_seq: int, now_ns: int) -> None:
        """The publisher's last number on a repaired topic."""
        if self.repaired and self.next_seq is not None and last_seq >= self.next_seq:
            self._note_tail(last_seq, now_ns)

    def gap(self, now_ns: int) -> tuple[int, int] | None:
        """The first hole, when it is time to ask for it (again)."""
        if self._hole_since_ns is None or self.next_seq is None or now_ns - self._asked_ns < ASK_AGAIN_NS:
            return None
        last = min(self._held) - 1 if self._held else self._tail
        if last < self.next_seq:
            self._hole_since_ns = None
            return None
        self._asked_ns = now_ns
        return self.next_seq, min(last, self.next_seq + REPAIR_MAX - 1)

    def repair(self, first_kept: int, last: int, items: list[tuple[int, T]], now_ns: int) -> tuple[list[T], int]:
        """The publisher's answer up to `last`: returns what may be delivered, and how many are lost for good."""
        out: list[T] = []
        lost = 0
        self._asked_ns = 0
        assert self.next_seq is not None
        if self.latched:
            for seq, item in items:
                if seq >= self.next_seq:
                    self.counts.repaired += 1
                    self.counts.received += 1
                    out.append(item)
            if last >= self.next_seq:
                self.next_seq = last + 1
        else:
            if first_kept > self.next_seq:
                lost = min(first_kept, last + 1) - self.next_seq
                self.counts.lost += lost
                self.next_seq += lost
            for seq, item in items:
                if seq == self.next_seq:
                    self.counts.repaired += 1
                    self.counts.received += 1
                    self.next_seq += 1
                    out.append(item)
        out += self._release(now_ns)
        return out, lost

    def give_up(self, now_ns: int) -> tuple[tuple[int, int] | None, list[T]]:
        """When a hole is older than HOLD_NS: the lost (first, last), and what was held behind it."""
        if self._hole_since_ns is None or now_ns - self._hole_since_ns < HOLD_NS or self.next_seq is None:
            return None, []
        first = self.next_seq
        last = min(self._held) - 1 if self._held else self._tail
        self.next_seq = last + 1
        if not self.latched:
            self.counts.lost += last - first + 1
        released = self._release(now_ns)
        return (None if self.latched else (first, last)), released

    def postpone(self, now_ns: int) -> None:
        """There is no room for what is missing: the time until it is given up begins anew."""
        self._hole_since_ns = now_ns

    @property
    def waiting(self) -> bool:
        """Whether there is a hole to ask for or give up on."""
        return self._hole_since_ns is not None
