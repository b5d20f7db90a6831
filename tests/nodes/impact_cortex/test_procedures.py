"""The table of procedures: each makes its detector at any pace, and reads what it says it reads."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.impact_cortex.detectors import Limit, step
from nodes.impact_cortex.procedures import PROCEDURES, Reads


@given(st.sampled_from(sorted(PROCEDURES)), st.floats(0, 1e6), st.floats(1e-5, 3600))
def test_every_procedure_makes_a_detector_at_any_pace(name: str, limit: float, period_s: float) -> None:
    procedure = PROCEDURES[name]
    detector = procedure.detector(limit, procedure.given({}), period_s)
    assert step(detector, detector.start(), 0.0, True) in (True, False)


@pytest.mark.parametrize("name", sorted(PROCEDURES))
def test_defaults_lie_within_their_bounds_and_say_what_they_are(name: str) -> None:
    for p in PROCEDURES[name].parameters.values():
        assert p.least <= p.default <= p.most
        assert p.doc


def test_seconds_become_readings_of_the_pace() -> None:
    duration = PROCEDURES["duration"]
    assert duration.detector(75.0, duration.given({}), 0.001) == Limit(75.0, 400, 500)
    assert duration.detector(75.0, duration.given({}), 0.1) == Limit(75.0, 4, 5)


def judged(reads: Reads, value: float, model_pct: float = math.nan, speed_rpm: float = math.nan) -> float | None:
    aimed = reads.aim({"air_pct": 6.0, "rise_pct": 10.0, "fall_pct": 50.0}, 5.0, model_pct, speed_rpm)
    return None if aimed is None else aimed[0] * value + aimed[1]


def test_what_is_judged() -> None:
    assert judged(Reads.VALUE, 40.0) == 40.0
    assert judged(Reads.NET, 40.0) == 35.0
    assert judged(Reads.ABOVE_MODEL, 40.0, 20.0) == pytest.approx(40 - 5 - 22)
    assert judged(Reads.BELOW_MODEL, 8.0, 20.0) == pytest.approx(10 - 3)
    assert judged(Reads.SHORT_OF_COMMANDED, 900.0, speed_rpm=1000.0) == pytest.approx(10.0)
    assert judged(Reads.SHORT_OF_COMMANDED, 900.0, speed_rpm=-1000.0) == pytest.approx(10.0), "a left-hand thread"


@pytest.mark.parametrize("reads", [Reads.ABOVE_MODEL, Reads.BELOW_MODEL, Reads.SHORT_OF_COMMANDED])
def test_without_what_it_is_held_against_nothing_is_judged(reads: Reads) -> None:
    assert judged(reads, 40.0) is None
    assert judged(reads, 40.0, 5.9, 0.0) is None
