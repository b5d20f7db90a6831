"""A live reading as the reasoning takes it: what, where, through which sensors, and how it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from nodes.knowledge_graph.faults import State

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "coolant_flow": "coolant flow",
        "coolant_pressure": "coolant pressure",
        "coolant_level": "coolant level",
        "coolant_concentration": "coolant concentration",
        "coolant_temperature": "coolant temperature",
        "cutting_load": "load of the cut",
        "cutting_vibration": "vibration in the cut",
        "idle_load": "spindle load in air",
        "idle_vibration": "vibration in air",
        "axis_load": "load of the axis",
        "axis_overload": "axis load against its limit",
        "overload": "spindle load against its limit",
        "spindle_speed": "spindle speed",
        "servo_alarm": "the control's servo alarm",
        "emergency_stop": "emergency stop",
        "reading": "reading of the sensor",
        "arrival": "data of the source",
        "process": "process",
        "protection": "beat of the logic engine",
        "alarm": "alarm",
    }
)
"""quantities, as they are said"""


@dataclass(frozen=True, slots=True)
class Reading:
    """One quantity at one place."""

    machine: str
    quantity: str
    at: str
    """the component it tells of"""
    state: State
    text: str
    """the value beside what it should be"""
    via: tuple[str, ...] = ()
    """the sensors it comes through"""
    codes: tuple[str, ...] = ()
    """ids and codes of the alarms and interventions behind it"""

    @property
    def abnormal(self) -> bool:
        return self.state is not State.NORMAL

    def said(self) -> str:
        """`vmc1: coolant flow is LOW: 12.0 l/min, usually 30.1`."""
        place = self.at.removeprefix(f"{self.machine}/")
        where = "" if place == self.machine or self.quantity.startswith("coolant") else f" ({place})"
        who = f"{self.machine}: " if self.machine else ""
        tail = f": {self.text}" if self.text else ""
        return f"{who}{WORDS.get(self.quantity, self.quantity)}{where} is {self.state}{tail}"


def merged(readings: Iterable[Reading]) -> list[Reading]:
    """One reading per quantity and place: what is abnormal counts, and all that speaks for it is said."""
    found: dict[tuple[str, str, str], Reading] = {}
    for new in readings:
        key = (new.machine, new.quantity, new.at)
        old = found.get(key)
        if old is None or (new.abnormal and not old.abnormal):
            found[key] = new
        elif new.abnormal and old.state is new.state:
            found[key] = replace(old, text=f"{old.text}; {new.text}", codes=old.codes + new.codes)
    return list(found.values())
