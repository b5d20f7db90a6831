"""What can be compared of a node that is followed from the middle of its run, where its state is not known.

It begins as new there, with the latched state in force. What it published before tells how far that differs: a value of
a stream, or of latched state, counts from when it agrees with the recording; a counter by its steps. What a node
decides (events, calls, replies) is compared exactly. What cannot be compared is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby

from bus.replay.decisions import Decision, at, place
from bus.replay.pairs import TOLERANCE, Key, Leaf, Pair, by_topic, leaves, pairs, pairs_by_time

SETTLED_NS = 1_000_000_000
"""what has agreed for so long has settled: a difference after that is one of decision"""
SETTLED_TOLERANCE = TOLERANCE / 1000
"""what still comes closer agrees for good only when it is closer than what is compared"""
NEVER = 1 << 63
WHOLE = ""
"""the path that stands for the message itself: one side has none"""
SHOWN_PATHS = 4


@dataclass(slots=True)
class Known:
    """From when on, and how, two replays of one node can be held against each other."""

    node: str = ""
    from_ns: int = 0
    """nothing before this is compared"""
    unknown_until_ns: int = 0
    """from here on the state is known after all (the node was started anew); 0: it always was"""
    since: dict[Key, dict[str, int]] = field(default_factory=dict)
    """by topic and path: when a value settled, where that was after the beginning"""
    shifts: dict[Key, dict[str, int]] = field(default_factory=dict)
    """by topic and path: by how much a counter runs ahead in the recording"""
    id_shift: int | None = None
    """by how much the node's ids run ahead"""
    undecided: dict[Key, list[str]] = field(default_factory=dict)
    """by topic of decisions: what was otherwise than recorded before `from_ns` already, and never as recorded"""
    silent: set[Key] = field(default_factory=set)
    """latched topics of which nothing is recorded here: said before, or by other code; no sign of other moments"""

    def pairs(self, before: list[Decision], after: list[Decision]) -> Iterator[Pair]:
        """What to compare of one topic."""
        if not self.from_ns:
            yield from pairs(before, after)
        elif self.unknown_until_ns and any(d.latched for d in (*before[:1], *after[:1])):
            yield from in_force(before, after, self.from_ns)
        else:
            sides = ([d for d in side if d.stamp_ns >= self.from_ns] for side in (before, after))
            stream = self.unknown_until_ns and any(d.stream for d in (*before[:1], *after[:1]))
            yield from (pairs_by_time if stream else pairs)(*sides)

    def excuses(self, key: Key, decision: Decision, path: str, leaf: Leaf | None = None) -> bool:
        """Whether this difference comes, or may come, from what was before the beginning."""
        if decision.stamp_ns >= self.unknown_until_ns:
            return False
        if leaf is not None:
            if decision.latched and leaf.unit == "ns":
                return True  # of state in force only the change has a time
            shift = self._shift(leaf)
            if shift is not None and shift == self._expected(key, leaf):
                return True
        since = self.since.get(key, {})
        return decision.stamp_ns < max(since.get(path, 0), since.get(WHOLE, 0))

    def _expected(self, key: Key, leaf: Leaf) -> int | None:
        return self.id_shift if isinstance(leaf.was, str) else self.shifts.get(key, {}).get(leaf.path)

    def _shift(self, leaf: Leaf) -> int | None:
        """How far a counter, or one of the node's own ids, is behind what was recorded; None for other values."""
        if isinstance(leaf.was, str) and isinstance(leaf.now, str):
            was, now = (re.fullmatch(re.escape(self.node) + r"#(\d+)", value) for value in (leaf.was, leaf.now))
            return int(was[1]) - int(now[1]) if was and now else None
        if isinstance(leaf.was, int) and isinstance(leaf.now, int) and not isinstance(leaf.was, bool):
            return None if leaf.unit == "ns" else leaf.was - leaf.now
        return None

    def settle(
        self, recorded: list[Decision], unchanged: list[Decision], span_ns: tuple[int, int], *, changed: bool
    ) -> None:
        """Learn from what the node did with its parameters as recorded.

        Args:
            span_ns: when it began, and its last callback.
            changed: another replay, with other parameters, is going to be compared. Then whatever differs here comes
                from the beginning; else only what differs from there on, because the code may be another.
        """
        ours, theirs = by_topic(recorded), by_topic(unchanged)
        for key in {**ours, **theirs}:
            before, after = ours.get(key, []), theirs.get(key, [])
            first = (before or after)[0]
            if first.latched:
                if not before:
                    self.silent.add(key)
                self._settle(key, self._steps(in_force(before, after)), span_ns, changed=changed)
            elif first.stream:
                self._settle(key, self._steps(pairs_by_time(before, after)), span_ns, changed=changed)
            else:
                self._decide(key, before, after)

    def _decide(self, key: Key, before: list[Decision], after: list[Decision]) -> None:
        """What of these decisions was otherwise than recorded before the comparison begins, and stays so."""
        until_ns = self.unknown_until_ns
        before, after = ([d for d in side if d.stamp_ns < until_ns] for side in (before, after))
        never: set[str] = set()
        early = False
        if {d.stamp_ns for d in before} & {d.stamp_ns for d in after}:
            steps = self._steps(pairs_by_time(before, after), TOLERANCE)
            both = [(stamp_ns, set(differs)) for stamp_ns, differs in steps if WHOLE not in differs]
            never = set.intersection(*(differs for _, differs in both))
            early = both[0][0] < self.from_ns
        elif before and after:
            never = {WHOLE}
            # what it says only as it begins here is no sign
            early = before[0].stamp_ns < self.from_ns <= after[-1].stamp_ns
            for _ in self._steps(pairs(before, after)):
                pass  # for the ids in them
        if early and never:
            self.undecided[key] = sorted(never)
            self.since[key] = dict.fromkeys(self.undecided[key], NEVER)

    def _steps(
        self, steps: Iterable[Pair], tolerance: float = SETTLED_TOLERANCE
    ) -> Iterator[tuple[int, dict[str, int | None]]]:
        """Of each pair the time, and what differs: by path, how far a counter is behind, None where it is none."""
        for old, new in steps:
            either = old or new
            assert either is not None
            if old is None or new is None:
                yield either.stamp_ns, {WHOLE: None}
                continue
            apart: dict[str, int | None] = {}
            if old.payload != new.payload:
                for leaf in leaves(old.message(), new.message(), tolerance):
                    shift = self._shift(leaf)
                    if isinstance(leaf.was, str) and shift is not None:
                        if self.id_shift is None and not either.latched:
                            self.id_shift = shift
                    elif not (either.latched and leaf.unit == "ns"):
                        apart[leaf.path] = shift
            yield either.stamp_ns, apart

    def _settle(
        self,
        key: Key,
        steps: Iterable[tuple[int, Mapping[str, int | None]]],
        span_ns: tuple[int, int],
        *,
        changed: bool,
    ) -> None:
        begins_ns, ends_ns = span_ns
        paths: dict[str, _Path] = {}
        for stamp_ns, apart in steps:
            for path in {*paths, *apart}:
                paths.setdefault(path, _Path(begins_ns)).step(stamp_ns, apart.get(path, 0), until_settled=not changed)
        for path, seen in paths.items():
            settled_ns = seen.settled_ns
            if settled_ns is None:
                lasted = seen.agrees_since_ns is not None and ends_ns - seen.agrees_since_ns >= SETTLED_NS
                settled_ns = seen.agrees_since_ns if seen.agrees_since_ns is not None and (changed or lasted) else NEVER
            if settled_ns > begins_ns:
                self.since.setdefault(key, {})[path] = settled_ns
            if seen.shift:
                self.shifts.setdefault(key, {})[path] = seen.shift

    def out_of_step(self) -> list[Key]:
        """Topics that are published at other moments than recorded, up to the end."""
        left_out = self.undecided.keys() | self.silent
        return [key for key, since in self.since.items() if since.get(WHOLE) == NEVER and key not in left_out]

    def no_reference(self, *, changed: bool) -> Iterator[str]:
        """Decisions that were never in step, in words: with the parameters as recorded nothing tells why."""
        for (what, topic), paths in self.undecided.items():
            if WHOLE in paths or not changed:
                where = place(self.node, topic) + (f" ({what})" if what != "message" else "")
                yield f"{where}: {listed(path or 'the moments it is published at' for path in paths)}"

    def notes(self, start_ns: int) -> Iterator[str]:
        """What is not compared, in words."""
        yield (
            f"{self.node}: this begins in the middle of the node's run: it starts here as new, with the latched state "
            f"in force, and is compared from {at(self.from_ns, start_ns)} on"
        )
        for key, found in sorted(self.shifts.items()):
            yield f"{place(self.node, key[1])}: counts from before, so compared by its steps: {listed(found)}"
        for key, since in sorted(self.since.items()):
            late = {path: ns for path, ns in since.items() if ns > self.from_ns}
            for ns, group in groupby(sorted(late, key=lambda p: (late[p], p)), key=late.__getitem__):
                when = "not compared" if ns == NEVER else f"compared from {at(ns, start_ns)} on"
                paths = listed(path or "when it is published" for path in group)
                yield f"{place(self.node, key[1])}: depends on what was before, so {when}: {paths}"


