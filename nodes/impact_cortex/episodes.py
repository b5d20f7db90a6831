"""What one setting decides, from what its tasks said of the rows: the policy of a machine that is only observed.

An episode is an event of the policy: from the first finding until the signals are quiet, or the machine is released.
What a machine would have done had it been held is nowhere in a recording, so these are decisions, not motions: one of
each strength in an episode, and nothing follows from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heapify, heappop, heappush

import numpy as np

from nodes.impact_cortex.fixed import Ints
from nodes.impact_cortex.policy import NOTHING, Event, Finding, decide, over
from nodes.impact_cortex.told import Told
from nodes.impact_cortex.watch import Watch
from schemas.impact import Mode, Reaction

Key = tuple[str, str]
"""topic and source of a channel"""


@dataclass(frozen=True, slots=True)
class Decided:
    """A reaction that would have been asked for, or a warning."""

    heard_ns: int
    """when the sample that decided was heard: the time of the decision"""
    stamp_ns: int
    """when that sample was taken"""
    episode: int
    """from 1"""
    reaction: Reaction
    task: str
    signal: str
    unit: str
    value: float
    limit: float


@dataclass(slots=True, eq=False)
class Passage:
    """A stretch of one channel's rows, in the blocks in which they were heard."""

    key: Key
    period_ns: int
    rows: int
    first_rows: Ints
    """of each block"""
    stamps_ns: Ints
    """of each block's first row"""
    heard_ns: Ints
    """of each block"""

    def block(self, row: int) -> int:
        """Which block a row came in."""
        return int(np.searchsorted(self.first_rows, row, side="right")) - 1

    def stamp(self, row: int) -> int:
        """When a row was taken."""
        n = self.block(row)
        return int(self.stamps_ns[n]) + (row - int(self.first_rows[n])) * self.period_ns

    def heard_before(self, heard_ns: int) -> int:
        """How many rows were heard before this moment."""
        n = int(np.searchsorted(self.heard_ns, heard_ns))
        return self.rows if n == len(self.first_rows) else int(self.first_rows[n])


class Word:
    """What one task said of a passage, as rows. Shared by all settings that have this task."""

    def __init__(self, told: Told, passage: Passage) -> None:
        self.told = told
        self.passage = passage
        self.at = told.decisive()
        on = told.fired[self.at]
        self.begins: Ints = self.at[on & ~np.concatenate(([False], on[:-1]))]
        """the rows at which it begins to fire, or goes on from before the passage"""
        self.goes_on = bool(len(on) and on[0])
        self.ends_on = bool(on[-1]) if len(on) else None
        """None: nothing says whether it fires at the end"""

    @cached_property
    def held(self) -> Ints:
        """The rows at which it fired."""
        return np.flatnonzero(self.told.held())

    def next_on(self, row: int) -> int | None:
        """The next row after this one at which it says that it fires, if it still does."""
        n = int(np.searchsorted(self.at, row, side="right"))
        return int(self.at[n]) if n < len(self.at) and self.told.fired[self.at[n]] else None


