"""A part of a bag: what is compared, and the warm-up before it that brings the node into step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

WARM_UP_S = 5.0
REACH_S = 25.0
"""so far back it is looked for a beginning after which all is known: about a second of replay with the 10 kHz signals
in the bag and a cell beside it"""
MID_RUN_REACH_S = 12.0
"""the same where it begins in mid-run: with other parameters two replays go side by side there"""
BEFORE_S = 2.0
AFTER_S = 3.0
OPEN_END_NS = 1 << 62


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds from the bag's first message: what is compared lies in start_s <= t < end_s.

    Raises:
        ValueError: it is empty, or the warm-up negative.
    """

    start_s: float = 0.0
    end_s: float = math.inf
    warm_up_s: float | None = None
    """replayed before it, not compared: the node's averages and counters fill. None: `warm_up_s` says"""

    def __post_init__(self) -> None:
        if not self.start_s < self.end_s or (self.warm_up_s is not None and not self.warm_up_s >= 0):
            raise ValueError(f"a window from {self.start_s:g} s to {self.end_s:g} s is none")


@dataclass(frozen=True, slots=True)
class Span:
    """A window in a bag's own time."""

    bag_start_ns: int
    """times in words count from here"""
    read_ns: int
    from_ns: int = 0
    """0: compared from the first callback on"""
    end_ns: int = OPEN_END_NS

    @classmethod
    def of(cls, window: Window | None, bag_start_ns: int, warm_up_s: float = WARM_UP_S) -> Self:
        """`warm_up_s` is for a window that says none."""
        if window is None:
            return cls(bag_start_ns, bag_start_ns)
        from_ns = bag_start_ns + round(max(0.0, window.start_s) * 1e9)
        before_s = warm_up_s if window.warm_up_s is None else window.warm_up_s
        read_ns = max(bag_start_ns, from_ns - round(before_s * 1e9))
        end_ns = OPEN_END_NS if math.isinf(window.end_s) else bag_start_ns + round(window.end_s * 1e9)
        return cls(bag_start_ns, read_ns, from_ns, end_ns)


def warm_up_s(start_s: float, called_s: Iterable[float]) -> float:
    """How long before a window's start to begin, where nobody says.

    At the bag's beginning when that is near: then nothing is unknown. Else before the first call that the node made
    in reach, since what it asked for may hold until it is released: begun in the middle of that, it would ask anew.

    Args:
        start_s: of the window, since the bag's first message.
        called_s: when the node called a service, in the same seconds.
    """
    if start_s <= REACH_S:
        return max(0.0, start_s)
    before = [at for at in called_s if start_s - MID_RUN_REACH_S <= at < start_s]
    return WARM_UP_S + max(0.0, start_s - min(before, default=start_s))
