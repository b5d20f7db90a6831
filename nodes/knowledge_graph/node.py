"""Wires the knowledge graph to the bus: hears every machine, keeps the graph with its live state, answers questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from bus.node import EVERY, BadParameter, Node, Raw, parameter, publisher, service, subscription, tap, timer
from nodes.knowledge_graph import answers, export, topology
from nodes.knowledge_graph.answers import World
from nodes.knowledge_graph.faults import State
from nodes.knowledge_graph.live import Limits, MachineLive
from nodes.knowledge_graph.reach import Reach
from nodes.knowledge_graph.reading import Reading
from nodes.knowledge_graph.written import plan
from schemas import topics
from schemas.base import Message
from schemas.codec import DecodeError, codec
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
from schemas.machine import Alarm, ConditionLevel, CoolantState, MachineInfo, MachineState, SignalBlock, Signals
from schemas.system import Processes, ProcessState, ProcessStatus

M = TypeVar("M", bound=Message)

MOST_MACHINES = 200
MOST_PROCESSES = 1000
LOOK_S = 0.1
"""one row of a source is read out of so many seconds: its newest"""
NEWEST = 6
"""messages of one topic that are decoded at most to find the newest of each of its sources"""
BLOCKS = (topics.SAMPLES.name, topics.VIBRATION.name)


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
        self.columns: dict[tuple[str, str, str], tuple[str, ...]] = {}
        """by machine, topic and source: the names of its columns"""
        self.told: tuple[tuple[Component, ...], tuple[Relation, ...]] | None = None
        self.undecodable = 0
        self.assessed: dict[str, Raw] = {}
        """the newest of each machine: decoded when somebody asks, and not 20 times a second"""
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
            key = (name, s.topic, s.source)
            self.columns[key] = (*self.columns.get(key, ()), s.name)
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

    def hears(self, topic: str, type_name: str) -> bool:
        """The samples of every machine: undecoded, because of a thousand a second only the newest are looked at."""
        if type_name == Assessment.__name__:
            return topic.partition("/")[2] == topics.ASSESSMENT.name
        return type_name == SignalBlock.__name__ and topic.partition("/")[2] in BLOCKS

    @tap(select="hears", batch_s=LOOK_S)
    def on_blocks(self, batch: list[Raw]) -> None:
        by_topic: dict[str, list[Raw]] = {}
        for raw in batch:
            if not raw.lost_first:
                by_topic.setdefault(raw.topic, []).append(raw)
        for full, raws in by_topic.items():
            machine, _, topic = full.partition("/")
            live = self.live.get(machine)
            if live is None:
                continue
            if topic == topics.ASSESSMENT.name:
                self.assessed[machine] = raws[-1]
                continue
            wanted = {source for m, t, source in self.columns if m == machine and t == topic}
            for raw in reversed(raws[-NEWEST * max(1, len(wanted)) :]):
                if not wanted:
                    break
                block = self._decoded(raw, SignalBlock)
                if block is None:
                    continue
                if block.source in wanted:
                    wanted.discard(block.source)
                    self._look(live, (machine, topic, block.source), block)

    def _decoded(self, raw: Raw, kind: type[M]) -> M | None:
        try:
            return codec(kind).decode(raw.payload)
        except DecodeError as error:
            self.undecodable += 1
            if self.undecodable == 1:
                self._once("UNDECODABLE", f"{raw.topic} from {raw.publisher}: {error}")
            return None

    def _look(self, live: MachineLive, key: tuple[str, str, str], block: SignalBlock) -> None:
        data, names = block.data.array, self.columns[key]
        if data.ndim != 2 or not len(data) or data.shape[1] != len(names):
            return
        if key[1] == topics.VIBRATION.name:
            live.on_vibration(rms(data))
        else:
            live.on_samples(names, data[-1].tolist())

    # --- what is said ---------------------------------------------------------------------------------------------

    def world(self) -> World:
        now_ns = self.now_ns()
        assessed, self.assessed = self.assessed, {}
        for machine, raw in assessed.items():
            if (said := self._decoded(raw, Assessment)) is not None:
                self.live[machine].assessment = said
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


def rms(data: Any) -> float:
    """Of all channels together, each without its mean: gravity is no vibration. NaN channels are left out."""
    with np.errstate(invalid="ignore"):
        squares = np.var(data.astype(np.float64), axis=0)
    squares = squares[~np.isnan(squares)]
    return float(np.sqrt(squares.sum())) if len(squares) else float("nan")
