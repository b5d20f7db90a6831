"""Everything that was counted, and the figures that stand in the table. Sans-IO."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from nodes.impact_cortex import physics
from nodes.sensory_cortex.axes import Axes
from nodes.sensory_cortex.mill import CONTROL_DELAY_STEPS, STEP_S
from tests.benchmarks.detect.closed import Outcome
from tests.benchmarks.detect.crashes import CRASHES, Kind
from tests.benchmarks.detect.hours import HOUR_ROWS, Hour
from tests.benchmarks.detect.presets import PRESETS, Preset
from tests.benchmarks.detect.statistics import Share, quantile, share

DETECTED_BAR = 0.995
FALSE_PER_100_H_BAR = 1.0
FEEDS_MM_MIN = ((0.0, 300.0), (300.0, 1000.0), (1000.0, 3000.0), (3000.0, 10_000.0))
"""bands of the table; rapid has one of its own"""
ACCELERATION_MM_S2 = Axes().acceleration_mm_s2


@dataclass
class Counted:
    """One preset."""

    preset: Preset
    crashes: list[Outcome] = field(default_factory=list)
    faults: dict[str, list[Outcome]] = field(default_factory=dict)
    """the same for what is no crash, by kind"""
    rows: int = 0
    hours: int = 0
    hours_with_stop: int = 0
    stops: list[str] = field(default_factory=list)
    warnings: Counter[str] = field(default_factory=Counter)
    shaken_h: float = 0.0

    def add_hour(self, hour: Hour, name: str | None = None) -> None:
        raised = hour.raised[name or self.preset.name]
        self.rows += hour.rows
        self.hours += 1
        self.hours_with_stop += bool(raised.stops)
        self.stops += raised.stops
        self.warnings += raised.warnings
        self.shaken_h += raised.shaken_h

    @property
    def detected(self) -> Share:
        return share(sum(o.found for o in self.crashes), len(self.crashes))

    @property
    def stopped_hours(self) -> Share:
        return share(self.hours_with_stop, self.hours)

    @property
    def machine_h(self) -> float:
        return self.rows / HOUR_ROWS

    @property
    def false_per_100_h(self) -> float:
        return 100.0 * len(self.stops) / self.machine_h if self.rows else math.nan

    def holds(self) -> bool | None:
        """Whether the counted figures reach the bar; None for a preset that has none, or where nothing was run."""
        if not self.preset.has_bar or not self.crashes or not self.hours:
            return None
        return self.detected.value >= DETECTED_BAR and self.false_per_100_h <= FALSE_PER_100_H_BAR


@dataclass(frozen=True, slots=True)
class Way:
    """How far tools go after the touch, in one band of feeds."""

    band: str
    crashes: int
    found: int
    tripped: int
    """in which the control's own servo alarm came before our decision, or there was none"""
    decision_mm: tuple[float, float]
    """median and the value that 99 of 100 do not exceed"""
    standing_mm: tuple[float, float]
    decision_ms: tuple[float, float]
    standing_ms: tuple[float, float]
    physics_mm: float
    """median of v · (decision + the control's delay) + v²/2a: what stopping_distance says of the same decisions"""


def ways(outcomes: Sequence[Outcome]) -> list[Way]:
    """By feed, then rapid; what is deeper than programmed meets nothing at one moment, and is left out."""
    met = [o for o in outcomes if o.kind != Kind.TOO_DEEP.name]
    rapid = (Kind.RAPID.name, Kind.TOOL_CHANGE.name)
    at_feed = [o for o in met if o.kind not in rapid]
    bands = [
        (f"{low:.0f} to {high:.0f} mm/min", [o for o in at_feed if low <= o.feed_mm_min < high])
        for low, high in FEEDS_MM_MIN
    ]
    bands.append(("rapid", [o for o in met if o.kind in rapid]))
    return [_way(band, some) for band, some in bands if some]


