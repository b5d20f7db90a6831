"""The part of impact_cortex that acts: asks the HAL, sees whether it helps, and takes an operator's word."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bus.node import Node, Outcome, Source, client, publisher, service
from nodes.impact_cortex.bypass import Bypass, begun, refused
from nodes.impact_cortex.channel import Channel, newest
from nodes.impact_cortex.interventions import intervention, result
from nodes.impact_cortex.jobs import Jobs
from nodes.impact_cortex.policy import (
    NOTHING,
    RANK,
    Event,
    Step,
    allows_more,
    escalate,
    escalates,
    only_said,
    over,
    powerless,
)
from nodes.impact_cortex.watch import Watch
from schemas import topics
from schemas.base import Samples
from schemas.impact import BypassRequest, Intervention, Mode, ModeReply, ModeRequest, Reaction
from schemas.machine import (
    ActionReply,
    Alarm,
    Cause,
    ConditionLevel,
    Execution,
    FeedHoldRequest,
    MachineState,
    StopRequest,
)

ASK_TIMEOUT_S = 0.1
STANDING_MM_MIN = 20.0
STANDING_SHARE = 0.05
"""of the commanded feed: what is left then is no motion that a hold would not have ended"""
POWERLESS = "STOP_NOT_EFFECTIVE"


class Acting(Node):
    """Mixed into the node, which sets these."""

    mode: Mode
    rearm_s: float
    _jobs: Jobs
    _state: MachineState | None
    _event: Event
    _bypass: Bypass
    _went: Mode
    """how far it might go when that was looked at last"""
    _powerless: bool
    """a stop had no effect, and no operator has said since that the machine was seen to"""
    _watch: Watch | None
    _channel: Channel | None
    _newest: dict[Channel, Source]
    _cause: Cause
    _stamp_ns: int
    _back: int
    _unsaid: list[Callable[[], Intervention]]
    _again: tuple[str, Reaction, str] | None
    _asked_again: int
    _hal_error: str
    _effective_ns: int
    _stop_effective_ns: int

    interventions = publisher(topics.INTERVENTION)
    results = publisher(topics.REACTION_RESULT)
    alarms = publisher(topics.ALARM)
    feed_hold = client(topics.FEED_HOLD)
    stop = client(topics.STOP)

    if TYPE_CHECKING:

        def _all_channels(self) -> Iterable[Channel]: ...
        def _protect(self, now_ns: int) -> None: ...
        def _remember(self, intervention_id: str, stamp_ns: int) -> None: ...

    def _escalate(self, now_ns: int, refused: str = "") -> None:
        if not escalates(self._event):
            return
        above = self._watch is not None and self._watch.beyond
        if now_ns - self._event.held_ns >= self._effective_ns:  # not before: axes stand in a corner, too
            self._look_for_effect()
        signal = "" if self._event.finding is None else self._event.finding.signal
        self._event, steps = escalate(
            self._event,
            self._mode(now_ns),
            now_ns,
            above=above,
            reading=newest(self._all_channels(), signal),
            effective_ns=self._effective_ns,
            refused=refused,
        )
        if steps:
            if self._channel is not None:  # the sample that is newest now, whatever called for looking at it
                self._cause, self._stamp_ns = self._newest[self._channel].cause(), self._channel.newest_ns
                self._back = 0
            self._carry_out(steps, now_ns)

    def _look_for_effect(self) -> None:
        """Whether the axes stand, by no feed that is left; where none is measured, by a state that is not ACTIVE."""
        state = self._state
        if self._event.effective or state is None:
            return
        feed_mm_min = newest(self._all_channels(), "feed_mm_min")
        if math.isnan(feed_mm_min):
            effective = state.execution is not Execution.ACTIVE
        else:
            effective = feed_mm_min < STANDING_SHARE * state.feed_commanded_mm_min or (
                state.execution is not Execution.ACTIVE and feed_mm_min <= STANDING_MM_MIN
            )
        self._event = replace(self._event, effective=effective)

    def _look_for_power(self, now_ns: int) -> None:
        """A stop that does nothing is the worst there is to say, and is said until an operator resets."""
        if now_ns - self._event.stopped_ns >= self._stop_effective_ns:
            self._look_for_effect()
        if not powerless(self._event, now_ns, self._stop_effective_ns):
            return
        self._event, self._powerless = replace(self._event, powerless=True), True
        waited_ms = (now_ns - self._event.stopped_ns) / 1e6
        feed = newest(self._all_channels(), "feed_mm_min")
        moves = "" if math.isnan(feed) else f", feed {feed:.0f} mm/min"
        text = f"STOP without effect for {waited_ms:.0f} ms{moves}: press the machine's EMERGENCY STOP"
        self._alarm(ConditionLevel.FAULT, text)
        self.report(POWERLESS, ConditionLevel.FAULT, text)
        self.log.error(text)
        self._protect(now_ns)

    def _alarm(self, level: ConditionLevel, text: str) -> None:
        alarm_id = f"{self.name}/{POWERLESS.lower()}"
        stamp_ns, code = self.now_ns(), POWERLESS
        self.alarms.publish(
            Alarm(stamp_ns=stamp_ns, alarm_id=alarm_id, level=level, origin=self.name, native_code=code, text=text)
        )

    def _carry_out(self, steps: tuple[Step, ...], now_ns: int) -> None:
        """Ask, in order. What is said of it waits for the next callback: a request is dispatched when this one ends."""
        numbered = [(self.next_id(), step) for step in steps]
        for intervention_id, step in numbered:
            if not step.would_have and RANK[step.reaction] >= RANK[Reaction.FEED_HOLD]:
                self._asked_again = 0
                self._ask(intervention_id, step.reaction, step.finding.reason, now_ns)
        evidence = Samples([])
        names: tuple[str, ...] = ()
        if self._channel is not None:
            evidence = Samples.take(self._channel.evidence(self._back))
            names = self._channel.names
        for intervention_id, step in numbered:
            said = (self._mode(now_ns), self._state, self._cause, (now_ns, self._stamp_ns), names, evidence)
            self._unsaid.append(partial(intervention, intervention_id, step, *said))
            self._remember(intervention_id, now_ns)
            if self._jobs.run is not None:
                self._jobs.run.interventions += 1

    def _say(self) -> None:
        """What was decided in an earlier callback; a thousandth of a second later at the most, while readings come."""
        unsaid, self._unsaid = self._unsaid, []
        for made in unsaid:
            self.interventions.publish(made())

    def _ask(self, intervention_id: str, reaction: Reaction, reason: str, now_ns: int) -> None:
        then = partial(self._answered, intervention_id, reaction, reason, now_ns)
        if reaction is Reaction.STOP:
            stop = StopRequest(reason=reason, requested_by=self.name, stamp_ns=now_ns, cause=self._cause)
            self.stop.call(stop, timeout_s=ASK_TIMEOUT_S, then=then)
        else:
            hold = FeedHoldRequest(reason=reason, requested_by=self.name, stamp_ns=now_ns, cause=self._cause)
            self.feed_hold.call(hold, timeout_s=ASK_TIMEOUT_S, then=then)

    def _answered(
        self, intervention_id: str, reaction: Reaction, reason: str, asked_ns: int, outcome: Outcome[ActionReply]
    ) -> None:
        if self._unsaid:
            self._say()
        now_ns = self.now_ns()
        answer = result(intervention_id, reaction, asked_ns, now_ns, outcome)
        self.results.publish(answer)
        if answer.accepted:
            self._hal_error = ""
            if self._again is not None and RANK[self._again[1]] <= RANK[reaction]:
                self._again = None
            if self._event is not NOTHING:
                self._event = replace(self._event, accepted=True)
            return
        self._hal_error = answer.text
        if self._event is not NOTHING and (self._again is None or RANK[self._again[1]] <= RANK[reaction]):
            self._again = (intervention_id, reaction, reason)
        self._protect(now_ns)
        if reaction is Reaction.FEED_HOLD:
            self._escalate(now_ns, refused=answer.text)

    def _end_when_quiet(self, but: Channel | None = None, quiet_ns: int = 1 << 62) -> None:
        """By the readings' own time: a recording is played at any speed. `but`: a source that was quiet for so long."""
        quiet = [c.newest_ns - c.fired_ns for c in self._all_channels() if c.fired_ns and c is not but]
        if over(self._event, quiet=min([quiet_ns, *quiet]) > self.rearm_s * 1e9, released=False):
            self._end_event(f"quiet for {self.rearm_s:g} s")

    def _end_event(self, why: str, *, settle: bool = False, reset: bool = False) -> None:
        """`reset`: an operator has seen to the machine. That a stop had no effect is said until then."""
        if settle:
            for channel in self._all_channels():
                channel.settle()
        if reset and self._powerless:
            self._powerless = False
            self._alarm(ConditionLevel.NORMAL, "")
            self.clear(POWERLESS)
        if self._event is NOTHING:
            return
        self.log.info(f"event of {self._event.reaction} ended: {why}")
        self._event = NOTHING
        self._again = None
        self._hal_error = ""
        self._watch = None
        for channel in self._all_channels():
            for w in channel.watches:
                w.release()

    # --- an operator's word -----------------------------------------------------------------------------------------

    def _mode(self, now_ns: int) -> Mode:
        """How far it may go now."""
        return self._bypass.mode(self.mode, now_ns)

    def _look_for_mode(self, now_ns: int) -> None:
        """Where more is allowed than before, ask for what was only said, if it still is the case."""
        before, self._went = self._went, self._mode(now_ns)
        if not allows_more(self._went, before) or not only_said(self._event):
            return
        if not self._event.acted:
            self._end_event(f"mode {self._went}: what was only said is judged anew")
            return
        self._event = replace(self._event, reaction=self._event.asked)
        for channel in self._all_channels():
            for w in channel.watches:
                w.fired = False

    @service(topics.BYPASS)
    def on_bypass(self, request: BypassRequest) -> ModeReply:
        """Only observe for a time; 0 minutes end it."""
        now_ns = self.now_ns()
        if text := refused(request):
            return ModeReply(accepted=False, text=text)
        self._bypass = begun(request, now_ns)
        text = self._bypass.text(now_ns) or f"bypass ended by {request.changed_by}: {request.reason}"
        self.log.warning(text)
        self._look_for_mode(now_ns)
        self._protect(now_ns)
        return ModeReply(accepted=True, text=text)

    @service(topics.SET_MODE)
    def set_mode(self, request: ModeRequest) -> ModeReply:
        """Another mode; or the same one, which takes note of an operator's reset and ends the event."""
        if not request.changed_by or not request.reason:
            return ModeReply(accepted=False, text="say who changes the mode (changed_by) and why (reason)")
        same = request.mode is self.mode
        if same or not self._event.acted:
            self._end_event(f"{request.changed_by}: {request.reason}", reset=same)
        self.mode = request.mode
        self.log.info(f"mode {request.mode}, by {request.changed_by}: {request.reason}")
        now_ns = self.now_ns()
        self._look_for_mode(now_ns)
        self._protect(now_ns)
        return ModeReply(accepted=True, text=f"mode {request.mode}")
