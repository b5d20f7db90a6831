"""The node's side of commands, alarms and notices: what the web asks of the bus goes through here.

`Desk` is a part of FanucApi (web/node.py). The web's thread reaches it by `submit` alone.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus import EVERY, Node, client, on_link, parameter, publisher, subscription, timer, worker
from bus.context import Gone, LinkEvent, Lost, Synced
from bus.logs import state_root
from schemas import topics
from schemas.audit import AlarmState, Audit, AuditOutcome, StandingAlarm
from schemas.base import Message, Service
from schemas.impact import Intervention, Protection, Reaction
from schemas.machine import Alarm, ConditionLevel, MachineInfo, MachineState
from web.alarm_states import AlarmStates
from web.conditions import INTERVENTION, Conditions, of_intervention
from web.notify import Notice, Notices

if TYPE_CHECKING:
    from bus.entry import Entry

CONFIRM_NS = 10_000_000_000
"""how long an alarm of before may wait for its publisher to say it again"""
AWAY_NS = 60_000_000_000
"""an intervention of so long before this node began was told by its earlier life"""
OUTBOX = 8
ERP = "erp"
"""the node that renews tickets"""
DELIVERY_CODE = "DELIVERY_FAILED"
LOST_CODE = "ALARMS_LOST"
TELL_S = 0.025
"""so long at once alarms are told, and so long they are heard before that goes on: telling one means writing a file,
and in a flood none may be lost for it"""


def web_folder(domain: str) -> Path:
    """Where users, sessions, keys and certificates of a domain are."""
    return state_root() / domain / "web"


class Desk(Node):
    """Asks machines and nodes on behalf of people, keeps what is alarmed, and tells people who look at no page."""

    repeat_s = parameter(300.0, unit="s", ge=10.0, doc="a notice that nobody acknowledges goes out again after this")

    audits = publisher(topics.AUDIT)
    standing = publisher(topics.STANDING_ALARM)
    delivery_alarms = publisher(topics.ALARM)
    stop = client(topics.STOP, namespace=EVERY)
    feed_hold = client(topics.FEED_HOLD, namespace=EVERY)
    reset = client(topics.RESET, namespace=EVERY)
    inject = client(topics.INJECT, namespace=EVERY)
    set_mode = client(topics.SET_MODE, namespace=EVERY)
    bypass = client(topics.BYPASS, namespace=EVERY)
    judge = client(topics.JUDGE, namespace=EVERY)
    restart_process = client(topics.RESTART_PROCESS)
    black_box = client(topics.BLACK_BOX)

    def on_configure(self) -> None:
        self.began_ns = self.now_ns()
        self.states = AlarmStates()
        self.looked_at: dict[str, int] = {}
        """interventions that somebody has looked at, and until when the next life of this node must know of it"""
        self.lost_alarms: Counter[str] = Counter()
        """by who said them: alarms that came faster than they were taken"""
        self._told_s = 0.0
        self.conditions = Conditions()
        self.notices = Notices(round(self.repeat_s * 1e9))
        self.infos: dict[str, MachineInfo] = {}
        self.outboxes: dict[str, queue.Queue[Notice]] = {name: queue.Queue(OUTBOX) for name in ("webhook", "smtp")}
        self.deliverable: set[str] = set()
        """channels that have somewhere to go"""
        self.failing: set[str] = set()
        self.erp_away = True

    # --- what the web asks ---------------------------------------------------------------------------------------

    def start_call(self, service: Service[Any, Any], full_name: str, request: Message, timeout_s: float) -> Future[Any]:
        """Call a service; for `submit`. The future holds its Outcome at the latest at the deadline."""
        return self.context.call(service, full_name, request, timeout_s, None)

    def _entries(self) -> Mapping[str, Entry]:
        found: Mapping[str, Entry] = getattr(self.context, "entries", dict)()  # a replay has none
        return found

    def is_served(self, full_name: str) -> bool:
        """Whether somebody serves a service now; for `submit`."""
        return any(s.name == full_name for entry in self._entries().values() for s in entry.serves)

    def machines(self) -> list[str]:
        """Those that have said what they are; for `submit`."""
        return sorted(self.infos)

    def machine(self, name: str) -> MachineInfo | None:
        """What a machine has said of itself; for `submit`."""
        return self.infos.get(name)

    def tell_audit(
        self, outcome: AuditOutcome, text: str, said: dict[str, Any], take_left_out: Callable[[], int]
    ) -> None:
        """Publish an attempt, and how many were left out before it; for `submit`."""
        self.audits.publish(
            Audit(
                stamp_ns=self.now_ns(), audit_id=self.next_id(), outcome=outcome, text=text[:2000],
                left_out=take_left_out(), **said,
            )
        )  # fmt: skip

    def acknowledge(self, alarm_id: str, by: str, of_ns: int) -> str:
        """Somebody has looked at an alarm; why it is not so taken. For `submit`."""
        why = self.states.acknowledge(alarm_id, by, self.now_ns(), of_ns)
        self._tell_changed()
        return why

    def alarm(self, alarm_id: str) -> StandingAlarm | None:
        """An alarm as it stands; for `submit`."""
        return self.states.get(alarm_id)

    def all_alarms(self) -> list[StandingAlarm]:
        """Every alarm that stands; for `submit`."""
        return list(self.states)

    # --- what is heard -------------------------------------------------------------------------------------------

    @subscription(topics.STANDING_ALARM)
    def on_standing(self, alarm: StandingAlarm) -> None:
        """What this node said itself; from an earlier life it is where this one begins."""
        if self.source.node != self.name or self.source.stamp_ns >= self.began_ns:
            return
        if alarm.state is AlarmState.NORMAL:
            self.looked_at[alarm.alarm_id] = self.now_ns() + AWAY_NS
        self.states.restore(alarm, self.now_ns() + CONFIRM_NS)

    @subscription(topics.MACHINE_INFO, namespace=EVERY)
    def on_info(self, info: MachineInfo) -> None:
        self.infos[self.source.namespace] = info

    @subscription(topics.MACHINE_STATE, namespace=EVERY)
    def on_state(self, state: MachineState) -> None:
        self._hear(self.conditions.state(self.source.namespace, state, self.now_ns()))

    @on_link(topics.MACHINE_STATE)
    def on_state_link(self, event: LinkEvent) -> None:
        if isinstance(event, Gone):
            self._hear(self.conditions.gone(event.source.namespace, clean=event.clean, now_ns=self.now_ns()))
            if event.clean:
                self.infos.pop(event.source.namespace, None)

    @subscription(topics.PROTECTION, namespace=EVERY)
    def on_protection(self, said: Protection) -> None:
        self.conditions.protection(self.source.namespace, topics.PROTECTION.name, said, self.now_ns())

    @subscription(topics.HAL_PROTECTION, namespace=EVERY)
    def on_hal_protection(self, said: Protection) -> None:
        self.conditions.protection(self.source.namespace, topics.HAL_PROTECTION.name, said, self.now_ns())

    # FanucApi overrides this one and calls it: a topic has one reader with a cursor per node
    @subscription(topics.INTERVENTION, namespace=EVERY, cursor="from_the_beginning")
    def keep_intervention(self, said: Intervention) -> None:
        """One of now waits for somebody to look; so does one of while this node was being started again."""
        if said.reaction is Reaction.NONE or said.stamp_ns < self.began_ns - AWAY_NS:
            return
        notify = said.reaction is not Reaction.WARN and not said.would_have
        alarm = of_intervention(said)
        if alarm.alarm_id not in self.looked_at:
            self.states.hear(alarm, self.source.namespace, notify=notify, over=True)
            self._tell_changed()

    def from_the_beginning(self, publisher: str, topic: str) -> Mapping[int, int]:
        """The cursor of a reader that keeps none."""
        return {}

    @subscription(topics.ALARM, namespace=EVERY)
    def on_alarm(self, alarm: Alarm) -> None:
        self.states.hear(alarm, self.source.namespace, publisher=self.source.node)
        if time.monotonic() - self._told_s > TELL_S:
            self._tell_changed()

    @on_link(topics.ALARM)
    def on_alarm_link(self, event: LinkEvent) -> None:
        """Whoever comes anew says again what is still so; what is lost nobody says again."""
        if isinstance(event, Lost):
            node = event.source.node
            self.lost_alarms[node] += event.last - event.first + 1
            text = f"{self.lost_alarms[node]} alarms of {node} were lost here: look at what it shows itself"
            alarm = Alarm(
                stamp_ns=self.now_ns(), alarm_id=f"{self.name}/lost/{node}", level=ConditionLevel.FAULT,
                origin=self.name, native_code=LOST_CODE, text=text,
            )  # fmt: skip
            self.states.hear(alarm, event.source.namespace, publisher=self.name, notify=True, over=True)
        if isinstance(event, Synced) or (isinstance(event, Gone) and event.clean):
            self.states.doubt(event.source.node, self.now_ns() + CONFIRM_NS)

    @timer(2 * TELL_S)
    def tell(self) -> None:
        """Go on telling what one stretch was too short for."""
        if self.states.changed:
            self._tell_changed()

    @timer(0.25)
    def watch(self) -> None:
        """What has become so by waiting, and whom to tell."""
        now_ns = self.now_ns()
        self.erp_away = ERP not in self._entries()
        self._hear(self.conditions.look(now_ns))
        self.states.sweep(now_ns)
        self._tell_changed()
        for alarm_id in [a for a, until_ns in self.looked_at.items() if now_ns >= until_ns]:
            del self.looked_at[alarm_id]
            self.standing.withdraw(alarm_id)
        if self.states.dropped:
            self.report(
                "alarms_dropped", ConditionLevel.WARNING, f"{self.states.dropped} alarms made room for newer ones"
            )

    def _hear(self, alarms: list[tuple[str, Alarm]]) -> None:
        for machine, alarm in alarms:
            self.states.hear(alarm, machine, publisher=self.name, notify=True)
        self._tell_changed()

    def _tell_changed(self) -> None:
        """Publish what stands otherwise than before, and send out what people must know."""
        until_s = time.monotonic() + TELL_S
        while self.states.changed and (now_s := time.monotonic()) < until_s:
            alarm = self.states.take_changed()
            self.standing.publish(alarm)
            if alarm.state is AlarmState.NORMAL and alarm.native_code.startswith(INTERVENTION):
                self.looked_at[alarm.alarm_id] = self.now_ns() + AWAY_NS
            elif alarm.state is AlarmState.NORMAL:
                self.standing.withdraw(alarm.alarm_id)
            self._told_s = now_s
        if self.deliverable and (due := self.notices.due(self.states, self.now_ns())) is not None:
            for name in sorted(self.deliverable):
                try:
                    self.outboxes[name].put_nowait(due)
                except queue.Full:
                    self._on_delivery(name, self._delivery_alarm(name, f"{OUTBOX} notices wait for it already"))

    # --- notices go out ------------------------------------------------------------------------------------------

    @worker(depth=OUTBOX)
    def webhook(self, end: threading.Event) -> Iterator[Alarm]:
        """Sends notices to the webhook, where there is one."""
        yield from self._send("webhook", end)

    @webhook.received
    def on_webhook(self, alarm: Alarm) -> None:
        self._on_delivery("webhook", alarm)

    @worker(depth=OUTBOX)
    def mail(self, end: threading.Event) -> Iterator[Alarm]:
        """Sends notices by mail, where there is a server."""
        yield from self._send("smtp", end)

    @mail.received
    def on_mail(self, alarm: Alarm) -> None:
        self._on_delivery("smtp", alarm)

    def _send(self, name: str, end: threading.Event) -> Iterator[Alarm]:
        """Deliver what waits for a channel, in its thread; an alarm for each attempt, NORMAL when it arrived."""
        from web.delivery import channel_of, deliver  # smtplib and urllib: not before they are needed

        channel, why = channel_of(web_folder(str(getattr(self.context, "domain", "default"))), name)
        if why:
            yield self._delivery_alarm(name, why)
        if channel is None:
            return
        self.deliverable.add(name)
        while not end.is_set():
            try:
                waiting = self.outboxes[name].get(timeout=0.25)
            except queue.Empty:
                continue
            yield self._delivery_alarm(name, deliver(channel, waiting))

    def _delivery_alarm(self, name: str, why: str) -> Alarm:
        return Alarm(
            stamp_ns=self.now_ns(), alarm_id=f"{self.name}/delivery/{name}",
            level=ConditionLevel.FAULT if why else ConditionLevel.NORMAL, origin=self.name, native_code=DELIVERY_CODE,
            text=f"a notice does not go out: {why}" if why else "",
        )  # fmt: skip

    def _on_delivery(self, name: str, alarm: Alarm) -> None:
        """A notice went out, or did not: that is an alarm of its own, told by the other channel where there is one."""
        failed = alarm.level is not ConditionLevel.NORMAL
        if failed:
            self.notices.failed(self.now_ns())
        if not failed and name not in self.failing:
            return
        if failed == (name in self.failing) and self.states.get(alarm.alarm_id) is not None:
            return  # said already
        (self.failing.add if failed else self.failing.discard)(name)
        self.delivery_alarms.publish(alarm)
        self.states.hear(alarm, "", publisher=self.name, notify=True)
        self._tell_changed()
