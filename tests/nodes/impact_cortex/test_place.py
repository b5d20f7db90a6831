"""Where in its program a machine is, and when a pass through a block is not whole."""

from __future__ import annotations

import math
from typing import Any

from nodes.impact_cortex.place import Follower, Place, same_override
from schemas.machine import Execution, MachineState, Motion
from tests.nodes.impact_cortex.rig import machine_state


def at(stamp_ns: int, block: int, execution: Execution = Execution.ACTIVE, **changes: Any) -> MachineState:
    state = machine_state(stamp_ns, execution, Motion.FEED)
    return state.model_copy(update={"block_number": block, **changes})


def joined() -> Follower:
    """One that has seen the block before."""
    follower = Follower()
    follower.hear(at(1, 10), cuts=True)
    return follower


def test_a_block_begins_with_its_first_state_that_cuts() -> None:
    follower = joined()
    assert follower.hear(at(2, 20), cuts=False) is None
    began = Place("O1001", 1, 20, 3, 100.0)
    assert follower.hear(at(3, 20), cuts=True) == began
    assert follower.hear(at(4, 20), cuts=True) == began, "told again, it goes on"
    assert follower.hear(at(5, 30), cuts=True) == Place("O1001", 1, 30, 5, 100.0)
    assert follower.hear(at(6, 30, run_id="next"), cuts=True) == Place("O1001", 1, 30, 6, 100.0)


def test_a_block_that_is_cut_in_two_goes_begins_twice() -> None:
    follower = joined()
    follower.hear(at(2, 20), cuts=True)
    follower.hear(at(3, 20), cuts=False)
    assert follower.hear(at(4, 20), cuts=True) == Place("O1001", 1, 20, 4, 100.0)


def test_what_is_joined_in_its_middle_is_not_whole_until_the_next_block() -> None:
    follower = Follower()
    for _ in range(2):
        first = follower.hear(at(1, 10), cuts=True)
        assert first is not None
        assert first.broken == "it was joined in its middle"
        following = follower.hear(at(2, 20), cuts=True)
        assert following is not None
        assert following.broken == ""
        assert follower.hear(None, cuts=False) is None
        assert follower.hear(at(3, 20, Execution.UNAVAILABLE), cuts=False) is None


def test_held_it_is_broken_to_its_end() -> None:
    follower = joined()
    follower.hear(at(2, 20), cuts=True)
    assert follower.hear(at(3, 20, Execution.FEED_HOLD), cuts=False) is None
    again = follower.hear(at(4, 20), cuts=True)
    assert again is not None
    assert again.broken == "it was held"
    following = follower.hear(at(5, 30), cuts=True)
    assert following is not None
    assert following.broken == ""


def test_an_override_that_changes_in_a_block_breaks_it_even_when_it_comes_back() -> None:
    follower = joined()
    broken = []
    for stamp, override in enumerate((100.0, 100.5, 60.0, 100.0), 2):
        here = follower.hear(at(stamp, 20, feed_override_pct=override), cuts=True)
        assert here is not None
        broken.append(here.broken)
    assert broken == ["", "", "the feed override changed in it", "the feed override changed in it"]


def test_an_override_that_nobody_says_is_the_same_as_itself() -> None:
    assert same_override(math.nan, math.nan)
    assert not same_override(math.nan, 100.0)
    assert same_override(100.0, 101.0)
    assert not same_override(100.0, 101.1)
