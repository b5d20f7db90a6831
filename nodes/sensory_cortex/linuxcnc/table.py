"""What LinuxCNC's sampler takes once every servo period: a row for each of its pins. Adding a signal is adding a row.

The pins' order is that of rise.hal (`cfg=`), where each is linked to what the machine calls it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodes.sensory_cortex.signals import signal
from schemas.machine import Motion, SignalInfo
from schemas.topics import SAMPLES

PER_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Channel:
    """One pin of the sampler."""

    key: str
    """what the driver calls it"""
    kind: str
    """as in cfg=: f(loat), b(it), s(igned)"""
    signal: str = ""
    """the shop's word; MTConnect type and unit come from the vocabulary. Empty: the driver's own business"""
    factor: float = 1.0
    length: bool = False
    """in the machine's unit of length: inches become millimetres"""


CHANNELS: tuple[Channel, ...] = (
    Channel("x", "f", "x_mm", length=True),
    Channel("y", "f", "y_mm", length=True),
    Channel("z", "f", "z_mm", length=True),
    Channel("velocity", "f", "feed_mm_min", PER_MINUTE, length=True),
    Channel("spindle_rpm", "f", "spindle_speed_rpm"),
    Channel("load", "f", "spindle_load_pct"),
    Channel("velocity_asked", "f", factor=PER_MINUTE, length=True),
    Channel("spindle_rpm_asked", "f"),
    Channel("inhibited", "b"),
    Channel("enabled", "b"),
    Channel("in_position", "b"),
    Channel("beat_heard", "b"),
    Channel("motion_type", "s"),
    Channel("program_line", "s"),
    Channel("tool", "s"),
    Channel("feed_override", "f", factor=100.0),
)
AT = {channel.key: n for n, channel in enumerate(CHANNELS)}

MOTIONS: Mapping[float, Motion] = {
    0: Motion.IDLE,
    1: Motion.RAPID,
    2: Motion.FEED,
    3: Motion.FEED,  # an arc
    4: Motion.TOOL_CHANGE,
    5: Motion.FEED,  # probing
    6: Motion.RAPID,  # indexing a rotary axis
}
"""by `motion.motion-type`"""


@dataclass(frozen=True, slots=True)
class Layout:
    """The channels of one machine: the usual ones, and signals of its own behind them."""

    channels: tuple[Channel, ...]

    @classmethod
    def of(cls, more: Sequence[str]) -> Layout:
        """`more`: names of the vocabulary, read from further float pins.

        Raises:
            KeyError: a name is not in the vocabulary.
        """
        for name in more:
            signal(name, "", SAMPLES.name)
        return cls((*CHANNELS, *(Channel(name, "f", name) for name in more)))

    @property
    def types(self) -> str:
        """The sampler's cfg."""
        return "".join(c.kind for c in self.channels)

    @property
    def columns(self) -> list[int]:
        """The pins that are signals."""
        return [n for n, c in enumerate(self.channels) if c.signal]

    def signals(self, source: str) -> tuple[SignalInfo, ...]:
        return tuple(signal(c.signal, source, SAMPLES.name) for c in self.channels if c.signal)

    def factors(self, units_per_mm: float) -> NDArray[np.float32]:
        """What each pin's value is to be multiplied with."""
        return np.array([c.factor / (units_per_mm if c.length else 1.0) for c in self.channels], dtype=np.float32)
