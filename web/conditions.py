"""What nobody alarms by itself and people must know: machines that are silent or UNPROTECTED, and interventions.

Values in, alarms out.
"""

from __future__ import annotations

from schemas.impact import Intervention, Protection, ProtectionState, Reaction
from schemas.machine import Alarm, ConditionLevel, Execution, MachineState

SILENT_NS = 2_500_000_000
"""a machine tells its state once a second"""
HOLD_OFF_NS = 2_000_000_000
"""UNPROTECTED for less than this is how every start looks"""
OWN_PAUSE_NS = 1_000_000_000
"""a look that is so much too late means that we slept: the silence is no news"""

INTERVENTION = "INTERVENTION_"
"""how the codes of interventions begin"""

Said = list[tuple[str, Alarm]]
"""machine and alarm"""


class Conditions:
    """Of every machine: when it was heard last, and since when it is not protected."""

    def __init__(self) -> None:
        self._heard_ns: dict[str, int] = {}
        self._bad: set[str] = set()
        """machines that are silent or say UNAVAILABLE"""
        self._bare_ns: dict[tuple[str, str], tuple[int, str]] = {}
        """by machine and who says it: since when UNPROTECTED, and why"""
        self._told_bare: set[str] = set()
        self._looked_ns = 0

    def state(self, machine: str, state: MachineState, now_ns: int) -> Said:
        """A machine told its state."""
        self._heard_ns[machine] = now_ns
        if state.execution is Execution.UNAVAILABLE:
            return self._silent(machine, f"{machine} cannot be read: its execution is UNAVAILABLE", now_ns)
        return self._back(machine, now_ns)

    def gone(self, machine: str, *, clean: bool, now_ns: int) -> Said:
        """Who told its state has ended: on purpose, or not."""
        if machine not in self._heard_ns:
            return []
        if clean:
            del self._heard_ns[machine]
            for key in [k for k in self._bare_ns if k[0] == machine]:
                del self._bare_ns[key]
            return self._back(machine, now_ns)
        return self._silent(machine, f"the node that reads {machine} has died", now_ns)

    def protection(self, machine: str, said_by: str, said: Protection, now_ns: int) -> None:
        """One of the two that speak of protection spoke."""
        key = machine, said_by
        if said.state is not ProtectionState.UNPROTECTED:
            self._bare_ns.pop(key, None)
        else:
            since_ns, _ = self._bare_ns.get(key, (now_ns, ""))
            self._bare_ns[key] = since_ns, "; ".join(said.reasons)

    def look(self, now_ns: int) -> Said:
        """What has become so by waiting."""
        slept_ns = now_ns - self._looked_ns if self._looked_ns else 0
        if slept_ns > OWN_PAUSE_NS:
            self._heard_ns = {machine: heard_ns + slept_ns for machine, heard_ns in self._heard_ns.items()}
        self._looked_ns = now_ns
        said: Said = []
        for machine, heard_ns in self._heard_ns.items():
            if now_ns - heard_ns > SILENT_NS:
                said += self._silent(machine, f"{machine} has told nothing for {SILENT_NS / 1e9:g} s", now_ns)
        bare: dict[str, list[str]] = {}
        for (machine, _), (since_ns, why) in self._bare_ns.items():
            if now_ns - since_ns >= HOLD_OFF_NS:
                bare.setdefault(machine, []).append(why)
        for machine in sorted(bare.keys() - self._told_bare):
            why = "; ".join(dict.fromkeys(w for w in bare[machine] if w))
            text = f"{machine} is UNPROTECTED: {why}"
            said.append((machine, _alarm(f"{machine}/unprotected", "UNPROTECTED", text, now_ns)))
        for machine in sorted(self._told_bare - bare.keys()):
            said.append((machine, _alarm(f"{machine}/unprotected", "UNPROTECTED", "", now_ns)))
        self._told_bare = set(bare)
        return said

    def _silent(self, machine: str, text: str, now_ns: int) -> Said:
        if machine in self._bad:
            return []
        self._bad.add(machine)
        return [(machine, _alarm(f"{machine}/silent", "MACHINE_SILENT", text, now_ns))]

    def _back(self, machine: str, now_ns: int) -> Said:
        if machine not in self._bad:
            return []
        self._bad.discard(machine)
        return [(machine, _alarm(f"{machine}/silent", "MACHINE_SILENT", "", now_ns))]


def _alarm(alarm_id: str, code: str, text: str, now_ns: int) -> Alarm:
    """Without a text it is over."""
    level = ConditionLevel.FAULT if text else ConditionLevel.NORMAL
    return Alarm(stamp_ns=now_ns, alarm_id=alarm_id, level=level, origin="fanuc_api", native_code=code, text=text)


def of_intervention(said: Intervention) -> Alarm:
    """An intervention as an alarm; with its stamp, since an engine that is started anew counts its ids from 1."""
    did = "would have asked" if said.would_have else "asked"
    stopping = said.reaction is Reaction.STOP and not said.would_have
    return Alarm(
        stamp_ns=said.stamp_ns, alarm_id=f"{said.intervention_id}@{said.stamp_ns}",
        level=ConditionLevel.FAULT if stopping else ConditionLevel.WARNING, origin=said.cause.publisher,
        native_code=f"{INTERVENTION}{said.reaction}", text=f"{did} for {said.reaction}: {said.reason}",
    )  # fmt: skip
