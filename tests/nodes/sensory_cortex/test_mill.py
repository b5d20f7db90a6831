from collections.abc import Callable

import numpy as np
import pytest

from nodes.sensory_cortex import sensors
from nodes.sensory_cortex.mill import Mill
from nodes.sensory_cortex.program import Do, pocket
from schemas.machine import Execution, Fault, Motion, MotionPhase


def mill(seed: int = 1, *, loop: bool = True) -> Mill:
    made = Mill(pocket(), sensors.heavy_tailed(np.random.default_rng(seed), 4.0), loop=loop)
    made.start()
    return made


def run_until(m: Mill, reached: Callable[[], bool], most: int = 70_000) -> None:
    for _ in range(most):
        if reached():
            return
        m.step()
    raise AssertionError("never reached")


def run(m: Mill, steps: int) -> None:
    for _ in range(steps):
        m.step()


def mean_torque(m: Mill, steps: int) -> float:
    total = 0.0
    for _ in range(steps):
        m.step()
        total += m.cutting_nm
    return total / steps


def in_block(m: Mill, number: int) -> bool:
    return m.block is not None and m.block.number == number


def in_the_first_cut(seed: int = 1) -> Mill:
    m = mill(seed)
    run_until(m, lambda: in_block(m, 50) and m.axes.x > 10.0)
    return m


def phases(m: Mill) -> list[MotionPhase]:
    return [e.phase for e in m.events]


def test_the_load_in_the_cut_is_the_physics_vectors_torque() -> None:
    m = mill()
    run_until(m, lambda: in_block(m, 50))
    idle = m.spindle.load_pct
    run_until(m, lambda: m.axes.x > 10.0)
    forces = []
    torque = 0.0
    for _ in range(500):
        m.step()
        torque += m.cutting_nm / 500
        forces.append(m.force_n)
    assert torque == pytest.approx(1.130, rel=0.1)
    assert sum(forces) / 500 == pytest.approx(226.0, rel=0.1)
    assert m.spindle.load_pct - idle == pytest.approx(100 * 1.130 / m.spindle.curve.rated_nm(9549.0), rel=0.1)


def test_the_program_makes_parts_and_changes_tools_by_serial() -> None:
    m = mill()
    serials: set[str] = set()
    motions: set[Motion] = set()
    while m.part_count < 2:
        m.step()
        if m.tool is not None:
            serials.add(m.tool.serial)
        motions.add(m.motion)
    assert serials == {"em10-0001", "em6-0001"}
    assert motions == {Motion.TOOL_CHANGE, Motion.SPINDLE_CHANGE, Motion.RAPID, Motion.FEED, Motion.DWELL}
    assert m.runs == 3


def test_without_loop_it_completes_and_the_spindle_stands() -> None:
    m = mill(loop=False)
    run_until(m, lambda: m.execution is Execution.PROGRAM_COMPLETED)
    run_until(m, lambda: m.spindle.speed_rpm == 0.0)
    assert m.part_count == 1


def test_feed_hold_stops_the_axes_by_their_acceleration_and_leaves_the_spindle_turning() -> None:
    m = in_the_first_cut()
    speed = m.axes.moving_mm_s
    m.hold("a", stop=False)
    assert m.execution is Execution.FEED_HOLD
    run(m, 500)
    assert phases(m) == [MotionPhase.ACCEPTED, MotionPhase.DECELERATING, MotionPhase.AXES_STANDING]
    accepted, decelerating, standing = m.events
    assert standing.travel_mm - decelerating.travel_mm == pytest.approx(speed**2 / (2 * 3000.0), rel=0.01)
    assert decelerating.travel_mm == pytest.approx(speed * (decelerating.step - accepted.step - 1) * 0.001, rel=0.01)
    assert m.spindle.speed_rpm > 9000
    assert m.motion is Motion.IDLE


def test_stop_brings_the_spindle_to_stand_after_the_axes() -> None:
    m = in_the_first_cut()
    m.hold("a", stop=True)
    run_until(m, lambda: MotionPhase.SPINDLE_STANDING in phases(m), 3000)
    assert phases(m) == [
        MotionPhase.ACCEPTED,
        MotionPhase.DECELERATING,
        MotionPhase.AXES_STANDING,
        MotionPhase.SPINDLE_STANDING,
    ]
    assert m.execution is Execution.STOPPED
    assert m.spindle.speed_rpm == 0.0
    assert m.last_stop_steps is not None
    assert 4 <= m.last_stop_steps < 30


