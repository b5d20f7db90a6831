"""The topology that somebody wrote: a TOML file that adds components, relations and faults to what is derived.

    [components.chiller]
    kind = "chiller"
    feeds = ["coolant_tank"]          # any of part_of, feeds, turns, cuts, holds, loads, measured_by, carries, runs

    [components."vmc1/spindle"]       # one that is derived: only relations
    loads = ["vmc1/axis_z"]

    [faults.chiller."has failed"]     # another row of faults.py
    prior = 0.01
    effects = { "coolant_temperature HIGH" = 0.9 }

It can take nothing away. All mistakes are told at once, each with its line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus.site import did_you_mean, key_lines
from nodes.knowledge_graph.faults import FAULTS, KINDS, Effects, Fault, State
from nodes.knowledge_graph.reading import WORDS
from nodes.knowledge_graph.topology import RELATIONS, SHARED_KINDS, Shape, Shared, derive
from schemas.names import BadName, check_name
from schemas.sayable import shown

LATER = re.compile(r"[^/]+/(sensor/|source/|tool_)")
"""components that are known only when the machine says what it has"""


class BadTopology(ValueError):
    """`mistakes`: every one as (stable id, text with file and line)."""

    def __init__(self, mistakes: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(text for _, text in mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known before anything runs."""

    shape: Shape
    faults: tuple[Fault, ...]
    pending: tuple[tuple[str, str, str], ...]
    """(source, relation, target) of which one will only be known when its machine says what it has"""


def plan(machines: Any, shared: Any, topology: str) -> tuple[Plan, list[tuple[str, str]]]:
    """The default graph and what the file adds, and everything wrong with either."""
    mistakes: list[tuple[str, str]] = []
    sound = _machines(machines, mistakes)
    shape = derive(sound, _shared(shared, sound, mistakes))
    if not topology:
        return Plan(shape, FAULTS, ()), mistakes
    reader = _Reader(topology, shape, set(sound))
    reader.read()
    return Plan(shape, (*FAULTS, *reader.faults), tuple(reader.pending)), mistakes + reader.mistakes


