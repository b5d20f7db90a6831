from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.knowledge_graph import topology
from nodes.knowledge_graph.causes import Diagnosis, Reasoner, search
from nodes.knowledge_graph.faults import State
from nodes.knowledge_graph.reach import Reach
from nodes.knowledge_graph.reading import WORDS, Reading
from nodes.knowledge_graph.topology import Shared, derive

MACHINES = ("vmc1", "vmc2", "vmc3")


def graph() -> Reach:
    shape = derive({m: {"tools": [1, 2]} for m in MACHINES}, [Shared("tank", "coolant_tank", MACHINES)])
    for m in MACHINES:
        topology.add_coolant(shape, m)
        topology.add_source(shape, m, "drive")
    return Reach(shape)


REACH = graph()
REASONER = Reasoner(REACH.shape.components, REACH.upstream)


def coolant(machine: str, flow: State, pressure: State, level: State | None = None) -> list[Reading]:
    def one(quantity: str, at: str, state: State, probe: str) -> Reading:
        return Reading(machine, f"coolant_{quantity}", at, state, "", (f"{machine}/sensor/coolant_{probe}",))

    found = [
        one("flow", f"{machine}/coolant", flow, "flow_l_min"),
        one("pressure", f"{machine}/coolant", pressure, "pressure_bar"),
    ]
    return found if level is None else [*found, one("level", "tank", level, "level_pct")]


def top(diagnosis: Diagnosis) -> str:
    return diagnosis.causes[0].hypothesis.said


N, L, H, G = State.NORMAL, State.LOW, State.HIGH, State.GONE


@pytest.mark.parametrize(
    ("flow", "pressure", "level", "said"),
    [
        (L, L, N, "vmc1/coolant/pump delivers too little"),
        (L, H, N, "vmc1/coolant/filter is clogged"),
        (L, L, L, "tank is low"),
    ],
)
def test_the_same_symptom_has_another_cause_beside_other_readings(
    flow: State, pressure: State, level: State, said: str
) -> None:
    others = coolant("vmc2", N, N, N)
    diagnosis = REASONER.diagnose([*coolant("vmc1", flow, pressure, level), *others])
    assert top(diagnosis) == said


def test_one_shared_cause_beats_several_coincidences() -> None:
    low = [r for m in MACHINES for r in coolant(m, L, L)]
    diagnosis = REASONER.diagnose(low)
    assert top(diagnosis) == "tank is low"
    alone = REASONER.diagnose([*coolant("vmc1", L, L), *coolant("vmc2", N, N), *coolant("vmc3", N, N)])
    assert top(alone) == "vmc1/coolant/pump delivers too little"
    tank = next((c for c in alone.causes if c.hypothesis.component == "tank"), None)
    assert tank is None or {r.machine for r in tank.speaks_against} == {"vmc2", "vmc3"}


def test_a_level_that_is_low_explains_the_pump_away() -> None:
    """Flow and pressure alone say pump; with the level they say tank, and the pump is no longer likely."""
    without, with_level = (REASONER.diagnose(coolant("vmc1", L, L, level), most=9) for level in (None, L))

    def pump(d: Diagnosis) -> float:
        return next(c.probability for c in d.causes if c.hypothesis.component == "vmc1/coolant/pump")

    assert top(with_level) == "tank is low"
    assert pump(with_level) < 0.1 < pump(without)
    cause = next(c for c in with_level.causes if c.hypothesis.component == "vmc1/coolant/pump")
    assert cause.explained_by is not None
    assert cause.explained_by.said == "tank is low"


def test_two_faults_at_once_are_both_found() -> None:
    readings = [
        *coolant("vmc1", L, H, N),
        Reading("vmc2", "idle_load", "vmc2/spindle", H, ""),
        Reading("vmc2", "idle_vibration", "vmc2/spindle", H, ""),
    ]
    diagnosis = REASONER.diagnose(readings)
    assert {c.hypothesis.said for c in diagnosis.causes[:2]} == {
        "vmc1/coolant/filter is clogged",
        "vmc2/spindle has a failing bearing",
    }
    assert all(c.probability > 0.7 for c in diagnosis.causes[:2])


def test_only_causes_of_what_is_asked_are_given_but_all_is_weighed() -> None:
    spindle = Reading("vmc2", "idle_vibration", "vmc2/spindle", H, "")
    readings = [*coolant("vmc1", L, H, N), spindle]
    diagnosis = REASONER.diagnose(readings, about=[spindle], most=9)
    assert {c.hypothesis.component.partition("/")[0] for c in diagnosis.causes} == {"vmc2"}


def test_what_nothing_explains_is_said() -> None:
    odd = Reading("vmc1", "alarm", "vmc1", H, "X1 odd")
    assert REASONER.diagnose([odd, *coolant("vmc1", L, H, N)]).unexplained == (odd,)
    assert REASONER.diagnose([odd]) == Diagnosis((), (odd,))


PLACES = sorted(REACH.shape.components)
ANYTHING = st.builds(
    Reading,
    st.sampled_from(MACHINES),
    st.sampled_from(sorted(WORDS)),
    st.sampled_from([*PLACES, "nowhere"]),
    st.sampled_from(list(State)),
    st.just(""),
    st.lists(st.sampled_from([p for p in PLACES if "/sensor/" in p]), max_size=2).map(tuple),
)


@given(st.lists(ANYTHING, max_size=15), st.lists(ANYTHING, max_size=2))
def test_any_readings_give_probabilities_in_order(readings: list[Reading], supposed: list[Reading]) -> None:
    abnormal = [r for r in supposed if r.abnormal]
    diagnosis = REASONER.diagnose(readings, suppose=abnormal, most=20)
    shares = [c.probability for c in diagnosis.causes]
    assert all(-1e-9 <= p <= 1.0 + 1e-9 for p in shares)
    assert all(a >= b - 1e-6 for a, b in pairwise(shares))
    assert not any(c.speaks_for and not all(r.abnormal for r in c.speaks_for) for c in diagnosis.causes)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 10_000))
def test_the_beam_finds_what_trying_all_sets_finds(faults: int, seen: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    makes = rng.random((faults, seen)) * (rng.random((faults, seen)) > 0.4)
    single = np.log(rng.random(faults) * 0.05 + 1e-4)
    leak = np.full(seen, 1e-3)
    worth = {}
    for bits in range(1 << faults):
        members = tuple(i for i in range(faults) if bits >> i & 1)
        if len(members) <= 4:
            nothing = (1.0 - leak) * np.prod(1.0 - np.minimum(makes[list(members)], 1.0 - 1e-9), axis=0)
            worth[members] = float(np.log(1.0 - nothing).sum() + single[list(members)].sum())
    found = search(makes, single, leak)
    best = max(worth, key=lambda s: worth[s])
    assert found[best] == pytest.approx(worth[best])
    assert all(value == pytest.approx(worth[members]) for members, value in found.items())
