"""The simulated mill's coolant: a tank, a pump, a filter and nozzles, and the probes that read them.

Flow and pressure are where the pump's curve `p = p0 - a·q²` meets what filter and nozzles ask for, `p = r·q²`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from nodes.sensory_cortex import sensors
from nodes.sensory_cortex.mill import STEP_S, Mill
from nodes.sensory_cortex.sensors import Chain, Reading
from schemas.machine import CoolantState, Execution

# at the start, and what is carried out with the chips per hour of cutting
FULL_PCT, MIXED_PCT, COOL_C = 92.0, 7.0, 22.0
LEVEL_PCT_H, CONCENTRATION_PCT_H, WARMER_C = 6.0, 0.4, 6.0

PUMP_BAR = 12.0
"""against a closed valve"""
PUMP_DROP = 0.0035
"""bar per (l/min)²: with clean filter and nozzles 30 l/min at 8.9 bar"""
NOZZLES = 0.008
FILTER = 0.0018
LOW_PCT = 8.0
"""here the pump begins to draw air"""

FLOW_METER = Chain(1.0, step=0.1, noise=0.2)
PRESSURE_PROBE = Chain(1.0, step=0.01, noise=0.05)

SIGNALS = {
    "coolant_level_pct": "level_pct",
    "coolant_concentration_pct": "concentration_pct",
    "coolant_temperature_c": "temperature_c",
    "coolant_flow_l_min": "flow_l_min",
    "coolant_pressure_bar": "pressure_bar",
}
"""a probe's name, and where coolant/state shows it"""


def delivers(p0_bar: float, clog: float) -> tuple[float, float]:
    """Flow (l/min) and pressure before the filter (bar) of a pump of this head; `clog` 0 is a clean filter."""
    resistance = NOZZLES + FILTER * (1.0 + 20.0 * clog)
    flow = math.sqrt(p0_bar / (PUMP_DROP + resistance))
    return flow, resistance * flow * flow


class Tank:
    """What the probes of the coolant read."""

    def __init__(self, draw: Iterator[float], even: Iterator[float], seed: int) -> None:
        self._level, self._concentration, self._temperature = (
            Reading(sensors.COOLANT_PROBE, draw, even) for _ in range(3)
        )
        # a stream of their own: the numbers of the other sensors stay what they were without them
        rng = np.random.default_rng((seed, 1))
        draw, even = sensors.heavy_tailed(rng, 4.0, 64), sensors.evenly(rng, 64)
        self._flow, self._pressure = Reading(FLOW_METER, draw, even), Reading(PRESSURE_PROBE, draw, even)

    def read(self, mill: Mill, stamp_ns: int) -> CoolantState:
        """The probes, once a second."""
        faults = mill.faults
        hours = mill.cutting_steps * STEP_S / 3600.0
        level = max(FULL_PCT - LEVEL_PCT_H * hours, 0.0)
        head = PUMP_BAR * max(0.0, 1.0 - 0.6 * faults.pump)
        if faults.tank_low:
            level = min(level, LOW_PCT / faults.tank_low)
            head *= 0.55
        pump_on = mill.execution is Execution.ACTIVE and mill.spindle.commanded_rpm > 0.0
        flow, pressure = delivers(head, faults.clog) if pump_on else (0.0, 0.0)
        thinner = 1.0 / (1.0 + faults.thin)
        values = {
            "level_pct": self._level(level),
            "concentration_pct": self._concentration(max(MIXED_PCT - CONCENTRATION_PCT_H * hours, 0.0) * thinner),
            "temperature_c": self._temperature(COOL_C + WARMER_C * (1.0 - math.exp(-3.0 * hours))),
            "flow_l_min": max(0.0, self._flow(flow)),
            "pressure_bar": max(0.0, self._pressure(pressure)),
        }
        for name in faults.lost & SIGNALS.keys():
            values[SIGNALS[name]] = math.nan
        return CoolantState(stamp_ns=stamp_ns, pump_on=pump_on, **values)