def test_asking_twice_changes_nothing_and_a_stop_follows_a_hold() -> None:
    m = in_the_first_cut()
    assert m.hold("a", stop=False) == "a"
    assert m.hold("b", stop=False) == "a"
    assert m.hold("c", stop=True) == "c"
    assert m.hold("d", stop=False) == "a"
    assert m.hold("e", stop=True) == "c"
    run_until(m, lambda: MotionPhase.SPINDLE_STANDING in phases(m), 3000)
    assert [e.action_id for e in m.events if e.phase is MotionPhase.ACCEPTED] == ["a", "c"]
    assert {e.action_id for e in m.events if e.phase is MotionPhase.AXES_STANDING} == {"a", "c"}
    assert [e.action_id for e in m.events if e.phase is MotionPhase.SPINDLE_STANDING] == ["c"]


def test_a_hold_while_nothing_moves_stands_at_once() -> None:
    m = mill()
    run(m, 100)
    m.hold("a", stop=False)
    run(m, 10)
    assert phases(m) == [MotionPhase.ACCEPTED, MotionPhase.AXES_STANDING]


def test_reset_after_a_hold_goes_on_in_the_same_block() -> None:
    m = in_the_first_cut()
    x = m.axes.x
    m.hold("a", stop=False)
    assert m.reset("r", restart=True) == "the axes are still moving"
    run(m, 100)
    assert m.reset("r", restart=True) == ""
    assert m.execution is Execution.ACTIVE
    assert in_block(m, 50)
    run(m, 500)
    assert m.axes.x > x + 5.0
    assert MotionPhase.RELEASED in phases(m)


def test_reset_after_a_stop_retracts_and_starts_anew() -> None:
    m = in_the_first_cut()
    m.hold("a", stop=True)
    run(m, 2000)
    assert m.reset("r", restart=True) == ""
    assert m.execution is Execution.ACTIVE
    run(m, 3000)
    assert m.runs == 2
    assert m.block is not None
    assert m.block.number > 0


def test_reset_without_autostart_leaves_the_machine_ready() -> None:
    m = in_the_first_cut()
    m.hold("a", stop=True)
    run(m, 2000)
    assert m.reset("r", restart=False) == ""
    run(m, 100)
    assert m.execution is Execution.READY
    assert m.motion is Motion.IDLE
    assert m.spindle.speed_rpm == 0.0


def crash(react_after: int) -> tuple[float, float]:
    """Highest force and overtravel of a crash that is stopped some steps after the touch."""
    m = in_the_first_cut()
    m.faults.inject(Fault.CRASH, 1.0, "", None)
    run_until(m, lambda: m.faults.in_contact, 10)
    assert phases(m) == [MotionPhase.CONTACT]
    run(m, react_after)
    m.hold("a", stop=True)
    most = 0.0
    for _ in range(300):
        m.step()
        most = max(most, m.force_n)
    return most, next(e.travel_mm for e in m.events if e.phase is MotionPhase.AXES_STANDING)


def test_a_crash_grows_with_the_overtravel_so_stopping_earlier_matters() -> None:
    force, travel = crash(react_after=10)
    later_force, later_travel = crash(react_after=30)
    assert travel == pytest.approx(24.0 * 0.014 + 0.095, rel=0.15)
    assert later_travel == pytest.approx(travel + 24.0 * 0.020, rel=0.1)
    assert later_force > 1.8 * force > 3000.0


def test_a_crash_in_rapid_is_the_controls_own_alarm_within_milliseconds_and_the_clamp_brakes_the_axes() -> None:
    m = mill()
    run_until(m, lambda: in_block(m, 70) and m.axes.moving_mm_s > 440.0)
    m.faults.inject(Fault.CRASH, 1.0, "", None)
    run(m, 4)
    assert phases(m) == [MotionPhase.CONTACT]
    assert m.tripped
    run(m, 10)
    assert m.axes.moving_mm_s == 0.0
    assert 1.0 < m.axes.path_mm - m.faults.contact_path_mm < 4.0  # 37 J into 12 kN/mm, and the drives' own braking


def test_a_tool_is_changed_above_the_work_with_the_spindle_standing() -> None:
    m = mill()
    run_until(m, lambda: in_block(m, 210))
    z, begun = m.axes.z, m.steps
    assert m.spindle.speed_rpm > 9000.0
    run_until(m, lambda: m.tool is not None and m.tool.number == 2)
    assert (m.axes.z, m.spindle.speed_rpm) == (100.0, 0.0)
    run_until(m, lambda: in_block(m, 220))
    assert m.axes.z == z
    assert 700 < m.steps - begun < 900


