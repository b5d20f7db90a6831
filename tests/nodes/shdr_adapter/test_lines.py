"""A machine's messages as lines."""

from __future__ import annotations

import math

import numpy as np

from nodes.shdr_adapter.lines import ALARMS_MAX, Lines
from schemas.base import Samples
from schemas.machine import (
    Alarm,
    ConditionLevel,
    ControllerMode,
    CoolantState,
    EmergencyStop,
    Execution,
    MachineInfo,
    MachineState,
    Motion,
    SignalBlock,
    SignalInfo,
    Signals,
    SourceStatus,
)
from schemas.wire.shdr import Condition, Decoder, Value

SECOND = 1_000_000_000
STATE = MachineState(
    stamp_ns=SECOND, execution=Execution.ACTIVE, controller_mode=ControllerMode.AUTOMATIC,
    emergency_stop=EmergencyStop.ARMED, motion=Motion.FEED, program="O|1", block_number=3, block="G1",
    tool_number=4, tool_serial="", part_count=0, spindle_speed_commanded_rpm=900.0,
    feed_commanded_mm_min=math.nan, feed_override_pct=100.0,
)  # fmt: skip
SIGNALS = Signals(
    signals=tuple(
        SignalInfo(name=name, mtconnect_type="LOAD", unit="%", source=source, topic=topic)
        for name, source, topic in (
            ("x_load_pct", "drive", "machine/samples"),
            ("y_load_pct", "drive", "machine/samples"),
            ("x_accel", "accel", "machine/vibration"),
        )
    )
)


def block(*rows: list[float], stamp_ns: int = SECOND) -> SignalBlock:
    data = Samples(np.array(rows, np.float32))
    return SignalBlock(stamp_ns=stamp_ns, period_ns=1000, source="drive", first_row=0, data=data)


def read(data: bytes) -> dict[str, str]:
    assert data.endswith(b"\n") or not data
    return {e.key: e.text for e in Decoder().receive(data) if isinstance(e, Value)}


def info(*, available: bool) -> MachineInfo:
    source = SourceStatus(name="drive", driver="d", available=available, rate_hz=1.0, age_ms=0.0, clock_offset_ms=0.0)
    return MachineInfo(
        machine="m", model="", simulated=True, can_feed_hold=False, can_stop=False, stop_path="",
        last_stop_ms=math.nan, sources=(source,),
    )  # fmt: skip


def alarm(level: ConditionLevel, code: str = "m/a", text: str = "hot") -> Alarm:
    return Alarm(stamp_ns=SECOND, alarm_id=code, level=level, origin="m", native_code="7", text=text)


def test_a_switch_is_active_or_not_and_a_probe_that_is_not_there_unavailable() -> None:
    coolant = CoolantState(stamp_ns=SECOND, level_pct=80.0, concentration_pct=7.0, temperature_c=21.0, pump_on=True)
    told = read(Lines().fields(coolant.model_copy(update={"flow_l_min": math.nan})))
    assert (told["pump_on"], told["level_pct"], told["flow_l_min"]) == ("ACTIVE", "80.0", "UNAVAILABLE")
    assert read(Lines().fields(coolant.model_copy(update={"pump_on": False})))["pump_on"] == "INACTIVE"


def test_only_what_changed_is_told_in_one_line() -> None:
    lines = Lines()
    first = lines.fields(STATE)
    assert first.count(b"\n") == 1
    told = read(first)
    assert (told["avail"], told["execution"], told["program"], told["tool_serial"]) == (
        "AVAILABLE",
        "ACTIVE",
        "O|1",
        "",
    )
    assert told["feed_commanded_mm_min"] == "UNAVAILABLE"
    assert "run_id" not in told
    assert lines.fields(STATE) == b""
    assert read(lines.fields(STATE.model_copy(update={"block_number": 4}))) == {"block_number": "4"}


def test_the_last_row_of_a_block_exactly() -> None:
    lines = Lines()
    assert lines.row(block([1.0, 2.0])) == b""  # columns of which nothing was said
    lines.signals(SIGNALS)
    data = lines.row(block([1.0, 2.0], [0.1, math.nan]))
    assert data.startswith(b"1970-01-01T00:00:01.000001Z|")
    told = read(data)
    assert np.float32(told["x_load_pct"]) == np.float32(0.1)
    assert told["y_load_pct"] == "UNAVAILABLE"
    assert lines.row(block([1.0])) == b""


def test_a_silent_source_and_a_machine_that_is_gone_are_unavailable() -> None:
    lines = Lines()
    lines.signals(SIGNALS)
    lines.fields(STATE)
    lines.row(block([1.0, 2.0]))
    assert read(lines.info(info(available=False), 2 * SECOND)) == {
        "x_load_pct": "UNAVAILABLE",
        "y_load_pct": "UNAVAILABLE",
    }
    assert lines.row(block([1.0, 3.0])) == b""
    assert lines.info(info(available=True), 2 * SECOND) == b""
    assert read(lines.row(block([1.0, 3.0]))) == {"x_load_pct": "1", "y_load_pct": "3"}
    gone = read(lines.gone(3 * SECOND))
    assert set(gone.values()) == {"UNAVAILABLE"}
    assert {"avail", "execution", "x_load_pct"} <= gone.keys()
    assert read(lines.dump()).items() >= gone.items()
    assert read(lines.fields(STATE))["execution"] == "ACTIVE"


def test_alarms_are_conditions_by_their_id() -> None:
    lines = Lines()
    assert lines.alarm(alarm(ConditionLevel.NORMAL)) == b""
    (said,) = Decoder().receive(lines.alarm(alarm(ConditionLevel.FAULT)))
    assert said == Condition(SECOND, "system", "FAULT", "m/a", "", "", "hot")
    lines.alarm(alarm(ConditionLevel.UNAVAILABLE, "m/b"))
    dump = [e for e in Decoder().receive(lines.dump()) if isinstance(e, Condition)]
    assert [(c.level, c.native_code) for c in dump] == [("NORMAL", ""), ("FAULT", "m/a"), ("WARNING", "m/b")]
    (over,) = Decoder().receive(lines.alarm(alarm(ConditionLevel.NORMAL)))
    assert isinstance(over, Condition)
    assert (over.level, over.native_code) == ("NORMAL", "m/a")
    for n in range(ALARMS_MAX + 9):
        lines.alarm(alarm(ConditionLevel.FAULT, f"n/{n}"))
    assert lines.dump().count(b"|system|") == ALARMS_MAX + 1


def test_an_odd_stamp_arrives() -> None:
    lines = Lines()
    assert lines.fields(STATE.model_copy(update={"stamp_ns": 2**63 - 1})).startswith(b"2262-04-11T")
    assert lines.fields(STATE.model_copy(update={"stamp_ns": -5, "block_number": 9})).startswith(b"1970-01-01T")


def test_nobody_knows_anything_at_first() -> None:
    assert read(Lines().dump()) == {"avail": "UNAVAILABLE"}
