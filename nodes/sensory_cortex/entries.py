"""The list of a machine's sources as it is written: which driver each has, which signals each owns.

    sources = [
      { driver = "simulator" },
      { driver = "stream", name = "daq", url = "tcp://10.0.0.9:5000", columns = ["x_accel", "y_accel", "z_accel"] },
    ]

Every entry takes `driver`, `name`, `take`, `leave` and `state`; the rest are the options of its driver.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bus.node import Objection
from bus.site import did_you_mean
from nodes.sensory_cortex.drivers import DRIVERS, options_class
from nodes.sensory_cortex.options import Options, read_options
from schemas.machine import SignalInfo
from schemas.sayable import shown

COMMON = ("driver", "name", "take", "leave", "state")
SOURCES_MOST = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One source of the list."""

    kind: str
    name: str
    options: Options
    take: tuple[str, ...] = ()
    """the signals it owns; none named: all it has but those of `leave`"""
    leave: tuple[str, ...] = ()
    """signals that another source owns"""
    state: bool = False
    """the machine's state is known through it"""

    def owns(self, signal: str) -> bool:
        return signal in self.take if self.take else signal not in self.leave

    def signals(self) -> Sequence[SignalInfo] | None:
        """What it owns, where that is known before it runs."""
        known = self.options.signals(self.name)
        return None if known is None else [s for s in known if self.owns(s.name)]


def objections(tables: Sequence[Any]) -> list[Objection]:
    """Everything that is wrong with the list, what it names in the world included."""
    read, wrong = _read(tables)
    for n, entry in read:
        wrong += [(id_, f"source {n + 1}: {text}", "sources", n) for id_, text in entry.options.mistakes()]
    return wrong


def read_entries(tables: Sequence[Any]) -> tuple[tuple[Entry, ...], list[Objection]]:
    """The sources that can be made of the list, and what is wrong with how it is written."""
    read, wrong = _read(tables)
    return tuple(entry for _, entry in read), wrong


def _read(tables: Sequence[Any]) -> tuple[list[tuple[int, Entry]], list[Objection]]:
    """The same, each source with its place in the list."""
    wrong: list[Objection] = []
    if not tables:
        wrong.append(("no-source", 'the machine has no source: sources = [{ driver = "simulator" }]', "sources"))
    if len(tables) > SOURCES_MOST:
        wrong.append(("many-sources", f"{len(tables)} sources, a machine has at most {SOURCES_MOST}", "sources"))
    read: list[tuple[int, Entry]] = []
    for n, table in enumerate(tables[:SOURCES_MOST]):
        entry, mistakes = _entry(table)
        wrong += [(id_, f"source {n + 1}: {text}", "sources", n) for id_, text in mistakes]
        if entry is not None:
            read.append((n, entry))
    if len(read) == len(tables):  # else what is missing would be called wrong too
        wrong += _together(read)
    return read, wrong


def _entry(table: Any) -> tuple[Entry | None, list[tuple[str, str]]]:
    if not isinstance(table, Mapping):
        return None, [("bad-option", f'expected a table {{ driver = "..." }}, got {shown(table)}')]
    kind = table.get("driver")
    if not isinstance(kind, str) or kind not in DRIVERS:
        what = "no driver given" if kind is None else f"no driver {shown(kind)}"
        return None, [("unknown-driver", f"{what}; {did_you_mean(str(kind), DRIVERS)}")]
    wrong: list[tuple[str, str]] = []
    name = table.get("name", kind)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        wrong.append(("source-name", f"name is [a-z][a-z0-9_]*, at most 40 characters, not {shown(name)}"))
    named: dict[str, tuple[str, ...]] = {}
    for key in ("take", "leave"):
        value = table.get(key, ())
        if not isinstance(value, (list, tuple)) or not all(isinstance(s, str) for s in value):
            wrong.append(("bad-option", f"{key} is a list of names of signals, not {shown(value)}"))
        else:
            named[key] = tuple(value)
    if named.get("take") and named.get("leave"):
        wrong.append(("bad-option", "give either `take` or `leave`"))
    kind_options = options_class(kind)
    state = table.get("state", kind_options.knows_state)
    if not isinstance(state, bool):
        wrong.append(("bad-option", f"state is true or false, not {shown(state)}"))
    options, mistakes = read_options(kind_options, table, COMMON)
    wrong += mistakes
    if wrong or options is None:
        return None, wrong
    entry = Entry(kind, name, options, named["take"], named["leave"], state)
    known = options.signals(name)
    for signal in (*entry.take, *entry.leave):
        if known is not None and signal not in (names := [s.name for s in known]):
            wrong.append(("unknown-signal", f"{name} has no signal {signal!r}; {did_you_mean(signal, names)}"))
    return (None if wrong else entry), wrong


def _together(read: Sequence[tuple[int, Entry]]) -> Iterator[Objection]:
    """What is wrong between the sources."""
    names: dict[str, int] = {}
    owners: dict[str, tuple[int, str]] = {}
    blocks: dict[str, int] = {}
    for n, entry in read:
        if entry.name in names:
            text = (
                f"source {n + 1}: source {names[entry.name] + 1} is named {entry.name!r} too; give one another `name`"
            )
            yield "source-name", text, "sources", n
        names.setdefault(entry.name, n)
        for signal in entry.signals() or ():
            if signal.name in owners and owners[signal.name][0] != n:
                first, by = owners[signal.name]
                yield (
                    "two-owners",
                    f"source {n + 1}: signal {signal.name!r} of {entry.name} is owned by source {first + 1} ({by}) "
                    f"already; tell one of them leave = [{signal.name!r}]",
                    "sources",
                    n,
                )
            owners.setdefault(signal.name, (n, entry.name))
            if blocks.setdefault(signal.source, n) != n:
                blocks[signal.source] = n
                text = f"source {n + 1}: its rows are named {signal.source!r}, as those of another; give it a `name`"
                yield "source-name", text, "sources", n
    states = [n for n, entry in read if entry.state]
    if len(states) > 1:
        listed = " and ".join(str(n + 1) for n in states)
        text = f"sources {listed} both carry the machine's state; tell all but one state = false"
        yield "two-states", text, "sources", states[1]
    elif not states and read:
        yield (
            "no-state",
            "no source carries the machine's state; tell one state = true (a stream that knows none says UNAVAILABLE)",
            "sources",
        )