def test_whenever_a_crash_is_armed_something_moves_soon() -> None:
    m = mill()
    waits = []
    for _ in range(60):
        run(m, 500)
        m.faults.inject(Fault.CRASH, 1.0, "", None)
        armed = m.steps
        run_until(m, lambda: m.faults.in_contact, 1000)
        waits.append(m.steps - armed)
        m.faults.in_contact = False  # lifted off again
    assert max(waits) < 600


def test_a_crash_in_the_tool_change_is_retracted_from_upwards() -> None:
    m = mill()
    run_until(m, lambda: in_block(m, 210) and m.axes.z > 80.0)
    m.faults.inject(Fault.CRASH, 1.0, "", None)
    run(m, 300)
    z = m.axes.z
    assert m.tripped
    assert m.reset("r", restart=True) == ""
    run(m, 5)
    assert m.axes.z >= z
    run_until(m, lambda: m.cutting_nm > 0.5)


def test_a_tool_that_breaks_is_the_one_in_the_spindle() -> None:
    m = mill()
    run_until(m, lambda: in_block(m, 240) and m.axes.x > 10.0)
    m.faults.inject(Fault.TOOL_BREAKAGE, 1.0, "", None)
    run_until(m, lambda: in_block(m, 50) and m.axes.x > 10.0)
    assert m.cutting_nm > 0.5
    run_until(m, lambda: in_block(m, 240) and m.axes.x > 10.0)
    assert m.cutting_nm == 0.0
    assert m.reset("r", restart=True) == ""
    assert m.tool is not None
    assert m.tool.serial == "em6-0002"


def test_an_unattended_crash_ends_in_the_controls_own_servo_alarm() -> None:
    m = in_the_first_cut()
    m.faults.inject(Fault.CRASH, 1.0, "", None)
    run(m, 300)
    assert m.tripped
    assert m.execution is Execution.INTERRUPTED
    assert m.axes.moving_mm_s == 0.0
    m.hold("a", stop=False)
    assert m.execution is Execution.INTERRUPTED
    run(m, 2000)
    assert m.reset("r", restart=True) == ""
    assert m.tool is not None
    assert m.tool.serial == "em10-0002"
    run_until(m, lambda: m.cutting_nm > 0.5)


def test_a_broken_tool_spikes_and_then_cuts_nothing() -> None:
    m = in_the_first_cut()
    before = m.cutting_nm
    m.faults.inject(Fault.TOOL_BREAKAGE, 1.0, "", None)
    m.step()
    assert m.cutting_nm > 2.0 * before
    assert m.blow > 0.0
    run(m, 50)
    assert m.cutting_nm == 0.0
    assert m.axes.moving_mm_s > 0.0


def test_a_worn_tool_needs_more_torque_for_as_long_as_was_said() -> None:
    m = in_the_first_cut()
    before = mean_torque(m, 200)
    m.faults.inject(Fault.WORN_TOOL, 1.0, "", m.steps + 1200)
    run(m, 1000)
    assert mean_torque(m, 200) > 1.25 * before
    m.step()
    assert m.faults.wear_aim == 1.0


def test_chatter_grows_in_the_cut_and_dies_outside_it() -> None:
    m = in_the_first_cut()
    m.faults.inject(Fault.CHATTER, 1.0, "", None)
    run(m, 300)
    assert m.faults.chatter > 0.9
    run_until(m, lambda: m.block is not None and m.block.do is Do.RAPID)
    run(m, 250)
    assert m.faults.chatter < 0.1


def test_a_reset_while_nothing_is_held_only_makes_good() -> None:
    m = in_the_first_cut()
    m.faults.inject(Fault.CHATTER, 1.0, "", None)
    assert m.reset("r", restart=True) == ""
    assert m.faults.chatter_aim == 0.0
    assert in_block(m, 50)
    assert m.axes.moving_mm_s > 0.0


def test_same_seed_same_machine() -> None:
    def history(seed: int) -> list[tuple[float, ...]]:
        m = mill(seed)
        out = []
        for i in range(4000):
            m.step()
            if i == 3000:
                m.faults.inject(Fault.CRASH, 1.0, "", None)
            out.append((m.axes.x, m.spindle.load_pct, m.force_n, *m.axis_load_pct))
        return out

    assert history(7) == history(7)
    assert history(7) != history(8)
