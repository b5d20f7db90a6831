"""The hardware abstraction of one machine: what its sources say goes on the bus, what the bus asks goes back to one."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from bus.node import (
    BadParameter,
    Gone,
    LinkEvent,
    Node,
    Objection,
    on_link,
    parameter,
    publisher,
    service,
    subscription,
    timer,
    worker,
)
from nodes.sensory_cortex.chunk import Chunk
from nodes.sensory_cortex.drivers import Setting
from nodes.sensory_cortex.entries import Entry, objections, read_entries
from nodes.sensory_cortex.levels import LEVELS_S, Levels
from nodes.sensory_cortex.machine import Machine
from nodes.sensory_cortex.merging import merged
from nodes.sensory_cortex.sources import SourceWatch
from schemas import topics
from schemas.base import Message
from schemas.codec import prepare
from schemas.impact import Beat, Mode, Protection, ProtectionState
from schemas.machine import (
    ActionReply,
    Alarm,
    ConditionLevel,
    CoolantState,
    Execution,
    FeedHoldRequest,
    InjectReply,
    InjectRequest,
    MachineInfo,
    MachineState,
    Motion,
    MotionEvent,
    MotionPhase,
    ResetRequest,
    SignalBlock,
    Signals,
    StopRequest,
)
from schemas.system import LogRecord, ServiceEvent

BRAIN_SILENT_NS = 250_000_000
FIRST_BEAT_NS = 5_000_000_000
OWN_PAUSE_NS = 100_000_000
"""a tick this late means that this node slept, so the brain's silence is no news"""


