"""The hardware abstraction of one machine: what its driver says goes on the bus, what the bus asks goes back to it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bus.node import (
    BadParameter,
    Gone,
    LinkEvent,
    Node,
    on_link,
    parameter,
    publisher,
    service,
    subscription,
    timer,
    worker,
)
from nodes.sensory_cortex.chunk import Chunk
from nodes.sensory_cortex.columns import BadColumnMap
from nodes.sensory_cortex.drivers import DRIVERS, Driver, Setting, make
from nodes.sensory_cortex.sensors import preset
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

    driver = parameter("simulator", choices=tuple(DRIVERS), doc="kind of source")
    autostart = parameter(True, doc="simulator: start the program at once, and again after a reset")
    load_sensor = parameter(
        "drive_torque",
        doc="simulator: what spindle_load_pct is read with: drive_torque (1 kHz) or load_meter (100 ms, 1 %, 10 Hz)",
    )
    loop = parameter(True, doc="begin again at the end of the program or recording")
    speed = parameter(1.0, ge=0.0, le=1000.0, doc="1 is the recording's own pace; 0 is as fast as can be kept up with")
    path = parameter("", doc="recording: a table (CSV and its kin) or a bag (.mcap)")
    column_map = parameter("", doc="recording: TOML file that says how the table is read")
    columns = parameter({}, doc="recording: the same, as the map itself")  # type: ignore[var-annotated] # plain data of any shape
    bag_namespace = parameter("", doc="recording: whose topics to play; empty when the bag holds one machine")
    on_bad_row = parameter("stop", choices=("stop", "skip"), doc="recording: what a row that cannot be read does")
    fast_rows_s = parameter(12_800.0, unit="1/s", ge=1.0, le=1e6, doc="recording: most rows a second at speed 0")
    start_delay_s = parameter(2.0, unit="s", ge=0.0, le=3600.0, doc="recording: time for listeners to come")
    address = parameter(
        "", doc="shdr: shdr://HOST:PORT of the adapter; mtconnect: http://HOST:PORT/DEVICE of the agent"
    )
    items = parameter({}, doc="shdr, mtconnect: what keys mean beyond the usual ones")  # type: ignore[var-annotated] # plain data of any shape
    on_brain_lost = parameter("NONE", choices=("NONE", "FEED_HOLD"), doc="what the loss of impact_cortex's beat does")

    info = publisher(topics.MACHINE_INFO)
    state = publisher(topics.MACHINE_STATE)
    signals = publisher(topics.SIGNALS)
    samples = publisher(topics.SAMPLES)
    vibration = publisher(topics.VIBRATION)
    coolant = publisher(topics.COOLANT)
    motion = publisher(topics.MOTION)
    alarms = publisher(topics.ALARM)
    protection = publisher(topics.HAL_PROTECTION)

    @classmethod
    def mistakes(cls, parameters: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """A sensor that is none, what a recording lacks, and what is wrong with its column map."""
        try:
            preset(parameters["load_sensor"], "load")
        except ValueError as error:
            yield "load-sensor", f"load_sensor: {error}"
        if parameters["driver"] in ("shdr", "mtconnect"):
            from nodes.sensory_cortex.items import mistaken

            yield from mistaken(parameters)
        if parameters["driver"] != "recording":
            return
        if not parameters["path"]:
            yield "recording-path", "driver recording needs `path`: a table (CSV and its kin) or a bag (.mcap)"
        else:
            from nodes.sensory_cortex.drivers.recording import map_of, unplayable

            try:
                by = None if parameters["path"].endswith(".mcap") else map_of(parameters)
            except BadColumnMap as error:
                yield from (("column-map", line) for line in str(error).splitlines())
            else:
                if text := unplayable(Path(parameters["path"]), by, skip_bad=parameters["on_bad_row"] == "skip"):
                    yield "recording-path", f"path: {text}"

    def on_configure(self) -> None:
        # the first stop must not be the one that waits for a compiler
        prepare(*(p.topic.type for p in self.interface.publishers), ServiceEvent, LogRecord)
        prepare(*(kind for s in self.interface.servers for kind in (s.service.request, s.service.reply)))
        values: dict[str, Any] = {name: getattr(self, name) for name in self.interface.parameters}
        machine = self.context.namespace or self.name
        setting = Setting(machine, values, self.rng, self.next_id, self.context.log)
        try:
            self.source_driver: Driver = make(self.driver, setting)
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
        self.started_ns = self.ticked_ns = now_ns
        self.beat_ns: int | None = None
        self.mode = Mode.OBSERVE
        self.protected: tuple[ProtectionState, Mode] | None = None
        self.told_revision = -1
        self.told_second = 0
        self.unavailable = False
        self.last_values: dict[str, Any] = {}
        self.lost_signals: set[str] = set()
        self.silent_sources: set[str] = set()
        self.where: dict[str, Any] = {}
        self.source_driver.start(now_ns)
        self._tell_signals()
        self._tell_state(now_ns)
        self._tell_info(now_ns)

    # --- from the source to the bus ------------------------------------------------------------------------------

    @worker(depth=16)
    def reader(self, end: threading.Event) -> Iterator[Chunk]:
        """The driver's blocking side."""
        yield from self.source_driver.read(end)

    @reader.received
    def on_chunk(self, chunk: Chunk) -> None:
        self.source_driver.receive(chunk)

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
        driver = self.source_driver
        out = driver.advance(now_ns)
        if driver.revision != self.told_revision:
            self._tell_state(now_ns)
        for message in out:
            if type(message) is SignalBlock:
                self._tell_block(message, now_ns)
            else:
                if type(message) is Signals:
                    self._tell_signals()
                    continue
                self.route[type(message)].publish(message)
                if type(message) is MotionEvent and message.phase is MotionPhase.AXES_STANDING:
                    self._tell_info(now_ns)  # how long the stop took

    def _tell_block(self, block: SignalBlock, now_ns: int) -> None:
        to = self.where.get(block.source)
        if to is not None:
            to.publish(block)
            self.watch.heard(block, now_ns)
            self.last_values[block.source] = block.data.array

    @timer(0.005)
    def later(self) -> None:
        """What would have made a tick too long."""
        now_ns = self.now_ns()
        for message in self.source_driver.deferred():
            self._tell_block(message, now_ns)

    @timer(0.2)
    def look(self) -> None:
        """Sources that fell silent, signals that read nothing; once a second the state of everything."""
        now_ns = self.now_ns()
        driver = self.source_driver
        for source in driver.sources:
            if driver.ended and not self.watch.lost(source.name):
                continue
            changed = self.watch.judge(source, now_ns)
            if changed is None:
                continue
            if not changed:
                text = f"source {source.name} is silent for {self.watch.age_ms(source.name, now_ns):.0f} ms"
                self._alarm(f"source/{source.name}", ConditionLevel.UNAVAILABLE, "SOURCE_SILENT", text, now_ns)
                self.silent_sources.add(source.name)
            elif source.name in self.silent_sources:
                self.silent_sources.discard(source.name)
                self._alarm(f"source/{source.name}", ConditionLevel.NORMAL, "SOURCE_SILENT", "", now_ns)
            if source.carries_state:
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
            if driver.lost_rows:
                self.report("rows_lost", ConditionLevel.WARNING, f"{driver.lost_rows} rows lost: this node ran late")

    def _look_for_lost_signals(self, now_ns: int) -> None:
        lost: set[str] = set()
        for source, values in self.last_values.items():
            missing = np.isnan(values[-1])
            if missing.any():
                names = [s.name for s in self.source_driver.signals if s.source == source]
                lost.update(name for name, gone in zip(names, missing, strict=False) if gone)
        for name in sorted(lost ^ self.lost_signals):
            gone = name in lost
            level = ConditionLevel.FAULT if gone else ConditionLevel.NORMAL
            text = f"signal {name} reads nothing" if gone else ""
            self._alarm(f"signal/{name}", level, "SENSOR_LOST", text, now_ns)
        self.lost_signals = lost

    # --- latched words -------------------------------------------------------------------------------------------

    def _tell_state(self, now_ns: int) -> None:
        self.told_revision = self.source_driver.revision
        state: MachineState = self.source_driver.state(now_ns)
        if self.unavailable:
            state = state.model_copy(update={"execution": Execution.UNAVAILABLE, "motion": Motion.UNKNOWN})
        self.state.publish(state)

    def _tell_signals(self) -> None:
        driver = self.source_driver
        by_topic = {topics.SAMPLES.name: self.samples, topics.VIBRATION.name: self.vibration}
        self.where = {s.source: by_topic[s.topic] for s in driver.signals if s.topic in by_topic}
        self.signals.publish(Signals(signals=tuple(driver.signals)))

    def _tell_info(self, now_ns: int) -> None:
        driver = self.source_driver
        can = driver.abilities
        self.info.publish(
            MachineInfo(
                machine=self.context.namespace or self.name,
                model=can.model,
                simulated=can.simulated,
                can_feed_hold=can.can_feed_hold,
                can_stop=can.can_stop,
                stop_path=can.stop_path,
                last_stop_ms=driver.last_stop_ms,
                sources=tuple(self.watch.status(s, self.driver, now_ns, ended=driver.ended) for s in driver.sources),
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
        if self.on_brain_lost == "FEED_HOLD" and self.source_driver.abilities.can_feed_hold:
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
        answer = self.source_driver.hold(self.next_id(), now_ns, stop=stop)
        self._advance(now_ns)
        return ActionReply(accepted=answer.accepted, action_id=answer.action_id, text=answer.text, stamp_ns=now_ns)

    @service(topics.RESET)
    def reset(self, request: ResetRequest) -> ActionReply:
        now_ns = self.now_ns()
        if not request.operator.strip() or not request.reason.strip():
            return ActionReply(
                accepted=False, action_id="", text="a reset needs the operator's name and a reason", stamp_ns=now_ns
            )
        answer = self.source_driver.reset(self.next_id(), now_ns)
        self._advance(now_ns)
        if answer.accepted:
            self.log.info(f"reset by {request.operator}: {request.reason}")
        return ActionReply(accepted=answer.accepted, action_id=answer.action_id, text=answer.text, stamp_ns=now_ns)

    @service(topics.INJECT)
    def inject(self, request: InjectRequest) -> InjectReply:
        if not self.source_driver.abilities.simulated:
            return InjectReply(accepted=False, text="only a simulated machine can be made to fail")
        return self.source_driver.inject(request, self.now_ns())

    def on_parameter(self, name: str) -> None:
        if name != "on_brain_lost":
            self.log.warning(f"{name} takes effect when this node starts again")
