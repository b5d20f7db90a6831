"""Two lists of decisions compared, as lines a machinist can read.

vmc1 impact/intervention  12.402 s  FEED_HOLD -> (nothing)
vmc1 impact/assessment    12.450 s .. 20.000 s  151 messages, the first: model_load_pct 1.5 -> 1 %
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from bus.replay.decisions import Decision, Decisions, at, headline, place, reason, value, word
from bus.replay.known import WHOLE, Known
from bus.replay.pairs import TOLERANCE, Key, Leaf, apart, by_topic, leaves
from schemas.base import Samples

NOTHING = "(nothing)"
SHOWN_FIELDS = 6
SHOWN_PER_TOPIC = 40
RUN = 3
"""so many differences of one stream in a row become one line"""


@dataclass(frozen=True, slots=True)
class Change:
    """One place where two lists of decisions differ; one side may be missing."""

    before: Decision | None
    after: Decision | None
    kind: tuple[str, ...]
    """what differs: the names of the fields, or which side is missing"""
    text: str

    @property
    def stamp_ns(self) -> int:
        return self._either.stamp_ns

    @property
    def _either(self) -> Decision:
        either = self.before or self.after
        assert either is not None
        return either

    @property
    def reaction(self) -> bool:
        return self._either.reaction

    @property
    def stream(self) -> bool:
        return self._either.stream


def differences(reference: Decisions, result: Decisions, *, tolerance: float = TOLERANCE) -> list[str]:
    """Every difference in order of time, in words; empty when the node decided the same.

    Measured fields are ignored and floats compared with a relative tolerance. Long runs in a stream become one line.
    After the first reaction that differs every line says so: the recorded world answered the recorded reactions.
    """
    start_ns = reference.start_ns or result.start_ns
    found: list[tuple[int, bool, str]] = []
    diverged_ns = math.inf
    known = result.known or reference.known or Known()
    before, after = by_topic(reference.made), by_topic(result.made)
    for key in {**before, **after}:
        changes = list(_changes(key, before.get(key, []), after.get(key, []), known, tolerance, start_ns))
        diverged_ns = min([diverged_ns, *(c.stamp_ns for c in changes if c is not None and c.reaction)])
        what, topic = key
        where = place(reference.node, topic) if what == "message" else f"{place(reference.node, topic)} ({what})"
        found += [(stamp, what != "message", text) for stamp, text in _told(where, changes, start_ns)]
    found.sort(key=lambda line: line[:2])
    return [f"{text}   (after divergence)" if stamp > diverged_ns else text for stamp, _, text in found]


def identical(reference: Decisions, result: Decisions) -> bool:
    """Whether every byte is the same, topic by topic, from the same callbacks."""

    def told(decisions: Decisions) -> dict[tuple[str, str], list[tuple[int, bytes]]]:
        return {key: [(d.stamp_ns, d.payload) for d in made] for key, made in by_topic(decisions.made).items()}

    return told(reference) == told(result)


def _changes(
    key: Key, before: list[Decision], after: list[Decision], known: Known, tolerance: float, start_ns: int
) -> Iterator[Change | None]:
    """Change by change; None wherever both sides said the same."""
    for old, new in known.pairs(before, after):
        if old is None or new is None:
            present = old or new
            assert present is not None
            yield None if known.excuses(key, present, WHOLE) else _one_sided(old, new)
        elif old.payload == new.payload and old.type is new.type:
            yield None
        else:
            yield _compared(key, old, new, known, tolerance, start_ns)


def _one_sided(old: Decision | None, new: Decision | None) -> Change:
    present = old or new
    assert present is not None
    message = present.message()
    said, why = headline(message), reason(message)
    why = "" if why in said else why
    text = f"{said} -> {NOTHING}" if new is None else f"{NOTHING} -> {said}"
    return Change(old, new, ("gone" if new is None else "new",), f"{text}   {why}".rstrip())


def _compared(key: Key, old: Decision, new: Decision, known: Known, tolerance: float, start_ns: int) -> Change | None:
    was, now = old.message(), new.message()
    found = [leaf for leaf in leaves(was, now, tolerance) if not known.excuses(key, old, leaf.path, leaf)]
    if not found:
        return None
    words = word(was), word(now)
    texts = [
        text for leaf in found if (text := _said(leaf, tolerance, start_ns)) != f"{leaf.path} {words[0]} -> {words[1]}"
    ]
    more = len(texts) - SHOWN_FIELDS
    shown = texts[:SHOWN_FIELDS] + ([f"and {more} more fields"] if more > 0 else [])
    if words[0] != words[1]:
        shown.insert(0, f"{words[0]} -> {words[1]}")
    return Change(old, new, tuple(leaf.path for leaf in found), ", ".join(shown))


def _said(leaf: Leaf, tolerance: float, start_ns: int) -> str:
    """`limit 85 -> 155 %`."""
    path, was, now, unit = leaf
    if isinstance(was, Samples) and isinstance(now, Samples):
        return f"{path} {_samples(was, now, tolerance)}"
    if unit == "ns" and isinstance(was, int) and isinstance(now, int):
        return f"{path} {at(was, start_ns)} -> {at(now, start_ns)}"
    return f"{path} {value(was)} -> {value(now, unit)}"


def _samples(was: Samples, now: Samples, tolerance: float) -> str:
    a, b = was.array, now.array
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{value(was)} {was.dtype} -> {value(now)} {now.dtype}"
    differ = apart(was, now, tolerance)
    first = tuple(int(i) for i in np.argwhere(differ)[0])
    return f"{int(differ.sum())} of {a.size} values, the first at {list(first)}: {a[first]:.6g} -> {b[first]:.6g}"


def _told(where: str, changes: list[Change | None], start_ns: int) -> list[tuple[int, str]]:
    """(time, line) of the changes of one topic, runs in a stream collapsed, the number of lines bounded."""
    told: list[tuple[int, str]] = []
    for kind, run in groupby(changes, key=lambda c: c and (c.stream, c.kind)):
        if kind is None:
            continue
        group = [c for c in run if c is not None]
        if group[0].stream and len(group) > RUN:
            first, last = group[0], group[-1]
            span = f"{at(first.stamp_ns, start_ns)} .. {at(last.stamp_ns, start_ns)}"
            told.append((first.stamp_ns, f"{where}  {span}  {len(group)} messages, the first: {first.text}"))
        else:
            told += [(c.stamp_ns, f"{where}  {at(c.stamp_ns, start_ns)}  {c.text}") for c in group]
    if len(told) > SHOWN_PER_TOPIC:
        rest = len(told) - SHOWN_PER_TOPIC
        told = [*told[:SHOWN_PER_TOPIC], (told[SHOWN_PER_TOPIC][0], f"{where}  ... and {rest} more differences")]
    return told
