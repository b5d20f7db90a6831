"""A bypass: for a time, at most a shift, the engine only observes. It ends by itself and is said while it lasts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.impact import BypassRequest, Mode

SHIFT_MIN = 480.0


@dataclass(frozen=True, slots=True)
class Bypass:
    """Until when, by whom and why; `NONE` when there is none."""

    until_ns: int = 0
    changed_by: str = ""
    reason: str = ""

    def mode(self, mode: Mode, now_ns: int) -> Mode:
        """What the mode comes to now."""
        return Mode.OBSERVE if self.active(now_ns) else mode

    def active(self, now_ns: int) -> bool:
        return now_ns < self.until_ns

    def text(self, now_ns: int) -> str:
        """Why the machine is not protected; empty when it is not for this."""
        if not self.active(now_ns):
            return ""
        until = datetime.fromtimestamp(self.until_ns // 1_000_000_000, UTC).strftime("%H:%M:%S")
        return f"bypassed by {self.changed_by} until {until} UTC: {self.reason}"


NONE = Bypass()


def refused(request: BypassRequest) -> str:
    """Why a request cannot be taken; empty when it can."""
    if not request.changed_by.strip() or not request.reason.strip():
        return "say who bypasses (changed_by) and why (reason)"
    if math.isnan(request.minutes) or not 0.0 <= request.minutes <= SHIFT_MIN:
        return f"a bypass lasts 0 to {SHIFT_MIN:g} minutes, a shift at most; {request.minutes:g} is none"
    return ""


def begun(request: BypassRequest, now_ns: int) -> Bypass:
    """The bypass that a request asks for; `NONE` for 0 minutes."""
    if not request.minutes:
        return NONE
    return Bypass(now_ns + round(request.minutes * 60e9), request.changed_by, request.reason)
