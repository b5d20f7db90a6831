"""The demo cell in one thread, its clock turned by hand: mills, their logic engines, and the graph that hears them.

Nothing is told to the knowledge graph but what travels on the bus.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from bus.node import Node, Outcome, Source
from nodes.impact_cortex import ImpactCortex
from nodes.knowledge_graph import KnowledgeGraph
from nodes.sensory_cortex import SensoryCortex
from nodes.sensory_cortex.cutting import speed_rpm
from nodes.sensory_cortex.drivers.simulator import Simulator
from nodes.sensory_cortex.program import FINISHER, ROUGHER, Block, Do, Program, pocket
from schemas.base import Message, Service, Topic, resolve
from schemas.graph import CausesReply, CausesRequest
from schemas.machine import (
    ConditionLevel,
    Fault,
    FeedHoldRequest,
    InjectRequest,
    ResetRequest,
    StopRequest,
)
from schemas.system import LogLevel

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
CUTS = [
    {"tool": 1, "blocks": [40, 40]},
    {"tool": 2, "diameter_mm": 6.0, "teeth": 2, "width_mm": 0.5, "blocks": [80, 80]},
]


def short() -> Program:
    """Seven seconds: a rough cut, an air cut, a change of tool, a finishing cut."""
    rough, finish = speed_rpm(300.0, 10.0), speed_rpm(200.0, 6.0)
    feed = 0.05 * 3 * rough
    return Program(
        "O0007 SHORT",
        pocket().material,
        (ROUGHER, FINISHER),
        (
            Block(10, "T1 M6", Do.TOOL, tool=1, seconds=0.25),
            Block(20, "S9549 M3", Do.SPINDLE, speed_rpm=rough),
            Block(30, "G0", Do.RAPID, 0.0, 0.0, -5.0),
            Block(40, "G1 X30", Do.FEED, 30.0, 0.0, -5.0, feed_mm_min=feed, ae_mm=5.0, ap_mm=5.0),
            Block(50, "G1 X45 Y20 Z10", Do.FEED, 45.0, 20.0, 10.0, feed_mm_min=feed),
            Block(60, "T2 M6", Do.TOOL, tool=2, seconds=0.25),
            Block(70, "S10610 M3", Do.SPINDLE, speed_rpm=finish),
            Block(80, "G1 Y40", Do.FEED, 45.0, 40.0, 10.0, feed_mm_min=0.04 * 2 * finish, ae_mm=0.5, ap_mm=5.0),
            Block(90, "G0", Do.RAPID, -10.0, 0.0, 20.0),
        ),
    )


class Hand:
    """The context of one node of the cell."""

    def __init__(self, cell: Cell, name: str) -> None:
        self.cell = cell
        self.name = name
        self.namespace = name.rpartition("/")[0]
        self.rng = random.Random(name)
        self.findings: dict[str, str] = {}
        self.seq = 0

    def now_ns(self) -> int:
        return self.cell.now_ns

    def resolve(self, name: str, namespace: str | None = None) -> str:
        return resolve(name, self.namespace if namespace is None else namespace)

    def publish(self, topic: Topic[Any], full_name: str, message: Message) -> None:
        self.seq += 1
        self.cell.deliver(topic, full_name, message, Source(self.name, full_name, self.seq, self.cell.now_ns))

    def withdraw(self, full_name: str, key: str) -> None:
        raise AssertionError("nobody withdraws anything here")

    def call(
        self,
        service: Service[Any, Any],
        full_name: str,
        request: Message,
        timeout_s: float,
        then: Callable[[Outcome[Any]], None] | None,
    ) -> Future[Any]:
        self.cell.asked.append((self.namespace, service.name, request, then))
        return Future()

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        raise AssertionError("nothing runs beside these nodes")

    def log(self, level: LogLevel, text: str) -> None:
        self.cell.logged.append(f"{self.name}: {text}")

    def report(self, code: str, level: ConditionLevel, text: str) -> None:
        self.findings[code] = text

    def clear(self, code: str) -> None:
        self.findings.pop(code, None)


Call = tuple[str, str, Message, Callable[[Outcome[Any]], None] | None]


class Cell:
    """Mills by name, each with its two cortices, and one knowledge graph."""

    def __init__(
        self,
        machines: tuple[str, ...] = ("vmc1", "vmc2"),
        program: Program | None = None,
        described: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> None:
        self.now_ns = START_NS
        self.asked: list[Call] = []
        self.logged: list[str] = []
        self.sensory: dict[str, SensoryCortex] = {}
        self.impact: dict[str, ImpactCortex] = {}
        known = {m: {"tools": [1, 2]} for m in machines}
        shared = [{"kind": "coolant_tank", "machines": list(machines)}]
        self.graph = KnowledgeGraph(Hand(self, "knowledge_graph"), {"machines": known, "shared": shared, **parameters})
        self.graph.on_configure()
        for m in machines:
            impact = {
                "mode": "STOP",
                "material": "aluminium_wrought",
                "tool_diameter_mm": 10.0,
                "teeth": 3,
                "depth_mm": 5.0,
                "width_mm": 5.0,
                "rated_torque_nm": 35.0,
                "rated_power_kw": 5.5,
                "cuts": CUTS,
                **(described or {}),
            }
            self.impact[m] = ImpactCortex(Hand(self, f"{m}/impact_cortex"), impact)
            self.impact[m].on_configure()
            self.sensory[m] = SensoryCortex(
                Hand(self, f"{m}/sensory_cortex"), {"sources": [{"driver": "simulator", "autostart": program is None}]}
            )
            self.sensory[m].on_configure()
            mill = self.mill(m).mill
            if program is not None:
                mill.program = program
                mill.start()

    def mill(self, machine: str) -> Simulator:
        driver = self.sensory[machine].machine.fitted[0].driver
        assert isinstance(driver, Simulator)
        return driver

    # --- the bus ------------------------------------------------------------------------------------------------------

    def deliver(self, topic: Topic[Any], full_name: str, message: Message, source: Source) -> None:
        machine = full_name.partition("/")[0]
        mine: list[Node] = [n for n in (self.sensory.get(machine), self.impact.get(machine)) if n is not None]
        for node in mine:
            for s in node.interface.subscriptions:
                if s.topic is topic and source.node != node.name:
                    node.source = source
                    getattr(node, s.method)(message)
        for s in self.graph.interface.subscriptions:
            if s.topic is topic:
                self.graph.source = source
                getattr(self.graph, s.method)(message)

    def _answer(self) -> None:
        asked, self.asked = self.asked, []
        for machine, name, request, then in asked:
            node = self.sensory[machine]
            assert isinstance(request, (FeedHoldRequest, StopRequest)), name
            reply = node.feed_hold(request) if isinstance(request, FeedHoldRequest) else node.stop(request)
            if then is not None:
                then(Outcome(reply))

    # --- time ---------------------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 1000)):
            self.now_ns += MS
            ms = self.now_ns // MS
            for machine, node in self.sensory.items():
                node.tick()
                if ms % 5 == 0:
                    node.later()
                if ms % 100 == 99:
                    node.sum_up()
                if ms % 200 == 0:
                    node.look()
                if self.asked:
                    self._answer()
                if ms % 50 == 0:
                    self.impact[machine].tick()
                    self.impact[machine].look()
            if ms % 1000 == 0:
                self.graph.tell()

    # --- what a person does -------------------------------------------------------------------------------------------

    def inject(self, machine: str, fault: Fault, signal: str = "", magnitude: float = 1.0) -> None:
        request = InjectRequest(fault=fault, signal=signal, magnitude=magnitude)
        reply = self.sensory[machine].inject(request)
        assert reply.accepted, reply.text

    def heal(self) -> None:
        """Everything is repaired; whoever stands is released."""
        for node in self.sensory.values():
            reply = node.reset(ResetRequest(operator="joe", reason="repaired"))
            assert reply.accepted, reply.text
            if (mill := self.mill(node.name.partition("/")[0]).mill).block is None:
                mill.start()

    def causes(self, condition: str = "", most: int = 5) -> CausesReply:
        return self.graph.causes(CausesRequest(condition=condition, most=most))
