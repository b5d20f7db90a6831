"""What a milling cut should cost: speeds, chip thickness, Kienzle force, torque and power. Values in, values out.

Sources: Kienzle and Victor 1957 (specific cutting force); DIN 6580, 6581 and 6584 (speeds, feeds, cut geometry, forces
and power); the mean chip thickness by the engagement angle as tool makers' milling handbooks give it. Entering angle
90 degrees and rake 0 degrees throughout: end mills in side and slot milling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Material:
    """What Kienzle needs to know of a workpiece material."""

    name: str
    kc11_n_mm2: float
    """specific cutting force at a chip 1 mm thick and 1 mm wide, N/mm²"""
    mc: float
    """how it falls with chip thickness: kc = kc1.1 · h^-mc"""
    source: str


_MAKER = "tool maker's kc1.1/mc table"
MATERIALS: Mapping[str, Material] = MappingProxyType(
    {
        m.name: m
        for m in (
            Material("aluminium_wrought", 800.0, 0.25, f"{_MAKER}, group N, wrought aluminium (7075)"),
            Material("c45_annealed", 1500.0, 0.22, f"{_MAKER}, group P, C45 annealed"),
            Material("c45_tempered", 1675.0, 0.24, f"{_MAKER}, group P, C45 quenched and tempered"),
            Material("stainless_304", 2150.0, 0.20, f"{_MAKER}, group M, AISI 304"),
            # two editions of one maker's table disagree by 70 %: both stand here, and teach-in has the last word
            Material("ti6al4v_low", 1245.0, 0.24, f"{_MAKER}, group S, Ti-6Al-4V, one edition"),
            Material("ti6al4v_high", 2110.0, 0.22, f"{_MAKER}, group S, Ti-6Al-4V, another edition"),
        )
    }
)


@dataclass(frozen=True, slots=True)
class Cut:
    """One engagement of an end mill."""

    diameter_mm: float
    teeth: int
    depth_mm: float
    """ap, along the tool's axis"""
    width_mm: float
    """ae, across it"""


@dataclass(frozen=True, slots=True)
class Effort:
    """What a cut costs."""

    chip_thickness_mm: float
    kc_n_mm2: float
    removal_cm3_min: float
    power_kw: float
    torque_nm: float
    force_n: float


def spindle_speed_rpm(cutting_speed_m_min: float, diameter_mm: float) -> float:
    """n = 1000 · vc / (π · D), rpm (DIN 6580)."""
    return 1000.0 * cutting_speed_m_min / (math.pi * diameter_mm)


def cutting_speed_m_min(speed_rpm: float, diameter_mm: float) -> float:
    """vc = π · D · n / 1000, m/min (DIN 6580)."""
    return math.pi * diameter_mm * speed_rpm / 1000.0


def feed_mm_min(speed_rpm: float, teeth: int, feed_per_tooth_mm: float) -> float:
    """vf = n · z · fz, mm/min (DIN 6580)."""
    return speed_rpm * teeth * feed_per_tooth_mm


def feed_per_tooth_mm(feed_mm_min: float, speed_rpm: float, teeth: int) -> float:
    """fz = vf / (n · z), mm (DIN 6580). NaN when the spindle stands: no chip can be said of it."""
    return feed_mm_min / (speed_rpm * teeth) if speed_rpm > 0 else math.nan


def engagement_rad(width_mm: float, diameter_mm: float) -> float:
    """The angle a tooth is in the cut: φ = arccos(1 - 2 · ae / D), rad, for side milling; π in a full slot."""
    return math.acos(max(-1.0, min(1.0, 1.0 - 2.0 * width_mm / diameter_mm)))


def mean_chip_thickness_mm(feed_per_tooth_mm: float, width_mm: float, diameter_mm: float) -> float:
    """hm = 2 · fz · ae / (φ · D), mm, φ in rad; the handbook's 360 · fz · ae / (π · φ° · D)."""
    if width_mm <= 0:
        return 0.0
    return 2.0 * feed_per_tooth_mm * width_mm / (engagement_rad(width_mm, diameter_mm) * diameter_mm)


def specific_force_n_mm2(material: Material, chip_thickness_mm: float) -> float:
    """kc = kc1.1 · hm^-mc, N/mm² (Kienzle and Victor)."""
    return material.kc11_n_mm2 * float(chip_thickness_mm**-material.mc)


def removal_cm3_min(depth_mm: float, width_mm: float, feed_mm_min: float) -> float:
    """Q = ap · ae · vf / 1000, cm³/min."""
    return depth_mm * width_mm * feed_mm_min / 1000.0


def power_kw(torque_nm: float, speed_rpm: float) -> float:
    """P = 2π · n · T / 60,000, kW."""
    return math.pi * speed_rpm * torque_nm / 30_000.0


def torque_nm(power_kw: float, speed_rpm: float) -> float:
    """T = 60,000 · P / (2π · n), Nm. NaN when the spindle stands."""
    return 30_000.0 * power_kw / (math.pi * speed_rpm) if speed_rpm > 0 else math.nan


def cutting_force_n(torque_nm: float, diameter_mm: float) -> float:
    """The mean tangential force at the edge: Fc = 2000 · T / D, N."""
    return 2000.0 * torque_nm / diameter_mm


def load_pct(torque_nm: float, rated_torque_nm: float) -> float:
    """Torque as the drive shows it, percent of rated."""
    return 100.0 * torque_nm / rated_torque_nm


def effort(material: Material, cut: Cut, speed_rpm: float, feed_mm_min: float) -> Effort:
    """What `cut` costs at this speed and feed: P = Q · kc / 60,000 kW with Q in cm³/min, then torque and force.

    All zero where nothing is removed; NaN in is NaN out.
    """
    if speed_rpm <= 0 or feed_mm_min <= 0 or cut.depth_mm <= 0 or cut.width_mm <= 0:
        return Effort(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    fz_mm = feed_per_tooth_mm(feed_mm_min, speed_rpm, cut.teeth)
    hm_mm = mean_chip_thickness_mm(fz_mm, cut.width_mm, cut.diameter_mm)
    kc = specific_force_n_mm2(material, hm_mm)
    removed = removal_cm3_min(cut.depth_mm, cut.width_mm, feed_mm_min)
    power = removed * kc / 60_000.0
    torque = torque_nm(power, speed_rpm)
    return Effort(hm_mm, kc, removed, power, torque, cutting_force_n(torque, cut.diameter_mm))
