"""What the stack light shows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nodes.impact_cortex.assessment import light, measure
from nodes.impact_cortex.channel import Channel
from nodes.impact_cortex.cuts import Reference
from nodes.impact_cortex.policy import NOTHING
from nodes.impact_cortex.tasks import Settings, default_tasks
from schemas.base import Samples
from schemas.impact import Mode, ProtectionState, StackLight
from schemas.machine import Execution, SignalBlock
from tests.nodes.impact_cortex.rig import DRIVE, MS, T0

PROTECTED, DEGRADED, UNPROTECTED = ProtectionState.PROTECTED, ProtectionState.DEGRADED, ProtectionState.UNPROTECTED
NO_TASK = "no task that could hold the feed has readings"
OBSERVE = "mode OBSERVE: nothing is asked of the machine"


@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.STOP])
def test_a_program_that_runs_unprotected_is_an_alarm(mode: Mode, alive: bool) -> None:
    assert shown(mode, (UNPROTECTED, [NO_TASK]), Execution.ACTIVE, alive) == (
        StackLight.RED,
        f"UNPROTECTED: {NO_TASK}",
    )


@pytest.mark.parametrize(
    ("mode", "protected", "execution", "expected"),
    [
        (Mode.STOP, (UNPROTECTED, [NO_TASK]), Execution.READY, StackLight.YELLOW),
        # the source that fell silent carried the state
        (Mode.STOP, (UNPROTECTED, [NO_TASK]), Execution.UNAVAILABLE, StackLight.RED),
        (Mode.STOP, (UNPROTECTED, [NO_TASK]), None, StackLight.RED),
        (Mode.STOP, (DEGRADED, ["source accelerometer silent"]), Execution.ACTIVE, StackLight.YELLOW),
        # who chose to observe relies on nothing
        (Mode.OBSERVE, (UNPROTECTED, [OBSERVE]), Execution.ACTIVE, StackLight.GREEN),
        (Mode.OBSERVE, (UNPROTECTED, [NO_TASK, OBSERVE]), Execution.ACTIVE, StackLight.YELLOW),
        # stopped by hand
        (Mode.STOP, (PROTECTED, []), Execution.STOPPED, StackLight.YELLOW),
        (Mode.STOP, (PROTECTED, []), Execution.FEED_HOLD, StackLight.YELLOW),
        (Mode.STOP, (PROTECTED, []), Execution.ACTIVE, StackLight.GREEN),
        (Mode.STOP, (PROTECTED, []), Execution.READY, StackLight.GREEN),
    ],
)
def test_the_light_beside_an_event(
    mode: Mode, protected: tuple[ProtectionState, list[str]], execution: Execution | None, expected: StackLight
) -> None:
    assert shown(mode, protected, execution)[0] is expected


@pytest.mark.parametrize("execution", [None, Execution.UNAVAILABLE])
def test_a_machine_of_which_nothing_is_heard_may_be_off(execution: Execution | None) -> None:
    light_shown, why = shown(Mode.STOP, (UNPROTECTED, ["samples silent"]), execution, alive=False)
    assert (light_shown, why) == (StackLight.OFF, "samples silent")


def shown(
    mode: Mode, protected: tuple[ProtectionState, list[str]], execution: Execution | None, alive: bool = True
) -> tuple[StackLight, str]:
    return light(
        NOTHING, mode, protected, alive=alive, execution=execution, cutting=False, load_pct=1.0, limit_pct=85.0
    )


def test_readings_that_are_infinite_both_ways_have_no_mean_and_no_warning() -> None:
    channel = Channel("drive", DRIVE, Settings(), default_tasks(Settings()))
    rows = np.full((2, len(DRIVE)), 12.0, dtype=np.float32)
    rows[:, 1] = math.inf, -math.inf
    channel.feed(SignalBlock(stamp_ns=T0, period_ns=MS, source="drive", first_row=0, data=Samples(rows)))
    assert math.isnan(measure([channel], Reference()).load_pct)
