"""Who asked what through a door for people, and what came of it."""

from __future__ import annotations

from enum import StrEnum

from schemas.base import Message, Nanoseconds


class AuditOutcome(StrEnum):
    DONE = "DONE"
    """allowed, and whoever was asked took it"""
    REFUSED = "REFUSED"
    """not allowed: nobody was asked"""
    FAILED = "FAILED"
    """allowed, and whoever was asked did not take it, or did not answer"""


class Audit(Message):
    """One attempt to command something: allowed or refused, every one is told."""

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
