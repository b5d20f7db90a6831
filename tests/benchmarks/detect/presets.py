"""What a machine is watched with: the signals of each sensor preset, and the tasks that are configured beside the
default ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nodes.impact_cortex.tasks import Settings, Task, default_tasks, read
from nodes.sensory_cortex.drivers.simulator import SIGNALS
from schemas.machine import SignalInfo

IMPACT = {
    "name": "impact",
    "signal": "*_accel",
    "procedure": "deviation",
    "error": 90.0,
    "window_s": 0.002,
    "share": 0.1,
    "gated": False,
    "reaction": "FEED_HOLD",
    "text": "a blow no cut gives: did the tool run into something?",
}
OVERLOAD = {
    "name": "cut_overload",
    "signal": "spindle_load_pct",
    "procedure": "above_model",
    "error": 1.0,
    "rise_pct": 100.0,
    "settle_s": 0.1,
    "reaction": "FEED_HOLD",
    "text": "spindle load far above what this cut needs: is it deeper than programmed?",
}


@dataclass(frozen=True, slots=True)
class Preset:
    """A way to watch a machine."""

    name: str
    load_sensor: str
    """what the simulator reads the spindle load with"""
    signals: tuple[SignalInfo, ...]
    """all that the logic engine gets beside the machine's state"""
    rows: tuple[Mapping[str, Any], ...]
    """tasks beside the default ones, as a site file gives them"""
    vibration: bool = False
    has_bar: bool = True

    @property
    def tasks(self) -> tuple[Task, ...]:
        return read(self.rows, default_tasks(Settings()))


def _of(*names: str) -> tuple[SignalInfo, ...]:
    return tuple(s for s in SIGNALS if s.name in names)


_AXES = ("x_load_pct", "y_load_pct", "z_load_pct")
PRESETS: Mapping[str, Preset] = {
    p.name: p
    for p in (
        Preset("drive_torque", "drive_torque", _of("spindle_load_pct", "spindle_speed_rpm", *_AXES), (OVERLOAD,)),
        Preset("accelerometer", "drive_torque", _of("x_accel", "y_accel", "z_accel"), (IMPACT,), vibration=True),
        Preset("load_meter", "load_meter", _of("spindle_load_pct"), (OVERLOAD,), has_bar=False),
        Preset("load_meter_axes", "load_meter", _of("spindle_load_pct", *_AXES), (OVERLOAD,), has_bar=False),
    )
}
"""drive_torque is what launch/site.toml ships; load_meter is a machine that shows nothing but its load meter"""
