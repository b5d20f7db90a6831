"""Which bag, and which part of it, the console offers to replay."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rich.console import Console

from nodes.console.board import WHAT_IF, Board
from nodes.console.paste import Shell
from nodes.console.screen import render
from nodes.impact_cortex import ImpactCortex
from schemas.base import Samples
from schemas.impact import Intervention, Mode, Reaction, ReactionResult
from schemas.machine import Alarm, Cause, ConditionLevel, Execution, MotionEvent, MotionPhase
from schemas.system import BagSplit, RecorderStatus

START_NS = 1_700_000_000_000_000_000


def at(seconds: float) -> int:
    return START_NS + round(seconds * 1e9)


def split(path: str, start_s: float, end_s: float) -> BagSplit:
    return BagSplit(
        stamp_ns=at(end_s), path=path, sha256="", start_ns=at(start_s), end_ns=at(end_s), size_bytes=1, run_ids=(),
        messages=1, lost=0, host="",
    )  # fmt: skip


def recording(path: str, start_s: float, now_s: float) -> RecorderStatus:
    return RecorderStatus(
        stamp_ns=at(now_s), path=path, size_bytes=1, messages=1, lost=0, rate_hz=1.0, duration_s=now_s - start_s,
        used_bytes=1, quota_bytes=1,
    )  # fmt: skip


def intervention(stamp_s: float, reaction: Reaction) -> Intervention:
    return Intervention(
        stamp_ns=at(stamp_s), intervention_id="", reaction=reaction, mode=Mode.STOP, would_have=False,
        signal="", unit="", value=0.0, limit=0.0, reason="", execution=Execution.ACTIVE, program="",
        block_number=0, task="load_limit", tool_serial="", run_id="", cause=Cause(publisher="", topic="", seq=0),
        age_ms=0.0, evidence_names=(), evidence=Samples(np.zeros((0, 0), "<f4")),
    )  # fmt: skip


@pytest.mark.parametrize("duration_s", [math.nan, math.inf, -math.inf, 1e308, -1.0])
def test_a_duration_that_is_none_does_not_end_the_console(duration_s: float) -> None:
    board = Board()
    board.recorder = recording("b.mcap", 600, 700).model_copy(update={"duration_s": duration_s})
    for at_ns in (None, at(650)):
        bags, _ = board.to_replay(at_ns)
        assert bags == ["b.mcap"]


@pytest.mark.parametrize(
    ("at_s", "offered"),
    [
        (650.0, (["b.mcap"], ["--around", "50.00"])),  # in the bag that is written now
        (604.5, (["a.mcap", "b.mcap"], ["--around", "604.50"])),  # its warm-up lies in the bag before
        (590.25, (["a.mcap"], ["--around", "590.25"])),  # the recorder began another bag since
        (-100.0, (["black_box_1.mcap"], [])),  # long ago: the black box is left
        (-500.0, (["b.mcap"], ["--start", "60"])),  # nothing holds it any more
        (None, (["b.mcap"], ["--start", "60"])),  # nothing happened yet
    ],
)
def test_what_answers_at_once_about_a_moment(at_s: float | None, offered: tuple[list[str], list[str]]) -> None:
    board = Board(recorder=recording("b.mcap", 600.0, 677.0))
    board.on_bag(split("black_box_1.mcap", -110.0, -95.0))
    board.on_bag(split("a.mcap", 0.0, 599.9))
    assert board.to_replay(None if at_s is None else at(at_s)) == offered


def test_a_short_bag_is_replayed_whole_until_something_happens() -> None:
    board = Board(recorder=recording("a.mcap", 0.0, 20.0))
    assert board.to_replay(None) == (["a.mcap"], [])
    assert board.to_replay(at(12.4)) == (["a.mcap"], ["--around", "12.40"])


def test_without_a_bag_being_written_the_black_box_is_offered() -> None:
    board = Board(recorder=recording("", 0.0, 20.0))
    assert board.to_replay(None) == ([], [])
    board.on_bag(split("black_box_1.mcap", 5.0, 20.0))
    assert board.to_replay(None) == (["black_box_1.mcap"], [])
    assert board.to_replay(at(12.4)) == (["black_box_1.mcap"], [])


def test_the_command_names_the_first_intervention_of_the_last_event() -> None:
    board = Board(recorder=recording("my bags/a.mcap", 0.0, 700.0))
    board.machine("vmc2").interventions.append(intervention(300.0, Reaction.WARN))
    board.machine("vmc1").interventions.extend(
        [intervention(602.06, Reaction.FEED_HOLD), intervention(602.21, Reaction.STOP)]
    )
    terminal = Console(width=200, height=50)
    with terminal.capture() as capture:
        terminal.print(render(board, at(700.0), Shell(), terminal))
    replay = "rise replay vmc1/impact_cortex 'my bags/a.mcap' --around 602.06 -p limit_pct=155"
    assert replay in capture.get().splitlines()


def moved(seconds: float, phase: MotionPhase, travel_mm: float = 0.0) -> MotionEvent:
    return MotionEvent(stamp_ns=at(seconds), phase=phase, action_id="", travel_mm=travel_mm, text="stop")


def test_an_overtravel_is_since_a_contact_of_the_same_story_only() -> None:
    machine = Board().machine("vmc1")
    machine.interventions.append(intervention(10.0, Reaction.STOP))
    machine.motion += [moved(9.99, MotionPhase.CONTACT), moved(10.1, MotionPhase.AXES_STANDING, 1.5)]
    assert [(s.what, s.text) for s in machine.timeline()][-1] == ("axes stood", "1.50 mm overtravel since contact")
    machine.motion.append(moved(15.0, MotionPhase.RELEASED))
    machine.interventions.append(intervention(20.0, Reaction.STOP).model_copy(update={"run_id": "next"}))
    machine.motion.append(moved(20.1, MotionPhase.AXES_STANDING, 0.5))
    assert [(s.what, s.text) for s in machine.timeline()] == [
        ("decision STOP", ""),
        ("axes stood", "0.50 mm since the request"),
    ]


@pytest.mark.parametrize("before", [False, True])
def test_a_stop_by_hand_has_a_story(before: bool) -> None:
    machine = Board().machine("vmc2")
    if before:
        machine.interventions.append(intervention(1.0, Reaction.STOP))
        machine.motion += [moved(1.0, MotionPhase.CONTACT), moved(1.1, MotionPhase.AXES_STANDING, 2.0)]
        machine.motion.append(moved(2.0, MotionPhase.RELEASED))
    machine.motion += [moved(5.0, MotionPhase.ACCEPTED), moved(5.2, MotionPhase.AXES_STANDING, 0.7)]
    assert [(s.what, s.text) for s in machine.timeline()] == [
        ("asked by hand", "stop"),
        ("axes stood", "0.70 mm since the request"),
    ]


def test_alarms_stay_until_they_are_withdrawn_and_a_fault_is_shown_first() -> None:
    machine = Board().machine("vmc1")

    def alarm(alarm_id: str, level: ConditionLevel) -> None:
        machine.on_alarm(Alarm(stamp_ns=0, alarm_id=alarm_id, level=level, origin="", native_code="", text=""))

    alarm("servo", ConditionLevel.FAULT)
    alarm("door", ConditionLevel.WARNING)
    assert machine.alarm is not None
    assert machine.alarm.alarm_id == "servo"
    alarm("servo", ConditionLevel.NORMAL)
    assert machine.alarm is not None
    assert machine.alarm.alarm_id == "door"
    for n in range(100):
        alarm(str(n), ConditionLevel.WARNING)
    assert len(machine.alarms) == 32


def test_steps_of_one_moment_stand_in_the_order_in_which_they_come_about() -> None:
    machine = Board().machine("vmc1")
    machine.interventions.append(intervention(10.0, Reaction.STOP))
    machine.motion += [moved(10.0, MotionPhase.AXES_STANDING, 0.1), moved(10.0, MotionPhase.CONTACT)]
    machine.results.append(
        ReactionResult(
            stamp_ns=at(10.0), intervention_id="", reaction=Reaction.STOP, accepted=True, action_id="", text="",
            decision_to_accepted_ms=0.1,
        )
    )  # fmt: skip
    assert [step.what for step in machine.timeline()] == ["contact", "decision STOP", "accepted", "axes stood"]


@pytest.mark.parametrize(
    ("task", "asks"), [("load_limit", "limit_pct=155"), ("tool_broken", "breakage_fall_pct=80"), ("of_this_shop", "")]
)
def test_what_is_asked_of_the_recording_is_about_the_task_that_reacted(task: str, asks: str) -> None:
    machine = Board().machine("vmc1")
    assert machine.what_if == "limit_pct=155"
    machine.interventions.append(intervention(10.0, Reaction.FEED_HOLD).model_copy(update={"task": task}))
    assert machine.what_if == asks


def test_what_is_asked_names_parameters_that_there_are() -> None:
    known = ImpactCortex.interface.parameters
    for text in WHAT_IF.values():
        name, _, value = text.partition("=")
        assert known[name].check(float(value)) == float(value)
        assert float(value) > known[name].default
