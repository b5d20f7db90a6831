"""What a shop sets, in a file or while the node runs, and what comes of what cannot be used."""

from __future__ import annotations

import pytest

from bus.node import BadParameter
from schemas import topics
from schemas.impact import (
    Assessment,
    Intervention,
)
from tests.nodes.impact_cortex.rig import MS, World, cutting, drive_block


def test_a_limit_set_while_running_counts_at_once() -> None:
    world = cutting()
    world.node.__dict__["limit_pct"] = 30.0
    world.node.on_parameter("limit_pct")
    world.samples(40.0, 60)
    assert world.reactions == [("load_limit", "FEED_HOLD")]


def test_cuts_set_while_running_count_at_once_and_bad_ones_are_not_used() -> None:
    world = cutting()
    world.node.__dict__["cuts"] = ({"tool": 1, "load_pct": 80.0},)
    world.node.on_parameter("cuts")
    world.samples(40.0, 50)
    assert world.said(Assessment)[-1].model_load_pct == 80.0
    world.node.__dict__["cuts"] = ({"tool": 1, "lod_pct": 90.0},)
    world.node.on_parameter("cuts")
    world.samples(40.0, 50)
    assert world.said(Assessment)[-1].model_load_pct == 80.0
    world.node.__dict__["limit_pct"] = 30.0  # what else is set counts all the same
    world.node.on_parameter("limit_pct")
    world.samples(40.0, 60)
    assert ("load_limit", "FEED_HOLD") in world.reactions
    with pytest.raises(BadParameter, match="did you mean 'load_pct'"):
        World(cuts=({"lod_pct": 90.0},))


def test_tasks_set_while_running_count_at_once_and_bad_ones_are_not_used() -> None:
    world = cutting()
    world.node.__dict__["tasks"] = ({"name": "load_limit", "error": 95.0, "warning": 60.0},)
    world.node.on_parameter("tasks")
    world.samples(70.0, 100)
    assert world.reactions == [("load_limit", "WARN")]
    world.samples(90.0, 20)
    world.samples(70.0, 60)
    assert world.reactions == [("load_limit", "WARN")]
    world.node.__dict__["tasks"] = ({"name": "load_limit", "eror": 1.0},)
    world.node.on_parameter("tasks")
    world.samples(97.0, 60)
    assert ("load_limit", "FEED_HOLD") in world.reactions
    with pytest.raises(BadParameter, match="did you mean 'error'"):
        World(tasks=({"name": "load_limit", "eror": 1.0},))


def test_a_spindle_short_of_its_speed_is_warned_of() -> None:
    world = cutting(tasks=({"name": "spindle_slow", "error": 5.0},))
    for _ in range(400):
        world.now += MS
        block = drive_block(world.now, world._rows, 40.0)
        data = block.data.array.copy()
        data[:, 0] *= 0.9
        world._hear(topics.SAMPLES)
        world.node.on_samples(block.model_copy(update={"data": type(block.data)(data)}))
        world._rows += 1
    assert world.reactions == [("spindle_slow", "WARN")]
    assert world.said(Intervention)[0].value == pytest.approx(8594, abs=1)


def test_a_load_that_repeats_itself_for_ten_seconds_is_warned_of() -> None:
    stuck = {"name": "load_stuck", "signal": "spindle_load_pct", "procedure": "stuck", "error": 10.0}
    world = cutting(tasks=(stuck,))
    world.samples(40.0, 10_100)
    assert ("load_stuck", "WARN") in world.reactions
