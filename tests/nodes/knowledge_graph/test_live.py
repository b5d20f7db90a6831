from __future__ import annotations

import math

import pytest

from nodes.knowledge_graph.faults import State
from nodes.knowledge_graph.live import COOLANT_SILENT_NS, MOST_ALARMS, SILENT_NS, MachineLive
from nodes.knowledge_graph.reading import Reading
from schemas.base import Samples
from schemas.impact import Intervention, Mode, Reaction
from schemas.machine import (
    Alarm,
    Cause,
    ConditionLevel,
    CoolantState,
    EmergencyStop,
    Execution,
    Motion,
    Signals,
    SourceStatus,
)
from tests.nodes.impact_cortex.rig import DRIVE, machine_info, machine_state

S = 1_000_000_000
T0 = 1_700_000_000 * S


def live() -> MachineLive:
    made = MachineLive("vmc1")
    made.on_signals(Signals(signals=DRIVE))
    made.on_state(machine_state(T0, Execution.ACTIVE, Motion.FEED), T0)
    return made


def of(readings: list[Reading], quantity: str, at: str = "") -> State | None:
    return next((r.state for r in readings if r.quantity == quantity and at in ("", r.at)), None)


def coolant(**changes: object) -> CoolantState:
    values: dict[str, object] = {
        "stamp_ns": T0, "level_pct": 90.0, "concentration_pct": 7.0, "temperature_c": 22.0,
        "pump_on": True, "flow_l_min": 30.0, "pressure_bar": 9.0,
    }  # fmt: skip
    return CoolantState.model_validate({**values, **changes})


def alarm(name: str, code: str, level: ConditionLevel = ConditionLevel.FAULT) -> Alarm:
    alarm_id = f"vmc1/sensory_cortex/{name}"
    return Alarm(stamp_ns=T0, alarm_id=alarm_id, level=level, origin="vmc1", native_code=code, text="it is so")


def test_coolant_is_held_against_limits_and_against_what_it_usually_is() -> None:
    m = live()
    for second in range(8):
        m.on_coolant(coolant(), T0 + second * S)
    now = m.readings(T0 + 8 * S)
    quantities = ("coolant_flow", "coolant_pressure", "coolant_level", "coolant_concentration", "coolant_temperature")
    assert [of(now, q) for q in quantities] == [State.NORMAL] * 5
    for second in range(8, 12):
        m.on_coolant(coolant(flow_l_min=15.0, pressure_bar=11.5, level_pct=8.0, temperature_c=60.0), T0 + second * S)
    now = m.readings(T0 + 12 * S)
    assert [of(now, q) for q in quantities] == [State.LOW, State.HIGH, State.LOW, State.NORMAL, State.HIGH]


def test_a_pump_that_is_off_says_nothing_about_flow() -> None:
    m = live()
    for second in range(8):
        m.on_coolant(coolant(pump_on=False, flow_l_min=0.0, pressure_bar=0.0), T0 + second * S)
    assert of(m.readings(T0 + 8 * S), "coolant_flow") is None


def test_what_is_silent_is_gone_and_says_nothing_else() -> None:
    m = live()
    for second in range(8):
        m.on_coolant(coolant(level_pct=5.0), T0 + second * S)
    late = T0 + 7 * S + COOLANT_SILENT_NS + 1
    now = m.readings(late)
    assert of(now, "arrival", "vmc1/source/coolant") is State.GONE
    assert of(now, "coolant_level") is None


def test_a_dead_probe_is_gone_and_its_reading_is_not_known() -> None:
    m = live()
    m.on_coolant(coolant(level_pct=math.nan), T0)
    now = m.readings(T0)
    assert of(now, "reading", "vmc1/sensor/coolant_level_pct") is State.GONE
    assert of(now, "coolant_level") is None
    m.on_alarm(alarm("signal/x_load_pct", "SENSOR_LOST"))
    assert of(m.readings(T0), "reading", "vmc1/sensor/x_load_pct") is State.GONE
    m.on_alarm(alarm("signal/x_load_pct", "SENSOR_LOST", ConditionLevel.NORMAL))
    assert of(m.readings(T0), "reading", "vmc1/sensor/x_load_pct") is State.NORMAL


