from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

from tests.benchmarks.detect.closed import Outcome
from tests.benchmarks.detect.hours import HOUR_ROWS, Hour, Raised
from tests.benchmarks.detect.presets import PRESETS
from tests.benchmarks.detect.result import Counted, empty, plain, ways
from tests.benchmarks.detect.table import TOTAL, lines

FOUND = Outcome(
    "IN_CUT", "c45_annealed", 1200.0, 3000.0, 20.0, 15.0, 0.3, 30.0, 0.45, task="load_limit", reaction="FEED_HOLD"
)
MISSED = Outcome("IN_AIR", "c45_annealed", 200.0, 3000.0, 3.3, standing_ms=390.0, standing_mm=1.3, tripped_ms=380.0)


def counted(found: int, missed: int, false: int) -> Counted:
    c = Counted(PRESETS["drive_torque"], [FOUND] * found + [MISSED] * missed)
    for i in range(300):
        stops = ["load_cusum in c45, pass 1, N20 FEED: 1.3 against 1.2 %·s"] if i < false else []
        c.add_hour(Hour(HOUR_ROWS, {"drive_torque": Raised("drive_torque", stops, Counter(tool_worn=1))}))
    return c


def test_the_bar_is_on_crashes_found_and_on_false_stops() -> None:
    assert counted(1000, 0, 0).holds()
    assert counted(995, 5, 3).holds()
    assert not counted(994, 6, 0).holds()
    assert not counted(1000, 0, 4).holds()
    assert empty()["drive_torque"].holds() is None


def test_the_way_is_told_by_feed_and_beside_it_what_physics_says() -> None:
    slow, faster = ways([FOUND, MISSED, replace(FOUND, kind="TOO_DEEP")])
    assert (slow.band, slow.crashes, slow.found, slow.tripped) == ("0 to 300 mm/min", 1, 0, 1)
    assert (faster.band, faster.found, faster.decision_mm, faster.standing_mm) == (
        "1000 to 3000 mm/min", 1, (0.3, 0.3), (0.45, 0.45),
    )  # fmt: skip
    assert abs(faster.physics_mm - (20.0 * 0.019 + 20.0**2 / 6000.0)) < 1e-9


def test_the_table_fits_its_columns_and_the_figures_go_through_json() -> None:
    counts = empty() | {"drive_torque": counted(990, 10, 7)}
    counts["drive_torque"].faults["CHATTER"] = [replace(MISSED, kind="CHATTER", warned_ms=100.0, warned_by="chatter")]
    figures = json.loads(json.dumps(plain(counts), allow_nan=False))
    text = list(lines(figures))
    assert max(map(len, text)) <= TOTAL
    assert text[0] == "drive_torque: BAR DOES NOT HOLD"
    assert any("990 of 1000 found = 99.00 %" in line for line in text)
    assert any("7 stops in 300.0 machine hours = 2.33 per 100 h" in line for line in text)
    assert any("IN_AIR, c45_annealed, feed 200 mm/min" in line for line in text)
    assert any("told 1 of 1" in line for line in text)