def _machines(given: Any, mistakes: list[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """`{"vmc1": {"tools": [1, 2], "axes": "xyz"}}`."""
    sound: dict[str, dict[str, Any]] = {}
    if not isinstance(given, Mapping):
        mistakes.append(("bad-machines", f"machines must be a table by machine, not {shown(given)}"))
        return sound
    for name, values in given.items():
        try:
            if "/" in check_name(name):
                raise BadName(f"a machine's name is one segment, not {name!r}")
        except BadName as error:
            mistakes.append(("bad-machines", f"machines: {error}"))
            continue
        if not isinstance(values, Mapping):
            mistakes.append(("bad-machines", f"machines: {name} must be a table, not {shown(values)}"))
            continue
        for key in values.keys() - {"tools", "axes"}:
            hint = did_you_mean(str(key), ("tools", "axes"))
            mistakes.append(("bad-machines", f"machines: {name} has no key {key!r}; {hint}"))
        tools, axes = values.get("tools", ()), values.get("axes", "xyz")
        if not isinstance(tools, (list, tuple)) or not all(type(t) is int and 0 < t < 10**6 for t in tools):
            mistakes.append(("bad-machines", f"machines: {name}: tools must be numbers of tools, not {shown(tools)}"))
            tools = ()
        if not isinstance(axes, str) or not re.fullmatch("[a-z]{0,12}", axes):
            mistakes.append(("bad-machines", f'machines: {name}: axes must be letters, as in "xyz", not {shown(axes)}'))
            axes = "xyz"
        sound[name] = {"tools": tools, "axes": axes}
    return sound


def _shared(given: Any, machines: Iterable[str], mistakes: list[tuple[str, str]]) -> list[Shared]:
    """`[{ kind = "coolant_tank", machines = ["vmc1", "vmc2"] }]`; `name` where there are several of a kind."""
    found: list[Shared] = []
    if not isinstance(given, (list, tuple)):
        mistakes.append(("bad-shared", f"shared must be a list of tables, not {shown(given)}"))
        return found
    for row in given:
        if not isinstance(row, Mapping):
            mistakes.append(("bad-shared", f"shared: each must be a table, not {shown(row)}"))
            continue
        for key in row.keys() - {"kind", "name", "machines"}:
            hint = did_you_mean(str(key), ("kind", "name", "machines"))
            mistakes.append(("bad-shared", f"shared: no key {key!r}; {hint}"))
        kind, users = row.get("kind"), row.get("machines", ())
        if kind not in SHARED_KINDS:
            mistakes.append(("unknown-kind", f"shared: no kind {kind!r}; {did_you_mean(str(kind), SHARED_KINDS)}"))
            continue
        name = row.get("name", kind)
        if not isinstance(name, str) or not isinstance(users, (list, tuple)):
            mistakes.append(("bad-shared", f"shared: {kind} needs a name and a list of machines"))
            continue
        try:
            check_name(name)
        except BadName as error:
            mistakes.append(("bad-shared", f"shared: {error}"))
            continue
        if name in machines or any(s.name == name for s in found):
            mistakes.append(("bad-shared", f"shared: the name {name!r} is taken; give another `name`"))
            continue
        strangers = [u for u in users if u not in machines]
        mistakes += [
            ("unknown-component", f"shared: {name}: no machine {u!r}; {did_you_mean(str(u), machines)}")
            for u in strangers
        ]
        found.append(Shared(name, str(kind), tuple(str(u) for u in users if u not in strangers)))
    return found


class _Reader:
    """Reads the file into a shape."""

    def __init__(self, path: str, shape: Shape, machines: set[str]) -> None:
        self.path = path
        self.shape = shape
        self.machines = machines
        self.lines: dict[tuple[str, ...], int] = {}
        self.mistakes: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.pending: list[tuple[str, str, str]] = []

    def wrong(self, id_: str, keys: tuple[str, ...], text: str) -> None:
        while keys and keys not in self.lines:
            keys = keys[:-1]
        line = self.lines.get(keys, 0)
        self.mistakes.append((id_, f"{self.path}:{line}: {text}" if line else f"{self.path}: {text}"))

    def read(self) -> None:
        try:
            text = Path(self.path).read_text("utf-8")
            tables = tomllib.loads(text)
        except OSError as error:
            self.wrong("topology-file", (), f"cannot read the topology: {error.strerror}")
            return
        except UnicodeDecodeError as error:
            self.wrong("topology-file", (), f"the topology is not UTF-8 at byte {error.start}")
            return
        except (ValueError, RecursionError) as error:
            self.wrong("topology-syntax", (), f"not TOML: {error}")
            return
        self.lines = dict(key_lines(text))
        for key in tables.keys() - {"components", "faults"}:
            self.wrong("topology-key", (key,), f"unknown table {key!r}; {did_you_mean(key, ('components', 'faults'))}")
        faults = self.tables(tables, ("faults",))
        for kind in faults:
            for name, row in self.tables(faults, ("faults", kind)).items():
                self.fault(kind, name, row)
        components = self.tables(tables, ("components",))
        for name, values in components.items():
            self.component(name, values, faults)
        for name, values in components.items():
            if isinstance(values, Mapping):
                self.relations(name, values)
        self.whole(components)

    def tables(self, of: Mapping[str, Any], keys: tuple[str, ...]) -> Mapping[str, Any]:
        found = of.get(keys[-1], {})
        if isinstance(found, Mapping):
            return found
        self.wrong("topology-value", keys, f"{'.'.join(keys)} must be a table, not {shown(found)}")
        return {}

    def fault(self, kind: str, name: str, row: Any) -> None:
        keys = ("faults", kind, name)
        if not isinstance(row, Mapping):
            self.wrong("topology-value", keys, f"fault {name!r} must be a table with prior and effects")
            return
        for key in row.keys() - {"prior", "effects"}:
            self.wrong("topology-key", (*keys, key), f"no key {key!r}; {did_you_mean(key, ('prior', 'effects'))}")
        prior, effects = row.get("prior", 0.005), row.get("effects", {})
        if not _probability(prior):
            self.wrong("topology-value", (*keys, "prior"), f"prior must be between 0 and 1, not {shown(prior)}")
            return
        read = self.effects(effects, (*keys, "effects"))
        if read:
            self.faults.append(Fault(kind, name, float(prior), read))

    def effects(self, given: Any, keys: tuple[str, ...]) -> Effects:
        found: dict[tuple[str, State], float] = {}
        if not isinstance(given, Mapping) or not given:
            self.wrong("topology-value", keys, 'effects must be a table such as { "coolant_flow LOW" = 0.9 }')
            return found
        for key, p in given.items():
            quantity, _, state = key.partition(" ")
            if quantity not in WORDS:
                self.wrong(
                    "unknown-quantity", (*keys, key), f"no reading {quantity!r}; {did_you_mean(quantity, WORDS)}"
                )
            elif state not in ("LOW", "HIGH", "GONE"):
                self.wrong("topology-value", (*keys, key), f"{key!r} must end in LOW, HIGH or GONE")
            elif not _probability(p):
                self.wrong("topology-value", (*keys, key), f"{key!r} must be between 0 and 1, not {shown(p)}")
            else:
                found[quantity, State(state)] = float(p)
        return found

    def component(self, name: str, values: Any, faults: Mapping[str, Any]) -> None:
        keys = ("components", name)
        try:
            check_name(name)
        except BadName as error:
            self.wrong("bad-name", keys, str(error))
            return
        if not isinstance(values, Mapping):
            self.wrong("topology-value", keys, f"component {name} must be a table, not {shown(values)}")
            return
        known = self.shape.components.get(name)
        kind = values.get("kind")
        kinds = KINDS | faults.keys()
        if kind is None:
            if known is None and not self.later(name):
                hint = did_you_mean(name, self.shape.components)
                self.wrong(
                    "unknown-component", keys, f"no component {name!r} to add to, and no kind for a new one; {hint}"
                )
        elif not isinstance(kind, str) or kind not in kinds:
            self.wrong("unknown-kind", (*keys, "kind"), f"no kind {kind!r}; {did_you_mean(str(kind), kinds)}")
            self.shape.add(name, "cell")  # so that what hangs on it is not called unknown
        elif known is not None and known != kind:
            self.wrong("kind-changed", (*keys, "kind"), f"{name} is a {known} already; this file can only add")
        else:
            self.shape.add(name, kind)

    def later(self, name: str) -> bool:
        return bool(LATER.match(name)) and name.partition("/")[0] in self.machines

    def relations(self, name: str, values: Mapping[str, Any]) -> None:
        for key, targets in values.items():
            keys = ("components", name, key)
            if key == "kind":
                continue
            if key not in RELATIONS:
                self.wrong("unknown-relation", keys, f"no relation {key!r}; {did_you_mean(key, ('kind', *RELATIONS))}")
                continue
            if not isinstance(targets, list) or not all(isinstance(t, str) for t in targets):
                self.wrong("topology-value", keys, f"{key} must be a list of names, not {shown(targets)}")
                continue
            for target in targets:
                if target in self.shape.components and name in self.shape.components:
                    self.shape.relate(name, key, target)
                elif self.later(target) or self.later(name):
                    self.pending.append((name, key, target))
                elif target not in self.shape.components:
                    hint = did_you_mean(target, self.shape.components)
                    self.wrong("unknown-component", keys, f"{name} {key} {target!r}, which is no component; {hint}")

    def whole(self, components: Mapping[str, Any]) -> None:
        """What only shows when all is read: circles, and what nothing hangs together with."""
        related = {n for pair in self.shape.relations for n in pair}
        related |= {n for source, _, target in self.pending for n in (source, target)}
        for name in components:
            if name in self.shape.components and name not in related:
                text = f"{name} is an orphan: it has no relation to anything; give it part_of, feeds, ..."
                self.wrong("orphan", ("components", name), text)
        if circle := self.shape.cycle():
            ours = next((n for n in circle if n in components), circle[0])
            text = f"a circle: {' -> '.join(circle)}; a fault cannot cause itself, take one relation away"
            self.wrong("topology-cycle", ("components", ours), text)


def _probability(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 < value < 1.0
