"""LinuxCNC's numbers in MTConnect's words, and the commands that bring a simulated machine to run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nodes.sensory_cortex.linuxcnc.said import Status
from nodes.sensory_cortex.linuxcnc.standing import (
    block_number,
    controller_mode,
    emergency_stop,
    execution,
    next_command,
)
from schemas.machine import ControllerMode, EmergencyStop, Execution

OFF = Status(task_state=1, task_mode=1, interp_state=1, ini="/m/mill.ini")
IDLE = replace(OFF, task_state=4, task_mode=2, homed=True, file="/m/a.ngc")
RUNS = replace(IDLE, interp_state=4)
PAUSED = replace(RUNS, interp_state=3, paused=True)
DONE = replace(IDLE, stop_word=2)


@pytest.mark.parametrize(
    ("status", "held", "stopped", "wanted"),
    [
        (OFF, False, False, Execution.STOPPED),
        (IDLE, False, False, Execution.READY),
        (IDLE, True, False, Execution.READY),
        (RUNS, False, False, Execution.ACTIVE),
        (RUNS, True, False, Execution.FEED_HOLD),
        (PAUSED, True, False, Execution.FEED_HOLD),
        (PAUSED, False, False, Execution.INTERRUPTED),
        (DONE, False, False, Execution.PROGRAM_COMPLETED),
        (replace(DONE, task_mode=1), False, False, Execution.READY),
        (IDLE, True, True, Execution.STOPPED),
    ],
)
def test_execution(status: Status, held: bool, stopped: bool, wanted: Execution) -> None:
    assert execution(status, held=held, stopped=stopped) is wanted


def test_mode_and_emergency_stop() -> None:
    assert controller_mode(OFF) is ControllerMode.MANUAL
    assert controller_mode(RUNS) is ControllerMode.AUTOMATIC
    assert controller_mode(replace(RUNS, task_mode=3)) is ControllerMode.MANUAL_DATA_INPUT
    assert controller_mode(replace(RUNS, task_mode=9)) is ControllerMode.UNAVAILABLE
    assert emergency_stop(OFF) is EmergencyStop.TRIGGERED
    assert emergency_stop(IDLE) is EmergencyStop.ARMED


@pytest.mark.parametrize(("block", "number"), [("N50 G1 X1", 50), (" / n7G0", 7), ("G1 X1", 12), ("", 12), ("NX", 12)])
def test_a_block_is_called_by_its_n_word_else_by_its_line(block: str, number: int) -> None:
    assert block_number(replace(RUNS, line=12, block=block)) == number


def test_from_emergency_stop_to_a_running_program_each_command_once() -> None:
    status, given = OFF, []
    effect: dict[str, Any] = {
        "estop_reset": {"task_state": 2},
        "on": {"task_state": 4},
        "manual": {"task_mode": 1},
        "home": {"homed": True},
        "auto": {"task_mode": 2},
        "open": {"file": "/m/a.ngc"},
        "run": {"interp_state": 4},
    }
    while (asked := next_command(status, "a.ngc", again=True)) is not None:
        given.append(asked)
        status = replace(status, **effect[asked[0]])
    assert given == [("estop_reset", ""), ("on", ""), ("home", ""), ("auto", ""), ("open", "/m/a.ngc"), ("run", "")]


def test_what_is_paused_is_resumed_and_what_is_done_begins_again_only_if_wanted() -> None:
    assert next_command(PAUSED, "a.ngc", again=False) == ("resume", "")
    assert next_command(DONE, "a.ngc", again=True) == ("run", "")
    assert next_command(DONE, "a.ngc", again=False) is None
    assert next_command(replace(OFF, task_state=4, task_mode=3), "a.ngc", again=True) == ("manual", "")
    assert next_command(replace(IDLE, file="/m/b.ngc"), "/else/a.ngc", again=True) == ("open", "/else/a.ngc")
