"""What the logic engine concludes, decides and does."""

from __future__ import annotations

from enum import StrEnum

from schemas.base import (
    Kilowatts,
    MeasuredMilliseconds,
    Message,
    Minutes,
    Nanoseconds,
    Newtons,
    Percent,
    Samples,
    Seconds,
)
from schemas.machine import Cause, Execution


class Reaction(StrEnum):
    NONE = "NONE"
    WARN = "WARN"
    FEED_HOLD = "FEED_HOLD"
    STOP = "STOP"


class Mode(StrEnum):
    """How far the engine may go: OBSERVE only says, HOLD may hold the feed, STOP may stop everything."""

    OBSERVE = "OBSERVE"
    HOLD = "HOLD"
    STOP = "STOP"


class ProtectionState(StrEnum):
    PROTECTED = "PROTECTED"
    DEGRADED = "DEGRADED"
    UNPROTECTED = "UNPROTECTED"


class StackLight(StrEnum):
    """IEC 60073: red is danger, yellow abnormal, green normal; OFF when nothing is known."""

    RED = "RED"
    YELLOW = "YELLOW"
    GREEN = "GREEN"
    OFF = "OFF"


class Beat(Message):
    """The engine's heartbeat: it judged everything it had when it sent this."""

    stamp_ns: Nanoseconds
    count: int
    mode: Mode


class Protection(Message):
    """Whether the machine is watched, and if not, why."""

    stamp_ns: Nanoseconds
    state: ProtectionState
    mode: Mode
    reasons: tuple[str, ...]


class Margin(Message):
    """How far a monitored value is from its limit."""

    task: str
    signal: str
    unit: str
    value: float
    limit: float
    margin_pct: Percent
    """100 at rest, 0 at the limit"""


class Assessment(Message):
    """The engine's view, 20 times a second."""

    stamp_ns: Nanoseconds
    light: StackLight
    reason: str
    cutting_force_n: Newtons
    spindle_power_kw: Kilowatts
    model_load_pct: Percent
    margins: tuple[Margin, ...]


class Intervention(Message):
    """A decision of the engine: what it saw, what it did or would have done, and how fast."""

    stamp_ns: Nanoseconds
    intervention_id: str
    reaction: Reaction
    mode: Mode
    would_have: bool
    """the mode did not allow the reaction: nothing was asked of the machine"""
    task: str
    signal: str
    unit: str
    value: float
    limit: float
    reason: str
    execution: Execution
    program: str
    block_number: int
    tool_serial: str
    run_id: str
    cause: Cause
    age_ms: MeasuredMilliseconds
    """from the time stamp of the deciding sample to the decision"""
    evidence_names: tuple[str, ...]
    evidence: Samples
    """float32 [rows, signals], the samples up to the decision, one row per sample period"""


class ReactionResult(Message):
    """What the HAL answered to the request of an intervention."""

    stamp_ns: Nanoseconds
    intervention_id: str
    reaction: Reaction
    accepted: bool
    action_id: str
    text: str
    decision_to_accepted_ms: MeasuredMilliseconds


class ModeRequest(Message):
    """Change how far the engine may go, or take note of an operator's reset after an intervention."""

    mode: Mode
    changed_by: str
    reason: str


class BypassRequest(Message):
    """Let the engine only observe for a time, at most a shift; 0 ends it."""

    minutes: Minutes
    changed_by: str
    reason: str


class ModeReply(Message):
    """Whether the mode, or the bypass, was taken."""

    accepted: bool
    text: str


class Judgement(StrEnum):
    """What people say of an intervention afterwards."""

    JUSTIFIED = "JUSTIFIED"
    FALSE_STOP = "FALSE_STOP"


class Verdict(Message):
    """A person's word on an intervention; the last one of an intervention counts."""

    stamp_ns: Nanoseconds
    intervention_id: str
    intervention_ns: Nanoseconds
    """stamp of the intervention: an engine that is started again counts its ids from 1"""
    judgement: Judgement
    judged_by: str
    reason: str


class VerdictRequest(Message):
    """Judge an intervention, or judge it otherwise than before."""

    intervention_id: str
    judgement: Judgement
    judged_by: str
    reason: str
    intervention_ns: Nanoseconds = 0
    """its stamp, needed where the engine was started anew since; 0: it was not"""


class VerdictReply(Message):
    """Whether the verdict was taken."""

    accepted: bool
    text: str


class Tunnel(Message):
    """What a signal was in the reference runs of a program, by tool, block and time in the block."""

    tunnel_id: str
    """<task>/<signal>/<program>"""
    stamp_ns: Nanoseconds
    task: str
    signal: str
    unit: str
    program: str
    version: int
    """one more each time it is taught, or forgotten"""
    runs: int
    """reference runs; 0: nothing is taught, or not any more"""
    override_pct: Percent
    """of the feed in these runs; NaN where the control does not say"""
    step_s: Seconds
    taught_by: str
    reason: str
    stretches: bytes
    """little-endian int32 [n, 2], tool and block of each stretch of 16 steps; of a block one continues the other"""
    band: Samples
    """float32 [16 n, 3], by step the least, mean and most that was seen; NaN where nothing was"""


class TeachAction(StrEnum):
    LEARN = "LEARN"
    """from the next whole runs of the program, and anew where it was taught before"""
    CANCEL = "CANCEL"
    """learn no further; what was taught before stays"""
    FORGET = "FORGET"


class TeachRequest(Message):
    """Teach the tasks that judge by a tunnel what a program is like."""

    action: TeachAction
    changed_by: str
    reason: str
    runs: int = 3
    program: str = ""
    """empty: the one that the control shows"""
    task: str = ""
    """empty: every one that judges by a tunnel"""
