"""The part of impact_cortex that takes people's word on what it did."""

from __future__ import annotations

from bus.node import Node, publisher, service
from schemas import topics
from schemas.impact import Verdict, VerdictReply, VerdictRequest

MOST_KEPT = 10_000
"""interventions that are remembered; of an older one a verdict must say when it was"""
MOST_TEXT = 1000


class Verdicts(Node):
    """Mixed into the node."""

    verdicts = publisher(topics.VERDICT)

    _said: dict[str, int]
    """the interventions since the start, by id: when each was"""

    def _begin_verdicts(self) -> None:
        self._said = {}
        self._began_ns = self.now_ns()

    def _remember(self, intervention_id: str, stamp_ns: int) -> None:
        self._said[intervention_id] = stamp_ns
        if len(self._said) > MOST_KEPT:
            del self._said[next(iter(self._said))]

    @service(topics.JUDGE)
    def judge(self, request: VerdictRequest) -> VerdictReply:
        """Whether an intervention was right; said anew, the last word counts."""
        if wrong := self._wrong(request):
            return VerdictReply(accepted=False, text=wrong)
        stamp_ns = request.intervention_ns or self._said[request.intervention_id]
        self.verdicts.publish(
            Verdict(
                stamp_ns=self.now_ns(),
                intervention_id=request.intervention_id,
                intervention_ns=stamp_ns,
                judgement=request.judgement,
                judged_by=request.judged_by,
                reason=request.reason,
            )
        )
        text = f"{request.intervention_id}: {request.judgement}, by {request.judged_by}"
        self.log.info(f"{text}: {request.reason}")
        return VerdictReply(accepted=True, text=text)

    def _wrong(self, request: VerdictRequest) -> str:
        """Why a verdict cannot be taken; empty when it can."""
        said = request.intervention_id
        if not request.judged_by.strip() or not request.reason.strip():
            return "say who judges (judged_by) and why (reason)"
        if len(request.judged_by) + len(request.reason) > MOST_TEXT:
            return f"who and why: at most {MOST_TEXT} characters"
        node, _, number = said.rpartition("#")
        if node != self.name or not number.isdecimal():
            return f"{said[:200]!r} is no intervention of {self.name}: they are called {self.name}#1 and so on"
        known_ns = self._said.get(said)
        if request.intervention_ns:
            if known_ns == request.intervention_ns or request.intervention_ns < self._began_ns:
                return ""  # of before this start nobody here knows better
            return f"{said} was not at {request.intervention_ns}" + (f" but at {known_ns}" if known_ns else "")
        if known_ns is None:
            return f"no {said} since the engine was started; for an earlier one say when it was (intervention_ns)"
        return ""
