"""The world of a replayed node: which recorded answer a call gets."""

from __future__ import annotations

from bus.replay.context import NEVER_NS, ReplayContext, Result
from bus.replay.inputs import RecordedNode
from tests.bus.replay.toys import STOP, Told

NAME = "mill1/toy/stop"


def call(context: ReplayContext) -> int:
    """The number it is answered by."""
    before = set(context.asked)
    context.call(STOP, NAME, Told(text="now"), 1.0, None)
    ((_, number),) = set(context.asked) - before
    return number


def made() -> ReplayContext:
    return ReplayContext(RecordedNode("mill1/judge", "mill1"), Result("mill1/judge", 0))


def test_calls_are_numbered_from_the_nodes_first_one() -> None:
    context = made()
    assert [call(context) for _ in range(3)] == [1, 2, 3]


def test_in_mid_run_what_was_not_recorded_takes_no_answer_of_what_was() -> None:
    """Begun in the middle of a stop it asks for a stop again; the next recorded one must get its own answer."""
    context = made()
    context.counted = set()
    assert [call(context) for _ in range(3)] == [-1, -2, -3]
    assert all(asked.deadline_ns == NEVER_NS for asked in context.asked.values()), "it is not told that nobody answers"
    context.called_before(NAME, 7)
    assert [call(context), call(context)] == [8, 9]