@dataclass(slots=True)
class Episodes:
    """One setting's policy, followed through the passages of a recording."""

    rearm_ns: int
    decided: list[Decided] = field(default_factory=list)
    count: int = 0
    """episodes so far"""
    until_ns: dict[int, int] = field(default_factory=dict)
    """when each of them was quiet for long, or would have been"""
    _event: Event = NOTHING
    _fired: set[Watch] = field(default_factory=set)
    _fired_ns: dict[Key, int] = field(default_factory=dict)
    """per channel the newest row at which a task fired"""

    def take(self, words: Sequence[Word], newest_ns: Mapping[Key, int], passages: Mapping[Key, Passage]) -> None:
        """What this setting's tasks said of passages that were heard together.

        Args:
            words: in the order in which the tasks judge a row.
            newest_ns: per channel, the stamp of the last row before these passages.
        """
        hits = [
            (int(w.passage.heard_ns[w.passage.block(row)]), row, n)
            for n, w in enumerate(words)
            for row in w.begins.tolist()
            if not (w.goes_on and row == w.at[0] and w.told.watch in self._fired)
        ]
        heapify(hits)
        before: tuple[Passage, int, int] | None = None
        """passage, block and stamp of the hit before"""
        while hits:
            heard_ns, row, which = heappop(hits)
            word = words[which]
            passage, n = word.passage, word.passage.block(row)
            read_ns = passage.stamp(row)
            if self._event is not NOTHING:
                if before is not None and before[:2] == (passage, n):
                    quiet_ns = read_ns - before[2]
                else:
                    quiet_ns = read_ns - self._last_ns(words, passage, int(passage.first_rows[n]))
                others = self._quiet(words, passage.key, heard_ns, newest_ns, passages)
                quiet_ns = min([quiet_ns, *others])
                if over(self._event, quiet=quiet_ns > self.rearm_ns, released=False):
                    self.end(read_ns - quiet_ns)
                    for m, other in enumerate(words):
                        seen = other.passage.heard_before(heard_ns)
                        again = other.next_on(seen) if other is not word else None
                        if again is not None and again not in other.begins:
                            heappush(hits, (int(other.passage.heard_ns[other.passage.block(again)]), again, m))
            before = (passage, n, read_ns)
            self._decide(word, row, heard_ns, read_ns)
        self._keep(words)

    def end(self, last_ns: int = 0) -> None:
        """The event is over: released, begun anew, or quiet since a row taken at `last_ns`."""
        if self._event is not NOTHING:
            self.until_ns[self.count] = (last_ns or max(self._fired_ns.values(), default=0)) + self.rearm_ns
            self._event = NOTHING
            self._fired.clear()

    def forget(self, key: Key | None = None) -> None:
        """The tasks of a channel, or of all, are made anew."""
        self._fired.clear()
        if key is not None:
            self._fired_ns.pop(key, None)

    def _decide(self, word: Word, row: int, heard_ns: int, read_ns: int) -> None:
        w = word.told.watch
        nan = float("nan")
        found = Finding(w.task.name, w.signal, w.unit, nan, nan, w.reaction, "")
        if self._event is NOTHING:
            self.count += 1
        self._event, steps = decide(self._event, Mode.OBSERVE, found, heard_ns)
        if steps:
            value, limit = word.told.value(row)
            self.decided += [
                Decided(heard_ns, read_ns, self.count, s.reaction, w.task.name, w.signal, w.unit, value, limit)
                for s in steps
            ]

    def _last_ns(self, words: Iterable[Word], passage: Passage, before_row: int) -> int:
        """The stamp of the last row of this channel, before that one, at which a task fired; 0 when there is none."""
        last = -1
        for word in words:
            if word.passage is not passage:
                continue
            n = int(np.searchsorted(word.held, before_row))
            newest = int(word.held[n - 1]) if n else -1
            # one that was let go tells nothing until it begins to fire anew
            if word.told.watch in self._fired or (len(word.begins) and newest >= word.begins[0]):
                last = max(last, newest)
        return self._fired_ns.get(passage.key, 0) if last < 0 else passage.stamp(last)

    def _quiet(
        self,
        words: Iterable[Word],
        but: Key,
        heard_ns: int,
        newest_ns: Mapping[Key, int],
        passages: Mapping[Key, Passage],
    ) -> Iterable[int]:
        """For how long the other channels, of which a task ever fired, have been quiet."""
        for key, newest in newest_ns.items():
            passage = passages.get(key)
            if key == but:
                continue
            rows = 0 if passage is None else passage.heard_before(heard_ns)
            if passage is None or not rows:
                fired_ns = self._fired_ns.get(key, 0)
            else:
                fired_ns, newest = self._last_ns(words, passage, rows), passage.stamp(rows - 1)
            if fired_ns:
                yield newest - fired_ns

    def _keep(self, words: Iterable[Word]) -> None:
        """What is to be known of these passages when the next ones come."""
        for passage in {id(w.passage): w.passage for w in words}.values():
            if last_ns := self._last_ns(words, passage, passage.rows):
                self._fired_ns[passage.key] = last_ns
        for word in words:
            if word.ends_on:
                self._fired.add(word.told.watch)
            elif word.ends_on is not None:
                self._fired.discard(word.told.watch)
