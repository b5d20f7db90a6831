"""A reaction as the messages that tell of it: what was seen, what was done, what the HAL answered."""

from __future__ import annotations

import math

from bus.node import Outcome
from nodes.impact_cortex.cuts import ONE_CLOCK_NS
from nodes.impact_cortex.policy import Step
from schemas.base import Samples
from schemas.impact import Intervention, Mode, Reaction, ReactionResult
from schemas.machine import ActionReply, Cause, Execution, FeedHoldRequest, MachineState, StopRequest
from schemas.system import ServiceEvent

ASKED = (FeedHoldRequest, StopRequest, ActionReply, ServiceEvent)
"""what travels when the HAL is asked"""


def intervention(
    intervention_id: str,
    step: Step,
    mode: Mode,
    state: MachineState | None,
    cause: Cause,
    stamps_ns: tuple[int, int],
    names: tuple[str, ...],
    evidence: Samples,
) -> Intervention:
    """What the engine says when it reacts, or would have; `stamps_ns` are those of the decision and of its sample."""
    now_ns, sample_ns = stamps_ns
    f = step.finding
    age_ns = now_ns - sample_ns
    return Intervention(
        stamp_ns=now_ns,
        intervention_id=intervention_id,
        reaction=step.reaction,
        mode=mode,
        would_have=step.would_have,
        task=f.task,
        signal=f.signal,
        unit=f.unit,
        value=f.value,
        limit=f.limit,
        reason=f.reason,
        execution=Execution.UNAVAILABLE if state is None else state.execution,
        program="" if state is None else state.program,
        block_number=0 if state is None else state.block_number,
        tool_serial="" if state is None else state.tool_serial,
        run_id="" if state is None else state.run_id,
        cause=cause,
        age_ms=age_ns / 1e6 if abs(age_ns) < ONE_CLOCK_NS else math.nan,
        evidence_names=names,
        evidence=evidence,
    )


def result(
    intervention_id: str, reaction: Reaction, asked_ns: int, now_ns: int, outcome: Outcome[ActionReply]
) -> ReactionResult:
    """What became of the request; an error of the call is a refusal with its text."""
    reply = outcome.reply
    return ReactionResult(
        stamp_ns=now_ns,
        intervention_id=intervention_id,
        reaction=reaction,
        accepted=reply is not None and reply.accepted,
        action_id="" if reply is None else reply.action_id,
        text=f"{outcome.error}: {outcome.text}" if reply is None else reply.text,
        decision_to_accepted_ms=math.nan if reply is None else (reply.stamp_ns - asked_ns) / 1e6,
    )
