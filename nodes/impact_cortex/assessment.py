"""What the engine says of the machine 20 times a second: forces and power from the last moments, margins, the light."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from nodes.impact_cortex import physics
from nodes.impact_cortex.channel import Channel
from nodes.impact_cortex.chatter import Chatter
from nodes.impact_cortex.cusum import Cusum, Residual
from nodes.impact_cortex.cuts import Reference
from nodes.impact_cortex.detectors import Deviation, Limit
from nodes.impact_cortex.policy import NOTHING, RANK, Event
from nodes.impact_cortex.stuck import Stuck
from nodes.impact_cortex.tasks import LOAD, gate_open
from nodes.impact_cortex.tunnel import Tunnel
from nodes.impact_cortex.watch import Level
from schemas.impact import Assessment, Margin, Mode, ProtectionState, Reaction, StackLight
from schemas.machine import Execution, MachineState

SPAN_S = 0.05
STOPPED = (Execution.FEED_HOLD, Execution.INTERRUPTED, Execution.STOPPED)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the samples of the last moments say."""

    load_pct: float = math.nan
    force_n: float = math.nan
    power_kw: float = math.nan
    margins: tuple[Margin, ...] = ()
    heard: bool = False
    """some source is"""

    def and_of(self, more: Measured) -> Measured:
        """With other sources, which do not know the load."""
        heard = self.heard or more.heard
        return Measured(self.load_pct, self.force_n, self.power_kw, self.margins + more.margins, heard)


@np.errstate(invalid="ignore")  # the mean of readings that are infinite both ways is none
def measure(channels: Iterable[Channel], reference: Reference, span_s: float = SPAN_S) -> Measured:
    """Peaks and means over the last `span_s` of every source."""
    load = force = power = math.nan
    margins: list[Margin] = []
    heard = False
    for channel in channels:
        heard = True
        rows = channel.lately(span_s)
        if not len(rows):
            continue
        # a missing reading is no peak and no mean: columns with one are NaN, and protection says why
        peaks, lows = rows.max(axis=0).tolist(), rows.min(axis=0).tolist()
        names = channel.names
        if LOAD in names:
            means = (np.add.reduce(rows, axis=0) / len(rows)).tolist()
            load = means[names.index(LOAD)]
        if LOAD in names and "spindle_torque_nm" in names and "spindle_speed_rpm" in names:
            torque = means[names.index("spindle_torque_nm")]
            power = physics.power_kw(torque, means[names.index("spindle_speed_rpm")])
            if load > 0 and reference.cut.diameter_mm > 0:
                net = torque * max(0.0, 1.0 - channel.idle_pct / load)
                force = physics.cutting_force_n(net, reference.cut.diameter_mm)
        for w in channel.watches:
            if w.level is Level.UNGATED and not w.armed:
                continue
            value, limit = math.nan, w.detector.bound(w.state)
            match w.detector:
                case Limit():
                    value = w.gain * peaks[w.column] + w.offset
                case Deviation():
                    rest = w.detector.rest(w.state)
                    value = max(peaks[w.column] - rest, rest - lows[w.column])
                case Residual() | Cusum():
                    per_s = channel.period_ns / 1e9
                    value, limit = w.detector.level(w.state) * per_s, w.detector.threshold * per_s
                case Stuck() | Chatter() | Tunnel():
                    value = w.detector.reading(w.state, math.nan)
            if w.resting:
                value = math.nan
            left = 100.0 * (1.0 - value / limit) if limit > 0 else math.nan
            margins.append(
                Margin(task=w.task.name, signal=w.signal, unit=w.limit_unit, value=value, limit=limit, margin_pct=left)
            )
    return Measured(load, force, power, tuple(margins), heard)


def light(
    event: Event,
    mode: Mode,
    protected: tuple[ProtectionState, Sequence[str]],
    *,
    alive: bool,
    execution: Execution | None,
    cutting: bool,
    load_pct: float,
    limit_pct: float,
) -> tuple[StackLight, str]:
    """The stack light and why it shows that."""
    state, reasons = protected
    if event is not NOTHING and event.finding is not None:
        f = event.finding
        if event.powerless:
            return StackLight.RED, f"STOP WITHOUT EFFECT, press the machine's EMERGENCY STOP. It was for {f.reason}"
        said = "" if RANK[event.asked] >= RANK[event.reaction] else f"mode {mode} would have: "
        text = f"{said}{event.reaction}: {f.reason}"
        return (StackLight.YELLOW if event.reaction is Reaction.WARN else StackLight.RED), text
    other = [r for r in reasons if not r.startswith("mode ")]
    # without a state nothing says that no program runs; where no source is heard either, the machine may be off
    runs = execution is Execution.ACTIVE or (alive and execution in (None, Execution.UNAVAILABLE))
    if state is ProtectionState.UNPROTECTED and other and mode is not Mode.OBSERVE and runs:
        # who relies on protection must not take its absence for a hint
        return StackLight.RED, f"{state}: {other[0]}"
    if not alive:
        return StackLight.OFF, reasons[0] if reasons else "nothing known"
    if state is not ProtectionState.PROTECTED and other:
        return StackLight.YELLOW, f"{state}: {other[0]}"
    if execution in STOPPED:
        return StackLight.YELLOW, f"execution {execution}"  # by somebody else: of our own stop the event speaks
    doing = "cutting" if cutting else "not cutting"
    load = "" if math.isnan(load_pct) else f", spindle load {load_pct:.0f} % of {limit_pct:.0f} %"
    watched = "" if mode is Mode.STOP else f", mode {mode}"
    return StackLight.GREEN, f"{doing}{load}{watched}"


def assess(
    now_ns: int,
    seen: tuple[Measured, float, float],
    state: MachineState | None,
    event: Event,
    mode: Mode,
    protected: tuple[ProtectionState, Sequence[str]],
) -> Assessment:
    """The engine's view now.

    `seen`: what was measured, what the model says and the limit of the load; `state` is None while it is silent.
    """
    measured, model_pct, limit_pct = seen
    cutting = state is not None and gate_open(state.execution, state.motion)
    load_pct = measured.load_pct
    shown, reason = light(
        event,
        mode,
        protected,
        alive=measured.heard,
        execution=None if state is None else state.execution,
        cutting=cutting,
        load_pct=load_pct,
        limit_pct=limit_pct,
    )
    return Assessment(
        stamp_ns=now_ns,
        light=shown,
        reason=reason,
        cutting_force_n=measured.force_n,
        spindle_power_kw=measured.power_kw,
        model_load_pct=model_pct,
        margins=measured.margins,
    )
