"""Components and what hangs on what: derived from the launch, from what machines say, and added to by hand.

Every relation points from cause to effect: a fault of its source shows at its target. So the whole is a graph without
circles, and the causes of a reading are what lies upstream of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import Any

from schemas.machine import SignalInfo

CELL = "cell"
MOST_COMPONENTS = 5000
MOST_TOOLS = 200
"""of one machine"""

RELATIONS: Mapping[str, str] = MappingProxyType(
    {
        "part_of": "is part of",
        "feeds": "feeds",
        "turns": "turns",
        "cuts": "is cut by",
        "holds": "holds",
        "loads": "loads",
        "measured_by": "is measured by",
        "carries": "carries",
        "runs": "runs",
    }
)
"""how it is said"""

SHARED_KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "coolant_tank": ("coolant/pump",),
        "network": ("network",),
        "power": ("control", "network"),
        "air": ("control",),
    }
)
"""what several machines may share, and what it feeds in each"""

SENSES: tuple[tuple[str, str], ...] = (
    ("spindle_*", "spindle"),
    ("load_meter_*", "spindle"),
    ("?_accel", "spindle"),
    ("coolant_level*", "coolant/tank"),
    ("coolant_conc*", "coolant/tank"),
    ("coolant_temp*", "coolant/tank"),
    ("coolant_*", "coolant"),
    *((f"{axis}_*", f"axis_{axis}") for axis in "xyzabc"),
)
"""patterns of signal names, and the part they measure; what fits none is a value of the control"""

COOLANT_PROBES = ("level_pct", "concentration_pct", "temperature_c", "flow_l_min", "pressure_bar")


@dataclass(slots=True)
class Shape:
    """Components by name, with their kind, and relations by (source, target), with theirs."""

    components: dict[str, str] = field(default_factory=dict)
    relations: dict[tuple[str, str], str] = field(default_factory=dict)
    refused: int = 0
    """components that there was no room for"""

    def add(self, name: str, kind: str) -> bool:
        """False where there is no room."""
        if name not in self.components and len(self.components) >= MOST_COMPONENTS:
            self.refused += 1
            return False
        self.components.setdefault(name, kind)
        return True

    def relate(self, source: str, kind: str, target: str) -> None:
        if source in self.components and target in self.components:
            self.relations.setdefault((source, target), kind)

    def copy(self) -> Shape:
        return Shape(dict(self.components), dict(self.relations))

    def cycle(self) -> tuple[str, ...]:
        """Components that hang on themselves, the first one again at the end; empty where there are none."""
        before: dict[str, list[str]] = {name: [] for name in self.components}
        for source, target in self.relations:
            before[target].append(source)
        try:
            TopologicalSorter(before).prepare()
        except CycleError as error:
            return tuple(error.args[1])
        return ()

    def machine_of(self, name: str) -> str:
        """The machine a component belongs to; empty for what is shared."""
        first = name.partition("/")[0]
        return first if self.components.get(first) == "machine" else ""


@dataclass(frozen=True, slots=True)
class Shared:
    """A medium of several machines."""

    name: str
    kind: str
    machines: tuple[str, ...]


def derive(machines: Mapping[str, Mapping[str, Any]], shared: Iterable[Shared] = ()) -> Shape:
    """The graph of a shop whose machines have only been named: `{"vmc1": {"tools": [1, 2], "axes": "xyz"}}`."""
    shape = Shape()
    shape.add(CELL, "cell")
    tanks: dict[str, str] = {}
    media = list(shared)
    for medium in media:
        shape.add(medium.name, medium.kind)
        if medium.kind == "coolant_tank":
            tanks.update(dict.fromkeys(medium.machines, medium.name))
    if len(machines) > 1 and not any(m.kind == "network" for m in media):
        shape.add(f"{CELL}/network", "network")
        media.append(Shared(f"{CELL}/network", "network", tuple(machines)))
    for name, values in machines.items():
        add_machine(shape, name, values.get("axes", "xyz"), values.get("tools", ()), own_tank=name not in tanks)
    for medium in media:
        for machine in medium.machines:
            for part in SHARED_KINDS[medium.kind]:
                shape.relate(medium.name, "feeds", f"{machine}/{part}")
    return shape


def add_machine(
    shape: Shape, machine: str, axes: Sequence[str] = "xyz", tools: Iterable[int] = (), *, own_tank: bool = True
) -> None:
    """A machine with the parts that every machining centre has."""
    if machine in shape.components or not shape.add(machine, "machine"):
        return
    shape.relate(machine, "part_of", CELL)
    parts = {
        "control": "control",
        "network": "network",
        "operator": "operator",
        "logic": "logic",
        "spindle": "spindle",
        "fixture": "fixture",
        "workpiece": "workpiece",
        "coolant": "coolant_circuit",
        "coolant/pump": "coolant_pump",
        "coolant/filter": "coolant_filter",
        **({"coolant/tank": "coolant_tank"} if own_tank else {}),
        **{f"axis_{axis}": "axis" for axis in axes},
    }
    for part, kind in parts.items():
        shape.add(f"{machine}/{part}", kind)
    for part in ("control", "spindle", "coolant", *(f"axis_{axis}" for axis in axes)):
        shape.relate(f"{machine}/{part}", "part_of", machine)
    for part in ("operator", "network", "logic"):
        shape.relate(f"{machine}/{part}", "part_of", machine)
    for source, kind, target in (
        ("coolant/tank", "feeds", "coolant/pump"),
        ("coolant/pump", "feeds", "coolant/filter"),
        ("coolant/filter", "feeds", "coolant"),
        ("fixture", "holds", "workpiece"),
        ("fixture", "part_of", ""),
        ("workpiece", "part_of", ""),
    ):
        shape.relate(f"{machine}/{source}", kind, f"{machine}/{target}" if target else machine)
    for axis in axes:
        shape.relate(f"{machine}/fixture", "loads", f"{machine}/axis_{axis}")
    for tool in tools:
        add_tool(shape, machine, tool)


def add_tool(shape: Shape, machine: str, number: int) -> bool:
    """A tool of the magazine; True when it is new."""
    name = f"{machine}/tool_{number}"
    if name in shape.components or machine not in shape.components:
        return False
    if sum(c.startswith(f"{machine}/tool_") for c in shape.components) >= MOST_TOOLS or not shape.add(name, "tool"):
        return False
    shape.relate(f"{machine}/spindle", "turns", name)
    shape.relate(f"{machine}/workpiece", "cuts", name)
    shape.relate(f"{machine}/coolant", "feeds", name)
    shape.relate(name, "part_of", machine)
    for other, kind in list(shape.components.items()):
        if kind == "axis" and other.startswith(f"{machine}/"):
            shape.relate(name, "loads", other)
    return True


def add_source(shape: Shape, machine: str, source: str) -> str:
    """A source of signals: what comes through the machine's network and control."""
    name = f"{machine}/source/{source}"
    if shape.add(name, "source"):
        shape.relate(f"{machine}/network", "carries", name)
        shape.relate(f"{machine}/control", "carries", name)
        shape.relate(name, "part_of", machine)
    return name


