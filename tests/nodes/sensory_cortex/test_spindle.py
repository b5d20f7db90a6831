import pytest

from nodes.sensory_cortex.spindle import Spindle, TorqueCurve


def turn(spindle: Spindle, steps: int, torque_nm: float = 0.0) -> None:
    for _ in range(steps):
        spindle.step(torque_nm, 0.001)


def at_speed() -> Spindle:
    spindle = Spindle()
    spindle.commanded_rpm = 9549.0
    turn(spindle, 2000)
    return spindle


def test_the_torque_curve_is_flat_and_then_of_constant_power() -> None:
    curve = TorqueCurve(rated_torque_nm=35.0, rated_power_kw=5.5)
    assert curve.rated_nm(0.0) == curve.rated_nm(1000.0) == 35.0
    for speed in (2000.0, 5000.0, 10_000.0):
        assert curve.rated_nm(speed) * speed / 9549.297 == pytest.approx(5.5, rel=1e-3)


def test_it_needs_time_to_come_to_speed_and_the_drive_is_at_its_limit_meanwhile() -> None:
    spindle = Spindle()
    spindle.commanded_rpm = 9549.0
    turn(spindle, 50)
    assert spindle.load_pct == pytest.approx(150.0)
    assert 500.0 < spindle.speed_rpm < 9000.0
    turn(spindle, 1500)
    assert spindle.speed_rpm == pytest.approx(9549.0, rel=0.001)
    assert spindle.load_pct < 10.0


def test_a_cut_loads_it_by_its_share_of_the_rated_torque() -> None:
    spindle = at_speed()
    idle = spindle.load_pct
    turn(spindle, 200, torque_nm=1.13)
    assert spindle.load_pct - idle == pytest.approx(1.13 / 5.5 * 100.0, rel=0.05)


def test_more_torque_than_the_drive_has_stalls_it() -> None:
    spindle = at_speed()
    turn(spindle, 2000, torque_nm=80.0)
    assert spindle.speed_rpm == 0.0


def test_it_brakes_to_a_stand() -> None:
    spindle = at_speed()
    spindle.commanded_rpm = 0.0
    steps = 0
    while spindle.speed_rpm > 0.0:
        turn(spindle, 1)
        steps += 1
        assert steps < 2000
    assert steps > 100
