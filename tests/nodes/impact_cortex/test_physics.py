"""The cut's physics: the handbook's example, and what must hold between the formulas for every cut."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.impact_cortex import physics
from nodes.impact_cortex.physics import MATERIALS, Cut

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
    material: physics.Material,
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


def test_every_material_says_its_source() -> None:
    assert all(m.source and m.kc11_n_mm2 > 0 and 0 < m.mc < 1 for m in MATERIALS.values())
