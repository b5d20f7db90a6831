"""The table of monitoring tasks: which signal, which procedure, when, and what follows. It grows by rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from fnmatch import fnmatchcase

from nodes.impact_cortex.cusum import Cusum, Residual
from nodes.impact_cortex.detectors import Detector, Deviation, Limit
from schemas.impact import Reaction
from schemas.machine import Execution, Motion


@dataclass(frozen=True, slots=True)
class Settings:
    """The parameters of all tasks; times in seconds are turned into readings by each source's period."""

    limit_pct: float = 85.0
    limit_k: int = 3
    limit_n: int = 5
    hard_limit_pct: float = 160.0
    axis_limit_pct: float = 80.0
    warn_pct: float = 75.0
    warn_s: float = 0.5
    air_pct: float = 6.0
    cusum_drift_pct: float = 6.0
    cusum_threshold_pct_s: float = 1.2
    cusum_window_s: float = 0.25
    cusum_settle_s: float = 0.1
    model_settle_s: float = 0.5
    wear_rise_pct: float = 15.0
    wear_threshold_pct_s: float = 1.0
    breakage_fall_pct: float = 50.0
    breakage_threshold_pct_s: float = 0.6
    accel_limit: float = 30.0
    accel_window_s: float = 0.1
    accel_share: float = 0.15
    accel_reaction: Reaction = Reaction.WARN


class Reads(Enum):
    """What of its signal a task judges. Against the model it rests where there is none, or hardly a load."""

    VALUE = auto()
    NET = auto()
    """less idle"""
    ABOVE_MODEL = auto()
    """net load less the model's and a margin"""
    BELOW_MODEL = auto()
    """a share of the model's load, less the net one"""

    @property
    def against_model(self) -> bool:
        return self in (Reads.ABOVE_MODEL, Reads.BELOW_MODEL)

    def aim(self, s: Settings, idle: float, model: float) -> tuple[float, float]:
        """(gain, offset): what is judged is gain · value + offset."""
        match self:
            case Reads.NET:
                return 1.0, -idle
            case Reads.ABOVE_MODEL:
                return 1.0, -idle - model * (1.0 + s.wear_rise_pct / 100.0)
            case Reads.BELOW_MODEL:
                return -1.0, idle + model * (1.0 - s.breakage_fall_pct / 100.0)
        return 1.0, 0.0


@dataclass(frozen=True, slots=True)
class Task:
    """One row. `signal` is a name, or a pattern of several (`*`, `?`): each of them is judged by itself."""

    name: str
    signal: str
    gated: bool
    """only while the machine cuts: not in rapid, spin-up, tool change, dwell, and never outside a running program"""
    settle_s: float
    """how long after its gate opens, or the machine is released, readings are only followed until all is calm"""
    reaction: Callable[[Settings], Reaction]
    detector: Callable[[Settings, float], Detector]
    """from the settings and the period of the readings, s"""
    text: str
    reads: Reads = Reads.VALUE
    lasting: bool = False
    """what it found holds until it is judged again: a worn tool is worn in rapid and in the magazine, too"""

    def settles_s(self, s: Settings) -> float:
        return s.model_settle_s if self.reads.against_model else self.settle_s

    def watches(self, signal: str) -> bool:
        return fnmatchcase(signal, self.signal)


def _readings(seconds: float, period_s: float, least: int) -> int:
    return max(least, round(seconds / period_s))


def k_of_n(limit: float, s: Settings) -> Limit:
    """The rule for single limits; k beyond n means all of them."""
    return Limit(limit, min(s.limit_k, s.limit_n), s.limit_n)


def _warning(s: Settings, period_s: float) -> Limit:
    n = _readings(s.warn_s, period_s, 5)
    return Limit(s.warn_pct, k=max(1, n * 4 // 5), n=n)


def _cusum(s: Settings, period_s: float) -> Residual:
    return Residual(
        air=s.air_pct,
        drift=s.cusum_drift_pct,
        threshold=s.cusum_threshold_pct_s / period_s,
        window=_readings(s.cusum_window_s, period_s, 8),
        settle=_readings(s.cusum_settle_s, period_s, 2),
    )


def _vibration(s: Settings, period_s: float) -> Deviation:
    n = _readings(s.accel_window_s, period_s, 5)
    return Deviation(s.accel_limit, k=max(1, round(n * s.accel_share)), n=n, bucket=_readings(0.2, period_s, 20))


LOAD = "spindle_load_pct"

TASKS: tuple[Task, ...] = (
    Task(
        "load_limit",
        LOAD,
        gated=True,
        settle_s=0.05,
        reaction=lambda s: Reaction.FEED_HOLD,
        detector=lambda s, period_s: k_of_n(s.limit_pct, s),
        text="spindle load above its limit",
    ),
    Task(
        "load_hard",
        LOAD,
        gated=False,
        settle_s=0.0,
        reaction=lambda s: Reaction.STOP,
        detector=lambda s, period_s: k_of_n(s.hard_limit_pct, s),
        text="spindle load above what the drive may give in any state",
    ),
    Task(
        "axis_limit",
        "?_load_pct",
        gated=False,
        settle_s=0.05,
        reaction=lambda s: Reaction.FEED_HOLD,
        detector=lambda s, period_s: k_of_n(s.axis_limit_pct, s),
        text="axis load above what any motion needs",
    ),
    Task(
        "load_cusum",
        LOAD,
        gated=True,
        settle_s=0.05,
        reaction=lambda s: Reaction.FEED_HOLD,
        detector=_cusum,
        text="spindle load risen and stayed above what this cut had needed",
        reads=Reads.NET,
    ),
    Task(
        "tool_broken",
        LOAD,
        gated=True,
        settle_s=0.0,
        reaction=lambda s: Reaction.FEED_HOLD,
        detector=lambda s, period_s: Cusum(s.breakage_threshold_pct_s / period_s),
        text="spindle load far below what this cut needs: is the tool broken?",
        reads=Reads.BELOW_MODEL,
    ),
    Task(
        "tool_worn",
        LOAD,
        gated=True,
        settle_s=0.0,
        reaction=lambda s: Reaction.WARN,
        detector=lambda s, period_s: Cusum(s.wear_threshold_pct_s / period_s),
        text="spindle load above what this cut needs with a sharp tool",
        reads=Reads.ABOVE_MODEL,
        lasting=True,
    ),
    Task(
        "load_warning",
        LOAD,
        gated=True,
        settle_s=0.05,
        reaction=lambda s: Reaction.WARN,
        detector=_warning,
        text="spindle load close to its limit for long",
    ),
    Task(
        "vibration",
        "*_accel",
        gated=True,
        settle_s=0.1,
        reaction=lambda s: s.accel_reaction,
        detector=_vibration,
        text="vibration above its limit",
    ),
)

_CUTTING = frozenset({Motion.FEED, Motion.UNKNOWN})
"""UNKNOWN: a control that does not say what it does is judged whenever its program runs"""
_IDLING = frozenset({Motion.RAPID, Motion.DWELL})


def gate_open(execution: Execution, motion: Motion) -> bool:
    """Whether gated tasks judge: a program runs, and it moves at feed."""
    return execution is Execution.ACTIVE and motion in _CUTTING


def idling(execution: Execution, motion: Motion) -> bool:
    """Whether the spindle turns at speed and cuts nothing, so that its load is the idle load."""
    return execution is Execution.ACTIVE and motion in _IDLING
