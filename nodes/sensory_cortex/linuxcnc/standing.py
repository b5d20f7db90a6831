"""How LinuxCNC stands, in MTConnect's words; and the next command of a simulated machine that runs by itself. Pure."""

from __future__ import annotations

import os
import re

from nodes.sensory_cortex.linuxcnc.said import Status
from schemas.machine import ControllerMode, EmergencyStop, Execution

# the numbers of LinuxCNC's Python module
STATE_ESTOP, STATE_ON = 1, 4
MODE_MANUAL, MODE_AUTO, MODE_MDI = 1, 2, 3
INTERP_IDLE, INTERP_PAUSED = 1, 3
EXEC_WAITING_FOR_DELAY = 8
M2, M30 = 2, 30

_NUMBER = re.compile(r"\s*/?\s*[nN]\s*(\d{1,9})")


def execution(s: Status, *, held: bool, stopped: bool) -> Execution:
    """What its program does; `held`, `stopped`: the feed is inhibited by us, or by a stop."""
    if stopped:
        return Execution.STOPPED
    if s.task_state != STATE_ON:
        return Execution.STOPPED
    if s.interp_state == INTERP_IDLE:
        if s.stop_word in (M2, M30) and s.task_mode == MODE_AUTO:
            return Execution.PROGRAM_COMPLETED
        return Execution.READY
    if held:
        return Execution.FEED_HOLD
    if s.paused or s.interp_state == INTERP_PAUSED:
        return Execution.INTERRUPTED
    return Execution.ACTIVE


def controller_mode(s: Status) -> ControllerMode:
    return {
        MODE_MANUAL: ControllerMode.MANUAL,
        MODE_AUTO: ControllerMode.AUTOMATIC,
        MODE_MDI: ControllerMode.MANUAL_DATA_INPUT,
    }.get(s.task_mode, ControllerMode.UNAVAILABLE)


def emergency_stop(s: Status) -> EmergencyStop:
    return EmergencyStop.TRIGGERED if s.task_state == STATE_ESTOP else EmergencyStop.ARMED


def block_number(s: Status) -> int:
    """The block's N word; where it has none, its line."""
    n = _NUMBER.match(s.block)
    return int(n.group(1)) if n else s.line


def runs_program(s: Status) -> bool:
    """A program or a block by hand is on its way, or paused."""
    return s.interp_state != INTERP_IDLE


def program_path(s: Status, program: str) -> str:
    """Relative ones lie beside the machine's INI file."""
    return os.path.join(os.path.dirname(s.ini), program)


def next_command(s: Status, program: str, *, again: bool) -> tuple[str, str] | None:
    """What brings the machine one step nearer to running `program`, and its argument; None when it runs.

    again: after its end it begins anew.
    """
    if s.task_state == STATE_ESTOP:
        return "estop_reset", ""
    if s.task_state != STATE_ON:
        return "on", ""
    if not s.homed:
        return ("home", "") if s.task_mode == MODE_MANUAL else ("manual", "")
    if s.paused or s.interp_state == INTERP_PAUSED:
        return "resume", ""
    if s.interp_state != INTERP_IDLE:
        return None
    if s.task_mode != MODE_AUTO:
        return "auto", ""
    if s.file != (path := program_path(s, program)):
        return "open", path
    if s.stop_word in (M2, M30) and not again:
        return None
    return "run", ""
