"""What the keys of an MTConnect adapter or agent mean: a table. A signal more is a row more, here or by option.

Adapters name their keys as they like; the rows hold the usual names. A shop's own names come by the option `items`:

    items = { Xfrc = { signal = "x_force_n", type = "FORCE", unit = "N", factor = 0.001 }, cnc_state = "execution" }
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from bus.site import did_you_mean
from nodes.sensory_cortex.signals import VOCABULARY
from schemas.machine import ControllerMode, EmergencyStop, Execution, Motion
from schemas.sayable import shown
from schemas.topics import ALARM, COOLANT, LOG, MACHINE_STATE, SAMPLES, VIBRATION
from schemas.wire.shdr import Kind

SIGNAL_TOPICS = (SAMPLES.name, VIBRATION.name)
WORDS_MAX = 2000
"""characters of a block or of a program's name"""
NOWHERE = ""
"""the topic of what is known and not wanted"""
E_ = TypeVar("E_", Execution, ControllerMode, EmergencyStop, Motion)


class BadItems(ValueError):
    """The option `items` is wrong; the text has a line for every mistake."""


@dataclass(frozen=True, slots=True)
class Item:
    """One row: what is read from a key, and where it goes."""

    name: str
    """of the signal, or of the message's field"""
    topic: str
    mtconnect_type: str
    unit: str
    read: Callable[[str], Any]
    """from the text of an observation that is not UNAVAILABLE; raises ValueError"""
    series: bool = False
    """what comes are time series"""
    keys: tuple[str, ...] = ()
    """usual names; its own is one, too"""


# --- read functions ---------------------------------------------------------------------------------------------------


def number(text: str) -> float:
    return float(text) if text else math.nan


def scaled(factor: float) -> Callable[[str], float]:
    return number if factor == 1.0 else lambda text: number(text) * factor


def part(n: int) -> Callable[[str], float]:
    """The n-th of several numbers, as in a path's position."""

    def read(text: str) -> float:
        found = text.split()
        if not found:
            return math.nan
        if n >= len(found):
            raise ValueError(f"{len(found)} numbers, not {n + 1}")
        return float(found[n])

    return read


def whole(text: str) -> int:
    value = float(text) if text else 0.0
    if not abs(value) < 2**53:
        raise ValueError("no whole number")
    return int(value)


SWITCH: Mapping[str, bool] = {"ACTIVE": True, "ON": True, "INACTIVE": False, "OFF": False}


def switch(text: str) -> bool:
    try:
        return SWITCH[text.strip().upper()]
    except KeyError:
        raise ValueError(f"none of {', '.join(SWITCH)}") from None


def words(text: str) -> str:
    return text[:WORDS_MAX]


def one_of(kind: type[E_]) -> Callable[[str], E_]:
    return lambda text: kind(text.strip().upper())


# --- the table --------------------------------------------------------------------------------------------------------


def _signal(name: str, *keys: str, read: Callable[[str], float] = number) -> Item:
    return Item(name, SAMPLES.name, *VOCABULARY[name], read, keys=keys)


def _state(name: str, mtconnect_type: str, read: Callable[[str], Any], *keys: str, unit: str = "") -> Item:
    return Item(name, MACHINE_STATE.name, mtconnect_type, unit, read, keys=keys)


def _coolant(name: str, mtconnect_type: str, unit: str, *keys: str, read: Callable[[str], Any] = number) -> Item:
    return Item(name, COOLANT.name, mtconnect_type, unit, read, keys=keys)


AXES = "XYZ"
ROWS: tuple[Item, ...] = (
    _state("availability", "AVAILABILITY", words, "avail", "availability", "power"),
    _state("execution", "EXECUTION", one_of(Execution), "execution", "exec", "pexecution", "p1execution"),
    _state("controller_mode", "CONTROLLER_MODE", one_of(ControllerMode), "mode", "controller_mode", "pmode", "p1mode"),
    _state("emergency_stop", "EMERGENCY_STOP", one_of(EmergencyStop), "estop", "emergency_stop"),
    _state("program", "PROGRAM", words, "program", "prog", "pprogram", "p1program"),
    _state("block", "BLOCK", words, "block", "p1block"),
    _state("block_number", "LINE_NUMBER", whole, "line", "line_number", "block_number", "p1BlockNumber"),
    _state("tool_number", "TOOL_NUMBER", whole, "tool_number", "Tool_number", "tool_id", "p1CurrentTool"),
    _state("tool_serial", "TOOL_ASSET_ID", words, "tool_asset_id", "p1ToolAssetId", "tool_serial"),
    _state("part_count", "PART_COUNT", whole, "part_count", "PartCountAct", "partcount", "ppartcount"),
    _state("spindle_speed_commanded_rpm", "ROTARY_VELOCITY", number, "Scmd", "S1cmd", "Srpm_cmd", unit="rpm"),
    _state("feed_commanded_mm_min", "PATH_FEEDRATE", number, "Fcmd", "p1Fcmd", "path_feedrate_cmd", unit="mm/min"),
    _state("feed_override_pct", "PATH_FEEDRATE_OVERRIDE", number, "Fovr", "pFovr", "path_feed_ovr", unit="%"),
    _state("motion", "x:MOTION", one_of(Motion), "motion"),
    _signal("spindle_load_pct", "Sload", "S1load", "spindle_load", "SspindleLoad"),
    _signal("spindle_speed_rpm", "Srpm", "S1speed", "Sspeed", "spindle_speed"),
    _signal("spindle_torque_nm", "Storque", "S1torque"),
    _signal("spindle_power_kw", "Spower", "S1power"),
    _signal("spindle_current_a", "Scurrent", "S1current"),
    _signal("load_meter_pct", "load_meter"),
    _signal("feed_mm_min", "Fact", "p1Fact", "path_feedrate", "Frt", "feed"),
    *(_signal(f"{a.lower()}_mm", f"{a}act", f"{a}1actm", f"{a}abs", f"{a}pos") for a in "XYZABC"),
    *(
        _signal(f"{a.lower()}_mm", "path_pos", "path_position", "p1LPathPos", read=part(n))
        for n, a in enumerate(AXES)
    ),
    *(_signal(f"{a.lower()}_load_pct", f"{a}load", f"{a}1load") for a in AXES),
    *(_signal(f"{a.lower()}_current_a", f"{a}current") for a in AXES),
    *(_signal(f"{a.lower()}_power_kw", f"{a}power") for a in AXES),
    *(_signal(f"{a.lower()}_accel", f"{a}accel") for a in AXES),
    _coolant("level_pct", "FILL_LEVEL", "%", "coolant_level"),
    _coolant("concentration_pct", "CONCENTRATION", "%", "coolant_concentration"),
    _coolant("temperature_c", "TEMPERATURE", "°C", "coolant_temperature"),
    _coolant("pump_on", "ACTUATOR_STATE", "", "coolant_pump", read=switch),
    _coolant("flow_l_min", "FLOW", "l/min", "coolant_flow"),
    _coolant("pressure_bar", "PRESSURE", "bar", "coolant_pressure"),
    Item("message", LOG.name, "MESSAGE", "", words, keys=("message", "msg", "operator_message", "messages")),
    Item("condition", ALARM.name, "SYSTEM", "", words, keys=("system", "logic", "motion_program", "servo", "comms")),
)  # fmt: skip

