"""The alarms of a shop and what people have said to them, in the states of ISA-18.2. Values in, values out.

An alarm is UNACKNOWLEDGED until somebody acknowledges it, ACKNOWLEDGED while it is still so, RETURNED when it is over
and nobody has looked: then it stays until somebody does. Acknowledging never makes an alarm go away that is still so.
Of the alarms of a machine the one that came first, out of quiet, is first-out: mostly it is the cause of the others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from schemas.machine import Alarm, ConditionLevel

KEPT_MAX = 10_000
SAID_MAX = 10_000
SEVERITY = {
    ConditionLevel.NORMAL: 0, ConditionLevel.UNAVAILABLE: 1, ConditionLevel.WARNING: 2, ConditionLevel.FAULT: 3
}  # fmt: skip


class AlarmState(StrEnum):
    UNACKNOWLEDGED = "UNACKNOWLEDGED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RETURNED = "RETURNED"
    """over, and not acknowledged yet"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One alarm as it stands."""

    alarm_id: str
    machine: str
    """its namespace; empty for what is no machine's"""
    level: ConditionLevel
    """when it was last so"""
    origin: str
    native_code: str
    text: str
    raised_ns: int
    """since when it is so"""
    stamp_ns: int
    """when it was said last"""
    state: AlarmState
    first_out: bool = False
    acknowledged_by: str = ""
    acknowledged_ns: int = 0
    notify: bool = False
    """people are told of it who do not look at a page"""


class AlarmStates:
    """Every alarm that is so, or that nobody has looked at."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._said: OrderedDict[str, tuple[int, str, int]] = OrderedDict()
        """by alarm: up to which stamp it is acknowledged, by whom, when"""
        self._first_ns: dict[str, int] = {}
        """by machine: when its first alarm came, as long as there are some"""
        self.dropped = 0
        """alarms that made room for newer ones"""

    def __iter__(self) -> Iterator[Entry]:
        return iter([self._shown(e) for e in self._entries.values()])

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, alarm_id: str) -> Entry | None:
        entry = self._entries.get(alarm_id)
        return None if entry is None else self._shown(entry)

    def _shown(self, entry: Entry) -> Entry:
        return replace(entry, first_out=self._first_ns.get(entry.machine) == entry.raised_ns)

    def hear(self, alarm: Alarm, machine: str, *, notify: bool = False, over: bool = False) -> None:
        """An alarm was said: it is so, it is worse, it is over.

        Args:
            over: it was so for a moment only (an intervention): from the start it waits for somebody to look.
        """
        old = self._entries.get(alarm.alarm_id)
        if alarm.level is ConditionLevel.NORMAL:
            self._over(old, alarm.stamp_ns)
            return
        if old is not None and alarm.stamp_ns < old.stamp_ns:
            return  # said again, from before
        same = old is not None and old.state is not AlarmState.RETURNED
        raised_ns = old.raised_ns if old is not None and same else alarm.stamp_ns
        entry = Entry(
            alarm.alarm_id, machine, alarm.level, alarm.origin, alarm.native_code, alarm.text, raised_ns,
            alarm.stamp_ns, AlarmState.RETURNED if over else AlarmState.UNACKNOWLEDGED, notify=notify,
        )  # fmt: skip
        until_ns, by, when_ns = self._said.get(alarm.alarm_id, (0, "", 0))
        worse = old is not None and SEVERITY[alarm.level] > SEVERITY[old.level]
        if old is not None and old.state is AlarmState.ACKNOWLEDGED and not worse:
            entry = replace(
                entry, state=old.state, acknowledged_by=old.acknowledged_by, acknowledged_ns=old.acknowledged_ns
            )
        elif alarm.stamp_ns <= until_ns:  # acknowledged in an earlier life of this hub
            if over:
                return
            entry = replace(entry, state=AlarmState.ACKNOWLEDGED, acknowledged_by=by, acknowledged_ns=when_ns)
        self._entries[alarm.alarm_id] = entry
        self._first_ns[machine] = min(self._first_ns.get(machine, raised_ns), raised_ns)
        if len(self._entries) > KEPT_MAX:
            self._drop_one()

    def _over(self, old: Entry | None, now_ns: int) -> None:
        if old is None or old.state is AlarmState.RETURNED:
            return
        if old.state is AlarmState.ACKNOWLEDGED:
            self._forget(old)
        else:
            self._entries[old.alarm_id] = replace(old, state=AlarmState.RETURNED, stamp_ns=max(now_ns, old.stamp_ns))

    def acknowledge(self, alarm_id: str, by: str, now_ns: int, of_ns: int = 0) -> str:
        """Somebody has looked. Why it is not so taken; empty when it is.

        Args:
            of_ns: the stamp of what was looked at: what came since is not acknowledged with it. 0: what is there now.
        """
        entry = self._entries.get(alarm_id)
        if entry is None:
            return f"there is no alarm {alarm_id!r}, or it is over and acknowledged"
        if entry.state is AlarmState.ACKNOWLEDGED:
            return f"{entry.acknowledged_by} has acknowledged it already"
        if of_ns and of_ns < entry.stamp_ns and entry.state is not AlarmState.RETURNED:
            return f"it has changed since: {entry.text}"
        self.remember(alarm_id, by, now_ns, entry.stamp_ns)
        return ""

    def remember(self, alarm_id: str, by: str, now_ns: int, of_ns: int) -> None:
        """An acknowledgement, of now or out of the audit log of an earlier life."""
        self._said.pop(alarm_id, None)
        self._said[alarm_id] = (of_ns, by, now_ns)
        while len(self._said) > SAID_MAX:
            self._said.popitem(last=False)
        entry = self._entries.get(alarm_id)
        if entry is None or entry.stamp_ns > of_ns:
            return
        if entry.state is AlarmState.RETURNED:
            self._forget(entry)
        elif entry.state is AlarmState.UNACKNOWLEDGED:
            self._entries[alarm_id] = replace(
                entry, state=AlarmState.ACKNOWLEDGED, acknowledged_by=by, acknowledged_ns=now_ns
            )

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.alarm_id]
        if not any(e.machine == entry.machine for e in self._entries.values()):
            self._first_ns.pop(entry.machine, None)

    def _drop_one(self) -> None:
        """Room for one: what is acknowledged goes first, then what is over, then the oldest."""
        order = (AlarmState.ACKNOWLEDGED, AlarmState.RETURNED, AlarmState.UNACKNOWLEDGED)
        self._forget(min(self._entries.values(), key=lambda e: order.index(e.state)))
        self.dropped += 1
