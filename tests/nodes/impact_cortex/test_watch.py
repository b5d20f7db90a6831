"""A task at its limits: which of them judges, and when."""

from __future__ import annotations

import math

from nodes.impact_cortex.tasks import LOAD, Doing, Settings, Task, default_tasks, read
from nodes.impact_cortex.watch import Level, Watch, watches_of
from schemas.impact import Reaction
from schemas.machine import SignalInfo

INFO = SignalInfo(name=LOAD, mtconnect_type="LOAD", unit="%", source="drive", topic="machine/samples")
CUTTING = Doing(gate=True, speed_rpm=9549.0)


def task(**row: object) -> Task:
    (first, *_) = read([{"name": "load_limit", **row}], default_tasks(Settings()))
    return first


def levels(made: Task, period_s: float = 0.001) -> dict[Level, Watch]:
    return {w.level: w for w in watches_of(made, INFO, 0, period_s)}


def armed(watches: dict[Level, Watch], now: Doing) -> set[Level]:
    for w in watches.values():
        w.aim(now, 5.0)
    return {level for level, w in watches.items() if w.armed}


def test_each_limit_has_a_watch_and_a_warning_only_warns() -> None:
    watches = levels(task(warning=70.0, reaction="STOP"))
    assert {level: (w.detector.bound(w.state), w.reaction) for level, w in watches.items()} == {
        Level.WARNING: (70.0, Reaction.WARN),
        Level.ERROR: (85.0, Reaction.STOP),
        Level.UNGATED: (160.0, Reaction.STOP),
    }


def test_a_task_without_a_gate_needs_no_limit_for_an_old_state() -> None:
    assert levels(task(gated=False, ungated=100.0)).keys() == {Level.ERROR}


def test_the_ungated_limit_judges_when_the_state_is_old_and_only_then() -> None:
    watches = levels(task(warning=70.0))
    assert armed(watches, CUTTING) == {Level.ERROR, Level.WARNING}
    assert armed(watches, Doing(gate=True, age_ms=100.0)) == {Level.ERROR, Level.WARNING}
    assert armed(watches, Doing(gate=True, age_ms=100.1)) == {Level.UNGATED}
    assert armed(watches, Doing(gate=False, age_ms=math.inf)) == {Level.UNGATED}
    assert armed(watches, Doing(gate=False)) == set()


def test_what_begins_to_be_judged_settles_first() -> None:
    watches = levels(task())
    armed(watches, CUTTING)
    error = watches[Level.ERROR]
    assert error.settle_left == 50
    error.settle_left = 0
    armed(watches, CUTTING)
    assert error.settle_left == 0, "it was judged already"
    armed(watches, Doing())
    armed(watches, CUTTING)
    assert error.settle_left == 50
