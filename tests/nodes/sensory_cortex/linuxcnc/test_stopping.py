"""The course of a stop out of rows, braked by hand here: 2000 mm/s² from 50 mm/s, as the mill does it."""

from __future__ import annotations

import pytest

from nodes.sensory_cortex.linuxcnc.stopping import Reading, Stopping
from schemas.machine import MotionEvent, MotionPhase

MS = 1_000_000


class Axis:
    """Moves along x, row by row."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * MS
        self.x_mm = 0.0
        self.velocity_mm_s = 50.0
        self.rpm = 6000.0
        self.stopping = Stopping()

    def rows(
        self, count: int, *, inhibited: bool, brake_mm_s: float = 0.0, brake_rpm: float = 0.0
    ) -> list[MotionEvent]:
        out = []
        for _ in range(count):
            self.now_ns += MS
            self.velocity_mm_s = max(self.velocity_mm_s - brake_mm_s, 0.0)
            self.rpm = max(self.rpm - brake_rpm, 0.0)
            self.x_mm += self.velocity_mm_s / 1000.0
            reading = Reading(self.now_ns, (self.x_mm, 0.0, 0.0), self.velocity_mm_s, self.rpm, inhibited)
            out += self.stopping.row(reading)
        return out


def phases(events: list[MotionEvent]) -> list[tuple[MotionPhase, int]]:
    """And when, ms after the axis began."""
    return [(e.phase, e.stamp_ns // MS - 1_000) for e in events]


def test_a_hold_decelerates_and_stands_with_its_travel() -> None:
    axis = Axis()
    assert axis.rows(10, inhibited=False) == []
    in_force, accepted = axis.stopping.asked("a", axis.now_ns, stop=False)
    assert (in_force, accepted is not None and accepted.phase) == ("a", MotionPhase.ACCEPTED)
    late = axis.rows(2, inhibited=False)  # the pin is set, the servo period that sees it not begun
    events = axis.rows(30, inhibited=True, brake_mm_s=2.0)
    assert phases(late + events) == [(MotionPhase.DECELERATING, 13), (MotionPhase.AXES_STANDING, 37)]
    standing = events[-1]
    # two rows at 50 mm/s, then 48, 46 ... 0: 0.1 + 0.6 mm
    assert standing.travel_mm == pytest.approx(0.7)
    assert axis.stopping.last_stop_ms == pytest.approx(27.0)
    assert axis.stopping.stands
    assert axis.stopping.in_force == "a"


def test_a_stop_after_a_hold_has_a_course_of_its_own_and_ends_with_the_spindle() -> None:
    axis = Axis()
    axis.rows(1, inhibited=False)
    axis.stopping.asked("a", axis.now_ns, stop=False)
    axis.stopping.asked("b", axis.now_ns, stop=True)
    events = axis.rows(30, inhibited=True, brake_mm_s=2.0)
    assert {(e.phase, e.action_id) for e in events} == {
        (phase, action) for phase in (MotionPhase.DECELERATING, MotionPhase.AXES_STANDING) for action in "ab"
    }
    assert axis.stopping.stops
    spun_down = axis.rows(100, inhibited=True, brake_rpm=100.0)
    assert [(e.phase, e.action_id) for e in spun_down] == [(MotionPhase.SPINDLE_STANDING, "b")]


def test_what_is_in_force_already_begins_nothing() -> None:
    axis = Axis()
    axis.rows(1, inhibited=False)
    axis.stopping.asked("a", axis.now_ns, stop=True)
    assert axis.stopping.asked("b", axis.now_ns, stop=False) == ("a", None)
    assert axis.stopping.asked("c", axis.now_ns, stop=True) == ("a", None)


def test_axes_that_stand_already_are_standing_at_the_first_row() -> None:
    axis = Axis()
    axis.velocity_mm_s = 0.0
    axis.rows(1, inhibited=False)
    axis.stopping.asked("a", axis.now_ns, stop=False)
    assert axis.rows(1, inhibited=False) == [], "not known to be inhibited yet"
    assert [e.phase for e in axis.rows(1, inhibited=True)] == [MotionPhase.AXES_STANDING]


def test_travel_counts_from_contact_where_there_was_one() -> None:
    axis = Axis()
    axis.rows(1, inhibited=False)
    axis.stopping.contact(axis.now_ns)
    axis.rows(4, inhibited=False)
    axis.stopping.asked("a", axis.now_ns, stop=False)
    events = axis.rows(30, inhibited=True, brake_mm_s=2.0)
    assert events[-1].travel_mm == pytest.approx(0.2 + 0.6)


def test_rows_taken_before_the_request_and_heard_after_it_do_not_count() -> None:
    axis = Axis()
    axis.rows(1, inhibited=False)
    axis.stopping.asked("a", axis.now_ns + 5 * MS, stop=False)
    axis.rows(5, inhibited=False)
    events = axis.rows(30, inhibited=True, brake_mm_s=2.0)
    assert events[-1].travel_mm == pytest.approx(0.6)


def test_a_release_forgets_and_missing_rows_are_no_travel() -> None:
    axis = Axis()
    axis.rows(1, inhibited=False)
    axis.stopping.asked("a", axis.now_ns, stop=False)
    axis.stopping.lost()
    axis.x_mm += 100.0
    events = axis.rows(30, inhibited=True, brake_mm_s=2.0)
    assert events[-1].travel_mm < 1.0
    assert axis.stopping.released("r", axis.now_ns).phase is MotionPhase.RELEASED
    assert (axis.stopping.in_force, axis.stopping.stops) == ("", False)
