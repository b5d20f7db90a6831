"""What a milling cut should cost: speeds, chip thickness, Kienzle force, torque, power, tool life, stopping distance.

Values in, values out. Every quantity may be a number or an array of them, one for each moment or each cut; arrays are
broadcast as numpy does, and the first argument says what comes back. NaN in is NaN out.

Sources: Kienzle and Victor 1957 (specific cutting force); DIN 6580, 6581 and 6584 (speeds, feeds, cut geometry, forces
and power); Taylor 1907 (tool life); Miner 1945 (damage adds up by shares of life); the mean and the largest chip
thickness by the engagement angle as tool makers' milling handbooks give them. Entering angle 90 degrees and rake 0
degrees throughout: end mills in side and slot milling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from nodes.impact_cortex.materials import Material

V = TypeVar("V", float, NDArray[np.float64])
"""a number, or an array of them"""


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
class Effort(Generic[V]):
    """What a cut costs."""

    chip_thickness_mm: V
    kc_n_mm2: V
    removal_cm3_min: V
    power_kw: V
    torque_nm: V
    force_n: V


def _where(condition: Any, value: Any, other: float, like: V) -> V:
    """`value` where the condition holds, else `other`: a plain number when `like` is one."""
    if isinstance(like, np.ndarray):
        return np.where(condition, value, other)
    return float(value) if condition else other


# --- speeds and feeds -------------------------------------------------------------------------------------------------


def spindle_speed_rpm(cutting_speed_m_min: V, diameter_mm: V | float) -> V:
    """n = 1000 · vc / (π · D), rpm (DIN 6580)."""
    return 1000.0 * cutting_speed_m_min / (math.pi * diameter_mm)


def cutting_speed_m_min(speed_rpm: V, diameter_mm: V | float) -> V:
    """vc = π · D · n / 1000, m/min (DIN 6580)."""
    return math.pi * diameter_mm * speed_rpm / 1000.0


def feed_mm_min(speed_rpm: V, teeth: V | float, feed_per_tooth_mm: V | float) -> V:
    """vf = n · z · fz, mm/min (DIN 6580)."""
    return speed_rpm * teeth * feed_per_tooth_mm


@np.errstate(divide="ignore", invalid="ignore")
def feed_per_tooth_mm(feed_mm_min: V, speed_rpm: V | float, teeth: V | float) -> V:
    """fz = vf / (n · z), mm (DIN 6580). NaN when the spindle stands: no chip can be said of it."""
    return _where(
        np.greater(speed_rpm, 0), np.divide(feed_mm_min, np.multiply(speed_rpm, teeth)), math.nan, feed_mm_min
    )


def tooth_passing_hz(speed_rpm: V, teeth: V | float) -> V:
    """f = n · z / 60, Hz: what a sound cut vibrates with, and its multiples; chatter is what is left over."""
    return speed_rpm * teeth / 60.0


# --- chips ------------------------------------------------------------------------------------------------------------


def engagement_rad(width_mm: V, diameter_mm: V | float) -> V:
    """The angle a tooth is in the cut: φ = arccos(1 - 2 · ae / D), rad, for side milling; π in a full slot."""
    angle = np.arccos(np.clip(1.0 - 2.0 * np.divide(width_mm, diameter_mm), -1.0, 1.0))
    return _where(True, angle, 0.0, width_mm)


@np.errstate(divide="ignore", invalid="ignore")
def mean_chip_thickness_mm(feed_per_tooth_mm: V, width_mm: V | float, diameter_mm: V | float) -> V:
    """hm = 2 · fz · ae / (φ · D), mm, φ in rad; the handbook's 360 · fz · ae / (π · φ° · D). 0 where ae is 0."""
    angle = engagement_rad(np.asarray(width_mm, dtype=np.float64), np.asarray(diameter_mm, dtype=np.float64))
    mean = 2.0 * feed_per_tooth_mm * np.divide(width_mm, angle * diameter_mm)
    return _where(np.less_equal(width_mm, 0), 0.0, mean, feed_per_tooth_mm)  # type: ignore[arg-type] # a number or an array


def largest_chip_thickness_mm(feed_per_tooth_mm: V, width_mm: V | float, diameter_mm: V | float) -> V:
    """hmax = fz · sin φ up to half the diameter, else fz, mm: a narrow cut thins its chip (chip thinning)."""
    return feed_per_tooth_mm * _thinning(width_mm, diameter_mm, feed_per_tooth_mm)


def feed_for_chip_mm(largest_chip_mm: V, width_mm: V | float, diameter_mm: V | float) -> V:
    """The feed per tooth that makes chips of this largest thickness, mm: what a narrow cut may be fed faster."""
    return largest_chip_mm / _thinning(width_mm, diameter_mm, largest_chip_mm)


