import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.sensory_cortex.axes import Axes


@settings(max_examples=50, deadline=None)
@given(
    feed=st.floats(100.0, 20_000.0),
    acceleration=st.floats(500.0, 10_000.0),
    dt_s=st.sampled_from((0.0005, 0.001, 0.002)),
)
def test_stopping_distance_is_v_squared_over_2a(feed: float, acceleration: float, dt_s: float) -> None:
    axes = Axes(acceleration, at=(0.0, 0.0, 0.0))
    axes.go(1000.0, 300.0, 0.0)
    wanted = feed / 60.0
    while axes.moving_mm_s < wanted:
        axes.step(wanted, dt_s)
    expected = axes.stopping_mm()
    began = axes.path_mm
    while axes.moving_mm_s > 0.0:
        axes.step(0.0, dt_s)
    assert axes.path_mm - began == pytest.approx(expected, rel=1e-6)
    assert expected == pytest.approx(wanted**2 / (2 * acceleration))


@given(target=st.tuples(*[st.floats(-60.0, 60.0)] * 3), wanted=st.floats(20.0, 500.0))
@settings(max_examples=30, deadline=None)
def test_it_arrives_exactly_and_never_exceeds_speed_or_acceleration(
    target: tuple[float, float, float], wanted: float
) -> None:
    axes = Axes(3000.0, at=(0.0, 0.0, 0.0))
    axes.go(*target)
    moved = not axes.arrived
    before = 0.0
    for _ in range(200_000):
        if axes.arrived:
            break
        axes.step(wanted, 0.001)
        assert axes.moving_mm_s <= wanted + 1e-9
        if axes.arrived:
            assert before <= 3.0 * 1.5 + 1e-6  # the path may end within the last step: half a step's change at most
        else:
            assert abs(axes.moving_mm_s - before) <= 3.0 + 1e-6
        before = axes.moving_mm_s
    assert axes.arrived
    assert (axes.x, axes.y, axes.z) == (target if moved else (0.0, 0.0, 0.0))


def test_it_goes_on_where_it_was_held() -> None:
    axes = Axes(3000.0, at=(0.0, 0.0, 0.0))
    axes.go(50.0, 0.0, 0.0)
    for _ in range(100):
        axes.step(20.0, 0.001)
    for _ in range(100):
        axes.step(0.0, 0.001)
    assert axes.moving_mm_s == 0.0
    assert 0.0 < axes.x < 50.0
    while not axes.arrived:
        axes.step(20.0, 0.001)
    assert axes.x == 50.0
