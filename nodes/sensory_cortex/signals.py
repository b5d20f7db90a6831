"""The shop's words for signals: name -> MTConnect type and unit. One place, whatever the source."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.machine import SignalInfo
from schemas.topics import SAMPLES, VIBRATION

VOCABULARY: Mapping[str, tuple[str, str]] = {
    "spindle_load_pct": ("LOAD", "%"),
    "spindle_speed_rpm": ("ROTARY_VELOCITY", "rpm"),
    "spindle_torque_nm": ("TORQUE", "Nm"),
    "spindle_power_kw": ("WATTAGE", "kW"),
    "spindle_current_a": ("AMPERAGE", "A"),
    "feed_mm_min": ("PATH_FEEDRATE", "mm/min"),
    "load_meter_pct": ("LOAD", "%"),
    **{f"{axis}_mm": ("POSITION", "mm") for axis in "xyzabc"},
    **{f"{axis}_load_pct": ("LOAD", "%") for axis in "xyz"},
    **{f"{axis}_current_a": ("AMPERAGE", "A") for axis in "xyz"},
    **{f"{axis}_power_kw": ("WATTAGE", "kW") for axis in "xyz"},
    **{f"{axis}_accel": ("ACCELERATION", "m/s²") for axis in "xyz"},
}

TOPICS = (SAMPLES.name, VIBRATION.name)


def signal(name: str, source: str, topic: str, mtconnect_type: str = "", unit: str = "") -> SignalInfo:
    """A row of machine/signals; what is not given comes from the vocabulary.

    Raises:
        KeyError: the name is not in the vocabulary and type or unit is missing.
    """
    if not mtconnect_type or not unit:
        known_type, known_unit = VOCABULARY[name]
        mtconnect_type, unit = mtconnect_type or known_type, unit or known_unit
    return SignalInfo(name=name, mtconnect_type=mtconnect_type, unit=unit, source=source, topic=topic)