def test_a_machine_that_no_longer_speaks_has_no_source_that_arrives() -> None:
    m = live()
    source = SourceStatus(name="drive", driver="s", available=True, rate_hz=1e3, age_ms=1.0, clock_offset_ms=0.0)
    m.info = machine_info(sources=(source,))
    assert of(m.readings(T0), "arrival", "vmc1/source/drive") is State.NORMAL
    assert of(m.readings(T0 + SILENT_NS + 1), "arrival", "vmc1/source/drive") is State.GONE


def test_alarms_are_translated_and_a_strange_one_is_kept() -> None:
    m = live()
    assert of(m.readings(T0), "servo_alarm") is State.NORMAL
    m.on_alarm(alarm("servo", "SV0436"))
    m.on_alarm(alarm("odd", "X99"))
    m.on_alarm(alarm("source/drive", "SOURCE_SILENT", ConditionLevel.UNAVAILABLE))
    now = m.readings(T0)
    assert of(now, "servo_alarm") is State.HIGH
    assert of(now, "arrival", "vmc1/source/drive") is State.GONE
    (odd,) = [r for r in now if r.quantity == "alarm"]
    assert odd.codes == ("vmc1/sensory_cortex/odd", "X99")
    for n in range(MOST_ALARMS + 10):
        m.on_alarm(alarm(f"a{n}", "X1"))
    assert len(m.alarms) == MOST_ALARMS


def intervention(task: str, stamp_ns: int = T0, signal: str = "spindle_load_pct") -> Intervention:
    return Intervention(
        stamp_ns=stamp_ns, intervention_id="i#1", reaction=Reaction.WARN, mode=Mode.STOP, would_have=False, task=task,
        signal=signal, unit="%", value=1.0, limit=2.0, reason="so", execution=Execution.ACTIVE, program="P",
        block_number=1, tool_serial="em10-0001", run_id="r", cause=Cause(publisher="p", topic="t", seq=1), age_ms=0.0,
        evidence_names=(), evidence=Samples([]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("task", "signal", "quantity", "at", "state"),
    [
        ("tool_broken", "spindle_load_pct", "cutting_load", "vmc1/tool_1", State.LOW),
        ("tool_worn", "spindle_load_pct", "cutting_load", "vmc1/tool_1", State.HIGH),
        ("load_limit", "spindle_load_pct", "overload", "vmc1/tool_1", State.HIGH),
        ("axis_limit", "y_load_pct", "axis_overload", "vmc1/axis_y", State.HIGH),
        ("vibration", "x_accel", "cutting_vibration", "vmc1/tool_1", State.HIGH),
        ("spindle_underspeed", "spindle_speed_rpm", "spindle_speed", "vmc1/spindle", State.LOW),
    ],
)
def test_an_intervention_tells_what_it_has_seen_of_the_part_that_worked(
    task: str, signal: str, quantity: str, at: str, state: State
) -> None:
    m = live()
    m.on_intervention(intervention(task, signal=signal))
    m.on_state(machine_state(T0, Execution.ACTIVE, Motion.FEED).model_copy(update={"tool_number": 2}), T0 + S)
    assert of(m.readings(T0 + S), quantity, at) is state


def test_an_intervention_is_over_when_the_machine_was_released() -> None:
    m = live()
    m.on_intervention(intervention("load_limit"))
    m.on_state(machine_state(T0, Execution.FEED_HOLD, Motion.IDLE), T0 + S)
    assert of(m.readings(T0 + 2 * S), "overload") is State.HIGH
    m.on_state(machine_state(T0, Execution.READY, Motion.IDLE), T0 + 3 * S)
    m.on_state(machine_state(T0, Execution.ACTIVE, Motion.RAPID), T0 + 4 * S)
    assert of(m.readings(T0 + 5 * S), "overload") is None


def test_an_emergency_stop_is_seen() -> None:
    m = live()
    stopped = machine_state(T0, Execution.STOPPED, Motion.IDLE)
    m.on_state(stopped.model_copy(update={"emergency_stop": EmergencyStop.TRIGGERED}), T0)
    assert of(m.readings(T0), "emergency_stop") is State.HIGH
