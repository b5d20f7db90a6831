"""Wires the knowledge graph to the bus: hears every machine, keeps the graph with its live state, answers questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bus.node import EVERY, BadParameter, Node, parameter, publisher, service, subscription, timer
from nodes.knowledge_graph import answers, export, topology
from nodes.knowledge_graph.answers import World
from nodes.knowledge_graph.faults import State
from nodes.knowledge_graph.live import Limits, MachineLive
from nodes.knowledge_graph.reach import Reach
from nodes.knowledge_graph.reading import Reading
from nodes.knowledge_graph.written import plan
from schemas import topics
from schemas.graph import (
    CausesReply,
    CausesRequest,
    Component,
    ExportReply,
    ExportRequest,
    GraphFormat,
    ImpactReply,
    ImpactRequest,
    InfluenceReply,
    InfluenceRequest,
    Relation,
    Topology,
)
from schemas.impact import Assessment, Intervention, Protection
from schemas.machine import Alarm, ConditionLevel, CoolantState, MachineInfo, MachineState, SignalLevels, Signals
from schemas.system import Processes, ProcessState, ProcessStatus

MOST_MACHINES = 200
MOST_PROCESSES = 1000


class KnowledgeGraph(Node):
    """Knows what hangs on what in the shop, what may be the matter, what it touches, and what moves which signal."""

    machines = parameter({}, doc="the machines of the launch: { vmc1 = { tools = [1, 2], axes = 'xyz' } }")  # type: ignore[var-annotated] # plain data of any shape
    shared = parameter((), doc="what several machines share: [{ kind = 'coolant_tank', machines = ['vmc1', 'vmc2'] }]")
    topology = parameter("", doc="TOML file that adds components, relations and faults: see written.py")
    teach_passes = parameter(1, ge=1, le=100, doc="passes of a block that teach what its signals usually are")
    level_low_pct = parameter(20.0, unit="%", ge=0, le=100, doc="coolant: below this the tank is low")
    concentration_low_pct = parameter(4.0, unit="%", ge=0, le=100, doc="coolant: below this it is too thin")
    temperature_high_c = parameter(38.0, unit="°C", ge=0, le=100, doc="coolant: above this it is too warm")

    graph = publisher(topics.TOPOLOGY)

    @classmethod
    def mistakes(cls, parameters: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """What is wrong with the machines, what they share, and the written topology."""
        return plan(parameters["machines"], parameters["shared"], parameters["topology"])[1]

    def on_configure(self) -> None:
        planned, mistakes = plan(self.machines, self.shared, self.topology)
        if mistakes:
            raise BadParameter(f"{self.name}: {'; '.join(text for _, text in mistakes)}")
        self.shape, self.fault_table, self.pending = planned.shape, planned.faults, list(planned.pending)
        self.limits = Limits(
            level_low_pct=self.level_low_pct,
            concentration_low_pct=self.concentration_low_pct,
            temperature_high_c=self.temperature_high_c,
        )
        self.live: dict[str, MachineLive] = {}
        self.processes: dict[str, ProcessStatus] = {}
        self.columns: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}
        """by machine and source: its topic, and the names of its columns"""
        self.told: tuple[tuple[Component, ...], tuple[Relation, ...]] | None = None
        self._grown()

    def _grown(self) -> None:
        """The shape has changed."""
        for process in self.processes.values():  # it carries sources that were not known when it was
            topology.add_process(self.shape, process.name, process.nodes)
        waiting = self.pending
        self.pending = []
        for source, kind, target in waiting:
            if source in self.shape.components and target in self.shape.components:
                self.shape.relate(source, kind, target)
                if circle := self.shape.cycle():
                    del self.shape.relations[source, target]
                    self._once(
                        "TOPOLOGY_CYCLE", f"a circle: {' -> '.join(circle)}; {source} {kind} {target} is left out"
                    )
            else:
                self.pending.append((source, kind, target))
        self.reach = Reach(self.shape)
        for name, live in self.live.items():
            live.tank = topology.tank_of(self.shape, name)
        if self.shape.refused:
            self._once("TOPOLOGY_FULL", f"more than {topology.MOST_COMPONENTS} components: some are left out")

    def _once(self, code: str, text: str) -> None:
        self.log.warning(text)
        self.report(code, ConditionLevel.WARNING, text)

    # --- what is heard --------------------------------------------------------------------------------------------

    def _machine(self, name: str) -> MachineLive | None:
        """What is known of a machine; one that the launch did not name is taken in as well."""
        live = self.live.get(name)
        if live is None and name:
            if len(self.live) >= MOST_MACHINES:
                self._once("MACHINES_FULL", f"more than {MOST_MACHINES} machines: {name} is left out")
                return None
            live = self.live[name] = MachineLive(name, self.teach_passes, self.limits)
            topology.add_machine(self.shape, name)
            if (network := f"{topology.CELL}/network") in self.shape.components:
                self.shape.relate(network, "feeds", f"{name}/network")
            self._grown()
        return live

    @subscription(topics.SIGNALS, namespace=EVERY)
    def on_signals(self, signals: Signals) -> None:
        name = self.source.namespace
        if (live := self._machine(name)) is None:
            return
        live.on_signals(signals)
        self.columns = {key: names for key, names in self.columns.items() if key[0] != name}
        for s in signals.signals:
            _, names = self.columns.get((name, s.source), ("", ()))
            self.columns[name, s.source] = (s.topic, (*names, s.name))
        topology.add_signals(self.shape, name, signals.signals)
        self._grown()

    @subscription(topics.MACHINE_INFO, namespace=EVERY)
    def on_info(self, info: MachineInfo) -> None:
        name = self.source.namespace
        if (live := self._machine(name)) is not None:
            live.info = info
            new = [s.name for s in info.sources if f"{name}/source/{s.name}" not in self.shape.components]
            for source in new:
                topology.add_source(self.shape, name, source)
            if new:
                self._grown()

    @subscription(topics.MACHINE_STATE, namespace=EVERY)
    def on_state(self, state: MachineState) -> None:
        name = self.source.namespace
        if (live := self._machine(name)) is not None:
            live.on_state(state, self.now_ns())
            if state.tool_number > 0 and topology.add_tool(self.shape, name, state.tool_number):
                self._grown()

    @subscription(topics.COOLANT, namespace=EVERY)
    def on_coolant(self, coolant: CoolantState) -> None:
        name = self.source.namespace
        if (live := self._machine(name)) is not None:
            if live.coolant is None:
                topology.add_coolant(self.shape, name)
                self._grown()
            live.on_coolant(coolant, self.now_ns())

    @subscription(topics.ALARM, namespace=EVERY)
    def on_alarm(self, alarm: Alarm) -> None:
        if (live := self._machine(self.source.namespace)) is not None:
            live.on_alarm(alarm)

    @subscription(topics.HAL_PROTECTION, namespace=EVERY)
    def on_protection(self, protection: Protection) -> None:
        if (live := self._machine(self.source.namespace)) is not None:
            live.protection = protection

    @subscription(topics.INTERVENTION, namespace=EVERY, cursor=None)
    def on_intervention(self, intervention: Intervention) -> None:
        if (live := self._machine(self.source.namespace)) is not None:
            live.on_intervention(intervention)

    @subscription(topics.PROCESSES)
    def on_processes(self, said: Processes) -> None:
        new = [p for p in said.processes if p.name not in self.processes]
        if len(self.processes) + len(new) > MOST_PROCESSES:
            self._once("PROCESSES_FULL", f"more than {MOST_PROCESSES} processes: some are left out")
            return
        self.processes.update({p.name: p for p in said.processes})
        if new:
            self._grown()

    @subscription(topics.ASSESSMENT, namespace=EVERY, depth=64)  # a question may take as long as eight of them
    def on_assessment(self, said: Assessment) -> None:
        if (live := self.live.get(self.source.namespace)) is not None:
            live.assessment = said

    @subscription(topics.LEVELS, namespace=EVERY)
    def on_levels(self, levels: SignalLevels) -> None:
        machine = self.source.namespace
        live, (topic, names) = self.live.get(machine), self.columns.get((machine, levels.source), ("", ()))
        data = levels.data.array
        if live is None or data.shape != (5, len(names)):
            return
        if topic == topics.VIBRATION.name:
            live.on_vibration(together(data[4]))
        else:
            live.on_samples(names, data[0].tolist())

    # --- what is said ---------------------------------------------------------------------------------------------

    def world(self) -> World:
        now_ns = self.now_ns()
        readings = [r for live in self.live.values() for r in live.readings(now_ns)]
        for name, process in self.processes.items():
            here = process.state in (ProcessState.READY, ProcessState.WAITING, ProcessState.STARTING)
            text = "" if here else f"{process.state}, {process.last_exit}"
            readings.append(Reading("", "process", f"process/{name}", State.NORMAL if here else State.GONE, text))
        return World(self.reach, self.fault_table, readings)

    @timer(1.0)
    def tell(self) -> None:
        """The graph, when anything in it has changed."""
        levels = answers.overlay(self.world())
        unknown = (ConditionLevel.UNAVAILABLE, "")
        components = tuple(
            Component(name=name, kind=kind, level=levels.get(name, unknown)[0], text=levels.get(name, unknown)[1])
            for name, kind in self.shape.components.items()
        )
        relations = tuple(
            Relation(source=source, kind=kind, target=target) for (source, target), kind in self.shape.relations.items()
        )
        if self.told != (components, relations):
            self.told = (components, relations)
            self.graph.publish(Topology(stamp_ns=self.now_ns(), components=components, relations=relations))

    @service(topics.CAUSES)
    def causes(self, request: CausesRequest) -> CausesReply:
        return answers.causes(self.world(), request)

    @service(topics.IMPACT)
    def impact(self, request: ImpactRequest) -> ImpactReply:
        states = {name: live.state for name, live in self.live.items() if live.state is not None}
        return answers.impact(self.world(), request, states)

    @service(topics.INFLUENCE)
    def influence(self, request: InfluenceRequest) -> InfluenceReply:
        signals: dict[str, list[str]] = {}
        for name, kind in self.shape.components.items():
            machine, _, signal = name.partition("/sensor/")
            if kind == "sensor" and signal:
                signals.setdefault(machine, []).append(signal)
        return answers.influence(request, signals)

    @service(topics.EXPORT)
    def export(self, request: ExportRequest) -> ExportReply:
        levels = {name: level for name, (level, _) in answers.overlay(self.world()).items()}
        draw = export.dot if request.format is GraphFormat.DOT else export.graphml
        return ExportReply(ok=True, text=draw(self.shape, levels))


def together(deviations: NDArray[Any]) -> float:
    """Of all channels of a vibration; NaN channels are left out. Without their means: gravity is no vibration."""
    known = deviations[~np.isnan(deviations)].astype(np.float64)
    return float(np.sqrt(np.square(known).sum())) if len(known) else float("nan")
