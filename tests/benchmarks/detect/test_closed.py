"""One crash at a time, in the closed loop."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.benchmarks.detect.closed import crashed
from tests.benchmarks.detect.crashes import Kind
from tests.benchmarks.detect.presets import PRESETS

SEED = (77, 0, 1)


@pytest.mark.parametrize("kind", [Kind.IN_CUT, Kind.RAPID, Kind.TOOL_CHANGE])
@pytest.mark.parametrize("preset", ["drive_torque", "accelerometer"])
def test_a_crash_is_found_after_the_touch_and_the_axes_stand(preset: str, kind: Kind) -> None:
    out = crashed(SEED, PRESETS[preset], kind)
    assert out.sooner == []
    assert out.found
    assert out.met_mm_s > 0.0
    assert 0.0 <= out.decision_mm <= out.standing_mm < 4.0
    assert out.decision_ms >= 0.0
    assert out.standing_ms > 0.0


def test_the_same_seed_is_the_same_crash() -> None:
    first, again = (crashed(SEED, PRESETS["drive_torque"], Kind.IN_CUT) for _ in range(2))
    assert first == again
    assert crashed((77, 0, 2), PRESETS["drive_torque"], Kind.IN_CUT) != first


def test_without_any_task_that_acts_the_crash_is_missed_and_the_servo_alarm_ends_it() -> None:
    blind = replace(
        PRESETS["accelerometer"], rows=({"name": "vibration", "off": True}, {"name": "chatter", "off": True})
    )
    out = crashed(SEED, blind, Kind.IN_CUT)
    assert not out.found
    assert (out.task, out.reaction) == ("", "")
    assert out.tripped_ms > 0.0
    seen = crashed(SEED, PRESETS["accelerometer"], Kind.IN_CUT)
    assert seen.standing_mm < out.standing_mm


def test_a_lost_sensor_is_known_within_its_readings() -> None:
    out = crashed(SEED, PRESETS["drive_torque"], Kind.SENSOR_LOST)
    assert 0.0 < out.lost_ms <= 25.0
    assert not out.found


def test_chatter_is_warned_of_by_acceleration() -> None:
    out = crashed(SEED, PRESETS["accelerometer"], Kind.CHATTER)
    assert not math.isnan(out.warned_ms)
    assert out.warned_by in ("chatter", "vibration")