FIELDS: Mapping[str, Item] = {i.name: i for i in ROWS if i.topic not in SIGNAL_TOPICS}
"""what is no signal, by name"""


@dataclass(frozen=True, slots=True)
class Items:
    """The rows by key, and how a decoder splits the fields of a key that is more than a value."""

    rows: Mapping[str, tuple[Item, ...]]
    kinds: Mapping[str, Kind]


def items(own: Mapping[str, Any]) -> Items:
    """The table with a shop's own rows; a key of its own replaces the usual meaning.

    Raises:
        BadItems: with every mistake.
    """
    rows: dict[str, tuple[Item, ...]] = {}
    kinds: dict[str, Kind] = {}
    for row in ROWS:
        for key in dict.fromkeys((*row.keys, *(() if row.name in rows else (row.name,)))):
            rows[key] = (*rows.get(key, ()), row)
    wrong: list[str] = []
    for key, given in own.items():
        try:
            rows[key] = (_own_row(given),)
        except ValueError as error:
            wrong.append(f"items: {key}: {error}")
            continue
        if rows[key][0].series:
            kinds[key] = Kind.TIME_SERIES
    if wrong:
        raise BadItems("\n".join(wrong))
    for key, (first, *_) in rows.items():
        if first.topic == ALARM.name:
            kinds[key] = Kind.CONDITION
        elif first.topic == LOG.name:
            kinds[key] = Kind.MESSAGE
    return Items(rows, kinds)


PORTS = {"shdr": {"shdr": 7878}, "mtconnect": {"http": 5000}}
"""by driver, then by the scheme of its address: the usual port"""

OWN_KEYS: Mapping[str, Any] = {
    "signal": str,
    "type": str,
    "unit": str,
    "factor": int | float,
    "topic": str,
    "series": bool,
}


def _own_row(given: Any) -> Item:
    if isinstance(given, str):
        if given in FIELDS:
            return FIELDS[given]
        if given in VOCABULARY:
            return _signal(given)
        if not given:
            return Item("", NOWHERE, "", "", words)
        hint = did_you_mean(given, [*FIELDS, *VOCABULARY])
        raise ValueError(f"no signal and no field of the state is called {given!r}; {hint}")
    if not isinstance(given, Mapping):
        raise ValueError(f"give the name of a signal, or a table, not {shown(given)}")
    for word, value in given.items():
        if word not in OWN_KEYS:
            raise ValueError(f"no {word!r} here; there is {', '.join(OWN_KEYS)}")
        if not isinstance(value, OWN_KEYS[word]) or (word == "factor" and isinstance(value, bool)):
            raise ValueError(f"{word} is {shown(value)}")
    name = given.get("signal", "")
    known = VOCABULARY.get(name, ("", ""))
    mtconnect_type, unit = given.get("type", known[0]), given.get("unit", known[1])
    if not (name and mtconnect_type and unit):
        raise ValueError("a signal needs `signal`, and `type` and `unit` where the name is not a usual one")
    series = given.get("series", False)
    topic = given.get("topic", VIBRATION.name if series else SAMPLES.name)
    if topic not in (SIGNAL_TOPICS if series else (SAMPLES.name,)):
        raise ValueError(f"topic is {SAMPLES.name}, or with `series` {VIBRATION.name}; not {topic!r}")
    factor = float(given.get("factor", 1.0))
    if not math.isfinite(factor):
        raise ValueError(f"factor is {factor}")
    return Item(name, topic, mtconnect_type, unit, scaled(factor), series)
