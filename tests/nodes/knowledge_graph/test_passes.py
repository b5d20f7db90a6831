from __future__ import annotations

import math

import pytest

from nodes.knowledge_graph.passes import LEAST_SAMPLES, MOST_BLOCKS, Passes, Place

AIR: Place = ("P", 1, 50)
CUT: Place = ("P", 1, 40)
FINISH: Place = ("P", 2, 80)


def visit(passes: Passes, place: Place, now_ns: int = 0, samples: int = 10, **values: float) -> None:
    passes.at(place, now_ns)
    for _ in range(samples):
        for signal, value in values.items():
            passes.sample(signal, value)
    passes.at(None, now_ns)


def taught() -> Passes:
    passes = Passes(teach=2)
    passes.load = "torque"
    for _ in range(2):
        visit(passes, CUT, torque=1.4, vibration=5.0)
        visit(passes, AIR, torque=0.4, vibration=1.0)
        visit(passes, FINISH, torque=0.6, vibration=2.0)
    return passes


def test_nothing_is_said_before_it_has_learned() -> None:
    passes = Passes(teach=2)
    passes.load = "torque"
    assert passes.learning
    visit(passes, CUT, torque=1.0)
    visit(passes, AIR, torque=0.3)
    assert passes.learning
    assert passes.cutting("torque", less_idle=True) == {}
    assert taught().idle("torque") is None  # learned, and nothing has come since


def test_friction_shows_in_air_and_a_worn_edge_in_the_cut() -> None:
    passes = taught()
    visit(passes, CUT, 5, torque=1.9)
    visit(passes, AIR, 6, torque=0.4)
    worn = passes.cutting("torque", less_idle=True)[1]
    assert worn.ratio == pytest.approx(1.5)
    assert (worn.block, worn.begun_ns) == (40, 5)
    idle = passes.idle("torque")
    assert idle is not None
    assert idle.ratio == pytest.approx(1.0)
    visit(passes, CUT, 7, torque=1.8)
    visit(passes, AIR, 8, torque=0.8)
    idle = passes.idle("torque")
    assert idle is not None
    assert idle.ratio == pytest.approx(2.0)
    assert passes.cutting("torque", less_idle=True)[1].ratio == pytest.approx(1.0)


def test_each_tool_is_told_for_itself() -> None:
    passes = taught()
    for place, torque in ((CUT, 1.4), (AIR, 0.4), (FINISH, 1.0)):
        visit(passes, place, torque=torque)
    found = passes.cutting("torque", less_idle=True)
    assert found[1].ratio == pytest.approx(1.0)
    assert found[2].ratio == pytest.approx(3.0)


def test_a_short_or_disturbed_visit_says_nothing() -> None:
    passes = taught()
    visit(passes, AIR, samples=LEAST_SAMPLES - 1, torque=9.0)
    assert passes.idle("torque") is None
    passes.at(AIR)
    for _ in range(20):
        passes.sample("torque", 9.0)
    passes.forget_visit()
    passes.at(None)
    assert passes.idle("torque") is None


def test_no_reading_is_no_sample_and_memory_is_bounded() -> None:
    passes = taught()
    visit(passes, AIR, samples=50, torque=math.nan)
    assert passes.idle("torque") is None
    for block in range(MOST_BLOCKS + 100):
        visit(passes, ("Q", 1, block), torque=1.0)
    assert len(passes._blocks) == MOST_BLOCKS


def test_what_is_known_to_be_wrong_is_not_learned() -> None:
    passes = Passes(teach=1)
    passes.load = "torque"
    passes.may_teach = False
    visit(passes, AIR, torque=0.9)
    passes.may_teach = True
    assert passes.learning
    visit(passes, AIR, torque=0.4)
    visit(passes, AIR, torque=0.8)
    idle = passes.idle("torque")
    assert idle is not None
    assert idle.ratio == pytest.approx(2.0)


def moved(*loads: tuple[float, float]) -> Passes:
    """A program of one block for each (usual, now)."""
    passes = Passes()
    for which in (0, 1):
        for n, load in enumerate(loads):
            visit(passes, ("P", 1, n), axis=load[which])
    return passes


def test_an_axis_that_holds_a_weight_drags_in_what_moving_it_adds() -> None:
    change = moved((12.0, 12.0), (16.0, 20.0)).moving("axis")
    assert change is not None
    assert change.ratio == pytest.approx(2.0)
    assert (change.now, change.usual, change.block) == (20.0, 16.0, 1)


def test_an_axis_that_rests_somewhere_holds_no_weight() -> None:
    change = moved((0.5, 0.5), (16.0, 20.0)).moving("axis")
    assert change is not None
    assert change.ratio == pytest.approx(1.25)


def test_of_an_axis_whose_load_is_always_the_same_nobody_knows_what_moving_adds() -> None:
    for loads in [((12.0, 15.0),), ((12.0, 15.0), (12.0, 15.0)), ((12.0, 15.0), (14.0, 17.5))]:
        change = moved(*loads).moving("axis")
        assert change is not None
        assert change.ratio == pytest.approx(1.25)
