"""Cutting force, torque and power of a milling cut by Kienzle: values in, values out.

Mean values over a revolution; the ripple of single teeth is vibration.py's. Sources of the material constants stand
beside them, because two editions of one maker's tables differ by half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

RPM_PER_RAD_S = 60.0 / (2.0 * math.pi)
THINNEST_CHIP_MM = 1e-4
"""below this the power law says nothing: the edge only rubs"""


@dataclass(frozen=True, slots=True)
class Material:
    """What is cut: the specific cutting force at 1 mm chip thickness, and how it grows for thinner chips."""

    name: str
    kc11_n_mm2: float
    mc: float
    source: str


ALUMINIUM_7075 = Material("aluminium 7075", 800.0, 0.25, "handbook value for wrought aluminium")
C45 = Material("C45 annealed", 1500.0, 0.22, "handbook value")


@dataclass(frozen=True, slots=True)
class Cutter:
    """The cutting end of a tool."""

    diameter_mm: float
    teeth: int


def speed_rpm(cutting_speed_m_min: float, diameter_mm: float) -> float:
    """Spindle speed for a cutting speed."""
    return cutting_speed_m_min * 1000.0 / (math.pi * diameter_mm)


def chip_ratio(ae_mm: float, diameter_mm: float) -> float:
    """Mean chip thickness over feed per tooth, for radial engagement `ae_mm`: 0.637 for half the diameter."""
    ratio = min(max(ae_mm / diameter_mm, 1e-6), 1.0)
    return 2.0 * ratio / math.acos(1.0 - 2.0 * ratio)


@dataclass(frozen=True, slots=True)
class Cut:
    """One engagement. Build it once per block; `torque_nm` is cheap enough for every millisecond."""

    material: Material
    cutter: Cutter
    ae_mm: float
    ap_mm: float
    ratio: float

    @classmethod
    def of(cls, material: Material, cutter: Cutter, ae_mm: float, ap_mm: float) -> Cut:
        ae = min(ae_mm, cutter.diameter_mm)
        return cls(material, cutter, ae, ap_mm, chip_ratio(ae, cutter.diameter_mm))

    def chip_mm(self, feed_mm_min: float, speed_rpm: float) -> float:
        """Mean chip thickness."""
        return max(feed_mm_min / (speed_rpm * self.cutter.teeth) * self.ratio, THINNEST_CHIP_MM)

    def specific_force_n_mm2(self, feed_mm_min: float, speed_rpm: float) -> float:
        """Force per chip area at that chip thickness."""
        return float(self.material.kc11_n_mm2 * self.chip_mm(feed_mm_min, speed_rpm) ** -self.material.mc)

    def removal_cm3_min(self, feed_mm_min: float) -> float:
        return self.ae_mm * self.ap_mm * feed_mm_min / 1000.0

    def power_kw(self, feed_mm_min: float, speed_rpm: float) -> float:
        return self.removal_cm3_min(feed_mm_min) * self.specific_force_n_mm2(feed_mm_min, speed_rpm) / 60_000.0

    def torque_nm(self, feed_mm_min: float, speed_rpm: float) -> float:
        """Mean torque on the spindle; 0 when nothing moves or nothing is engaged."""
        if feed_mm_min <= 0.0 or speed_rpm <= 1.0 or self.ap_mm <= 0.0:
            return 0.0
        return self.power_kw(feed_mm_min, speed_rpm) * 1000.0 * RPM_PER_RAD_S / speed_rpm

    def tangential_force_n(self, torque_nm: float) -> float:
        """The force at the edge that makes this torque."""
        return torque_nm * 2000.0 / self.cutter.diameter_mm
