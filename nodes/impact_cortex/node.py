"""impact_cortex on the bus: samples in, reactions out. What is judged and how stands in the pure files beside it."""

from __future__ import annotations

from dataclasses import replace

from bus.node import (
    BadParameter,
    Gone,
    LinkEvent,
    Lost,
    Node,
    Source,
    Stale,
    on_link,
    publisher,
    subscription,
    timer,
)
from nodes.impact_cortex import bypass
from nodes.impact_cortex.acting import Acting
from nodes.impact_cortex.assessment import Measured, assess, measure
from nodes.impact_cortex.channel import Channel, Hit
from nodes.impact_cortex.cuts import BadCuts, Cuts, age_ms, known_execution
from nodes.impact_cortex.interventions import ASKED
from nodes.impact_cortex.job_keeping import JobKeeping
from nodes.impact_cortex.job_rows import watched_by
from nodes.impact_cortex.policy import NOTHING, Finding, decide
from nodes.impact_cortex.protection import Health, protection, resting
from nodes.impact_cortex.tasks import BadTasks, gate_open
from nodes.impact_cortex.teaching import Teaching
from nodes.impact_cortex.tuning import Tuning
from nodes.impact_cortex.verdicts import Verdicts
from nodes.impact_cortex.watch import Level, Watch
from schemas import topics
from schemas.codec import prepare
from schemas.impact import (
    Beat,
    Protection,
    ProtectionState,
    Reaction,
)
from schemas.machine import (
    Cause,
    ConditionLevel,
    Execution,
    MachineInfo,
    MachineState,
    MotionEvent,
    MotionPhase,
    SignalBlock,
    Signals,
)

TICK_S = 0.05
PROTECTION_NS = 1_000_000_000
ASK_AGAIN = 20
"""ticks: a reaction that was not taken is asked for again this often"""
NOBODY = Cause(publisher="", topic="", seq=0)


