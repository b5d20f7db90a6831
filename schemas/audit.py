"""Who asked what through a door for people and what came of it; alarms, and what people have said to them."""

from __future__ import annotations

from enum import StrEnum

from schemas.base import Message, Nanoseconds
from schemas.machine import ConditionLevel


class AuditOutcome(StrEnum):
    DONE = "DONE"
    """allowed, and whoever was asked took it"""
    REFUSED = "REFUSED"
    """not allowed: nobody was asked"""
    FAILED = "FAILED"
    """allowed, and whoever was asked did not take it, or did not answer"""


class Audit(Message):
    """One attempt to command something: allowed or refused, every one of who is signed on is told."""

    stamp_ns: Nanoseconds
    audit_id: str
    user: str
    """who was signed on; empty: nobody, a paired terminal"""
    roles: tuple[str, ...]
    terminal: str
    """the network address that it came from"""
    command: str
    """STOP, RESET, ...: a word of web.authority.Command"""
    target: str
    """the machine, node, alarm or intervention that is meant"""
    details: str
    """what else was asked, as JSON text; never a password"""
    reason: str
    outcome: AuditOutcome
    text: str
    """what was answered, in words"""
    of_ns: Nanoseconds = 0
    """the stamp of what is meant, where it has one: an alarm that is acknowledged. 0: it has none"""
    left_out: int = 0
    """attempts of people who are not signed on that are not told one by one: since the last audit they came too fast"""


class AlarmState(StrEnum):
    """The states of ISA-18.2."""

    UNACKNOWLEDGED = "UNACKNOWLEDGED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    """looked at, and still so"""
    RETURNED = "RETURNED"
    """over, and nobody has looked yet"""
    NORMAL = "NORMAL"
    """over, and looked at: it is told once, then forgotten"""


class StandingAlarm(Message):
    """An alarm as it stands between the machine and the people."""

    alarm_id: str
    machine: str
    """its namespace; empty for what is no machine's"""
    level: ConditionLevel
    """when it was last so"""
    origin: str
    native_code: str
    text: str
    raised_ns: Nanoseconds
    """since when it is so"""
    stamp_ns: Nanoseconds
    """when it was said last"""
    state: AlarmState
    first_out: bool = False
    """of those of its machine it came first, out of quiet: mostly the cause of the others"""
    acknowledged_by: str = ""
    acknowledged_ns: Nanoseconds = 0
    notify: bool = False
    """people are told of it who look at no page"""
