"""A question to the knowledge graph of a shop with 500 components, as the node answers it: readings in, reply out."""

from __future__ import annotations

import time
from collections.abc import Callable

from bus.testing import Domain
from nodes.knowledge_graph import answers, topology
from nodes.knowledge_graph.answers import World
from nodes.knowledge_graph.faults import FAULTS, State
from nodes.knowledge_graph.reach import Reach
from nodes.knowledge_graph.reading import Reading
from nodes.knowledge_graph.topology import Shape, Shared, derive
from nodes.sensory_cortex.drivers.simulator import Simulator
from schemas.graph import CausesRequest, ImpactRequest
from tests.benchmarks.measure import Row, interval

MACHINES = tuple(f"vmc{n}" for n in range(1, 13))


def shop() -> Shape:
    """Twelve machines like those of the demo cell, on one tank and one network."""
    shape = derive({m: {"tools": range(1, 6)} for m in MACHINES}, [Shared("coolant_tank", "coolant_tank", MACHINES)])
    for m in MACHINES:
        topology.add_signals(shape, m, Simulator.signals)
        topology.add_coolant(shape, m)
        topology.add_process(shape, f"{m}/core", (f"{m}/sensory_cortex", f"{m}/impact_cortex"))
    return shape


def readings(shape: Shape) -> list[Reading]:
    """Every sensor and part of every machine; among them a low tank, a bearing, a worn tool and a dead sensor."""
    found = []
    for m in MACHINES:
        low = State.LOW
        found += [
            Reading(m, "coolant_level", "coolant_tank", low, "", (f"{m}/sensor/coolant_level_pct",)),
            Reading(m, "coolant_flow", f"{m}/coolant", low, "", (f"{m}/sensor/coolant_flow_l_min",)),
            Reading(m, "coolant_pressure", f"{m}/coolant", low, "", (f"{m}/sensor/coolant_pressure_bar",)),
        ]
        sick = m == "vmc3"
        for quantity in ("idle_load", "idle_vibration"):
            found.append(Reading(m, quantity, f"{m}/spindle", State.HIGH if sick else State.NORMAL, ""))
        for tool in range(1, 6):
            state = State.HIGH if (m, tool) == ("vmc5", 2) else State.NORMAL
            found.append(Reading(m, "cutting_load", f"{m}/tool_{tool}", state, ""))
        found += [Reading(m, "axis_load", f"{m}/axis_{axis}", State.NORMAL, "") for axis in "xyz"]
    for name, kind in shape.components.items():
        if kind == "sensor":
            dead = name == "vmc7/sensor/x_mm"
            found.append(Reading(name.partition("/")[0], "reading", name, State.GONE if dead else State.NORMAL, ""))
        elif kind == "source":
            found.append(Reading(name.partition("/")[0], "arrival", name, State.NORMAL, ""))
    return found


def graph(domain: Domain, count: int) -> list[Row]:
    """All causes of everything, the impact of the tank, and the first question after the graph has changed."""
    shape = shop()
    said = readings(shape)
    world = World(Reach(shape), FAULTS, said)

    def ms(work: Callable[[], object]) -> float:
        start_ns = time.perf_counter_ns()
        work()
        return (time.perf_counter_ns() - start_ns) / 1e6

    def causes(of: World) -> None:
        reply = answers.causes(of, CausesRequest(most=10))
        assert reply.causes[0].text == "coolant_tank is low", reply.text

    def first() -> float:
        new = World(Reach(shape), FAULTS, said)
        return ms(lambda: causes(new))

    n = 5 * count
    also = {"components": float(len(shape.components)), "readings": float(len(said))}
    causes(world)
    tank = ImpactRequest(component="coolant_tank")
    name = "graph of 500 components"
    again = [ms(lambda: causes(world)) for _ in range(n)]
    reached = [ms(lambda: answers.impact(world, tank, {})) for _ in range(n)]
    return [
        Row(name, "causes", interval(again), 20.0, unit="ms", also=also),
        Row(name, "causes, graph is new", interval([first() for _ in range(n)]), 20.0, unit="ms"),
        Row(name, "impact", interval(reached), 20.0, unit="ms"),
    ]
