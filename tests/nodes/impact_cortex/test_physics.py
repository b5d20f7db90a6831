"""The cut's physics: the handbook's example, and what must hold between the formulas for every cut."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.impact_cortex import physics
from nodes.impact_cortex.materials import MATERIALS, Material
from nodes.impact_cortex.physics import Cut

ALUMINIUM = MATERIALS["aluminium_wrought"]
positive = st.floats(0.01, 50.0)


def test_handbook_example_in_7075_to_half_a_percent() -> None:
    cut = Cut(diameter_mm=10.0, teeth=3, depth_mm=5.0, width_mm=5.0)
    speed_rpm = physics.spindle_speed_rpm(300.0, 10.0)
    feed_mm_min = physics.feed_mm_min(speed_rpm, 3, 0.05)
    e = physics.effort(ALUMINIUM, cut, speed_rpm, feed_mm_min)
    assert speed_rpm == pytest.approx(9549, rel=0.005)
    assert feed_mm_min == pytest.approx(1432, rel=0.005)
    assert e.removal_cm3_min == pytest.approx(35.8, rel=0.005)
    assert e.chip_thickness_mm == pytest.approx(0.0318, rel=0.005)
    assert e.kc_n_mm2 == pytest.approx(1894, rel=0.005)
    assert e.power_kw == pytest.approx(1.130, rel=0.005)
    assert e.torque_nm == pytest.approx(1.130, rel=0.005)


@given(
    material=st.sampled_from(list(MATERIALS.values())),
    diameter_mm=st.floats(1, 80),
    teeth=st.integers(1, 12),
    depth_mm=positive,
    width_share=st.floats(0.01, 1.0),
    speed_rpm=st.floats(50, 40_000),
    feed_mm_min=st.floats(1, 20_000),
)
def test_force_by_chip_sections_is_force_by_power(
    material: Material,
    diameter_mm: float,
    teeth: int,
    depth_mm: float,
    width_share: float,
    speed_rpm: float,
    feed_mm_min: float,
) -> None:
    cut = Cut(diameter_mm, teeth, depth_mm, width_share * diameter_mm)
    e = physics.effort(material, cut, speed_rpm, feed_mm_min)
    teeth_in_cut = teeth * physics.engagement_rad(cut.width_mm, diameter_mm) / (2 * math.pi)
    by_chips = e.kc_n_mm2 * depth_mm * e.chip_thickness_mm * teeth_in_cut
    assert e.force_n == pytest.approx(by_chips, rel=1e-9)
    assert physics.power_kw(e.torque_nm, speed_rpm) == pytest.approx(e.power_kw, rel=1e-9)
    assert e.power_kw == pytest.approx(e.force_n * physics.cutting_speed_m_min(speed_rpm, diameter_mm) / 60_000)


@given(speed_rpm=st.floats(50, 40_000), teeth=st.integers(1, 12), fz_mm=st.floats(0.001, 1))
def test_feed_per_tooth_undoes_feed(speed_rpm: float, teeth: int, fz_mm: float) -> None:
    feed = physics.feed_mm_min(speed_rpm, teeth, fz_mm)
    assert physics.feed_per_tooth_mm(feed, speed_rpm, teeth) == pytest.approx(fz_mm)


@pytest.mark.parametrize(("speed_rpm", "feed_mm_min"), [(0.0, 500.0), (9000.0, 0.0), (-100.0, 500.0)])
def test_nothing_removed_costs_nothing(speed_rpm: float, feed_mm_min: float) -> None:
    e = physics.effort(ALUMINIUM, Cut(10, 3, 5, 5), speed_rpm, feed_mm_min)
    assert (e.power_kw, e.torque_nm, e.force_n) == (0.0, 0.0, 0.0)


def test_no_reading_in_is_no_reading_out() -> None:
    assert math.isnan(physics.effort(ALUMINIUM, Cut(10, 3, 5, 5), math.nan, 500.0).torque_nm)
    assert math.isnan(physics.effort(ALUMINIUM, Cut(10, 3, 5, 5), 9000.0, math.nan).power_kw)
    assert math.isnan(physics.feed_per_tooth_mm(500.0, 0.0, 3))
    assert math.isnan(physics.torque_nm(1.0, 0.0))


def test_full_slot_engages_half_a_turn_and_no_width_nothing() -> None:
    assert physics.engagement_rad(10.0, 10.0) == pytest.approx(math.pi)
    assert physics.mean_chip_thickness_mm(0.1, 0.0, 10.0) == 0.0


@given(
    speeds_rpm=st.lists(st.floats(-10, 40_000), min_size=1, max_size=5),
    feed_mm_min=st.floats(-10, 20_000),
    material=st.sampled_from(list(MATERIALS.values())),
)
def test_an_array_is_what_its_numbers_are_one_by_one(
    speeds_rpm: list[float], feed_mm_min: float, material: Material
) -> None:
    cut = Cut(10.0, 3, 5.0, 2.0)
    feeds = np.full(len(speeds_rpm), feed_mm_min)
    together = physics.effort(material, cut, np.array(speeds_rpm), feeds)
    for name in (f.name for f in fields(together)):
        alone = [getattr(physics.effort(material, cut, n, feed_mm_min), name) for n in speeds_rpm]
        assert all(type(v) is float for v in alone)
        np.testing.assert_allclose(getattr(together, name), alone, rtol=1e-12)


def test_geometry_may_be_an_array_too() -> None:
    widths = np.array([0.0, 0.5, 5.0, 10.0])
    each = [physics.mean_chip_thickness_mm(0.05, w, 10.0) for w in widths]
    np.testing.assert_allclose(physics.mean_chip_thickness_mm(np.full(4, 0.05), widths, 10.0), each)
    np.testing.assert_allclose(physics.engagement_rad(widths, 10.0), [physics.engagement_rad(w, 10.0) for w in widths])


def test_a_narrow_cut_thins_its_chip_and_may_be_fed_faster() -> None:
    # a tenth of the diameter: sin φ = 2·√(0.1·0.9) = 0.6, the handbooks' factor 1.67
    assert physics.largest_chip_thickness_mm(0.05, 1.0, 10.0) == pytest.approx(0.03)
    assert physics.feed_for_chip_mm(0.05, 1.0, 10.0) == pytest.approx(0.05 / 0.6)
    assert physics.largest_chip_thickness_mm(0.05, 7.0, 10.0) == pytest.approx(0.05), "beyond half the diameter"


@given(fz_mm=st.floats(0.001, 1), width_share=st.floats(0.001, 1))
def test_the_mean_chip_is_thinner_than_the_largest(fz_mm: float, width_share: float) -> None:
    mean = physics.mean_chip_thickness_mm(fz_mm, width_share * 12.0, 12.0)
    assert 0 < mean <= physics.largest_chip_thickness_mm(fz_mm, width_share * 12.0, 12.0) * (1 + 1e-9)


def test_teeth_pass() -> None:
    assert physics.tooth_passing_hz(9549.0, 3) == pytest.approx(477.45)


def test_taylor_by_hand() -> None:
    steel = MATERIALS["c45_annealed"]
    assert physics.tool_life_min(steel, 500.0) == pytest.approx(1.0), "C is the speed of a minute's life"
    assert physics.tool_life_min(steel, 250.0) == pytest.approx(16.0), "half the speed, 2^(1/0.25) times the life"
    assert physics.wear_share(steel, 250.0, 16 * 60.0) == pytest.approx(1.0)
    assert physics.wear_share(steel, 250.0, 4 * 60.0) + physics.wear_share(steel, 500.0, 45.0) == pytest.approx(1.0)


def test_life_is_not_known_where_nobody_published_it_and_nearly_endless_at_rest() -> None:
    assert math.isnan(physics.tool_life_min(MATERIALS["ti6al4v_low"], 60.0))
    assert physics.wear_share(MATERIALS["c45_annealed"], 0.0, 3600.0) == pytest.approx(0.0, abs=1e-30)


def test_stopping_distance_by_hand() -> None:
    # 2 m/min is 33.3 mm/s: 20 ms are 0.67 mm before anything slows down, 0.56 mm more at 1 m/s²
    assert physics.stopping_distance_mm(2000.0, 0.020, math.inf) == pytest.approx(0.667, rel=0.005)
    assert physics.stopping_distance_mm(2000.0, 0.020, 1000.0) == pytest.approx(0.667 + 0.556, rel=0.005)
    feeds = np.array([0.0, 1000.0, 2000.0])
    distances = physics.stopping_distance_mm(feeds, 0.01, 500.0)
    assert distances[0] == 0.0
    assert distances[2] < 4 * distances[1]
