"""Drivers that fail, for tests of the machine that has them: real ones, put into the table of drivers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nodes.sensory_cortex.drivers import Setting
from nodes.sensory_cortex.drivers.simulator import SIGNALS, Simulator, SimulatorOptions
from nodes.sensory_cortex.options import option
from schemas.machine import SignalInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakingOptions(SimulatorOptions):
    breaks_at: int = option(0, doc="which call of `advance` raises")
    lacks: str = option("", doc="a library that is not there")

    def signals(self, name: str) -> Sequence[SignalInfo]:
        return () if self.lacks else SIGNALS


class Breaking(Simulator):
    """A simulated mill whose driver raises."""

    Options = BreakingOptions

    def __init__(self, setting: Setting) -> None:
        if setting.options.lacks:
            raise ModuleNotFoundError(f"No module named {setting.options.lacks!r}")
        super().__init__(setting)
        self._left = setting.options.breaks_at

    def advance(self, now_ns: int) -> list[Any]:
        self._left -= 1
        if self._left == 0:
            raise ZeroDivisionError("a fault of this driver")
        return super().advance(now_ns)
