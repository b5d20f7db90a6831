"""What decisions are worth: counted by labels and verdicts, and behind a recorded intervention not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.labels import Wrong
from nodes.impact_cortex.episodes import Decided
from nodes.impact_cortex.judging import ABOUT_NS, Count, count, known
from schemas.base import Samples
from schemas.impact import Intervention, Judgement, Mode, Reaction, Verdict
from schemas.machine import Cause, Execution

S = 1_000_000_000


def decided(*seconds: float, reaction: Reaction = Reaction.FEED_HOLD) -> list[Decided]:
    return [
        Decided(round(s * S), round(s * S), n, reaction, "load_limit", "spindle_load_pct", "%", 90.0, 85.0)
        for n, s in enumerate(seconds, 1)
    ]


def said(seconds: float, *, asked: bool = True, reaction: Reaction = Reaction.FEED_HOLD) -> Intervention:
    return Intervention(
        stamp_ns=round(seconds * S),
        intervention_id="vmc1/impact_cortex#1",
        reaction=reaction,
        mode=Mode.STOP if asked else Mode.OBSERVE,
        would_have=not asked,
        task="load_limit",
        signal="spindle_load_pct",
        unit="%",
        value=90.0,
        limit=85.0,
        reason="",
        execution=Execution.ACTIVE,
        program="O1",
        block_number=1,
        tool_serial="",
        run_id="r#1",
        cause=Cause(publisher="", topic="", seq=0),
        age_ms=0.0,
        evidence_names=(),
        evidence=Samples([]),
    )


def verdict(of: Intervention, judgement: Judgement, at_s: float = 1000.0) -> Verdict:
    return Verdict(
        stamp_ns=round(at_s * S),
        intervention_id=of.intervention_id,
        intervention_ns=of.stamp_ns,
        judgement=judgement,
        judged_by="maria",
        reason="seen",
    )


def worth(
    made: list[Decided], least: Reaction = Reaction.FEED_HOLD, until_ns: dict[int, int] | None = None, **what: Any
) -> Count:
    given: dict[str, Any] = {"labels": None, "interventions": [], "verdicts": [], "cycles_ns": [], "end_ns": 100 * S}
    return count(made, until_ns or {}, known(**{**given, **what}), least)


CRASH = Wrong(10 * S, 11 * S, "crash")


def test_without_a_word_of_anybody_nothing_is_judged() -> None:
    assert worth(decided(5.0, 20.0)) == Count(interventions=2, not_judged=2)


def test_a_label_makes_what_is_in_it_justified_what_is_outside_false_and_what_is_not_there_a_miss() -> None:
    both = [CRASH, Wrong(40 * S, 41 * S, "breakage")]
    assert worth(decided(5.0, 10.25, 10.5), labels=both) == Count(
        interventions=3, justified=2, false_stops=1, misses=1, delays_ms=[250.0]
    )


def test_a_verdict_counts_for_decisions_about_the_same_and_the_last_one_of_an_intervention() -> None:
    hold = said(10.0, asked=False)
    fine = [verdict(hold, Judgement.JUSTIFIED, 50.0), verdict(hold, Judgement.FALSE_STOP, 60.0)]
    assert worth(decided(9.5, 30.0), interventions=[hold], verdicts=reversed(fine)) == Count(
        interventions=2, false_stops=1, not_judged=1
    )
    right = worth(decided(9.5, 30.0), interventions=[hold], verdicts=[verdict(hold, Judgement.JUSTIFIED)])
    assert right == Count(interventions=2, justified=1, not_judged=1)
    assert worth([], interventions=[hold], verdicts=[verdict(hold, Judgement.JUSTIFIED)]) == Count(misses=1)


def test_a_verdict_on_an_intervention_of_the_same_number_and_another_time_says_nothing() -> None:
    other = verdict(said(77.0), Judgement.FALSE_STOP)
    assert worth(decided(10.0), interventions=[said(10.0, asked=False)], verdicts=[other]).not_judged == 1


def test_behind_a_recorded_intervention_nothing_can_be_known_until_the_next_cycle() -> None:
    hold = said(10.1)
    cases = {
        10.1: Count(interventions=1, justified=1, delays_ms=[100.0]),  # the recorded decision itself
        10.2: Count(unknown=1),
        9.0: Count(interventions=1, false_stops=1, unknown=1),
        19.9: Count(unknown=2),
        20.1: Count(interventions=1, false_stops=1, unknown=1),
    }
    for seconds, expected in cases.items():
        made = worth(decided(seconds), labels=[CRASH], interventions=[hold], cycles_ns=[5 * S, 20 * S])
        assert made == expected, seconds


@pytest.mark.parametrize("harmless", [said(10.1, asked=False), said(10.1, reaction=Reaction.WARN)])
def test_what_was_only_said_changed_nothing(harmless: Intervention) -> None:
    assert worth(decided(10.2), labels=[CRASH], interventions=[harmless]).justified == 1


def test_what_goes_wrong_while_a_machine_would_have_stood_for_another_reason_cannot_be_known() -> None:
    held = worth(decided(9.0), labels=[CRASH], until_ns={1: round(10.5 * S)})
    assert held == Count(interventions=1, false_stops=1, unknown=1)
    over = worth(decided(8.0), labels=[CRASH], until_ns={1: 9 * S})
    assert over == Count(interventions=1, false_stops=1, misses=1)


def test_warnings_count_when_they_are_asked_for() -> None:
    warned = decided(10.5, reaction=Reaction.WARN)
    assert worth(warned, labels=[CRASH]) == Count(misses=1)
    assert worth(warned, Reaction.WARN, labels=[CRASH]).justified == 1


def test_an_episode_counts_once_by_its_first_decision() -> None:
    hold, stop = decided(10.0)[0], decided(10.2, reaction=Reaction.STOP)[0]
    assert worth([hold, stop]).interventions == 1


moments = st.lists(st.floats(0.0, 100.0), max_size=8)


@given(moments, st.lists(st.floats(0.0, 100.0), max_size=4), moments, st.booleans())
def test_every_decision_and_every_label_is_counted_once(
    made: list[float], recorded: list[float], wrong: list[float], labelled: bool
) -> None:
    labels = [Wrong(round(s * S), round((s + 0.5) * S), "crash") for s in wrong] if labelled else None
    interventions = [said(s) for s in sorted(recorded)]
    found = worth(decided(*made), labels=labels, interventions=interventions, cycles_ns=[50 * S])
    assert found.interventions == found.justified + found.false_stops + found.not_judged
    assert found.interventions + found.unknown <= len(made) + len(labels or ())
    assert not labelled or found.not_judged == 0
    if not recorded:
        assert found.unknown == 0
        assert found.interventions == len(set(range(len(made))))
    assert len(found.delays_ms) + found.misses <= len(labels or ())
    assert all(0 <= ms <= 500 for ms in found.delays_ms)
    assert ABOUT_NS > 0
