"""The table of procedures: how a signal is judged, by which parameters, against what. It grows by rows.

A procedure makes a detector from a limit, its parameters and the period of the readings; times in seconds become
numbers of readings there, so that one row of tasks fits a drive at 1 kHz and a load meter at 10 Hz.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType

from nodes.impact_cortex.chatter import Chatter
from nodes.impact_cortex.cusum import Cusum, Residual
from nodes.impact_cortex.detectors import Detector, Deviation, Limit
from nodes.impact_cortex.stuck import Stuck
from nodes.impact_cortex.tunnel import Tunnel

Given = Mapping[str, float]


class Reads(Enum):
    """What of its signal a procedure judges. Against a model it rests where there is none, or hardly a load."""

    VALUE = auto()
    NET = auto()
    """less idle"""
    ABOVE_MODEL = auto()
    """net load less the model's and a margin"""
    BELOW_MODEL = auto()
    """a share of the model's load, less the net one"""
    SHORT_OF_COMMANDED = auto()
    """percent of the commanded spindle speed that is lacking"""

    @property
    def against_model(self) -> bool:
        return self in (Reads.ABOVE_MODEL, Reads.BELOW_MODEL)

    def aim(self, given: Given, idle_pct: float, model_pct: float, speed_rpm: float) -> tuple[float, float] | None:
        """(gain, offset): what is judged is gain · value + offset; None where that is not known."""
        match self:
            case Reads.NET:
                return 1.0, -idle_pct
            case Reads.ABOVE_MODEL if model_pct >= given["air_pct"]:
                return 1.0, -idle_pct - model_pct * (1.0 + given["rise_pct"] / 100.0)
            case Reads.BELOW_MODEL if model_pct >= given["air_pct"]:
                return -1.0, idle_pct + model_pct * (1.0 - given["fall_pct"] / 100.0)
            case Reads.SHORT_OF_COMMANDED if abs(speed_rpm) > 0:
                return -100.0 / abs(speed_rpm), 100.0
            case Reads.VALUE:
                return 1.0, 0.0
        return None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that a row of tasks may give."""

    default: float
    unit: str
    least: float
    most: float
    doc: str


@dataclass(frozen=True, slots=True)
class Procedure:
    """One way of judging."""

    text: str
    """what it found, in words"""
    detector: Callable[[float, Given, float], Detector]
    """from the limit, the parameters and the period of the readings, s"""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    unit: str | None = None
    """of its limit; None: the signal's"""
    reading_unit: str | None = None
    """of what it shows when it fires; None: the signal's"""
    reads: Reads = Reads.VALUE
    lasting: bool = False
    """what it found holds until it is judged again: a worn tool is worn in rapid and in the magazine, too"""

    def given(self, some: Given) -> Given:
        """Every parameter, the ones that are not given by their default."""
        return {name: some.get(name, p.default) for name, p in self.parameters.items()}


def readings(seconds: float, period_s: float, least: int) -> int:
    return max(least, round(seconds / period_s))


def _limit(limit: float, given: Given, period_s: float) -> Limit:
    # k beyond n means all of them
    return Limit(limit, min(int(given["k"]), int(given["n"])), int(given["n"]))


def _duration(limit: float, given: Given, period_s: float) -> Limit:
    n = readings(given["window_s"], period_s, 5)
    return Limit(limit, k=max(1, math.floor(n * given["share"])), n=n)


def _deviation(limit: float, given: Given, period_s: float) -> Deviation:
    n = readings(given["window_s"], period_s, 5)
    bucket = readings(given["rest_s"], period_s, 20)
    return Deviation(limit, k=max(1, round(n * given["share"])), n=n, bucket=bucket)


def _rise(limit: float, given: Given, period_s: float) -> Residual:
    return Residual(
        air=given["air_pct"],
        drift=given["drift_pct"],
        threshold=limit / period_s,
        window=readings(given["window_s"], period_s, 8),
        settle=readings(given["begin_s"], period_s, 2),
    )


def _cusum(limit: float, given: Given, period_s: float) -> Cusum:
    return Cusum(limit / period_s)


def _stuck(limit: float, given: Given, period_s: float) -> Stuck:
    return Stuck(max(readings(limit, period_s, 2), int(given["least"])), period_s, given["idle"])


