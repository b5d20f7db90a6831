"""The main spindle: a torque curve, inertia, friction, and a speed controller that can only push so hard."""

from __future__ import annotations

from dataclasses import dataclass

from nodes.sensory_cortex.cutting import RPM_PER_RAD_S


@dataclass(frozen=True, slots=True)
class TorqueCurve:
    """Constant torque up to the corner speed, constant power above it."""

    rated_torque_nm: float = 35.0
    rated_power_kw: float = 5.5
    max_speed_rpm: float = 12_000.0
    overload: float = 1.5
    """the drive gives this much of the rated torque for the seconds of a ramp"""

    def rated_nm(self, speed_rpm: float) -> float:
        """Torque the motor can give for ever at this speed: 100 % load."""
        if speed_rpm <= 1.0:
            return self.rated_torque_nm
        return min(self.rated_torque_nm, self.rated_power_kw * 1000.0 * RPM_PER_RAD_S / speed_rpm)


class Spindle:
    """The turning part, stepped by the caller."""

    __slots__ = (
        "angle_rad",
        "commanded_rpm",
        "curve",
        "friction_nm",
        "inertia_kg_m2",
        "load_pct",
        "speed_rpm",
        "stiffness",
        "torque_nm",
        "viscous_nm_rpm",
    )

    def __init__(self, curve: TorqueCurve | None = None, inertia_kg_m2: float = 0.004) -> None:
        self.curve = curve or TorqueCurve()
        self.inertia_kg_m2 = inertia_kg_m2
        self.friction_nm = 0.15
        self.viscous_nm_rpm = 0.25 / 12_000.0
        self.stiffness = inertia_kg_m2 / RPM_PER_RAD_S / 0.02
        """controller gain, Nm per rpm of deviation: removes a deviation in 20 ms"""
        self.speed_rpm = 0.0
        self.commanded_rpm = 0.0
        self.angle_rad = 0.0
        self.torque_nm = 0.0
        self.load_pct = 0.0

    @property
    def standing(self) -> bool:
        return self.speed_rpm == 0.0

    def settled(self) -> bool:
        """Whether the commanded speed is reached within 1 %."""
        return abs(self.speed_rpm - self.commanded_rpm) <= 0.01 * self.commanded_rpm + 1.0

    def step(self, cutting_nm: float, dt_s: float) -> None:
        """Turn for `dt_s` against `cutting_nm`; a torque beyond the drive's slows the spindle until it stalls."""
        speed = self.speed_rpm
        if speed == 0.0 and self.commanded_rpm == 0.0:
            self.torque_nm = self.load_pct = 0.0
            return
        rated = self.curve.rated_nm(speed)
        limit = rated * self.curve.overload
        resisting = cutting_nm + self.friction_nm + self.viscous_nm_rpm * speed
        torque = resisting + self.stiffness * (self.commanded_rpm - speed)
        if torque > limit:
            torque = limit
        elif torque < -limit:
            torque = -limit
        after = speed + (torque - resisting) * RPM_PER_RAD_S / self.inertia_kg_m2 * dt_s
        if after < 0.0 or (self.commanded_rpm == 0.0 and after < 2.0):
            after = 0.0
        self.angle_rad += (speed + after) * 0.5 / RPM_PER_RAD_S * dt_s
        self.speed_rpm = after
        self.torque_nm = torque
        self.load_pct = abs(torque) * 100.0 / rated
