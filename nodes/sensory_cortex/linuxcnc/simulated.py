"""What only a simulated machine has: somebody who starts its program by himself, and a load that is injected. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from nodes.sensory_cortex.linuxcnc.said import Status
from nodes.sensory_cortex.linuxcnc.standing import next_command
from nodes.sensory_cortex.machine import ONLY_SIMULATED
from schemas.machine import Fault, InjectRequest

AGAIN_NS = 3_000_000_000
HOME_NS = 60_000_000_000
"""a command that had no effect is given again after this"""
OVERLOAD_PCT = 200.0
"""spindle load of an injected crash of magnitude 1: a rated drive's peak"""
LONGEST_S = 86_400.0


@dataclass(slots=True)
class Operator:
    """Brings the machine to run a program, a command at a time."""

    program: str
    again: bool
    _given: tuple[str, str] | None = None
    _given_ns: int = 0

    def command(self, status: Status, now_ns: int) -> tuple[str, str] | None:
        """What to give now, and its argument; None while the last one may still have its effect."""
        wanted = next_command(status, self.program, again=self.again) if self.program else None
        patience_ns = HOME_NS if wanted is not None and wanted[0] == "home" else AGAIN_NS
        if wanted == self._given and now_ns - self._given_ns < patience_ns:
            return None
        self._given, self._given_ns = wanted, now_ns
        return wanted

    def forget(self) -> None:
        """Whatever was given: the machine stands otherwise now."""
        self._given = None


@dataclass(slots=True)
class Overload:
    """A load on the spindle that nothing but a request makes."""

    pct: float = 0.0
    until_ns: int = 0
    """0: until it is taken away"""
    seen: bool = True
    """in the controller's own rows"""

    def refused(self, request: InjectRequest, *, simulated: bool) -> str:
        """Why it cannot be injected; empty: it can."""
        if not simulated:
            return ONLY_SIMULATED
        if request.fault is not Fault.CRASH:
            return f"this machine can only be made to CRASH, not {request.fault}"
        if not 0.0 < request.magnitude <= 10.0 or not 0.0 <= request.duration_s <= LONGEST_S:
            return f"magnitude is in 0..10, duration_s in 0..{LONGEST_S:g}"
        return ""

    def inject(self, request: InjectRequest, now_ns: int) -> None:
        self.pct, self.seen = OVERLOAD_PCT * request.magnitude, False
        self.until_ns = now_ns + round(request.duration_s * 1e9) if request.duration_s else 0

    def over(self, now_ns: int) -> bool:
        """Its time is up."""
        return bool(self.until_ns) and now_ns >= self.until_ns

    def appears(self, load_pct: float) -> bool:
        """Whether this is the first reading that shows it."""
        if self.seen or load_pct < self.pct / 2.0:
            return False
        self.seen = True
        return True
