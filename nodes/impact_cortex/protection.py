"""Whether the machine is watched, and if not, why, in words. Values in, words out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from nodes.impact_cortex import policy
from nodes.impact_cortex.channel import Channel
from nodes.impact_cortex.tasks import Task
from nodes.impact_cortex.watch import Level, Watch
from schemas.impact import Mode, ProtectionState, Reaction
from schemas.machine import Execution, MachineInfo

PROTECTED, DEGRADED, UNPROTECTED = ProtectionState.PROTECTED, ProtectionState.DEGRADED, ProtectionState.UNPROTECTED
RANK = {PROTECTED: 0, DEGRADED: 1, UNPROTECTED: 2}


@dataclass(slots=True)
class Health:
    """What protection hangs on."""

    mode: Mode = Mode.OBSERVE
    info: MachineInfo | None = None
    execution: Execution | None = None
    """None: machine/state was never heard, or is silent"""
    signals_known: bool = False
    strangers: Collection[str] = ()
    """sources that machine/signals does not name"""
    resting: Sequence[str] = ()
    """what `resting` said of the channels"""
    state_age_ms: float = 0.0
    """how old machine/state was when it came"""
    bypass: str = ""
    """who bypasses it, until when and why"""
    powerless: bool = False
    """the last stop had no effect"""
    hal_error: str = ""
    """why the last request to the HAL was not taken"""


@dataclass(slots=True)
class _Found:
    state: ProtectionState = PROTECTED
    reasons: list[str] = field(default_factory=list)

    def add(self, state: ProtectionState, reason: str) -> None:
        self.reasons.append(reason)
        if RANK[state] > RANK[self.state]:
            self.state = state


def resting(channels: Sequence[Channel], tasks: Sequence[Task]) -> tuple[str, ...]:
    """The signals that tasks need and no source of this machine gives; changes with machine/signals only."""
    missing: dict[str, list[str]] = {}
    for task in tasks:
        if not any(task.watches(name) for c in channels for name in c.names):
            missing.setdefault(task.signal, []).append(task.name)
    return tuple(f"no signal {signal}: {', '.join(tasks)} cannot judge" for signal, tasks in missing.items())


def _could_hold(w: Watch) -> bool:
    waits = w.level is Level.UNGATED and not w.armed  # nothing is followed by it, so it does not know what is lost
    return not (waits or w.lost or w.resting) and policy.RANK[w.reaction] >= policy.RANK[Reaction.FEED_HOLD]


def _judged_without(channels: Sequence[Channel], age_ms: float) -> str:
    """What becomes of the gated tasks for which machine/state is too old; empty when it is for none."""
    watches = [w for c in channels for w in c.watches if w.task.gated and age_ms > w.task.max_state_age_ms]
    if not watches:
        return ""
    stand_in = dict.fromkeys(w.task.name for w in watches if w.level is Level.UNGATED)
    rest = [name for name in dict.fromkeys(w.task.name for w in watches) if name not in stand_in]
    most_ms = min(w.task.max_state_age_ms for w in watches)
    does = [f"{', '.join(stand_in)} by the ungated limit"] * bool(stand_in) + [f"{', '.join(rest)} not"] * bool(rest)
    return f"machine/state comes more than {most_ms:g} ms late: judged {'; '.join(does)}"


def protection(
    h: Health, channels: Sequence[Channel], silent: Sequence[Channel]
) -> tuple[ProtectionState, tuple[str, ...]]:
    """The worst state any finding calls for, and every reason. `silent` are those of `channels` that are not heard."""
    found = _Found()
    live = [c for c in channels if c not in silent]
    if not h.signals_known:
        found.add(UNPROTECTED, "machine/signals not heard yet: the columns of the samples are unknown")
    elif not live:
        found.add(UNPROTECTED, "samples silent")
    elif not any(_could_hold(w) for c in live if c.fits for w in c.watches):
        found.add(UNPROTECTED, "no task that could hold the feed has readings")
    if h.powerless:
        found.add(UNPROTECTED, "the last STOP had no effect")
    if h.bypass:
        found.add(UNPROTECTED, h.bypass)
    elif h.mode is Mode.OBSERVE:
        found.add(UNPROTECTED, "mode OBSERVE: nothing is asked of the machine")
    if h.hal_error:
        found.add(UNPROTECTED, f"the HAL did not take the last request: {h.hal_error}")
    if h.info is None:
        found.add(UNPROTECTED, "machine/info not heard yet: what the machine can do is unknown")
    elif not h.info.can_stop and not h.info.can_feed_hold:
        found.add(UNPROTECTED, "the machine can neither hold its feed nor stop on request")
    else:
        if not h.info.can_stop:
            found.add(DEGRADED, "the machine cannot be stopped on request")
        if not h.info.can_feed_hold:
            found.add(DEGRADED, "the machine cannot hold its feed on request")
    if h.mode is Mode.HOLD:
        found.add(DEGRADED, "mode HOLD: a stop is only said")
    if h.execution is None:
        found.add(DEGRADED, "machine/state silent: only the limits that need no gate are judged")
    elif h.execution is Execution.UNAVAILABLE:
        found.add(DEGRADED, "execution UNAVAILABLE: only the limits that need no gate are judged")
    elif old := _judged_without(live, h.state_age_ms):
        found.add(DEGRADED, old)
    if live:
        for c in silent:
            found.add(DEGRADED, f"source {c.source} silent")
    for source in [c.source for c in live if c.misfits] + sorted(h.strangers):
        found.add(DEGRADED, f"source {source} sends other columns than machine/signals names: not judged")
    for signal in dict.fromkeys(w.signal for c in live for w in c.watches if w.lost):
        found.add(DEGRADED, f"sensor {signal} gives no reading")
    for why in dict.fromkeys(f"{w.task.name} rests: {w.why}" for c in live for w in c.watches if w.why):
        found.add(DEGRADED, why)
    for reason in h.resting if h.signals_known else ():
        found.add(DEGRADED, reason)
    return found.state, tuple(found.reasons)
