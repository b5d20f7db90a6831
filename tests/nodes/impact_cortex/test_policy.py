"""The ladder of reactions as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.impact_cortex.policy import ALLOWED, NOTHING, RANK, Event, Finding, decide, escalate, over, powerless
from schemas.impact import Mode, Reaction

WARN, FEED_HOLD, STOP = Reaction.WARN, Reaction.FEED_HOLD, Reaction.STOP
MS = 1_000_000


def finding(reaction: Reaction) -> Finding:
    return Finding("load_limit", "spindle_load_pct", "%", 93.0, 85.0, reaction, "spindle load above its limit")


@pytest.mark.parametrize(
    ("mode", "wanted", "said"),
    [
        (Mode.OBSERVE, WARN, [(WARN, False)]),
        (Mode.OBSERVE, FEED_HOLD, [(FEED_HOLD, True)]),
        (Mode.OBSERVE, STOP, [(FEED_HOLD, True), (STOP, True)]),
        (Mode.HOLD, FEED_HOLD, [(FEED_HOLD, False)]),
        (Mode.HOLD, STOP, [(FEED_HOLD, False), (STOP, True)]),
        (Mode.STOP, WARN, [(WARN, False)]),
        (Mode.STOP, STOP, [(FEED_HOLD, False), (STOP, False)]),
    ],
)
def test_mode_and_order(mode: Mode, wanted: Reaction, said: list[tuple[Reaction, bool]]) -> None:
    _, steps = decide(NOTHING, mode, finding(wanted), 0)
    assert [(s.reaction, s.would_have) for s in steps] == said


def test_one_reaction_of_a_kind_per_event() -> None:
    event, first = decide(NOTHING, Mode.STOP, finding(WARN), 0)
    event, again = decide(event, Mode.STOP, finding(WARN), 1)
    event, stronger = decide(event, Mode.STOP, finding(FEED_HOLD), 2)
    event, weaker = decide(event, Mode.STOP, finding(WARN), 3)
    assert [len(s) for s in (first, again, stronger, weaker)] == [1, 0, 1, 0]
    assert event.asked is FEED_HOLD
    assert event.held_ns == 2


def test_a_warning_is_told_once_per_task() -> None:
    worn, chatter = finding(WARN), replace(finding(WARN), task="vibration")
    event = NOTHING
    told = []
    for each in (worn, chatter, worn, chatter):
        event, steps = decide(event, Mode.STOP, each, 0)
        told += [s.finding.task for s in steps]
    assert told == ["load_limit", "vibration"]
    assert event.finding == worn
    event, steps = decide(event, Mode.STOP, finding(FEED_HOLD), 1)
    assert [s.reaction for s in steps] == [FEED_HOLD]
    assert decide(event, Mode.STOP, replace(worn, task="other"), 2) == (event, ())


HELD = Event(FEED_HOLD, finding(FEED_HOLD), asked=FEED_HOLD, held_ns=0, accepted=True)
EFFECTIVE = Event(FEED_HOLD, finding(FEED_HOLD), asked=FEED_HOLD, held_ns=0, accepted=True, effective=True)
ONLY_SAID = Event(FEED_HOLD, finding(FEED_HOLD))


@pytest.mark.parametrize(
    ("event", "ms", "above", "refused", "stops"),
    [
        (HELD, 149, True, "", False),
        (HELD, 150, True, "", True),
        (HELD, 150, False, "", True),  # no sign that the hold works
        (EFFECTIVE, 150, False, "", False),
        (EFFECTIVE, 150, True, "", True),
        (HELD, 1, False, "nobody serves it", True),
        (ONLY_SAID, 500, True, "", False),
    ],
)
def test_stop_follows_a_hold_that_does_not_help(event: Event, ms: int, above: bool, refused: str, stops: bool) -> None:
    after, steps = escalate(
        event, Mode.STOP, ms * MS, above=above, reading=99.0, effective_ns=150 * MS, refused=refused
    )
    assert [s.reaction for s in steps] == ([STOP] if stops else [])
    assert (
        escalate(after, Mode.STOP, 2 * ms * MS + 1, above=True, reading=99.0, effective_ns=150 * MS)[1] == ()
        or not stops
    )


def test_mode_hold_only_says_the_stop() -> None:
    _, (step,) = escalate(HELD, Mode.HOLD, 150 * MS, above=True, reading=99.0, effective_ns=150 * MS)
    assert step.would_have


def test_what_was_done_is_latched_and_what_was_said_fades() -> None:
    assert not over(NOTHING, quiet=True, released=True)
    assert not over(HELD, quiet=True, released=False)
    assert over(HELD, quiet=False, released=True)
    assert over(ONLY_SAID, quiet=True, released=False)
    assert not over(ONLY_SAID, quiet=False, released=False)


@given(mode=st.sampled_from(Mode), wanted=st.lists(st.sampled_from([WARN, FEED_HOLD, STOP]), max_size=6))
def test_nothing_beyond_the_mode_is_ever_asked_and_no_stop_before_a_hold(mode: Mode, wanted: list[Reaction]) -> None:
    event, done, said = NOTHING, [], []
    for i, reaction in enumerate(wanted):
        event, steps = decide(event, mode, finding(reaction), i)
        said += [s.reaction for s in steps]
        done += [s.reaction for s in steps if not s.would_have]
    assert all(RANK[r] <= RANK[ALLOWED[mode]] for r in done)
    assert said == sorted(set(said), key=RANK.__getitem__)
    assert STOP not in said or said.index(FEED_HOLD) == said.index(STOP) - 1


def test_a_stop_that_shows_nothing_is_told_once_and_one_that_works_never() -> None:
    event, _ = decide(NOTHING, Mode.STOP, finding(STOP), 100 * MS)
    assert [powerless(event, at * MS, 500 * MS) for at in (100, 599, 600, 9000)] == [False, False, True, True]
    assert not powerless(replace(event, powerless=True), 9000 * MS, 500 * MS)
    assert not powerless(replace(event, effective=True), 9000 * MS, 500 * MS)
    only_said, _ = decide(NOTHING, Mode.HOLD, finding(STOP), 0)
    assert not powerless(only_said, 9000 * MS, 500 * MS)
