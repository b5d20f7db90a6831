"""One setting's policy over passages: what is quiet, what goes on, across channels."""

from __future__ import annotations

import numpy as np
import pytest

from nodes.impact_cortex.backtest import Backtest, Blocks
from nodes.impact_cortex.episodes import Passage
from schemas.base import Samples
from schemas.impact import Reaction
from schemas.machine import Execution, Motion, SignalBlock, Signals
from tests.nodes.impact_cortex.rig import ACCELEROMETER, DRIVE, MS, T0, machine_state

FEW = {"tasks": tuple({"name": n, "off": True} for n in ("load_cusum", "load_warning", "spindle_slow", "chatter"))}


def blocks(source: str, columns: dict[int, list[float]], width: int, first_ms: int = 0) -> Blocks:
    rows = len(next(iter(columns.values())))
    data = np.full((rows, width), 0.0, dtype=np.float32)
    for column, values in columns.items():
        data[:, column] = values
    accel = source == "accel"
    block = SignalBlock(
        stamp_ns=T0 + first_ms * MS,
        period_ns=MS // 10 if accel else MS,
        source=source,
        first_row=0,
        data=Samples.take(data),
    )
    return Blocks.of("machine/vibration" if accel else "machine/samples", block, 100 if accel else 1)


def watching(**parameters: object) -> Backtest:
    test = Backtest([{**FEW, **parameters}])
    test.signals(Signals(signals=DRIVE + ACCELEROMETER))
    test.state(machine_state(T0, Execution.ACTIVE, Motion.FEED), T0)
    return test


def test_an_event_lasts_while_another_source_is_not_quiet() -> None:
    """The load is quiet for 1.5 s between two peaks; only where it shakes meanwhile they are one event."""
    loads = [40.0] * 500 + [120.0] * 10 + [40.0] * 1500 + [120.0] * 10 + [40.0] * 100
    for shakes in (False, True):
        x_accel = [0.0] * 6000 + [60.0 * shakes * (-1) ** n for n in range(13_000)] + [0.0] * 2200
        test = watching(accel_reaction=Reaction.FEED_HOLD)
        test.rows([blocks("drive", {1: loads}, 4), blocks("accel", {0: x_accel}, 3)])
        test.finish()
        holds = [(d.episode, d.task, (d.heard_ns - T0) // MS) for d in test.decided(0)]
        assert holds == [(1, "load_limit", 502), *([] if shakes else [(2, "load_limit", 2012)])]


def test_decisions_stand_in_the_order_in_which_sources_were_heard() -> None:
    test = watching(accel_reaction=Reaction.WARN)
    x_accel = [0.0] * 4000 + [60.0, -60.0] * 500
    test.rows([blocks("drive", {1: [40.0] * 450 + [120.0] * 50}, 4), blocks("accel", {0: x_accel}, 3)])
    test.finish()
    assert [d.task for d in test.decided(0)] == ["vibration", "load_limit"]
    assert test.decided(0)[0].heard_ns < test.decided(0)[1].heard_ns


@pytest.mark.parametrize("cut", [1, 7, 100, 503, 505])
def test_passages_of_any_length_are_one(cut: int) -> None:
    loads = [40.0] * 500 + [120.0] * 10 + [40.0] * 300 + [120.0] * 10 + [40.0] * 1200 + [120.0] * 10
    whole, parts = watching(rearm_s=0.2), watching(rearm_s=0.2)
    whole.rows([blocks("drive", {1: loads}, 4)])
    for first in range(0, len(loads), cut):
        parts.rows([blocks("drive", {1: loads[first : first + cut]}, 4, first)])
        parts.finish()
    whole.finish()
    assert parts.decided(0) == whole.decided(0)
    assert [d.episode for d in whole.decided(0)] == [1, 2, 3]


def test_an_episode_is_over_when_all_was_quiet_for_long_or_would_have_been() -> None:
    test = watching(rearm_s=0.2)
    loads = [40.0] * 500 + [120.0] * 10 + [40.0] * 700 + [120.0] * 10 + [40.0] * 100
    test.rows([blocks("drive", {1: loads}, 4)])
    test.acknowledged()
    # three of five readings are above the limit up to two after the last peak
    assert {n: (ns - T0) // MS for n, ns in test.episodes[0].until_ns.items()} == {1: 511 + 200, 2: 1221 + 200}


def test_a_row_knows_its_block() -> None:
    passage = Passage(
        ("machine/samples", "drive"), 10, 7, np.array([0, 3, 5]), np.array([100, 200, 300]), np.array([130, 230, 330])
    )
    assert [passage.stamp(row) for row in range(7)] == [100, 110, 120, 200, 210, 300, 310]
    assert [passage.heard_before(ns) for ns in (0, 130, 131, 230, 231, 331)] == [0, 0, 3, 3, 5, 7]