class ImpactCortex(Tuning, Acting, JobKeeping, Teaching, Verdicts, Node):
    """Watches one machine, and holds its feed or stops it when the mode allows.

    This is no safety function: the machine's own emergency stop always wins.
    """

    backtest = "nodes.impact_cortex.recorded"

    beats = publisher(topics.BEAT)
    assessments = publisher(topics.ASSESSMENT)
    protections = publisher(topics.PROTECTION)

    def on_configure(self) -> None:
        # the first decision must not be the one that waits for a compiler
        prepare(*(p.topic.type for p in self.interface.publishers), *ASKED)
        self._channels: dict[str, dict[str, Channel]] = {topics.SAMPLES.name: {}, topics.VIBRATION.name: {}}
        self._signals_known = False
        self._resting: tuple[str, ...] = ()
        self._newest: dict[Channel, Source] = {}
        self._strangers: set[str] = set()
        self._info: MachineInfo | None = None
        self._state: MachineState | None = None
        self._state_silent = True
        self._state_age_ms = 0.0
        self._event = NOTHING
        self._bypass = bypass.NONE
        self._went = self._mode(self.now_ns())
        self._powerless = False
        self._execution: Execution | None = None
        self._watch: Watch | None = None
        self._channel: Channel | None = None
        self._cause = NOBODY
        self._stamp_ns = 0
        self._back = 0
        self._unsaid = []
        self._again: tuple[str, Reaction, str] | None = None
        self._asked_again = 0
        self._hal_error = ""
        self._beats = 0
        self._protection: tuple[ProtectionState, tuple[str, ...]] = (ProtectionState.UNPROTECTED, ())
        self._protected_ns = 0
        self._measured = Measured()
        self._begin_jobs()
        self._begin_verdicts()
        self._begin_teaching()
        self._site_cuts, self._rows = Cuts(), ()
        if wrong := self._read_parameters():
            raise BadParameter(f"{self.name}: {wrong}")

    def _read_parameters(self) -> str:
        """Take every parameter that can be used; what is wrong with the others."""
        given = {name: getattr(self, name) for name in self.interface.parameters}
        wrong = ""
        try:
            self._site_cuts = self.described(given)
        except BadCuts as error:
            wrong = str(error)
        try:
            self._site_tasks = self.watched(given)
            self._rows = given["tasks"]
        except BadTasks as error:
            wrong = f"{wrong}\n{error}".strip()
            self._site_tasks = self.watched({**given, "tasks": self._rows})
        self._settings = self.settings(given)
        self._effective_ns = round(self.effective_s * 1e9)
        self._stop_effective_ns = round(self.stop_effective_s * 1e9)
        return "\n".join(filter(None, (wrong, self._use())))

    def _use(self) -> str:
        """Judge from now on by the run's job, or by the machine's own cuts and tasks; why a job cannot be used."""
        wrong = ""
        try:
            self._cuts, self._tasks = watched_by(self._jobs, self._site_cuts, self._site_tasks)
        except (BadCuts, BadTasks) as error:  # parameters were changed under it
            self._cuts, self._tasks, wrong = self._site_cuts, self._site_tasks, f"the job's cuts and limits: {error}"
        channels = self._all_channels()
        for channel in channels:
            channel.configure(self._settings, self._tasks)
        self._resting = resting(channels, self._tasks) if self._signals_known else ()
        self._set_gates()
        return wrong

    def on_parameter(self, name: str) -> None:
        if name != "mode":
            self._watch = None
            if wrong := self._read_parameters():
                self.log.warning(f"what was described before stays in force: {wrong}")
        now_ns = self.now_ns()
        self._look_for_mode(now_ns)
        self._protect(now_ns)

    def _all_channels(self) -> list[Channel]:
        return [c for by_source in self._channels.values() for c in by_source.values()]

    # --- what the machine says ------------------------------------------------------------------------------------

    @subscription(topics.MACHINE_INFO)
    def on_info(self, info: MachineInfo) -> None:
        self._info = info

    @subscription(topics.SIGNALS)
    def on_signals(self, signals: Signals) -> None:
        for topic, by_source in self._channels.items():
            listed = [s for s in signals.signals if s.topic == topic]
            for source in sorted(by_source.keys() - {s.source for s in listed}):
                del by_source[source]
            for source in dict.fromkeys(s.source for s in listed):
                columns = tuple(s for s in listed if s.source == source)
                known = by_source.get(source)
                if known is None or known.signals != columns:
                    by_source[source] = Channel(source, columns, self._settings, self._tasks)
        self._signals_known = True
        self._resting = resting(self._all_channels(), self._tasks)
        self._strangers.clear()
        self._newest = {c: s for c, s in self._newest.items() if c in self._all_channels() or c is self._channel}
        self._set_gates()

    @subscription(topics.MACHINE_STATE)
    def on_state(self, state: MachineState) -> None:
        self._state = state
        self._state_silent = False
        self._state_age_ms = age_ms(state, self.now_ns())
        if not self._keep_book(state):
            self._set_gates()
        elif wrong := self._use():
            self.log.warning(wrong)
        before, self._execution = self._execution, known_execution(self._execution, state)
        if before not in (None, Execution.ACTIVE) and state.execution is Execution.ACTIVE:
            self._end_event("the program runs again", settle=True)

    def _set_gates(self) -> None:
        state = None if self._state_silent else self._state
        self._reference, self._shown_model_pct = self._cuts.reference(state), self._cuts.shown_pct(state)
        cuts = state is not None and gate_open(state.execution, state.motion)
        place = self._follower.hear(state, cuts=cuts)
        now = replace(self._cuts.doing(state, self._state_age_ms), place=place, tunnels=self._tunnels)
        for channel in self._all_channels():
            channel.set_gate(now)

    @subscription(topics.MOTION)
    def on_motion(self, motion: MotionEvent) -> None:
        if motion.phase is MotionPhase.RELEASED:
            self._end_event("released by the operator", settle=True, reset=True)
        elif motion.phase is MotionPhase.AXES_STANDING and self._event.acted:
            self._event = replace(self._event, effective=True)

    @on_link(topics.MACHINE_STATE)
    def on_state_link(self, event: LinkEvent) -> None:
        if isinstance(event, (Stale, Gone)):
            self._state_silent = True
            self._set_gates()
            self._protect(self.now_ns())

    @on_link(topics.SAMPLES)
    def on_samples_link(self, event: LinkEvent) -> None:
        self._link(topics.SAMPLES.name, event)

    @on_link(topics.VIBRATION)
    def on_vibration_link(self, event: LinkEvent) -> None:
        self._link(topics.VIBRATION.name, event)

    def _link(self, topic: str, event: LinkEvent) -> None:
        if isinstance(event, Gone):
            for channel in self._channels[topic].values():
                channel.heard_ns = 0
        if isinstance(event, Lost):
            text = f"{event.last - event.first + 1} messages of {topic} never came: they were not judged"
            self.report("NOT_JUDGED", ConditionLevel.WARNING, text)
        else:
            self._protect(self.now_ns())

    # --- judging --------------------------------------------------------------------------------------------------

    @subscription(topics.SAMPLES)
    def on_samples(self, block: SignalBlock) -> None:
        self._judge(self._channels["machine/samples"].get(block.source), block)

    @subscription(topics.VIBRATION)
    def on_vibration(self, block: SignalBlock) -> None:
        self._judge(self._channels["machine/vibration"].get(block.source), block)

    def _judge(self, channel: Channel | None, block: SignalBlock) -> None:
        if channel is None:
            if len(self._strangers) < 16:
                self._strangers.add(block.source)
            return
        if self._unsaid:
            self._say()
        now_ns = self.now_ns()
        channel.heard_ns = now_ns
        self._newest[channel] = self.source
        fired_ns = channel.fired_ns
        for hit in channel.feed(block):
            read_ns = block.stamp_ns + hit.row * block.period_ns
            self._end_when_quiet(channel, read_ns - fired_ns)
            fired_ns = read_ns
            self._react(channel, block, hit, now_ns)
        if self._event.asked is Reaction.FEED_HOLD:
            self._escalate(now_ns)

    def _react(self, channel: Channel, block: SignalBlock, hit: Hit, now_ns: int) -> None:
        w = hit.watch
        said = "judged without its gate, " if w.level is Level.UNGATED else ""
        where = f", {w.where}" if w.where else ""
        reason = f"{said}{w.task.text}: {hit.value:.3g} {w.unit} against {hit.limit:.3g} {w.unit}{where}"
        if w.reaction is not Reaction.WARN:
            self._tunnels.spoil(f"{w.task.name} called for {w.reaction}")
        finding = Finding(w.task.name, w.signal, w.unit, hit.value, hit.limit, w.reaction, reason)
        self._event, steps = decide(self._event, self._mode(now_ns), finding, now_ns)
        if not steps:
            return
        if self._watch is not None:
            self._watch.release_guard()
        w.observe(self._settings)
        self._watch, self._channel = w, channel
        self._cause, self._stamp_ns = self.source.cause(), block.stamp_ns + hit.row * block.period_ns
        self._back = len(block.data.array) - 1 - hit.row
        self._carry_out(steps, now_ns)

    # --- saying ---------------------------------------------------------------------------------------------------

    @timer(TICK_S)
    def tick(self) -> None:
        """Beat, and see to what no sample may bring about."""
        if self._unsaid:
            self._say()
        now_ns = self.now_ns()
        self._beats += 1
        self.beats.publish(Beat(stamp_ns=now_ns, count=self._beats, mode=self._mode(now_ns)))
        self._look_for_mode(now_ns)  # a bypass ends by itself
        if self._event is not NOTHING:
            if self._event.asked is Reaction.FEED_HOLD:
                self._escalate(now_ns)
            elif self._event.asked is Reaction.STOP:
                self._look_for_power(now_ns)
            if self._again is not None and self._asked_again < ASK_AGAIN:
                self._asked_again += 1
                self._ask(*self._again, now_ns)
            self._end_when_quiet()
        self._tell_one()
        self._measured = self._measure(topics.SAMPLES.name, now_ns)
        self._count(now_ns, self._measured.power_kw, self._cutting(), self._reference)

    def on_shutdown(self) -> None:
        self._say()

    @timer(TICK_S)
    def look(self) -> None:
        """Say how everything stands: in a callback of its own, right after `tick`, because both together are long."""
        now_ns = self.now_ns()
        self._protect(now_ns)
        measured = self._measured.and_of(self._measure(topics.VIBRATION.name, now_ns))
        seen = (measured, self._shown_model_pct, self.limit_pct)
        state = None if self._state_silent else self._state
        self.assessments.publish(assess(now_ns, seen, state, self._event, self._mode(now_ns), self._protection))

    def _cutting(self) -> MachineState | None:
        """The machine's state while a chip is made."""
        state = None if self._state_silent else self._state
        if state is None or not gate_open(state.execution, state.motion):
            return None
        idle_pct = max((c.idle_pct for c in self._channels[topics.SAMPLES.name].values()), default=0.0)
        return state if self._measured.load_pct - idle_pct >= self.air_pct else None

    def _measure(self, topic: str, now_ns: int) -> Measured:
        heard = [c for c in self._channels[topic].values() if not c.silent(now_ns)]
        return measure(heard, self._reference)

    def _protect(self, now_ns: int) -> None:
        """Publish protection when it changed, and once a second."""
        channels = self._all_channels()
        health = Health(
            mode=self._mode(now_ns),
            info=self._info,
            execution=None if self._state_silent or self._state is None else self._state.execution,
            signals_known=self._signals_known,
            strangers=self._strangers,
            resting=self._resting,
            state_age_ms=self._state_age_ms,
            hal_error=self._hal_error,
            bypass=self._bypass.text(now_ns),
            powerless=self._powerless,
        )
        found = protection(health, channels, [c for c in channels if c.silent(now_ns)])
        if found != self._protection or now_ns - self._protected_ns >= PROTECTION_NS:
            self._protection, self._protected_ns = found, now_ns
            state, reasons = found
            self.protections.publish(Protection(stamp_ns=now_ns, state=state, mode=health.mode, reasons=reasons))
