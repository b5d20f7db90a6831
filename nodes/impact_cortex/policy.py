"""What follows from a finding: which reaction, in which order, and whether the mode allows it. No clock, no machine.

WARN < FEED_HOLD < STOP, and the feed always before the spindle: a stop is asked for after a feed hold, because a
spindle that stands in the cut breaks the tool. One reaction of a kind per event; an event lasts until the operator
releases the machine, or, where nothing was asked of it, until the signals are quiet. Warnings are told once per task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from schemas.impact import Mode, Reaction

RANK: Mapping[Reaction, int] = MappingProxyType(
    {Reaction.NONE: 0, Reaction.WARN: 1, Reaction.FEED_HOLD: 2, Reaction.STOP: 3}
)
ALLOWED: Mapping[Mode, Reaction] = MappingProxyType(
    {Mode.OBSERVE: Reaction.WARN, Mode.HOLD: Reaction.FEED_HOLD, Mode.STOP: Reaction.STOP}
)
"""the strongest reaction of each mode"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A task fired."""

    task: str
    signal: str
    unit: str
    value: float
    limit: float
    reaction: Reaction
    reason: str


@dataclass(frozen=True, slots=True)
class Event:
    """What is going on since the first finding; `NOTHING` before it."""

    reaction: Reaction = Reaction.NONE
    """the strongest so far, asked or only said"""
    finding: Finding | None = None
    """the first one of that strength"""
    asked: Reaction = Reaction.NONE
    """the strongest that was asked of the machine"""
    held_ns: int = 0
    """when the feed hold was asked"""
    stopped_ns: int = 0
    """when the stop was asked"""
    warned: frozenset[str] = frozenset()
    """the tasks whose warnings were said"""
    accepted: bool = False
    """the HAL took a request of this event"""
    effective: bool = False
    """the machine shows that what was asked works: its axes stand"""
    powerless: bool = False
    """a stop was asked for and had no effect: somebody must press the machine's own emergency stop"""
    settled: bool = False
    """the feed hold was looked at and found to help: what the operator does from here on is no reason to stop"""

    @property
    def acted(self) -> bool:
        """Something was asked of the machine."""
        return RANK[self.asked] >= RANK[Reaction.FEED_HOLD]


NOTHING = Event()


@dataclass(frozen=True, slots=True)
class Step:
    """One reaction to carry out, or only to say."""

    reaction: Reaction
    would_have: bool
    finding: Finding


def decide(event: Event, mode: Mode, finding: Finding, now_ns: int) -> tuple[Event, tuple[Step, ...]]:
    """The reactions that `finding` calls for beyond those of the event so far, weakest first."""
    wanted = finding.reaction
    if wanted is Reaction.WARN and event.reaction in (Reaction.NONE, Reaction.WARN):
        if finding.task in event.warned:
            return event, ()
        first = finding if event.finding is None else event.finding
        warned = replace(event, reaction=wanted, finding=first, warned=event.warned | {finding.task})
        return replace(warned, asked=wanted), (Step(wanted, False, finding),)
    if RANK[wanted] <= RANK[event.reaction]:
        return event, ()
    ladder = [Reaction.FEED_HOLD, Reaction.STOP] if wanted is Reaction.STOP else [wanted]
    reactions = [r for r in ladder if RANK[r] > RANK[event.reaction]]
    steps = tuple(Step(r, RANK[r] > RANK[ALLOWED[mode]], finding) for r in reactions)
    done = [s.reaction for s in steps if not s.would_have]
    asked = done[-1] if done else event.asked
    held_ns = now_ns if Reaction.FEED_HOLD in done else event.held_ns
    stopped_ns = now_ns if Reaction.STOP in done else event.stopped_ns
    return replace(event, reaction=wanted, finding=finding, asked=asked, held_ns=held_ns, stopped_ns=stopped_ns), steps


def allows_more(mode: Mode, before: Mode) -> bool:
    """Whether a stronger reaction is allowed than before."""
    return RANK[ALLOWED[mode]] > RANK[ALLOWED[before]]


def only_said(event: Event) -> bool:
    """Whether something was called for that the mode did not allow."""
    return RANK[event.reaction] > RANK[event.asked]


def escalates(event: Event) -> bool:
    """Whether a feed hold was asked for and has still to show that it helps."""
    return event.reaction is Reaction.FEED_HOLD and event.acted and not event.settled


def escalate(
    event: Event,
    mode: Mode,
    now_ns: int,
    *,
    above: bool,
    reading: float,
    effective_ns: int,
    refused: str = "",
) -> tuple[Event, tuple[Step, ...]]:
    """STOP after a feed hold that was asked for and does not help.

    `above`: the reading that led to the hold, now `reading`, is still beyond its limit. Judged `effective_ns` after
    the request, or at once when the HAL did not take it: `refused` says why.
    """
    f = event.finding
    if not escalates(event) or f is None:
        return event, ()
    waited_ns = now_ns - event.held_ns
    if refused:
        reason = f"feed hold not taken: {refused}"
    elif waited_ns < effective_ns:
        return event, ()
    elif above:
        still = f"{f.signal} still {reading:.3g} {f.unit}, limit {f.limit:.3g} {f.unit}"
        reason = f"{still}, {waited_ns / 1e6:.0f} ms after the feed hold"
    elif not event.effective:
        reason = f"feed hold without effect after {waited_ns / 1e6:.0f} ms"
    else:
        return replace(event, settled=True), ()
    return decide(event, mode, replace(f, reaction=Reaction.STOP, value=reading, reason=reason), now_ns)


def powerless(event: Event, now_ns: int, within_ns: int) -> bool:
    """Whether a stop that was asked for so long ago shows no effect, for the first time."""
    waits = event.asked is Reaction.STOP and not event.effective and not event.powerless
    return waits and now_ns - event.stopped_ns >= within_ns


def over(event: Event, *, quiet: bool, released: bool) -> bool:
    """Whether the event is at its end: released by the operator, or nothing was done and all is quiet."""
    return event is not NOTHING and (released or (quiet and not (event.acted and event.accepted)))
