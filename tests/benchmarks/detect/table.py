"""The table of `make bench-detect`, in 120 columns. Sans-IO: figures in, lines out.

`by v, a` is the median of what v · t + v²/2a says of the same decisions: speed at the touch, time to the decision and
the control's delay, the axes' deceleration. `alarm` counts where the control's own servo alarm was not later than ours.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

TOTAL = 120
NAMES = {
    "BREAKAGE": "tool breaks",
    "CHATTER": "chatter",
    "SENSOR_LOST": "sensor lost (plausibility)",
}


def lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """Of `plain` in result.py."""
    for name, f in figures.items():
        yield from _preset(name, f)
        yield ""


def _preset(name: str, f: Mapping[str, Any]) -> Iterator[str]:
    verdict = {None: "reported, no bar", True: "bar holds", False: "BAR DOES NOT HOLD"}[f["holds"]]
    yield f"{name}: {verdict}"
    bar = (", bar 99.5 %", ", bar 1") if f["has_bar"] else ("", "")
    low, high = f["detected_95"]
    yield (
        f"  crashes    {f['detected']} of {f['crashes']} found = {_percent(f['detected_share'])} "
        f"[{_percent(low)}, {_percent(high)}]{bar[0]}; found is a FEED_HOLD or a STOP"
    )
    yield from _wrapped("             ", ", ".join(f"{kind} {found}/{n}" for kind, (found, n) in f["kinds"].items()))
    low, high = f["hours_with_false_stop_95"]
    yield (
        f"  false      {len(f['false_stops'])} stops in {f['machine_h']:.1f} machine hours = "
        f"{_number(f['false_stops_per_100_h'])} per 100 h{bar[1]}; hours with one [{_percent(low)}, {_percent(high)}]"
    )
    yield from _wrapped("             ", f"warnings in them: {_counts(f['warnings'])}")
    if f["vibration_h"]:
        yield f"             acceleration made reading by reading: {f['vibration_h']:.1f} h of cutting, see hours.py"
    yield from _wrapped("  tasks      ", ", ".join(f["tasks"]))
    for row in f["configured"]:
        yield from _wrapped("  configured ", ", ".join(f"{k} = {v}" for k, v in row.items() if k != "text"))
    by = ", ".join(f"{task} {reaction} {n}" for task, reaction, n in f["found_by"])
    yield from _wrapped("  found by   ", by or "nothing")
    yield from _ways(f["ways"])
    for kind, some in f["faults"].items():
        low, high = some["told_95"]
        ms = " / ".join(_number(v) for v in some["ms"])
        what = f"{NAMES.get(kind, kind)}: told {some['told']} of {some['faults']} [{_percent(low)}, {_percent(high)}]"
        yield from _wrapped("  ", f"{what}, held {some['held']}, after {ms} ms, by {_counts(some['by'])}")
    for text in f["false_stops"][:5]:
        yield from _wrapped("  false stop ", text)
    for kind, material, feed, rpm, met in f["missed"][:5]:
        yield f"  missed     {kind}, {material}, feed {feed:.0f} mm/min, {rpm:.0f} rpm, met at {_number(met)} mm/s"


def _ways(ways: list[dict[str, Any]]) -> Iterator[str]:
    head = ("from the touch, median / 99 %", "crashes", "mm to decision", "mm to standing", "by v, a", "ms to decision",
            "ms to standing", "alarm")  # fmt: skip
    widths = (31, 9, 16, 16, 8, 16, 16, 0)
    if ways:
        yield "  " + "".join(f"{cell:<{w}}" for cell, w in zip(head, widths, strict=True)).rstrip()
    for w in ways:
        cells = (
            f"{w['feed']}",
            f"{w['found']}/{w['crashes']}",
            *(" / ".join(_number(v) for v in w[key]) for key in ("decision_mm", "standing_mm")),
            _number(w["physics_mm"]),
            *(" / ".join(_number(v) for v in w[key]) for key in ("decision_ms", "standing_ms")),
            str(w["servo_alarm_first"]),
        )
        yield "  " + "".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def _wrapped(begin: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(text, TOTAL, initial_indent=begin, subsequent_indent=" " * len(begin))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100.0 * share:.2f} %"


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda c: -c[1])) or "none"