def _way(band: str, outcomes: Sequence[Outcome]) -> Way:
    found = [o for o in outcomes if o.found]

    def both(values: Iterable[float]) -> tuple[float, float]:
        known = [v for v in values if not math.isnan(v)]
        return quantile(known, 0.5), quantile(known, 0.99)

    by_physics = [
        physics.stopping_distance_mm(
            o.met_mm_s * 60.0, o.decision_ms / 1000.0 + CONTROL_DELAY_STEPS * STEP_S, ACCELERATION_MM_S2
        )
        for o in found
    ]
    return Way(
        band,
        len(outcomes),
        len(found),
        sum(o.tripped_ms <= o.decision_ms or (not o.found and not math.isnan(o.tripped_ms)) for o in outcomes),
        both(o.decision_mm for o in found),
        both(o.standing_mm for o in outcomes),
        both(o.decision_ms for o in found),
        both(o.standing_ms for o in outcomes),
        quantile(by_physics, 0.5),
    )


def by_task(outcomes: Iterable[Outcome]) -> list[tuple[str, str, int]]:
    """(task, reaction, crashes that it was the first to find)."""
    counted = Counter((o.task, o.reaction) for o in outcomes if o.found)
    return [(task, reaction, n) for (task, reaction), n in counted.most_common()]


def of_tasks(stops: Iterable[str]) -> Counter[str]:
    """False stops by task."""
    return Counter(re.split(r" in ", text, maxsplit=1)[0] for text in stops)


def empty() -> dict[str, Counted]:
    return {name: Counted(preset) for name, preset in PRESETS.items()}


def plain(counted: Mapping[str, Counted]) -> dict[str, Any]:
    """The figures as data for JSON."""
    return {name: _plain(c) for name, c in counted.items()}


def _plain(c: Counted) -> dict[str, Any]:
    d, h = c.detected, c.stopped_hours
    return {
        "tasks": [f"{t.name}: {t.reaction}" for t in c.preset.tasks if _watched(c.preset, t.signal)],
        "configured": [dict(row) for row in c.preset.rows],
        "has_bar": c.preset.has_bar,
        "crashes": d.trials,
        "kinds": {
            kind.name: [sum(o.found for o in some), len(some)]
            for kind in CRASHES
            if (some := [o for o in c.crashes if o.kind == kind.name])
        },
        "detected": d.hits,
        "detected_share": _finite(d.value),
        "detected_95": [d.low, d.high],
        "machine_h": c.machine_h,
        "vibration_h": c.shaken_h,
        "false_stops": c.stops,
        "false_stops_per_100_h": _finite(c.false_per_100_h),
        "hours_with_false_stop_95": [h.low, h.high],
        "warnings": dict(c.warnings),
        "holds": c.holds(),
        "found_by": [list(row) for row in by_task(c.crashes)],
        "missed": [[o.kind, o.material, o.feed_mm_min, o.rpm, _finite(o.met_mm_s)] for o in c.crashes if not o.found],
        "raised_before_the_crash": sum(bool(o.sooner) for o in c.crashes),
        "ways": [
            {
                "feed": w.band,
                "crashes": w.crashes,
                "found": w.found,
                "servo_alarm_first": w.tripped,
                "decision_mm": [_finite(v) for v in w.decision_mm],
                "standing_mm": [_finite(v) for v in w.standing_mm],
                "decision_ms": [_finite(v) for v in w.decision_ms],
                "standing_ms": [_finite(v) for v in w.standing_ms],
                "physics_mm": _finite(w.physics_mm),
            }
            for w in ways(c.crashes)
        ],
        "faults": {kind: _faults(kind, some) for kind, some in c.faults.items()},
    }


def told(kind: str, o: Outcome) -> float:
    """ms from a fault that is no crash to its being told: a reaction, a warning, or a sensor known as lost."""
    if kind == Kind.SENSOR_LOST.name:
        return o.lost_ms
    return o.decision_ms if o.found else o.warned_ms


def _faults(kind: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    after = [ms for o in outcomes if not math.isnan(ms := told(kind, o))]
    s = share(len(after), len(outcomes))
    return {
        "faults": s.trials,
        "told": s.hits,
        "told_95": [s.low, s.high],
        "held": sum(o.found for o in outcomes),
        "by": dict(Counter(o.task if o.found else o.warned_by for o in outcomes if o.found or o.warned_by)),
        "ms": [_finite(quantile(after, 0.5)), _finite(quantile(after, 0.99))],
    }


def _watched(preset: Preset, pattern: str) -> bool:
    return any(fnmatchcase(s.name, pattern) for s in preset.signals)


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value
