"""The knowledge graph: what machines say of themselves, what people ask, and the topology that somebody wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes.knowledge_graph.written import plan
from nodes.sensory_cortex.levels import Levels
from schemas.base import Message, Samples
from schemas.codec import codec
from schemas.graph import CausesRequest, ExportRequest, ImpactRequest, InfluenceRequest
from schemas.impact import Assessment, Intervention, Protection
from schemas.machine import Alarm, CoolantState, MachineInfo, MachineState, SignalBlock, SignalLevels, Signals
from schemas.system import Processes
from tests.nodes.impact_cortex.rig import ACCELEROMETER, DRIVE, STILL, drive_block
from tests.nodes.knowledge_graph.cell import START_NS, Cell
from tests.nodes.knowledge_graph.test_written import BAD, GOOD, MACHINES, SHARED
from tests.soak.fuzz_mutate import Grammar
from tests.soak.fuzz_nodes import Alive, _with_source, plain
from tests.soak.fuzz_target import Target, scratch
from tests.soak.fuzz_text import TOML_WORDS
from tests.soak.fuzz_wire import example


class _Graph(Alive):
    kinds: tuple[type[Message], ...] = (
        MachineInfo, MachineState, Signals, CoolantState, Alarm, Protection, Assessment, SignalLevels, Intervention,
        Processes,
        CausesRequest, ImpactRequest, InfluenceRequest, ExportRequest,
    )  # fmt: skip

    def begin(self) -> None:
        self.cell = Cell(machines=())
        self.node = node = self.cell.graph
        acts: list[tuple[str, Callable[[Any], Any]]] = [
            ("machine/info", node.on_info), ("machine/state", node.on_state), ("machine/signals", node.on_signals),
            ("coolant/state", node.on_coolant), ("alarm", node.on_alarm), ("machine/protection", node.on_protection),
            ("impact/assessment", node.on_assessment), ("machine/levels", node.on_levels),
            ("impact/intervention", node.on_intervention),
            ("/launch/processes", node.on_processes), ("", node.causes), ("", node.impact), ("", node.influence),
            ("", node.export),
        ]  # fmt: skip
        self.doors = [(kind, _with_source(node, *act)) for kind, act in zip(self.kinds, acts, strict=True)]

    def after(self) -> None:
        self.cell.now_ns += 10**7

    def look(self) -> None:
        self.cell.now_ns = max(self.cell.now_ns, START_NS) + 10**9
        self.node.tell()
        for message in (self.node.causes(CausesRequest()), self.node.export(ExportRequest())):
            codec(type(message)).encode(message)


def knowledge_graph() -> Target:
    """The node: anything in any message, in any order."""
    one = [[n, plain(example(kind))] for n, kind in enumerate(_Graph.kinds)]
    number = _Graph.kinds.index(SignalLevels)
    names = [2, plain(Signals(signals=DRIVE + ACCELEROMETER))]
    heard = Levels()
    heard.add(drive_block(START_NS, 0, 170.0))
    heard.add(SignalBlock(stamp_ns=1, period_ns=100_000, source="accel", first_row=0, data=Samples(STILL)))
    levels = [[number, plain(said)] for said in heard.take()]
    return _Graph().target("knowledge_graph", [one[:4], one[4:9], one[9:], [names, one[1], *levels]])


def topology() -> Target:
    """A written topology: never an exception, only mistakes."""
    path = scratch() / "topology.toml"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        plan(MACHINES, SHARED, str(path))

    return Target("topology", run, (), [GOOD.encode(), BAD.encode()], Grammar("text", 0, TOML_WORDS))
