"""Whom nobody sees is told: which alarms go out to people who look at no page, and when again.

Interventions, machines that are UNPROTECTED or silent are told at once, and again and again until somebody
acknowledges them. Values in, values out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.audit import AlarmState, StandingAlarm

REPEAT_NS = 5 * 60 * 1_000_000_000
AGAIN_NS = 10 * 1_000_000_000
"""after a delivery that failed"""
LISTED_MAX = 20
"""alarms told one by one in one notice; of more only their number"""


@dataclass(frozen=True, slots=True)
class Notice:
    """What goes out at once."""

    subject: str
    text: str
    alarms: tuple[StandingAlarm, ...]
    unlisted: int
    """alarms beyond LISTED_MAX, which the text only counts"""

    def as_json(self) -> bytes:
        """The body for a webhook: `text` as chat programs show it, and the alarms for programs."""
        rows = [
            {
                "alarm_id": a.alarm_id, "machine": a.machine, "level": a.level, "code": a.native_code, "text": a.text,
                "state": a.state, "raised_ns": a.raised_ns,
            }
            for a in self.alarms
        ]  # fmt: skip
        return json.dumps({"text": f"{self.subject}\n{self.text}", "alarms": rows, "unlisted": self.unlisted}).encode()


class Notices:
    """When which alarm was told last."""

    def __init__(self, repeat_ns: int = REPEAT_NS) -> None:
        self._repeat_ns = repeat_ns
        self._due_ns: dict[tuple[str, int], int] = {}

    def due(self, alarms: Iterable[StandingAlarm], now_ns: int) -> Notice | None:
        """What is to be told now, together; None when nothing is."""
        open_now = {(a.alarm_id, a.raised_ns): a for a in alarms if a.notify and a.state is not AlarmState.ACKNOWLEDGED}
        for gone in self._due_ns.keys() - open_now.keys():
            del self._due_ns[gone]
        due = [a for key, a in open_now.items() if self._due_ns.get(key, now_ns) <= now_ns]
        if not due:
            return None
        for a in due:
            self._due_ns[a.alarm_id, a.raised_ns] = now_ns + self._repeat_ns
        return notice(due)

    def failed(self, now_ns: int) -> None:
        """A delivery failed: what is still open is told again soon."""
        for key, due_ns in self._due_ns.items():
            self._due_ns[key] = min(due_ns, now_ns + AGAIN_NS)


def notice(alarms: list[StandingAlarm]) -> Notice:
    """The words for some alarms, newest first."""
    ordered = sorted(alarms, key=lambda a: a.raised_ns, reverse=True)
    listed, unlisted = ordered[:LISTED_MAX], len(ordered[LISTED_MAX:])
    first = listed[0]
    more = f" and {len(ordered) - 1} more" if len(ordered) > 1 else ""
    subject = _one_line(f"{first.machine or 'Fanuc Rise'}: {first.native_code}{more}")
    lines = [_one_line(f"{_when(a.raised_ns)} {a.machine} {a.level} {a.native_code}: {a.text}") for a in listed]
    if unlisted:
        lines.append(f"and {unlisted} more")
    lines.append("It is told again until somebody acknowledges it. This is no safety function.")
    return Notice(subject, "\n".join(lines), tuple(listed), unlisted)


def _when(stamp_ns: int) -> str:
    try:
        return datetime.fromtimestamp(stamp_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{stamp_ns} ns"  # a stamp of a broken clock


def _one_line(text: str) -> str:
    """Without line breaks, which a mail's header must not have, and not longer than people read."""
    return " ".join(text.split())[:300]
