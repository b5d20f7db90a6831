"""What a task said of a block: the rows that decide, the rows at which it held, what a reading was held against."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nodes.impact_cortex.detectors import block
from nodes.impact_cortex.tasks import Settings, default_tasks
from nodes.impact_cortex.told import Told
from nodes.impact_cortex.watch import Watch, watches_of
from tests.nodes.impact_cortex.rig import DRIVE


def watch(name: str) -> Watch:
    task = next(t for t in default_tasks(Settings(wear_threshold_pct_s=0.01)) if t.name == name)
    return next(watches_of(task, DRIVE[1], 1, 0.001))


def told(name: str, values: list[float], armed: list[bool], was: bool = False) -> Told:
    w = watch(name)
    array, gate = np.array(values), np.array(armed)
    before = w.state.copy()
    return Told(w, array, gate, block(w.detector, w.state, array, gate), before, was)


NAN = math.nan


def test_a_missing_reading_decides_nothing_and_holds_nothing() -> None:
    found = told("load_limit", [99.0, 99.0, 99.0, NAN, NAN], [True] * 5)
    assert found.decisive().tolist() == [0, 1, 2]
    assert np.flatnonzero(found.held()).tolist() == [2]
    assert found.after()


def test_what_was_fired_goes_on_where_nothing_is_known() -> None:
    assert told("load_limit", [NAN] * 3, [True] * 3, was=True).after()
    assert not told("load_limit", [50.0] * 3, [True] * 3, was=True).after()


def test_what_lasts_is_held_while_nothing_is_judged_and_other_things_are_not() -> None:
    armed = [True, True, False, False]
    worn = told("tool_worn", [20.0, 20.0, 0.0, 0.0], armed)
    assert (worn.decisive().tolist(), worn.held().tolist(), worn.after()) == ([0, 1], [True] * 4, True)
    limit = told("load_limit", [99.0, 99.0, 99.0, 99.0], [True, True, True, False])
    assert (limit.held().tolist(), limit.after()) == ([False, False, True, False], False)
    assert told("tool_worn", [NAN, 0.0], [False, False], was=True).held().tolist() == [False, True]


@pytest.mark.parametrize("row", [2, 3])
def test_the_reading_and_the_limit_of_a_row(row: int) -> None:
    assert told("load_limit", [99.0, 98.0, 97.0, 96.0], [True] * 4).value(row) == (99.0 - row, 85.0)
