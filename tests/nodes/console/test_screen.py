"""The screen: whatever is said is shown as said, and what counts is readable in every size of terminal."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console as Terminal

from nodes.console.board import Board
from nodes.console.paste import Shell
from nodes.console.screen import render
from schemas.impact import Assessment, Intervention, Mode, Protection, ProtectionState, Reaction, ReactionResult
from schemas.impact import StackLight as Light
from schemas.machine import (
    Alarm,
    ConditionLevel,
    ControllerMode,
    EmergencyStop,
    Execution,
    MachineInfo,
    MachineState,
    Motion,
    MotionEvent,
    MotionPhase,
    SourceStatus,
)
from schemas.system import RecorderStatus
from tests.bus.bag.bags import START_NS
from tests.bus.bag.test_convert import intervention
from tests.nodes.console.test_paste import pasted

NOW_NS = START_NS + 60_000_000_000
BAG = "/home/a machinist/.local/state/fanuc-rise/bags/20261125T193314_cellb.mcap"
WHY = "no task that could hold the feed has readings"


def shown(board: Board, width: int = 200, height: int = 50, now_ns: int = START_NS, domain: str = "default") -> str:
    text = io.StringIO()
    terminal = Terminal(file=text, width=width, height=height)
    terminal.print(render(board, now_ns, Shell(".venv/bin/rise", domain, "/opt", "/home/a machinist"), terminal))
    return text.getvalue()


def crashed(*names: str) -> Board:
    """Machines that crashed half a minute ago, the drive silent since."""
    board = Board()
    board.recorder = RecorderStatus(
        stamp_ns=NOW_NS, path=BAG, size_bytes=10**8, messages=10**6, lost=0, rate_hz=1.0, duration_s=60.0,
        used_bytes=1, quota_bytes=1,
    )  # fmt: skip
    for n, name in enumerate(names):
        m = board.machine(name)
        m.heard_ns, m.rate_hz, m.lost, m.decision_p50_ms, m.decision_p99_ms = NOW_NS, 1000.0, 12, 0.21, 0.35
        m.brain = Protection(stamp_ns=NOW_NS, state=ProtectionState.UNPROTECTED, mode=Mode.OBSERVE, reasons=(WHY,))
        m.assessment = Assessment(
            stamp_ns=NOW_NS, light=Light.RED, reason="STOP: spindle load above its limit: 120 % against 85 %",
            cutting_force_n=math.nan, spindle_power_kw=math.nan, model_load_pct=math.nan, margins=(),
        )  # fmt: skip
        m.state = MachineState(
            stamp_ns=NOW_NS, execution=Execution.PROGRAM_COMPLETED, controller_mode=ControllerMode.AUTOMATIC,
            emergency_stop=EmergencyStop.ARMED, motion=Motion.FEED, program="O1000", block_number=120, block="",
            tool_number=12, tool_serial="", part_count=0, spindle_speed_commanded_rpm=9549.0,
            feed_commanded_mm_min=0.0, feed_override_pct=100.0,
        )  # fmt: skip
        m.on_alarm(
            Alarm(
                stamp_ns=NOW_NS, alarm_id="servo", level=ConditionLevel.FAULT, origin="", native_code="SV0436",
                text="servo overload",
            )
        )  # fmt: skip
        at_ns = START_NS + 30_000_000_000 + n
        m.interventions += [decided(at_ns, Reaction.FEED_HOLD), decided(at_ns + 150_000_000, Reaction.STOP)]
        for k, phase in enumerate((MotionPhase.CONTACT, MotionPhase.DECELERATING, MotionPhase.AXES_STANDING)):
            m.motion.append(
                MotionEvent(stamp_ns=at_ns + k * 10**7, phase=phase, action_id="", travel_mm=1.0, text="said")
            )
    return board


def decided(at_ns: int, reaction: Reaction) -> Intervention:
    said = {"stamp_ns": at_ns, "intervention_id": f"{at_ns}", "reaction": reaction, "reason": "too much", "run_id": ""}
    return intervention().model_copy(update={**said, "task": "load_limit"})


@pytest.mark.parametrize("text", ["[/] is what was opened", "[/bold]", "see [vmc1]", "[red", "\\[x]"])
def test_what_others_write_is_no_markup(text: str) -> None:
    board = Board()
    machine = board.machine("vmc1")
    decision = intervention()
    machine.interventions.append(decision)
    machine.results.append(
        ReactionResult(
            stamp_ns=START_NS, intervention_id=decision.intervention_id, reaction=Reaction.STOP, accepted=False,
            action_id="", text=text, decision_to_accepted_ms=math.nan,
        )
    )  # fmt: skip
    assert f"STOP {text}" in shown(board)


def test_what_others_write_moves_no_cursor() -> None:
    board = Board()
    board.troubles["x"] = "a\nb\x1b[2Jc"
    assert "x: a b [2Jc" in shown(board)


@pytest.mark.parametrize("names", [("vmc1",), ("vmc1", "vmc2"), tuple(f"vmc{n}" for n in range(40))])
@pytest.mark.parametrize("height", [24, 30, 50])
@pytest.mark.parametrize("width", [80, 90, 100, 120, 200])
def test_what_counts_is_readable_in_every_terminal(width: int, height: int, names: tuple[str, ...]) -> None:
    lines = shown(crashed(*names), width, height, NOW_NS).splitlines()
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    text = " ".join(lines)
    assert "is not a safety function." in text
    assert "button always wins." in text
    if len(names) == 40 and height < 50:
        assert " more machines: this terminal is too low" in text
        return
    for name in names:
        (row,) = [line for line in lines if line.startswith(f"{name} ")]
        assert row.split()[:8] == [name, "●", "RED", "UNPROTECTED", "lost", "12", "PROGRAM_COMPLETED", "(OBSERVE)"]
    if len(names) <= 2:
        assert sum(WHY in line for line in lines) == len(names)
        assert sum("FAULT SV0436 servo overload" in line for line in lines) == len(names)
        assert "set 9549 rpm" in text
        assert "decision p50 0.21 p99 0.35 ms" in text


@pytest.mark.parametrize("height", [24, 30, 50])
@pytest.mark.parametrize("width", [80, 90, 100, 120, 200])
def test_the_commands_can_be_pasted_as_they_stand(width: int, height: int) -> None:
    lines = shown(crashed("vmc1", "vmc2"), width, height, NOW_NS, "cellb").splitlines()
    start = lines.index("to paste into another terminal:") + 1
    end = next(n for n, line in enumerate(lines) if "is not a safety function" in line)
    replay = [".venv/bin/rise", "replay", "vmc2/impact_cortex", BAG, "--around", "30.00", "-p", "limit_pct=155"]
    reset = '{"operator": "me", "reason": "checked the tool"}'
    call, domain = [".venv/bin/rise", "service", "call"], ["--domain", "cellb"]
    meant = [
        *replay,
        *[*call, "vmc2/machine/reset", reset, *domain],
        *[*call, "vmc2/machine/inject", '{"fault": "CRASH"}', *domain],
    ]
    # one after the other, as arguments of one command: a line that ends a command is continued here
    assert pasted([line if line.endswith("\\") else f"{line} \\" for line in lines[start:end]] + [""]) == meant


def test_the_oldest_steps_go_first_and_their_number_is_told() -> None:
    board = crashed("vmc1", "vmc2")
    every = [line for line in shown(board, 80, 50, NOW_NS).splitlines() if " ms  " in line and "+" in line]
    assert len(every) == 10
    few = shown(board, 80, 28, NOW_NS).splitlines()
    (left,) = [line for line in few if "earlier steps are not shown" in line]
    kept = [line for line in few if " ms  " in line and "+" in line]
    assert int(left.split()[0]) + len(kept) == 10
    assert set(kept) <= set(every)
    assert "vmc2  +   150.0 ms  decision STOP" in kept[-1]


def test_without_samples_no_rate_and_no_time_is_shown_as_live() -> None:
    board = crashed("vmc1")
    board.machine("vmc1").rate_hz = 0.0
    text = shown(board, 80, 30, NOW_NS)
    assert "no samples" in text
    assert "0.21" not in text


def test_what_the_state_last_said_is_marked_when_it_is_unavailable() -> None:
    board = crashed("vmc1")
    machine = board.machine("vmc1")
    assert machine.state is not None
    assert "  set 9549 rpm" in shown(board, 80, 30, NOW_NS)
    machine.state = machine.state.model_copy(update={"execution": Execution.UNAVAILABLE})
    assert "last set 9549 rpm" in shown(board, 80, 30, NOW_NS)


def test_what_one_machine_lacks_costs_another_no_figures() -> None:
    board = crashed("vmc1", "vmc2")
    silent, other = board.machine("vmc1"), board.machine("vmc2")
    assert silent.state is not None
    assert other.state is not None
    silent.rate_hz = 0.0
    silent.state = silent.state.model_copy(update={"execution": Execution.UNAVAILABLE})
    other.state = other.state.model_copy(update={"program": "O1001 POCKET", "tool_number": 1})
    text = shown(board, 80, 24, NOW_NS)
    assert "O1001 POCKET N120 T1  set 9549 rpm  1000/s  decision p50 0.21 p99 0.35 ms" in text


def test_sources_are_shown_where_there_is_room_and_what_is_wrong_with_them() -> None:
    board = crashed("vmc1")
    lost = {"lost_rows": 7, "jitter_p99_ms": 1.25}
    good = SourceStatus(
        name="drive", driver="simulator", available=True, rate_hz=1000.0, age_ms=1.0, clock_offset_ms=0.0
    )
    bad = good.model_copy(update={"name": "daq", "available": False, "trouble": "Connection refused", **lost})
    board.machine("vmc1").info = MachineInfo(
        machine="vmc1", model="x", simulated=False, can_feed_hold=True, can_stop=True, stop_path="",
        last_stop_ms=math.nan, sources=(good, bad),
    )  # fmt: skip
    line = "vmc1 sources: drive 1000/s   daq silent lost 7 jitter 1.2 ms (Connection refused)"
    assert line in shown(board, now_ns=NOW_NS)
    assert "sources:" not in shown(board, height=4, now_ns=NOW_NS)


def test_the_address_of_the_dashboard_stands_last_and_whole() -> None:
    board = crashed("vmc1", "vmc2")
    board.dashboard = "http://127.0.0.1:8000/#key=aaaabbbbccccddddeeeeffffgggghhhh"
    for width, height in ((80, 24), (120, 40), (60, 12)):
        lines = shown(board, width, height).splitlines()
        assert "".join(line.strip() for line in lines[-2:]).endswith(board.dashboard)
        assert len(lines) <= height
