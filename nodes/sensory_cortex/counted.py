"""Frames by their counter: into order, once each; what is missing is a gap, what began anew a new session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from nodes.sensory_cortex.frames import Frame

HELD_MOST = 64
"""frames behind a gap that may still close"""
HOLD_NS = 20_000_000
"""so long a gap may take to close"""
LATE_MOST = 64
"""frames in a row that come too late: the device counts anew"""
ANEW_NS = 5_000_000_000
"""back by more than this the counter began anew"""
AHEAD_NS = 3_600_000_000_000
"""ahead by more than this, too: no device buffers an hour"""


@dataclass(frozen=True, slots=True)
class Counted:
    """A frame in its place."""

    frame: Frame
    first_row: int
    """rows of the source before it, over all sessions, the missing ones counted"""
    session: int
    offset_ns: int
    """of its first row, by the device's time since the session began"""
    arrival_ns: int


class Counter:
    """Orders the frames of one device. `ordered`: the transport keeps the order (TCP, a serial line)."""

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._held: dict[int, tuple[Frame, int]] = {}
        self._next: int | None = None
        self._base = 0
        """row = base + counter"""
        self._begun = 0
        """the counter with which the session began"""
        self._shape: tuple[int, int] | None = None
        self._late = 0
        self._anew = False
        self.session = 0
        self.doubled_rows = 0
        """that came again, or after they had been given up"""

    def connected(self) -> None:
        """A new connection: a counter that is back is that of a device that started anew."""
        self._anew = True

    def push(self, frame: Frame, arrival_ns: int) -> Iterator[Counted]:
        """What can be placed now that this frame came."""
        shape = (frame.data.shape[1], frame.period_ns)
        if self._next is None or shape != self._shape:
            yield from self.give_up()
            self._begin(frame, shape)
        elif frame.counter < self._next:
            self._late += 1
            behind = self._next - frame.counter
            if self._anew or self._late > LATE_MOST or behind * frame.period_ns > ANEW_NS:
                yield from self.give_up()
                self._begin(frame, shape)
            elif frame.end <= self._next:
                self.doubled_rows += len(frame.data)
                return
        elif (frame.counter - self._next) * frame.period_ns > AHEAD_NS:
            yield from self.give_up()
            self._begin(frame, shape)
        else:
            self._late = 0
        self._anew = False
        if self._ordered or self._next is None or frame.counter <= self._next:
            yield self._place(frame, arrival_ns)
            yield from self._follow()
            return
        if frame.counter in self._held:
            self.doubled_rows += len(frame.data)
            return
        self._held[frame.counter] = (frame, arrival_ns)
        yield from self.overdue(arrival_ns)

    def overdue(self, now_ns: int) -> Iterator[Counted]:
        """What waited long enough for a gap to close."""
        while self._held:
            oldest = min(arrival for _, arrival in self._held.values())
            if len(self._held) <= HELD_MOST and now_ns - oldest < HOLD_NS:
                return
            yield from self._over_the_gap()

    def give_up(self) -> Iterator[Counted]:
        """Everything that is held: nothing more comes that could close a gap."""
        while self._held:
            yield from self._over_the_gap()

    def _over_the_gap(self) -> Iterator[Counted]:
        frame, arrival_ns = self._held.pop(min(self._held))
        if self._next is not None and frame.end > self._next:
            yield self._place(frame, arrival_ns)
        yield from self._follow()

    def _follow(self) -> Iterator[Counted]:
        """Held frames that now continue the rows."""
        while self._held and self._next is not None and (first := min(self._held)) <= self._next:
            frame, arrival_ns = self._held.pop(first)
            if frame.end <= self._next:
                self.doubled_rows += len(frame.data)
            else:
                yield self._place(frame, arrival_ns)

    def _begin(self, frame: Frame, shape: tuple[int, int]) -> None:
        row = 0 if self._next is None else self._base + self._next
        self.session += self._next is not None
        self._base, self._next, self._begun = row - frame.counter, frame.counter, frame.counter
        self._shape, self._late = shape, 0

    def _place(self, frame: Frame, arrival_ns: int) -> Counted:
        """The frame, or the part of it that is new."""
        behind = max((self._next or 0) - frame.counter, 0)
        if behind:
            self.doubled_rows += behind
            stamp = frame.stamp_ns and frame.stamp_ns + behind * frame.period_ns
            frame = replace(frame, counter=frame.counter + behind, stamp_ns=stamp, data=frame.data[behind:])
        self._next = frame.end
        offset_ns = (frame.counter - self._begun) * frame.period_ns
        return Counted(frame, self._base + frame.counter, self.session, offset_ns, arrival_ns)
