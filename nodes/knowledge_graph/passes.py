"""What a signal usually is in each cut, and how far it has gone from that: learned, as no data sheet tells it.

Every visit of a block of the program gives one median per signal. The first visits teach; later ones are held against
them. Blocks in which the spindle hardly has to push are air: there a higher load is friction, elsewhere it is the cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

LEAST_SAMPLES = 6
"""of a visit; fewer are no median to trust"""
MOST_SAMPLES = 600
MOST_BLOCKS = 1000
AIR = 1.12
"""a block is air when its spindle load is at most this much of the least one"""
MOVES = 0.4
"""an axis is judged in blocks in which its load is at least this share of its greatest"""

ADDS = 1.2
"""an axis that holds a weight shows by so much more what moving it adds; else nobody knows what of its load is which"""

Place = tuple[str, int, int]
"""program, tool, block"""


@dataclass(slots=True)
class _Block:
    taught: list[Mapping[str, float]] = field(default_factory=list)
    usual: dict[str, float] = field(default_factory=dict)
    now: dict[str, float] = field(default_factory=dict)
    begun_ns: int = 0
    """when the visit began that `now` is of"""


@dataclass(frozen=True, slots=True)
class Change:
    """A quantity now beside what was learned."""

    now: float
    usual: float
    block: int
    begun_ns: int = 0
    """when the newest visit began that this is of"""
    held: float = 0.0
    """of both: what is there without any motion"""

    @property
    def ratio(self) -> float:
        usual = self.usual - self.held
        return (self.now - self.held) / usual if usual else math.inf


class Passes:
    """The visits of one machine's blocks. `load` names the signal that tells cut from air."""

    def __init__(self, teach: int = 1) -> None:
        self.teach = teach
        self.may_teach = True
        """false while something is known to be wrong: a fault must not be learned as usual"""
        self.load = ""
        self._blocks: dict[Place, _Block] = {}
        self._place: Place | None = None
        self._begun_ns = 0
        self._samples: dict[str, list[float]] = {}

    def at(self, place: Place | None, now_ns: int = 0) -> None:
        """The machine is in this block now, or in none that counts."""
        if place != self._place:
            self._close()
            self._place, self._begun_ns = place, now_ns

    def sample(self, signal: str, value: float) -> None:
        """One reading in the block that the machine is in; NaN is none."""
        if self._place is None or math.isnan(value):
            return
        kept = self._samples.setdefault(signal, [])
        if len(kept) < MOST_SAMPLES:
            kept.append(value)

    def forget_visit(self) -> None:
        """The visit was disturbed, and says nothing."""
        self._samples = {}

    def _close(self) -> None:
        samples, self._samples = self._samples, {}
        if self._place is None:
            return
        medians = {signal: median(values) for signal, values in samples.items() if len(values) >= LEAST_SAMPLES}
        if not medians or (self._place not in self._blocks and len(self._blocks) >= MOST_BLOCKS):
            return
        block = self._blocks.setdefault(self._place, _Block())
        if len(block.taught) < self.teach:
            if not self.may_teach:
                return
            block.taught.append(medians)
            if len(block.taught) == self.teach:
                for signal in {s for m in block.taught for s in m}:
                    values = [m[signal] for m in block.taught if signal in m]
                    block.usual[signal] = sum(values) / len(values)
        else:
            block.now.update(medians)
            block.begun_ns = self._begun_ns

    @property
    def learning(self) -> bool:
        """Whether no block has been learned yet."""
        return not any(b.usual for b in self._blocks.values())

    def _both(self, signal: str) -> list[tuple[Place, float, float]]:
        return [
            (p, b.now[signal], b.usual[signal])
            for p, b in self._blocks.items()
            if signal in b.now and signal in b.usual
        ]

    def _air(self) -> set[Place]:
        loads = {p: b.usual[self.load] for p, b in self._blocks.items() if self.load in b.usual}
        least = min((v for v in loads.values() if v > 0.0), default=0.0)
        return {p for p, v in loads.items() if v <= AIR * least}

    def idle(self, signal: str) -> Change | None:
        """In air: the change that is greatest."""
        air = self._air()
        return _greatest(
            Change(now, usual, p[2], self._blocks[p].begun_ns) for p, now, usual in self._both(signal) if p in air
        )

    def moving(self, signal: str) -> Change | None:
        """In all blocks in which the signal has something to show: the change that is greatest, in what moving adds.

        An axis whose load is never far from its greatest holds a weight: the least that it showed is that, and no
        friction.
        """
        both = self._both(signal)
        most = max((usual for _, _, usual in both), default=0.0)
        least = min((b.usual[signal] for b in self._blocks.values() if signal in b.usual), default=0.0)
        weight = least if least >= MOVES * most >= MOVES * ADDS * least else 0.0
        return _greatest(
            Change(now, usual, p[2], self._blocks[p].begun_ns, weight)
            for p, now, usual in both
            if usual - weight >= MOVES * (most - weight)
        )

    def cutting(self, signal: str, *, less_idle: bool) -> dict[int, Change]:
        """By tool, over all blocks in which it cuts; `less_idle`: without what the signal is in air."""
        air = self._air()
        both = self._both(signal)
        offset_now = offset_usual = 0.0
        if less_idle:
            idle = [(now, usual) for p, now, usual in both if p in air]
            if not idle:
                return {}
            offset_now = median(now for now, _ in idle)
            offset_usual = median(usual for _, usual in idle)
        sums: dict[int, list[tuple[float, float, int]]] = {}
        for place, now, usual in both:
            if place not in air:
                sums.setdefault(place[1], []).append((now - offset_now, usual - offset_usual, place[2]))
        found = {}
        for tool, parts in sums.items():
            block = max(parts, key=lambda p: p[1])[2]
            n = len(parts)
            begun_ns = max(self._blocks[p].begun_ns for p, _, _ in both if p[1] == tool and p not in air)
            found[tool] = Change(sum(p[0] for p in parts) / n, sum(p[1] for p in parts) / n, block, begun_ns)
        return found


def _greatest(changes: Iterator[Change]) -> Change | None:
    return max(changes, key=lambda c: c.ratio, default=None)
