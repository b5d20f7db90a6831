"""Which parameter of a process moves which signal, which way, and by which law. The table grows by rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

_LOADS = "spindle_load_pct spindle_torque_nm spindle_power_kw spindle_current_a load_meter_pct"
_AXES = "?_load_pct ?_current_a ?_power_kw"
KIENZLE = "Kienzle: F = kc1.1 · b · h^(1 - mc), mc about 0.25"


@dataclass(frozen=True, slots=True)
class Row:
    """One parameter, the signals it moves (patterns), and how that is said."""

    parameter: str
    signals: tuple[str, ...]
    text: str


def _row(parameter: str, signals: str, text: str) -> Row:
    return Row(parameter, tuple(signals.split()), text)


ROWS: tuple[Row, ...] = (
    _row("feed_mm_min", _LOADS, f"more feed, more load: +10 % feed gives about +7 % cutting torque ({KIENZLE})"),
    _row("feed_mm_min", _AXES, "more feed, more cutting force and friction on the axes"),
    _row("feed_mm_min", "feed_mm_min", "it is the command that the path feed follows"),
    _row("feed_override_pct", f"feed_mm_min {_LOADS} {_AXES}", "scales the feed, and with it every load of the cut"),
    _row("spindle_speed_rpm", "spindle_speed_rpm", "it is the command that the speed follows"),
    _row(
        "spindle_speed_rpm",
        _LOADS,
        f"faster at the same feed: thinner chips, less torque ({KIENZLE}); more friction in air",
    ),
    _row("spindle_speed_rpm", "?_accel", "moves the tooth-passing frequency n·z/60; chatter comes and goes with it"),
    _row("depth_mm", f"{_LOADS} {_AXES}", "the load of the cut grows in proportion to the axial depth ap"),
    _row("depth_mm", "?_accel", "a deeper cut is nearer to chatter: there is a limit depth for each speed"),
    _row("width_mm", f"{_LOADS} {_AXES}", "more radial width ae, more teeth in the cut and thicker chips: more load"),
    _row("material", _LOADS, "the specific cutting force kc1.1: aluminium 800, C45 1500, titanium 1250 to 2100 N/mm²"),
    _row(
        "tool_diameter_mm",
        "spindle_torque_nm spindle_load_pct load_meter_pct",
        "torque is force times half the diameter",
    ),
    _row("teeth", _LOADS, "more teeth at the same feed: thinner chips, and a slightly higher torque"),
    _row("teeth", "?_accel", "moves the tooth-passing frequency n·z/60"),
    _row("tool_wear", f"{_LOADS} {_AXES}", "a worn edge needs more force: +20 to +50 % at the end of its life"),
    _row(
        "rated_torque_nm", "spindle_load_pct", "load is torque as a share of the rated one: it moves what 100 % means"
    ),
    _row("rated_power_kw", "spindle_load_pct", "above the corner speed 100 % is the rated power"),
    _row("load_sensor", "spindle_load_pct", "drive_torque: 1 kHz; load_meter: 100 ms behind, whole percents, 10 Hz"),
    _row(
        "pump_speed",
        "coolant_flow_l_min coolant_pressure_bar",
        "a faster pump: flow in proportion, pressure by its square",
    ),
    _row("filter_clogging", "coolant_flow_l_min", "a clogged filter lets less through"),
    _row("filter_clogging", "coolant_pressure_bar", "before the filter the pressure rises"),
    _row("coolant_level", "coolant_flow_l_min coolant_pressure_bar", "below the suction the pump draws air: both fall"),
    _row("coolant_refill_water", "coolant_concentration_pct", "water thins the emulsion"),
    _row("cutting_time", "coolant_level_pct coolant_temperature_c", "chips carry coolant away, and the cut warms it"),
)

PARAMETERS = tuple(dict.fromkeys(r.parameter for r in ROWS))


def influences(signals: Iterable[str], parameter: str = "", signal: str = "") -> Iterator[tuple[str, str, str]]:
    """(parameter, signal, how) for the signals that there are."""
    names = sorted(signals)
    for row in ROWS:
        if parameter and row.parameter != parameter:
            continue
        for name in names:
            if (not signal or name == signal) and any(fnmatchcase(name, p) for p in row.signals):
                yield row.parameter, name, row.text
