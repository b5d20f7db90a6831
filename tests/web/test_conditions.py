"""Silence, missing protection and interventions as alarms."""

from __future__ import annotations

from schemas.impact import Mode, Protection, ProtectionState
from schemas.machine import (
    ConditionLevel,
    ControllerMode,
    EmergencyStop,
    Execution,
    MachineState,
    Motion,
)
from web.conditions import HOLD_OFF_NS, SILENT_NS, Conditions, Said

S = 1_000_000_000


def state(execution: Execution = Execution.ACTIVE) -> MachineState:
    return MachineState(
        stamp_ns=0, execution=execution, controller_mode=ControllerMode.AUTOMATIC, emergency_stop=EmergencyStop.ARMED,
        motion=Motion.FEED, program="", block_number=0, block="", tool_number=0, tool_serial="", part_count=0,
        spindle_speed_commanded_rpm=0.0, feed_commanded_mm_min=0.0, feed_override_pct=100.0,
    )  # fmt: skip


def protection(what: ProtectionState, *reasons: str) -> Protection:
    return Protection(stamp_ns=0, state=what, mode=Mode.STOP, reasons=reasons)


def told(said: Said) -> list[tuple[str, str, ConditionLevel]]:
    return [(machine, a.native_code, a.level) for machine, a in said]


SILENT = ("vmc1", "MACHINE_SILENT", ConditionLevel.FAULT)
HEARD = ("vmc1", "MACHINE_SILENT", ConditionLevel.NORMAL)
BARE = ("vmc1", "UNPROTECTED", ConditionLevel.FAULT)
COVERED = ("vmc1", "UNPROTECTED", ConditionLevel.NORMAL)


def looked_until(conditions: Conditions, begin_ns: int, end_ns: int) -> Said:
    """All that is said by looking four times a second."""
    return [said for now_ns in range(begin_ns, end_ns + 1, S // 4) for said in conditions.look(now_ns)]


def test_a_machine_that_says_nothing_is_silent_once_until_it_speaks() -> None:
    conditions = Conditions()
    conditions.state("vmc1", state(), S)
    assert looked_until(conditions, S, S + SILENT_NS) == []
    assert told(looked_until(conditions, S + SILENT_NS, 20 * S)) == [SILENT]
    assert told(conditions.state("vmc1", state(), 20 * S)) == [HEARD]
    assert conditions.state("vmc1", state(), 21 * S) == []


def test_a_machine_that_cannot_be_read_is_silent_too() -> None:
    conditions = Conditions()
    assert told(conditions.state("vmc1", state(Execution.UNAVAILABLE), S)) == [SILENT]
    assert conditions.state("vmc1", state(Execution.UNAVAILABLE), 2 * S) == []
    assert told(conditions.state("vmc1", state(), 3 * S)) == [HEARD]


def test_a_death_is_told_and_an_end_on_purpose_is_not() -> None:
    conditions = Conditions()
    assert conditions.gone("vmc1", clean=False, now_ns=S) == [], "nobody knew it"
    conditions.state("vmc1", state(), S)
    assert told(conditions.gone("vmc1", clean=False, now_ns=S)) == [SILENT]
    assert told(conditions.gone("vmc1", clean=True, now_ns=2 * S)) == [HEARD]
    assert looked_until(conditions, 2 * S, 20 * S) == []


def test_our_own_sleep_is_no_silence() -> None:
    conditions = Conditions()
    conditions.state("vmc1", state(), S)
    conditions.look(S)
    assert conditions.look(60 * S) == []
    assert told(looked_until(conditions, 60 * S, 64 * S)) == [SILENT]


def test_unprotected_is_told_when_it_lasts() -> None:
    conditions = Conditions()
    conditions.protection("vmc1", "machine/protection", protection(ProtectionState.UNPROTECTED, "no beat"), S)
    assert conditions.look(S + HOLD_OFF_NS - 1) == []
    said = conditions.look(S + HOLD_OFF_NS)
    assert told(said) == [BARE]
    assert said[0][1].text == "vmc1 is UNPROTECTED: no beat"
    conditions.protection("vmc1", "impact/protection", protection(ProtectionState.UNPROTECTED, "bypassed"), 4 * S)
    conditions.protection("vmc1", "machine/protection", protection(ProtectionState.PROTECTED), 5 * S)
    assert conditions.look(4 * S + HOLD_OFF_NS) == [], "the other one still says so"
    conditions.protection("vmc1", "impact/protection", protection(ProtectionState.DEGRADED), 7 * S)
    assert told(conditions.look(7 * S)) == [COVERED]


def test_a_start_is_not_told() -> None:
    conditions = Conditions()
    conditions.protection("vmc1", "impact/protection", protection(ProtectionState.UNPROTECTED), S)
    conditions.protection("vmc1", "impact/protection", protection(ProtectionState.PROTECTED), 2 * S)
    assert looked_until(conditions, 2 * S, 10 * S) == []
