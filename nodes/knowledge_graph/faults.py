"""What can be the matter with each kind of component, and what is seen of it. The table grows by rows.

A row says how likely a reading is to be LOW, HIGH or GONE when the fault is there, wherever the graph leads from the
component to the place of the reading. The numbers are judgements, not measurements: they say which reading tells most,
and what is rarer than what. Quantities are those of live.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """How a reading stands against what it should be."""

    NORMAL = "NORMAL"
    LOW = "LOW"
    HIGH = "HIGH"
    GONE = "GONE"


LOW, HIGH, GONE = State.LOW, State.HIGH, State.GONE
ANY = "*"
"""as a quantity: every reading that comes through this sensor"""

Effects = Mapping[tuple[str, State], float]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row."""

    kind: str
    """of the component"""
    name: str
    """completes `vmc1/coolant/filter ...`"""
    prior: float
    """the share of time that such a component spends with this fault"""
    effects: Effects
    """(quantity, state) -> probability that it is seen"""


FAULTS: tuple[Fault, ...] = (
    # coolant: pressure is read between pump and filter, flow at the nozzles
    Fault("coolant_pump", "delivers too little", 0.01, {("coolant_flow", LOW): 0.95, ("coolant_pressure", LOW): 0.95}),
    Fault("coolant_filter", "is clogged", 0.02, {("coolant_flow", LOW): 0.9, ("coolant_pressure", HIGH): 0.85}),
    Fault(
        "coolant_circuit", "has blocked nozzles", 0.004, {("coolant_flow", LOW): 0.9, ("coolant_pressure", HIGH): 0.8}
    ),
    Fault(
        "coolant_circuit",
        "has burst or lost a hose",
        0.002,
        {("coolant_pressure", LOW): 0.9, ("coolant_flow", LOW): 0.4, ("coolant_flow", HIGH): 0.3},
    ),
    Fault(
        "coolant_tank",
        "is low",
        0.02,
        {("coolant_level", LOW): 0.98, ("coolant_flow", LOW): 0.6, ("coolant_pressure", LOW): 0.6},
    ),
    Fault("coolant_tank", "is too thin", 0.01, {("coolant_concentration", LOW): 0.97}),
    Fault("coolant_tank", "is too rich", 0.005, {("coolant_concentration", HIGH): 0.97}),
    Fault("coolant_tank", "is too warm", 0.005, {("coolant_temperature", HIGH): 0.97}),
    # the cut
    Fault(
        "tool",
        "is worn",
        0.03,
        {
            ("cutting_load", HIGH): 0.9,
            ("cutting_vibration", HIGH): 0.25,
            ("axis_load", HIGH): 0.1,
            ("overload", HIGH): 0.2,
        },
    ),
    Fault(
        "tool",
        "is broken",
        0.01,
        {
            ("cutting_load", LOW): 0.9,
            ("overload", HIGH): 0.3,
            ("cutting_vibration", HIGH): 0.3,
            ("cutting_vibration", LOW): 0.3,
        },
    ),
    Fault(
        "tool",
        "chatters",
        0.02,
        {("cutting_vibration", HIGH): 0.95, ("cutting_load", HIGH): 0.05, ("overload", HIGH): 0.15},
    ),
    Fault("workpiece", "is harder than it should be", 0.0002, {("cutting_load", HIGH): 0.85, ("overload", HIGH): 0.3}),
    Fault("workpiece", "is missing or too small", 0.002, {("cutting_load", LOW): 0.8, ("cutting_vibration", LOW): 0.4}),
    Fault(
        "fixture",
        "stands in the way: collision",
        0.01,
        {
            ("overload", HIGH): 0.7,
            ("axis_overload", HIGH): 0.45,  # of each axis: it is met in one direction
            ("servo_alarm", HIGH): 0.3,
            ("axis_load", HIGH): 0.1,
            ("cutting_load", HIGH): 0.1,
            ("cutting_load", LOW): 0.1,
            ("cutting_vibration", HIGH): 0.2,
        },
    ),
    # the machine
    Fault(
        "spindle",
        "has a failing bearing",
        0.004,
        {
            ("idle_load", HIGH): 0.9,
            ("idle_vibration", HIGH): 0.8,
            ("cutting_vibration", HIGH): 0.4,
            ("cutting_load", HIGH): 0.1,
            ("overload", HIGH): 0.15,
            ("spindle_speed", LOW): 0.1,
        },
    ),
    Fault("spindle", "is out of balance", 0.003, {("idle_vibration", HIGH): 0.95, ("cutting_vibration", HIGH): 0.5}),
    Fault("spindle", "has a weak drive", 0.002, {("spindle_speed", LOW): 0.9}),
    Fault(
        "axis",
        "drags: guide or ball screw",
        0.008,
        {("axis_load", HIGH): 0.93, ("axis_overload", HIGH): 0.1, ("servo_alarm", HIGH): 0.1},
    ),
    Fault("drive", "is overloaded", 0.001, {("servo_alarm", HIGH): 0.8}),
    # what tells of it
    Fault("sensor", "is dead", 0.01, {("reading", GONE): 0.97}),
    Fault("sensor", "reads wrong", 0.002, {(ANY, LOW): 0.35, (ANY, HIGH): 0.35}),
    Fault("source", "is silent", 0.01, {("arrival", GONE): 0.98}),
    Fault("network", "is down", 0.004, {("arrival", GONE): 0.97}),
    Fault("control", "is off", 0.002, {("arrival", GONE): 0.9, ("emergency_stop", HIGH): 0.2}),
    Fault("power", "has failed", 0.001, {("arrival", GONE): 0.95}),
    Fault("air", "has lost its pressure", 0.003, {("servo_alarm", HIGH): 0.2}),
    Fault("process", "has ended", 0.005, {("process", GONE): 0.98, ("arrival", GONE): 0.9, ("protection", GONE): 0.9}),
    Fault("logic", "does not beat", 0.003, {("protection", GONE): 0.95}),
    Fault("operator", "pressed the emergency stop", 0.005, {("emergency_stop", HIGH): 0.99}),
)

LEAK: Mapping[State, float] = MappingProxyType({LOW: 0.0003, HIGH: 0.0003, GONE: 0.0001})
"""how likely a reading is to be so although nothing in the table is the matter"""

KINDS = frozenset(f.kind for f in FAULTS) | {"cell", "machine"}
