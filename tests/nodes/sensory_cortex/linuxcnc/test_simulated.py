"""The simulated operator gives each command once and waits for its effect; a load is seen once, in the rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodes.sensory_cortex.linuxcnc.said import Status
from nodes.sensory_cortex.linuxcnc.simulated import AGAIN_NS, Operator, Overload
from schemas.machine import Fault, InjectRequest

OFF = Status(task_state=1, task_mode=1, interp_state=1, ini="/m/mill.ini")


def test_a_command_is_given_once_again_when_it_had_no_effect_and_after_a_change() -> None:
    operator = Operator("a.ngc", again=True)
    assert operator.command(OFF, 0) == ("estop_reset", "")
    assert operator.command(OFF, AGAIN_NS - 1) is None
    assert operator.command(OFF, AGAIN_NS) == ("estop_reset", "")
    reset = replace(OFF, task_state=2)
    assert operator.command(reset, AGAIN_NS + 1) == ("on", "")
    operator.forget()
    assert operator.command(reset, AGAIN_NS + 2) == ("on", "")


def test_homing_takes_longer() -> None:
    on = replace(OFF, task_state=4)
    operator = Operator("a.ngc", again=True)
    assert operator.command(on, 0) == ("home", "")
    assert operator.command(on, 10 * AGAIN_NS) is None


def test_nobody_starts_what_has_no_program() -> None:
    assert Operator("", again=True).command(OFF, 0) is None


def test_a_load_is_seen_once_and_ends_in_time() -> None:
    overload = Overload()
    assert not overload.appears(500.0), "nothing was injected"
    overload.inject(InjectRequest(fault=Fault.CRASH, magnitude=0.5, duration_s=0.05), 1_000)
    assert overload.pct == 100.0
    assert [overload.appears(pct) for pct in (6.0, 106.0, 106.0)] == [False, True, False]
    assert [overload.over(ns) for ns in (50_000_999, 50_001_000)] == [False, True]


@pytest.mark.parametrize(
    ("request_", "simulated", "said"),
    [
        (InjectRequest(fault=Fault.CRASH), False, "only a simulated machine"),
        (InjectRequest(fault=Fault.CHATTER), True, "only be made to CRASH"),
        (InjectRequest(fault=Fault.CRASH, magnitude=11.0), True, "magnitude is in 0..10"),
        (InjectRequest(fault=Fault.CRASH, duration_s=float("nan")), True, "duration_s in 0..86400"),
    ],
)
def test_what_cannot_be_injected_is_said(request_: InjectRequest, simulated: bool, said: str) -> None:
    assert said in Overload().refused(request_, simulated=simulated)
    assert Overload().refused(InjectRequest(fault=Fault.CRASH), simulated=True) == ""
