"""Where in its program a machine is: in which block, since when, and whether that is known. Values in, values out.

What was taught of a block holds for a pass through it from its beginning, at the feed override at which it was taught.
A pass that was held, that was joined in its middle, or in which the override changed is not `whole` to its end: how far
it has come is no longer told by time, and its load is another.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.machine import Execution, MachineState

SAME_PCT = 1.0
"""an override that differs by no more is the same"""


@dataclass(frozen=True, slots=True)
class Place:
    """A pass through a block, while it cuts."""

    program: str
    tool: int
    block: int
    began_ns: int
    """by the machine's clock, when it began to cut"""
    override_pct: float
    """of the feed; NaN where the control does not say"""
    broken: str = ""
    """why it is not whole; empty when it is"""


def same_override(a: float, b: float) -> bool:
    return abs(a - b) <= SAME_PCT or (a != a and b != b)


class Follower:
    """Follows a machine's states."""

    def __init__(self) -> None:
        self._block: tuple[str, str, int, int] | None = None
        """run, program, tool and block; None before the first, and after silence"""
        self._cuts = False
        self._began_ns = 0
        self._override_pct = 0.0
        self._broken = ""

    def hear(self, state: MachineState | None, *, cuts: bool) -> Place | None:
        """Where it is now; None while it does not cut (`cuts`), or nobody knows."""
        if state is None or state.execution is Execution.UNAVAILABLE:
            self._block, self._cuts = None, False
            return None
        block = (state.run_id, state.program, state.tool_number, state.block_number)
        if block != self._block:
            self._broken = "" if self._block is not None else "it was joined in its middle"
            self._block, self._override_pct, self._cuts = block, state.feed_override_pct, False
        if not self._broken:
            if state.execution is not Execution.ACTIVE:
                self._broken = "it was held"
            elif not same_override(state.feed_override_pct, self._override_pct):
                self._broken = "the feed override changed in it"
        if cuts and not self._cuts:
            self._began_ns = state.stamp_ns
        self._cuts = cuts
        if not cuts:
            return None
        return Place(
            state.program, state.tool_number, state.block_number, self._began_ns, self._override_pct, self._broken
        )
