"""Which band holds where, and in words why none does."""

from __future__ import annotations

import math

import pytest

from nodes.impact_cortex.place import Place
from nodes.impact_cortex.taught import Lesson, Pool, Taught
from nodes.impact_cortex.tunnels import MOST, NOWHERE, Here, Tunnels
from schemas.impact import Tunnel

PLACE = Place("O1", 1, 10, 5, 100.0)


def taught(version: int = 1, runs: int = 2, override_pct: float = 100.0) -> Taught:
    pool = Pool()
    pool.bins((1, 10)).add(0, 40.0)
    pool.take()
    return Taught.read(
        Tunnel(
            tunnel_id="t/s/O1", stamp_ns=1, task="t", signal="s", unit="%", program="O1", version=version, runs=runs,
            override_pct=override_pct, step_s=0.05, taught_by="maria", reason="new part",
            stretches=pool.stretches(), band=pool.band(),
        )
    )  # fmt: skip


def here(tunnels: Tunnels, place: Place | None = PLACE, *, step_s: float = 0.05, learns: bool = False) -> Here:
    return tunnels.here("t", "s", place, step_s, 10.0, learns=learns)


def knowing(**words: float) -> Tunnels:
    tunnels = Tunnels()
    assert tunnels.take("t/s/O1", taught(**words))  # type: ignore[arg-type] # version and runs are whole
    return tunnels


def test_where_it_was_taught_it_judges() -> None:
    found = here(knowing())
    assert found.band is not None
    assert found.band.highs[0] == 44.0
    assert (found.where, found.why) == ("tunnel v1 of O1, tool 1, block 10", "")
    assert here(knowing(), None) == NOWHERE


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (Place("O2", 1, 10, 5, 100.0), "nothing was taught of O2"),
        (Place("O1", 2, 10, 5, 100.0), "nothing was taught of tool 2, block 10"),
        (Place("O1", 1, 10, 5, 60.0), "feed override 60 %, taught at 100 %"),
        (Place("O1", 1, 10, 5, math.nan), "feed override unknown, taught at 100 %"),
        (Place("O1", 1, 10, 5, 100.0, "it was held"), "block 10 is not judged to its end: it was held"),
    ],
)
def test_elsewhere_it_rests_and_says_why(place: Place, why: str) -> None:
    assert here(knowing(), place) == Here(None, None, "", why)


def test_in_other_steps_and_once_forgotten_it_rests() -> None:
    assert here(knowing(), step_s=0.1).why == "O1 was taught in steps of 0.05 s, not 0.1 s: teach it anew"
    assert here(knowing(runs=0)).why == "nothing was taught of O1"


def test_an_older_version_takes_nothing_away_and_there_are_not_too_many() -> None:
    tunnels = knowing(version=3)
    assert not tunnels.take("t/s/O1", taught(version=2))
    assert (tunnels.version("t/s/O1"), tunnels.version("other")) == (3, 0)
    for n in range(MOST):
        tunnels.take(f"{n}", taught())
    assert len(tunnels.taught) == MOST
    assert tunnels.take("t/s/O1", taught(version=4))


def test_one_of_those_who_judge_gathers_what_a_lesson_needs() -> None:
    tunnels = Tunnels()
    lesson = tunnels.lesson = Lesson("O1", frozenset({"t"}), 1, "maria", "new part")
    assert here(tunnels, learns=True).bins is None, "its run has not begun"
    lesson.begin("O1")
    assert here(tunnels).bins is None
    gathering = here(tunnels, learns=True)
    assert (gathering.bins is not None, gathering.why) == (True, "learns O1: 0 of 1 runs")
    assert here(tunnels, Place("O2", 1, 10, 5, 100.0), learns=True).bins is None
    assert lesson.spoiled == ""


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (Place("O1", 1, 20, 5, 60.0), "block 20: feed override 60 %, 100 % before"),
        (Place("O1", 1, 20, 5, 100.0, "it was held"), "block 20: it was held"),
    ],
)
def test_what_is_not_as_before_spoils_the_run(place: Place, why: str) -> None:
    tunnels = Tunnels()
    lesson = tunnels.lesson = Lesson("O1", frozenset({"t"}), 1, "maria", "new part")
    lesson.begin("O1")
    here(tunnels, learns=True)
    assert here(tunnels, place, learns=True).bins is None
    assert lesson.spoiled == why
    tunnels.spoil("something else")
    assert lesson.end() == why
    assert lesson.done == 0


def test_another_pace_in_mid_lesson_spoils_the_run() -> None:
    tunnels = Tunnels()
    lesson = tunnels.lesson = Lesson("O1", frozenset({"t"}), 1, "maria", "new part")
    lesson.begin("O1")
    assert here(tunnels, learns=True).bins is not None
    assert here(tunnels, learns=True, step_s=0.1).bins is None
    assert lesson.spoiled == "s comes at another pace, or t counts in other steps"
