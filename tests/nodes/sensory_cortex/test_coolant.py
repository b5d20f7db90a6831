from __future__ import annotations

import math

import pytest

from nodes.sensory_cortex.coolant import delivers
from nodes.sensory_cortex.drivers.simulator import Simulator
from schemas.machine import CoolantState, Fault, InjectRequest
from tests.nodes.sensory_cortex.test_simulator import MS, simulator


def coolant(mill: Simulator, since_ms: int, seconds: int) -> list[CoolantState]:
    """What coolant/state said while the pump was on."""
    said = [m for ms in range(since_ms + 1, since_ms + seconds * 1000 + 1) for m in mill.advance(ms * MS)]
    return [m for m in said if isinstance(m, CoolantState) and m.pump_on]


def test_flow_and_pressure_are_where_pump_and_pipe_agree() -> None:
    flow, pressure = delivers(12.0, 0.0)
    assert flow == pytest.approx(30.04, abs=0.01)
    assert pressure == pytest.approx(8.84, abs=0.01)
    clogged_flow, clogged_pressure = delivers(12.0, 1.0)
    assert clogged_flow < 0.6 * flow
    assert clogged_pressure > 1.2 * pressure
    weak_flow, weak_pressure = delivers(4.8, 0.0)
    assert weak_flow < 0.7 * flow
    assert weak_pressure < 0.5 * pressure


@pytest.mark.parametrize(
    ("fault", "signal"),
    [
        (Fault.COOLANT_PUMP, ""),
        (Fault.COOLANT_FILTER, ""),
        (Fault.COOLANT_LOW, ""),
        (Fault.COOLANT_THIN, ""),
        (Fault.SENSOR_LOST, "coolant_flow_l_min"),
    ],
)
def test_a_fault_changes_what_it_should_and_no_number_of_the_drive(fault: Fault, signal: str) -> None:
    sound, sick = simulator(1.0), simulator(1.0)
    assert sick.inject(InjectRequest(fault=fault, signal=signal), 0).accepted
    a, b = coolant(sound, 0, 8)[-1], coolant(sick, 0, 8)[-1]
    match fault:
        case Fault.COOLANT_PUMP:
            assert (b.flow_l_min < 0.8 * a.flow_l_min, b.pressure_bar < 0.6 * a.pressure_bar) == (True, True)
        case Fault.COOLANT_FILTER:
            assert (b.flow_l_min < 0.7 * a.flow_l_min, b.pressure_bar > 1.1 * a.pressure_bar) == (True, True)
        case Fault.COOLANT_LOW:
            assert (b.level_pct < 20.0 < a.level_pct, b.flow_l_min < 0.9 * a.flow_l_min) == (True, True)
        case Fault.COOLANT_THIN:
            assert b.concentration_pct < 4.0 < a.concentration_pct
        case _:
            assert math.isnan(b.flow_l_min)
            assert b.pressure_bar == a.pressure_bar
    assert sick.mill.spindle.load_pct == sound.mill.spindle.load_pct


def test_of_a_lost_network_nothing_measured_arrives() -> None:
    mill = simulator(1.0)
    assert mill.inject(InjectRequest(fault=Fault.NETWORK_LOST), 0).accepted
    said = [m for ms in range(1, 3001) for m in (*mill.advance(ms * MS), *mill.deferred())]
    assert said == []
    assert mill.inject(InjectRequest(fault=Fault.NETWORK_LOST, duration_s=0.1), 0).accepted
    assert coolant(mill, 3000, 3)


@pytest.mark.parametrize("axis", ["x", "z"])
def test_an_axis_that_drags_pushes_harder_and_a_bearing_eats_torque(axis: str) -> None:
    sound, sick = simulator(1.0), simulator(1.0)
    assert sick.inject(InjectRequest(fault=Fault.AXIS_DRAG, signal=axis), 0).accepted
    assert not sick.inject(InjectRequest(fault=Fault.AXIS_DRAG, signal="w"), 0).accepted
    index = "xyz".index(axis)
    loads = []
    for ms in range(1, 4001):
        sound.advance(ms * MS)
        sick.advance(ms * MS)
        loads.append((sound.mill.axis_load_pct[index], sick.mill.axis_load_pct[index]))
    assert all(b >= a for a, b in loads)
    assert max(b - a for a, b in loads) == pytest.approx(7.0, abs=0.1)
    assert sick.inject(InjectRequest(fault=Fault.SPINDLE_BEARING), 0).accepted
    for ms in range(4001, 6001):
        sound.advance(ms * MS)
        sick.advance(ms * MS)
    assert sick.mill.spindle.friction_nm - sound.mill.spindle.friction_nm == pytest.approx(0.5, abs=0.02)