def _thinning(width_mm: V | float, diameter_mm: V | float, like: V) -> V:
    """sin φ = 2 · √(ae/D · (1 - ae/D)); 1 from half the diameter on."""
    share = np.clip(np.divide(width_mm, diameter_mm), 0.0, 0.5)
    return _where(True, 2.0 * np.sqrt(share * (1.0 - share)), 1.0, like)


# --- force, torque, power ---------------------------------------------------------------------------------------------


def specific_force_n_mm2(material: Material, chip_thickness_mm: V) -> V:
    """kc = kc1.1 · hm^-mc, N/mm² (Kienzle and Victor)."""
    return material.kc11_n_mm2 * chip_thickness_mm**-material.mc  # type: ignore[no-any-return] # the power of numpy is Any


def removal_cm3_min(depth_mm: V, width_mm: V | float, feed_mm_min: V | float) -> V:
    """Q = ap · ae · vf / 1000, cm³/min."""
    return depth_mm * width_mm * feed_mm_min / 1000.0


def power_kw(torque_nm: V, speed_rpm: V | float) -> V:
    """P = 2π · n · T / 60,000, kW."""
    return math.pi * speed_rpm * torque_nm / 30_000.0


@np.errstate(divide="ignore", invalid="ignore")
def torque_nm(power_kw: V, speed_rpm: V | float) -> V:
    """T = 60,000 · P / (2π · n), Nm. NaN when the spindle stands."""
    return _where(np.greater(speed_rpm, 0), np.divide(30_000.0 / math.pi * power_kw, speed_rpm), math.nan, power_kw)


def cutting_force_n(torque_nm: V, diameter_mm: V | float) -> V:
    """The mean tangential force at the edge: Fc = 2000 · T / D, N."""
    return 2000.0 * torque_nm / diameter_mm


def load_pct(torque_nm: V, rated_torque_nm: V | float) -> V:
    """Torque as the drive shows it, percent of rated."""
    return 100.0 * torque_nm / rated_torque_nm


@np.errstate(divide="ignore", invalid="ignore")
def effort(material: Material, cut: Cut, speed_rpm: V, feed_mm_min: V) -> Effort[V]:
    """What `cut` costs at this speed and feed: P = Q · kc / 60,000 kW with Q in cm³/min, then torque and force.

    All zero where nothing is removed.
    """
    idle = np.less_equal(speed_rpm, 0) | np.less_equal(feed_mm_min, 0) | (cut.depth_mm <= 0) | (cut.width_mm <= 0)
    n, vf = _where(~idle, speed_rpm, 1.0, speed_rpm), _where(~idle, feed_mm_min, 1.0, feed_mm_min)
    hm_mm = mean_chip_thickness_mm(feed_per_tooth_mm(vf, n, cut.teeth), cut.width_mm, cut.diameter_mm)
    kc = specific_force_n_mm2(material, hm_mm)
    removed = cut.depth_mm * cut.width_mm * vf / 1000.0
    power = removed * kc / 60_000.0
    torque = torque_nm(power, n)
    found = (hm_mm, kc, removed, power, torque, cutting_force_n(torque, cut.diameter_mm))
    return Effort(*(_where(~idle, value, 0.0, speed_rpm) for value in found))


# --- tool life --------------------------------------------------------------------------------------------------------


def tool_life_min(material: Material, cutting_speed_m_min: V) -> V:
    """T = (C / vc)^(1/n), minutes of cutting (Taylor). NaN for a material without published constants."""
    speed = np.maximum(cutting_speed_m_min, 1e-9)
    life = np.power(np.divide(material.taylor_c_m_min, speed), 1.0 / material.taylor_n)
    return _where(True, life, 0.0, cutting_speed_m_min)


def wear_share(material: Material, cutting_speed_m_min: V, cutting_s: V | float) -> V:
    """The share of an edge's life that so many seconds of cutting take: Σ t / T(vc) is 1 at its end (Taylor, Miner)."""
    return cutting_s / (60.0 * tool_life_min(material, cutting_speed_m_min))


# --- stopping ---------------------------------------------------------------------------------------------------------


def stopping_distance_mm(feed_mm_min: V, reaction_s: V | float, deceleration_mm_s2: V | float) -> V:
    """s = v · tr + v² / (2 · a), mm: what is travelled before anything slows down, and while it does (kinematics)."""
    speed_mm_s = feed_mm_min / 60.0
    return speed_mm_s * reaction_s + speed_mm_s * speed_mm_s / (2.0 * deceleration_mm_s2)
