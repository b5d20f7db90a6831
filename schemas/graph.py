"""The shop as a graph: components, what hangs on what, and what can be asked about it."""

from __future__ import annotations

from enum import StrEnum

from schemas.base import Message, Nanoseconds, Percent
from schemas.machine import ConditionLevel


class Component(Message):
    """A thing that can fail, with its state as it is known now."""

    name: str
    """`vmc1/spindle`; a shared one stands alone: `coolant_tank`"""
    kind: str
    level: ConditionLevel
    """UNAVAILABLE: nothing that is heard says anything about it"""
    text: str
    """what is abnormal; empty when nothing is"""


class Relation(Message):
    """`source` does something to `target`: a fault of the first shows at the second."""

    source: str
    kind: str
    """part_of, feeds, cuts, holds, loads, measured_by, carries, runs"""
    target: str


class Topology(Message):
    """The whole graph, when it changed, at most once a second."""

    stamp_ns: Nanoseconds
    components: tuple[Component, ...]
    relations: tuple[Relation, ...]


class CausesRequest(Message):
    """Why is it so? Everything abnormal when `condition` is empty.

    `condition` is a machine (`vmc1`), a component (`vmc1/spindle`), an alarm's id or code, or a reading
    (`coolant_flow`, `vmc1/coolant_flow`).
    """

    condition: str = ""
    most: int = 5


class RankedCause(Message):
    """What may be the matter, and why that is thought."""

    text: str
    """`vmc1/coolant/filter is clogged`"""
    component: str
    kind: str
    fault: str
    probability_pct: Percent
    """given every live reading, and that other things may be the matter as well"""
    speaks_for: tuple[str, ...]
    speaks_against: tuple[str, ...]
    not_known: tuple[str, ...]
    """readings that would tell, and are missing"""


class CausesReply(Message):
    """The causes, the likeliest first."""

    ok: bool
    text: str
    causes: tuple[RankedCause, ...]


class ImpactRequest(Message):
    """What hangs on a component?"""

    component: str


class ImpactReply(Message):
    """Who is touched when the component fails, as far as is known."""

    ok: bool
    text: str
    machines: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    """programs that run there now, with run and tool"""
    orders: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    """each with the way the fault takes to it"""


class InfluenceRequest(Message):
    """Which parameter moves which signal? Give one of them, or both; `machine` for one machine only."""

    parameter: str = ""
    signal: str = ""
    machine: str = ""


class Influence(Message):
    """One parameter and one signal that it moves."""

    parameter: str
    signal: str
    text: str
    """which way, how much, by which law"""


class InfluenceReply(Message):
    """The influences that fit."""

    ok: bool
    text: str
    influences: tuple[Influence, ...] = ()


class GraphFormat(StrEnum):
    DOT = "DOT"
    GRAPHML = "GRAPHML"


class ExportRequest(Message):
    """The graph for a drawing program."""

    format: GraphFormat = GraphFormat.DOT


class ExportReply(Message):
    """The graph as text."""

    ok: bool
    text: str
