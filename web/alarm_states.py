"""The alarms of a shop and what people have said to them, in the states of ISA-18.2. Values in, values out.

An alarm is UNACKNOWLEDGED until somebody acknowledges it, ACKNOWLEDGED while it is still so, RETURNED when it is over
and nobody has looked: then it stays until somebody does. Acknowledging never makes an alarm go away that is still so.
Of the alarms of a machine the one that came first, out of quiet, is first-out.

What changed is in `changed` until somebody takes it: the hub publishes that on a persisted topic, and so begins its
next life with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from schemas.audit import AlarmState, StandingAlarm
from schemas.machine import Alarm, ConditionLevel

KEPT_MAX = 10_000
SEVERITY = {
    ConditionLevel.NORMAL: 0,
    ConditionLevel.UNAVAILABLE: 1,
    ConditionLevel.WARNING: 2,
    ConditionLevel.FAULT: 3,
}
GOING = (AlarmState.ACKNOWLEDGED, AlarmState.RETURNED, AlarmState.UNACKNOWLEDGED)
"""who makes room first when there are too many"""


class AlarmStates:
    """Every alarm that is so, or that nobody has looked at."""

    def __init__(self) -> None:
        self._alarms: OrderedDict[str, StandingAlarm] = OrderedDict()
        self._of_machine: dict[str, int] = {}
        self._publisher: dict[str, str] = {}
        self._doubted: dict[str, int] = {}
        """by alarm: until when its publisher may confirm that it is still so"""
        self.changed: OrderedDict[str, StandingAlarm] = OrderedDict()
        self.dropped = 0
        """alarms that made room for newer ones"""

    def __iter__(self) -> Iterator[StandingAlarm]:
        return iter(list(self._alarms.values()))

    def __len__(self) -> int:
        return len(self._alarms)

    def get(self, alarm_id: str) -> StandingAlarm | None:
        return self._alarms.get(alarm_id)

    def take_changed(self) -> StandingAlarm:
        """The first of `changed`; NORMAL when it is forgotten.

        Raises:
            KeyError: nothing has changed.
        """
        return self.changed.popitem(last=False)[1]

    # --- what is so --------------------------------------------------------------------------------------------------

    def hear(
        self, alarm: Alarm, machine: str, *, publisher: str = "", notify: bool = False, over: bool = False
    ) -> None:
        """An alarm was said: it is so, it is worse, it is over.

        Args:
            publisher: the node that said it.
            notify: people are told of it who look at no page.
            over: it was so for a moment only (an intervention): from the start it waits for somebody to look.
        """
        old = self._alarms.get(alarm.alarm_id)
        if old is not None and alarm.stamp_ns < old.stamp_ns:
            return  # said again, from before
        self._doubted.pop(alarm.alarm_id, None)
        if alarm.level is ConditionLevel.NORMAL:
            self._over(old, alarm.stamp_ns)
            return
        self._publisher[alarm.alarm_id] = publisher
        new = StandingAlarm(
            alarm_id=alarm.alarm_id, machine=machine, level=alarm.level, origin=alarm.origin,
            native_code=alarm.native_code, text=alarm.text, raised_ns=alarm.stamp_ns, stamp_ns=alarm.stamp_ns,
            state=AlarmState.RETURNED if over else AlarmState.UNACKNOWLEDGED, notify=notify,
        )  # fmt: skip
        if old is None:
            new = _with(new, first_out=not self._of_machine.get(machine))
        else:
            new = _with(new, first_out=old.first_out)
            if old.state is not AlarmState.RETURNED:
                new = _with(new, raised_ns=old.raised_ns)
            if old.state is AlarmState.ACKNOWLEDGED and SEVERITY[alarm.level] <= SEVERITY[old.level]:
                new = _with(
                    new, state=old.state, acknowledged_by=old.acknowledged_by, acknowledged_ns=old.acknowledged_ns
                )
        self._put(new)

    def restore(self, alarm: StandingAlarm, until_ns: int) -> None:
        """An alarm out of an earlier life; whoever said it must confirm it by `until_ns`, else it is over."""
        if alarm.alarm_id in self._alarms or alarm.state is AlarmState.NORMAL:
            return
        self._put(alarm)
        if alarm.state is not AlarmState.RETURNED:
            self._doubted[alarm.alarm_id] = until_ns

    def doubt(self, publisher: str, until_ns: int) -> None:
        """A publisher ended or came anew: what it does not say again by `until_ns` is over."""
        for alarm_id, said_by in self._publisher.items():
            alarm = self._alarms.get(alarm_id)
            if said_by == publisher and alarm is not None and alarm.state is not AlarmState.RETURNED:
                self._doubted[alarm_id] = until_ns

    def sweep(self, now_ns: int) -> None:
        """What nobody confirmed in time is over."""
        for alarm_id in [a for a, until_ns in self._doubted.items() if now_ns >= until_ns]:
            del self._doubted[alarm_id]
            self._over(self._alarms.get(alarm_id), now_ns)

    # --- what people say ---------------------------------------------------------------------------------------------

    def acknowledge(self, alarm_id: str, by: str, now_ns: int, of_ns: int = 0) -> str:
        """Somebody has looked. Why it is not so taken; empty when it is.

        Args:
            of_ns: the stamp of what was looked at: what came since is not acknowledged with it. 0: what is there now.
        """
        alarm = self._alarms.get(alarm_id)
        if alarm is None:
            return f"there is no alarm {alarm_id!r}, or it is over and acknowledged"
        if alarm.state is AlarmState.ACKNOWLEDGED:
            return f"{alarm.acknowledged_by} has acknowledged it already"
        if of_ns and of_ns < alarm.raised_ns:
            return f"it came anew since: {alarm.text}"
        if alarm.state is AlarmState.RETURNED:
            self._forget(_with(alarm, acknowledged_by=by, acknowledged_ns=now_ns))
        else:
            self._put(_with(alarm, state=AlarmState.ACKNOWLEDGED, acknowledged_by=by, acknowledged_ns=now_ns))
        return ""

    # --- bookkeeping -------------------------------------------------------------------------------------------------

    def _over(self, old: StandingAlarm | None, now_ns: int) -> None:
        if old is None or old.state is AlarmState.RETURNED:
            return
        if old.state is AlarmState.ACKNOWLEDGED:
            self._forget(old)
        else:
            self._put(_with(old, state=AlarmState.RETURNED, stamp_ns=max(now_ns, old.stamp_ns)))

    def _put(self, alarm: StandingAlarm) -> None:
        if alarm.alarm_id not in self._alarms:
            if len(self._alarms) >= KEPT_MAX:
                self.dropped += 1
                self._forget(min(self._alarms.values(), key=lambda a: GOING.index(a.state)))
            self._of_machine[alarm.machine] = self._of_machine.get(alarm.machine, 0) + 1
        self._alarms[alarm.alarm_id] = self.changed[alarm.alarm_id] = alarm

    def _forget(self, alarm: StandingAlarm) -> None:
        del self._alarms[alarm.alarm_id]
        self._publisher.pop(alarm.alarm_id, None)
        self._doubted.pop(alarm.alarm_id, None)
        left = self._of_machine[alarm.machine] - 1
        if left:
            self._of_machine[alarm.machine] = left
        else:
            del self._of_machine[alarm.machine]
        self.changed[alarm.alarm_id] = _with(alarm, state=AlarmState.NORMAL)


def _with(alarm: StandingAlarm, **changed: Any) -> StandingAlarm:
    return alarm.model_copy(update=changed)