def _chatter(limit: float, given: Given, period_s: float) -> Chatter:
    return Chatter(
        limit, readings(given["window_s"], period_s, 64), period_s, given["floor_m_s2"], int(given["windows"])
    )


def _tunnel(limit: float, given: Given, period_s: float) -> Tunnel:
    rows = readings(given["step_s"], period_s, 1)
    return Tunnel(limit, min(int(given["k"]), int(given["n"])), int(given["n"]), rows, period_s)


_AIR = Parameter(6.0, "%", 0, 100, "load above idle below which the tool cuts air")
_WINDOW = Parameter(0.5, "s", 0.001, 60, "span looked back at")
_SHARE = Parameter(0.8, "", 0.001, 1, "share of it beyond the limit that counts")

PROCEDURES: Mapping[str, Procedure] = MappingProxyType(
    {
        "limit": Procedure(
            "above its limit",
            _limit,
            {
                "k": Parameter(3, "", 1, 1000, "readings above the limit, of the last n, that count"),
                "n": Parameter(5, "", 1, 1000, "readings looked back at"),
            },
        ),
        "duration": Procedure("above its limit for long", _duration, {"window_s": _WINDOW, "share": _SHARE}),
        "deviation": Procedure(
            "away from rest",
            _deviation,
            {
                "window_s": _WINDOW,
                "share": _SHARE,
                "rest_s": Parameter(0.2, "s", 0.001, 60, "span of the mean that is rest"),
            },
        ),
        "rise": Procedure(
            "risen and stayed above what this cut had needed",
            _rise,
            {
                "air_pct": _AIR,
                "drift_pct": Parameter(6.0, "%", 0, 100, "rise that is taken as normal"),
                "window_s": Parameter(0.25, "s", 0.01, 60, "span of the mean that a rise is measured from"),
                "begin_s": Parameter(0.1, "s", 0, 60, "begin of a cut that is not judged"),
            },
            unit="%·s",
            reads=Reads.NET,
        ),
        "above_model": Procedure(
            "above what this cut needs",
            _cusum,
            {"air_pct": _AIR, "rise_pct": Parameter(15.0, "%", 0, 500, "of the model's load, taken as normal")},
            unit="%·s",
            reads=Reads.ABOVE_MODEL,
            lasting=True,
        ),
        "below_model": Procedure(
            "far below what this cut needs",
            _cusum,
            {"air_pct": _AIR, "fall_pct": Parameter(50.0, "%", 0, 100, "of the model's load, taken as normal")},
            unit="%·s",
            reads=Reads.BELOW_MODEL,
        ),
        "underspeed": Procedure(
            "short of the speed that is commanded",
            _duration,
            {"window_s": Parameter(0.1, "s", 0.001, 60, "span looked back at"), "share": _SHARE},
            unit="%",
            reads=Reads.SHORT_OF_COMMANDED,
        ),
        "stuck": Procedure(
            "the same to the last bit for too long: does the sensor live?",
            _stuck,
            {
                "least": Parameter(
                    500, "", 2, 1e6, "readings at least: a slow meter of whole percents may well repeat"
                ),
                "idle": Parameter(0.0, "", 0, 1e6, "readings up to this may repeat for ever"),
            },
            unit="s",
            reading_unit="s",
        ),
        "chatter": Procedure(
            "vibration that neither spindle nor teeth explain",
            _chatter,
            {
                "window_s": Parameter(0.1, "s", 0.005, 2, "length of one spectrum"),
                "windows": Parameter(2, "", 1, 100, "spectra in a row that count"),
                "floor_m_s2": Parameter(5.0, "m/s²", 0, 1e4, "root mean square below which nothing is said"),
            },
            unit="",
            reading_unit="",
        ),
        "tunnel": Procedure(
            "outside of what it was in the reference runs",
            _tunnel,
            {
                "step_s": Parameter(0.05, "s", 0.001, 10, "of time in a block: as exactly as runs repeat"),
                "margin_pct": Parameter(10.0, "%", 0, 100, "of the mean, by which the band is wider to either side"),
                "k": Parameter(8, "", 1, 1000, "readings outside by more than the limit, of the last n, that count"),
                "n": Parameter(10, "", 1, 1000, "readings looked back at"),
            },
        ),
    }
)
"""by the name that a row of tasks gives"""