class SensoryCortex(Node):
    """Publishes what one machine does and senses, and lets it be held and stopped."""

    sources = parameter(
        ({"driver": "simulator"},),
        doc="where its signals and its state come from: a table each, `driver` and that driver's options",
    )
    on_brain_lost = parameter("NONE", choices=("NONE", "FEED_HOLD"), doc="what the loss of impact_cortex's beat does")

    info = publisher(topics.MACHINE_INFO)
    state = publisher(topics.MACHINE_STATE)
    signals = publisher(topics.SIGNALS)
    samples = publisher(topics.SAMPLES)
    vibration = publisher(topics.VIBRATION)
    levels = publisher(topics.LEVELS)
    coolant = publisher(topics.COOLANT)
    motion = publisher(topics.MOTION)
    alarms = publisher(topics.ALARM)
    protection = publisher(topics.HAL_PROTECTION)

    @classmethod
    def mistakes(cls, parameters: Mapping[str, Any]) -> Iterable[Objection]:
        """What is wrong with a source, or between two of them."""
        return objections(parameters["sources"])

    def on_configure(self) -> None:
        # the first stop must not be the one that waits for a compiler
        prepare(*(p.topic.type for p in self.interface.publishers), ServiceEvent, LogRecord)
        prepare(*(kind for s in self.interface.servers for kind in (s.service.request, s.service.reply)))
        entries, wrong = read_entries(self.sources)
        if wrong:
            raise BadParameter("\n".join(f"{self.name}: {text}" for _, text, *_ in wrong))
        try:
            self.machine = Machine(entries, self._setting)
        except ValueError as error:
            raise BadParameter(f"{self.name}: {error}") from error
        now_ns = self.now_ns()
        self.route: dict[type[Message], Any] = {
            CoolantState: self.coolant,
            MotionEvent: self.motion,
            Alarm: self.alarms,
            Signals: self.signals,
        }
        self.watch = SourceWatch(now_ns)
        self.recent = Levels()
        self.started_ns = self.ticked_ns = now_ns
        self.beat_ns: int | None = None
        self.mode = Mode.OBSERVE
        self.protected: tuple[ProtectionState, Mode] | None = None
        self.told_revision = (-1, -1)
        self.told_second = 0
        self.unavailable = False
        self.last_values: dict[str, Any] = {}
        self.lost_signals: set[str] = set()
        self.silent_sources: set[str] = set()
        self.told_failed: set[str] = set()
        self.where: dict[str, Any] = {}
        self.machine.start(now_ns)
        self._tell_signals(Signals(signals=self.machine.signals))
        self._tell_state(now_ns)
        self._tell_info(now_ns)

    def _setting(self, entry: Entry) -> Setting:
        c = self.context
        return Setting(c.namespace or self.name, entry.name, entry.options, self.rng, self.next_id, c.log, self.now_ns)

    # --- from the sources to the bus -----------------------------------------------------------------------------

    @worker(depth=16)
    def reader(self, end: threading.Event) -> Iterator[Chunk]:
        """The drivers' blocking sides."""
        yield from merged(self.machine.readers(), end)

    @reader.received
    def on_chunk(self, chunk: Chunk) -> None:
        if self.machine.receive(chunk):
            self._advance(self.now_ns())

    @timer(0.001)
    def tick(self) -> None:
        """Everything that has happened since the last tick, state before samples, so that samples are judged by it."""
        now_ns = self.now_ns()
        self._advance(now_ns)
        if self.beat_ns is not None and now_ns - self.ticked_ns > OWN_PAUSE_NS:
            self.beat_ns += now_ns - self.ticked_ns
        self.ticked_ns = now_ns
        silent_ns = now_ns - (self.started_ns if self.beat_ns is None else self.beat_ns)
        if silent_ns > (FIRST_BEAT_NS if self.beat_ns is None else BRAIN_SILENT_NS):
            self._brain_lost(now_ns, silent_ns)

    def _advance(self, now_ns: int) -> None:
        out = self.machine.advance(now_ns)
        if self.machine.revision != self.told_revision:
            self._tell_state(now_ns)
        for message in out:
            if type(message) is SignalBlock:
                self._tell_block(message, now_ns)
            else:
                if type(message) is Signals:
                    self._tell_signals(message)
                    continue
                self.route[type(message)].publish(message)
                if type(message) is MotionEvent and message.phase is MotionPhase.AXES_STANDING:
                    self._tell_info(now_ns)  # how long the stop took

    def _tell_block(self, block: SignalBlock, now_ns: int) -> None:
        to = self.where.get(block.source)
        if to is not None:
            to.publish(block)
            self.watch.heard(block, now_ns)
            self.recent.add(block)
            self.last_values[block.source] = block.data.array

    @timer(0.005)
    def later(self) -> None:
        """What would have made a tick too long."""
        now_ns = self.now_ns()
        for message in self.machine.deferred():
            self._tell_block(message, now_ns)

    @timer(LEVELS_S)
    def sum_up(self) -> None:
        """What the rows were, for those who do not need every one."""
        for levels in self.recent.take():
            self.levels.publish(levels)

    @timer(0.2)
    def look(self) -> None:
        """Sources that fell silent, signals that read nothing; once a second the state of everything."""
        now_ns = self.now_ns()
        machine = self.machine
        self._tell_failed(now_ns)
        for fitted, source in machine.sources():
            if fitted.driver is not None and fitted.driver.ended and not self.watch.lost(source.name):
                continue
            changed = self.watch.judge(source, machine.quality(fitted, source.name), now_ns)
            if changed is None:
                continue
            if not changed:
                text = f"source {source.name} is silent for {self.watch.age_ms(source.name, now_ns):.0f} ms"
                if why := machine.quality(fitted, source.name).trouble:
                    text += f": {why}"
                self._alarm(f"source/{source.name}", ConditionLevel.UNAVAILABLE, "SOURCE_SILENT", text, now_ns)
                self.silent_sources.add(source.name)
            elif source.name in self.silent_sources:
                self.silent_sources.discard(source.name)
                self._alarm(f"source/{source.name}", ConditionLevel.NORMAL, "SOURCE_SILENT", "", now_ns)
            if source.carries_state and fitted.entry.state:
                self.unavailable = not changed
                self._tell_state(now_ns)
            self._tell_info(now_ns)
        self._look_for_lost_signals(now_ns)
        second = now_ns // 1_000_000_000
        if second != self.told_second:
            self.told_second = second
            self.watch.measure(now_ns)
            self._tell_state(now_ns)
            self._tell_info(now_ns)
            self._tell_losses()

    def _tell_failed(self, now_ns: int) -> None:
        """Once for each source whose driver failed, and each signal that two have."""
        for fitted in self.machine.fitted:
            name = fitted.entry.name
            if fitted.failed and name not in self.told_failed:
                self.told_failed.add(name)
                text = f"source {name} ({fitted.entry.kind}) failed: {fitted.failed}"
                self.log.error(text)
                self.report(f"source_failed_{name}", ConditionLevel.FAULT, text)
                self._alarm(f"source/{name}", ConditionLevel.FAULT, "SOURCE_FAILED", text, now_ns)
        for signal, text in self.machine.doubly.items():
            if signal not in self.told_failed:
                self.told_failed.add(signal)
                self.log.error(f"signal {signal}: {text}")
                self.report("two_owners", ConditionLevel.FAULT, f"signal {signal}: {text}; use `take` or `leave`")

    def _tell_losses(self) -> None:
        machine = self.machine
        if lost := self.watch.lost_rows:
            text = ", ".join(f"{rows} of {source}" for source, rows in lost.items())
            late = f"; {machine.lost_rows} because this node ran late" if machine.lost_rows else ""
            self.report("rows_lost", ConditionLevel.WARNING, f"rows lost: {text}{late}")
        if dropped := sum(f.dropped for f in machine.fitted):
            self.report("chunks_dropped", ConditionLevel.WARNING, f"{dropped} pieces read and not taken in time")

    def _look_for_lost_signals(self, now_ns: int) -> None:
        lost: set[str] = set()
        for source, values in self.last_values.items():
            missing = np.isnan(values[-1])
            if missing.any():
                names = [s.name for s in self.machine.signals if s.source == source]
                lost.update(name for name, gone in zip(names, missing, strict=False) if gone)
        for name in sorted(lost ^ self.lost_signals):
            gone = name in lost
            level = ConditionLevel.FAULT if gone else ConditionLevel.NORMAL
            text = f"signal {name} reads nothing" if gone else ""
            self._alarm(f"signal/{name}", level, "SENSOR_LOST", text, now_ns)
        self.lost_signals = lost

    # --- latched words -------------------------------------------------------------------------------------------

    def _tell_state(self, now_ns: int) -> None:
        state: MachineState = self.machine.state(now_ns)
        self.told_revision = self.machine.revision
        if self.unavailable:
            state = state.model_copy(update={"execution": Execution.UNAVAILABLE, "motion": Motion.UNKNOWN})
        self.state.publish(state)

    def _tell_signals(self, told: Signals) -> None:
        by_topic = {topics.SAMPLES.name: self.samples, topics.VIBRATION.name: self.vibration}
        self.where = {s.source: by_topic[s.topic] for s in told.signals if s.topic in by_topic}
        self.signals.publish(told)

    def _tell_info(self, now_ns: int) -> None:
        machine = self.machine
        can, acting = machine.abilities, machine.acting()
        self.info.publish(
            MachineInfo(
                machine=self.context.namespace or self.name,
                model=can.model,
                simulated=can.simulated,
                can_feed_hold=can.can_feed_hold,
                can_stop=can.can_stop,
                stop_path=can.stop_path,
                last_stop_ms=machine.last_stop_ms,
                sources=tuple(
                    self.watch.status(s, f, machine.quality(f, s.name), now_ns, stops=f is acting)
                    for f, s in machine.sources()
                ),
            )
        )

    def _alarm(self, code: str, level: ConditionLevel, native: str, text: str, now_ns: int) -> None:
        self.alarms.publish(
            Alarm(
                stamp_ns=now_ns,
                alarm_id=f"{self.name}/{code}",
                level=level,
                origin=self.name,
                native_code=native,
                text=text,
            )
        )

    # --- the brain -----------------------------------------------------------------------------------------------

    @subscription(topics.BEAT)
    def on_beat(self, beat: Beat) -> None:
        self.beat_ns = self.now_ns()
        self.mode = beat.mode
        self.machine.beat(self.beat_ns, acting=beat.mode is not Mode.OBSERVE)
        if beat.mode is Mode.OBSERVE:
            self._tell_protection(
                ProtectionState.DEGRADED, "impact_cortex only observes: it asks nothing of the machine"
            )
        else:
            self._tell_protection(ProtectionState.PROTECTED, "")

    @on_link(topics.BEAT)
    def on_beat_link(self, event: LinkEvent) -> None:
        """A brain that is gone is told at once; one that is only silent by `tick`, which knows its own pauses."""
        if isinstance(event, Gone):
            now_ns = self.now_ns()
            self._brain_lost(now_ns, now_ns - (self.beat_ns or now_ns))

    def _tell_protection(self, state: ProtectionState, reason: str) -> bool:
        """Publish when it is news."""
        if self.protected == (state, self.mode):
            return False
        self.protected = (state, self.mode)
        reasons = (reason,) if reason else ()
        self.protection.publish(Protection(stamp_ns=self.now_ns(), state=state, mode=self.mode, reasons=reasons))
        return True

    def _brain_lost(self, now_ns: int, silent_ns: int) -> None:
        if self.protected is not None and self.protected[0] is ProtectionState.UNPROTECTED:
            return
        reason = f"no beat of impact_cortex for {silent_ns / 1e6:.0f} ms"
        if not self._tell_protection(ProtectionState.UNPROTECTED, reason):
            return
        self.log.warning(f"UNPROTECTED: {reason}")
        if self.on_brain_lost == "FEED_HOLD" and self.machine.abilities.can_feed_hold:
            self._hold(f"{reason}; requested by {self.name}", stop=False)

    # --- what is asked -------------------------------------------------------------------------------------------

    @service(topics.FEED_HOLD)
    def feed_hold(self, request: FeedHoldRequest) -> ActionReply:
        return self._hold(request.reason, stop=False)

    @service(topics.STOP)
    def stop(self, request: StopRequest) -> ActionReply:
        return self._hold(request.reason, stop=True)

    def _hold(self, reason: str, *, stop: bool) -> ActionReply:
        now_ns = self.now_ns()
        self._advance(now_ns)
        answer = self.machine.hold(self.next_id(), now_ns, stop=stop)
        self._advance(now_ns)
        return ActionReply(accepted=answer.accepted, action_id=answer.action_id, text=answer.text, stamp_ns=now_ns)

    @service(topics.RESET)
    def reset(self, request: ResetRequest) -> ActionReply:
        now_ns = self.now_ns()
        if not request.operator.strip() or not request.reason.strip():
            return ActionReply(
                accepted=False, action_id="", text="a reset needs the operator's name and a reason", stamp_ns=now_ns
            )
        answer = self.machine.reset(self.next_id(), now_ns)
        self._advance(now_ns)
        if answer.accepted:
            self.log.info(f"reset by {request.operator}: {request.reason}")
        return ActionReply(accepted=answer.accepted, action_id=answer.action_id, text=answer.text, stamp_ns=now_ns)

    @service(topics.INJECT)
    def inject(self, request: InjectRequest) -> InjectReply:
        return self.machine.inject(request, self.now_ns())

    def on_parameter(self, name: str) -> None:
        if name != "on_brain_lost":
            self.log.warning(f"{name} takes effect when this node starts again")