def add_signals(shape: Shape, machine: str, signals: Iterable[SignalInfo]) -> None:
    """The sensors of a machine, and the sources that carry them."""
    for signal in signals:
        add_sensor(shape, machine, signal.name, signal.source)


def add_sensor(shape: Shape, machine: str, signal: str, source: str) -> None:
    if machine not in shape.components:
        return
    name = f"{machine}/sensor/{signal}"
    if not shape.add(name, "sensor"):
        return
    shape.relate(add_source(shape, machine, source), "carries", name)
    shape.relate(part_measured(shape, machine, signal), "measured_by", name)
    shape.relate(name, "feeds", f"{machine}/logic")


def add_coolant(shape: Shape, machine: str) -> None:
    """The probes of coolant/state: a source of their own, as the bus sees it."""
    for probe in COOLANT_PROBES:
        add_sensor(shape, machine, f"coolant_{probe}", "coolant")


def add_process(shape: Shape, process: str, nodes: Iterable[str]) -> str:
    """A process of the launch, and what falls silent with it."""
    name = f"process/{process}"
    shape.add(name, "process")
    for node in nodes:
        machine, _, what = node.rpartition("/")
        if shape.components.get(machine) != "machine":
            shape.relate(name, "runs", CELL)
        elif what == "sensory_cortex":
            prefix = f"{machine}/source/"
            for source in [c for c in shape.components if c.startswith(prefix)]:
                shape.relate(name, "runs", source)
        elif what == "impact_cortex":
            shape.relate(name, "runs", f"{machine}/logic")
    return name


def part_measured(shape: Shape, machine: str, signal: str) -> str:
    """The component that a signal of this name measures."""
    for pattern, part in SENSES:
        if fnmatchcase(signal, pattern):
            name = f"{machine}/{part}"
            if part == "coolant/tank":
                name = tank_of(shape, machine)
            return name if name in shape.components else f"{machine}/control"
    return f"{machine}/control"


def tank_of(shape: Shape, machine: str) -> str:
    """The tank that feeds the machine's pump: its own, or a shared one."""
    pump = f"{machine}/coolant/pump"
    for source, target in shape.relations:
        if target == pump and shape.components[source] == "coolant_tank":
            return source
    return machine