@dataclass(slots=True)
class _Path:
    """One value followed through the steps of its topic."""

    agrees_since_ns: int | None
    shift: int = 0
    settled_ns: int | None = None

    def step(self, stamp_ns: int, shift: int | None, *, until_settled: bool) -> None:
        """The value is behind by `shift`; None: it differs."""
        since = self.agrees_since_ns
        if self.settled_ns is not None or (shift == self.shift and since is not None):
            return
        if until_settled and since is not None and stamp_ns - since >= SETTLED_NS:
            self.settled_ns = since
        elif shift is None:
            self.agrees_since_ns = None
        else:
            self.agrees_since_ns, self.shift = stamp_ns, shift


def in_force(before: list[Decision], after: list[Decision], from_ns: int = 0) -> Iterator[Pair]:
    """Latched state: the values in force at `from_ns`, and wherever one of them changes; repeating one is no change."""
    keys = sorted({d.key for d in (*before, *after)})
    for key in keys:
        held: list[Decision | None] = [None, None]
        merged = sorted(
            ((d.stamp_ns, side, d) for side, made in enumerate((before, after)) for d in made if d.key == key),
            key=lambda step: step[:2],
        )
        began = not from_ns
        for stamp_ns, step in groupby(merged, key=lambda s: s[0]):
            if not began and stamp_ns >= from_ns:
                began = True
                if any(held):
                    yield _at(held[0], from_ns), _at(held[1], from_ns)
            changed = False
            for _, side, made in step:
                last = held[side]
                held[side] = made
                changed = changed or last is None or any(v.unit != "ns" for v in leaves(last.message(), made.message()))
            if began and changed:
                yield _at(held[0], stamp_ns), _at(held[1], stamp_ns)
        if not began and any(held):
            yield _at(held[0], from_ns), _at(held[1], from_ns)


def _at(decision: Decision | None, stamp_ns: int) -> Decision | None:
    return None if decision is None else replace(decision, stamp_ns=stamp_ns)


def listed(paths: Iterable[str]) -> str:
    named = sorted(paths)
    more = len(named) - SHOWN_PATHS
    return ", ".join(named[:SHOWN_PATHS]) + (f" and {more} more" if more > 0 else "")
