"""The simulated mill and the logic engine in one loop, a millisecond at a time: what is asked really stops the axes.

The machine, its sensors, its fault and its control are the simulator's own; judging is that of judge.py. A block is
judged in the millisecond in which it is complete (1 ms of the drive, 10 ms of the accelerometer), the request reaches
the control before the next one, and the control begins to slow the axes after its own delay.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from nodes.sensory_cortex.drivers import Setting
from nodes.sensory_cortex.drivers.simulator import SIGNALS, Simulator, SimulatorOptions
from nodes.sensory_cortex.program import Do
from schemas.impact import Reaction
from schemas.machine import Execution, InjectRequest, MotionEvent, MotionPhase, SignalBlock
from tests.benchmarks.detect.crashes import FAULTS, Crash, Kind, a_crash
from tests.benchmarks.detect.judge import ACTING, Judge
from tests.benchmarks.detect.presets import Preset

MS_NS = 1_000_000
T0_NS = 1_700_000_000_000_000_000
READY_MS = 20_000
"""within this a program must have come to its fault"""
AFTER_MS = 4_000
"""so long after a crash a decision counts, unless the axes stand before"""
FAULT_MS = 1_500
"""and after what is no crash"""
STANDING_MS = 300
"""and so long after they stand"""


@dataclass
class Outcome:
    """What came of one crash."""

    kind: str
    material: str
    feed_mm_min: float
    rpm: float
    met_mm_s: float = math.nan
    """path speed at the touch"""
    decision_ms: float = math.nan
    """touch to decision; NaN: none"""
    decision_mm: float = math.nan
    standing_ms: float = math.nan
    standing_mm: float = math.nan
    task: str = ""
    reaction: str = ""
    warned_ms: float = math.nan
    """touch to the first warning"""
    warned_by: str = ""
    lost_ms: float = math.nan
    """touch to the sensor being known as lost"""
    tripped_ms: float = math.nan
    """touch to the control's own servo alarm"""
    sooner: list[str] = field(default_factory=list)
    """what was raised before anything had happened"""

    @property
    def found(self) -> bool:
        return self.decision_ms == self.decision_ms


class Cell:
    """One mill and its judge."""

    def __init__(self, crash: Crash, preset: Preset, seed: int) -> None:
        self.crash = crash
        setting = Setting(
            "mill",
            "simulator",
            SimulatorOptions(load_sensor=preset.load_sensor, loop=False),
            random.Random(seed),
            self._next_id,
            lambda level, text: None,
        )
        self.simulator = Simulator(setting, crash.job.program)
        self.mill = self.simulator.mill
        self.judge = Judge(preset, crash.job.cuts, SIGNALS)
        self.now_ns = T0_NS
        self.touched_ms = math.nan
        self.stood_ms = math.nan
        self.touched_mm = 0.0
        self.ms = 0
        self.out = Outcome(crash.kind.name, crash.job.material, crash.feed_mm_min, crash.rpm)
        self._ids = 0
        self._revision = -1
        self.simulator.start(T0_NS)

    def _next_id(self) -> str:
        self._ids += 1
        return f"mill#{self._ids}"

    # --- time --------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One millisecond: state before samples, as the machine publishes them."""
        self.ms += 1
        self.now_ns += MS_NS
        happened = self.simulator.advance(self.now_ns)
        if self.simulator.revision != self._revision:
            self._revision = self.simulator.revision
            self.judge.state(self.simulator.state(self.now_ns))
        for message in (*happened, *self.simulator.deferred()):
            if isinstance(message, MotionEvent):
                self._moved(message)
            elif isinstance(message, SignalBlock):
                self._judged(message)
        if self.mill.tripped and math.isnan(self.out.tripped_ms):
            self.out.tripped_ms = self.ms - self.touched_ms

    def _moved(self, event: MotionEvent) -> None:
        if event.phase is MotionPhase.CONTACT:
            self.touched(self.mill.faults.contact_path_mm)

    def touched(self, path_mm: float) -> None:
        """From here on everything is counted."""
        self.touched_ms, self.touched_mm = self.ms, path_mm
        self.out.met_mm_s = self.mill.axes.moving_mm_s

    def _judged(self, block: SignalBlock) -> None:
        out, since = self.out, self.ms - self.touched_ms
        for step in self.judge.react(self.judge.hear(block), self.now_ns):
            said = f"{step.finding.task} {step.reaction}"
            if math.isnan(since):
                out.sooner.append(said)
            elif step.reaction in ACTING:
                if not out.found:
                    out.decision_ms, out.task, out.reaction = since, step.finding.task, str(step.reaction)
                    out.decision_mm = self.mill.axes.path_mm - self.touched_mm
                self.simulator.hold(self._next_id(), self.now_ns, stop=step.reaction is Reaction.STOP)
            elif not out.warned_by:
                out.warned_ms, out.warned_by = since, step.finding.task
        lost = any(w.lost for c in self.judge.channels.values() for w in c.watches)
        if lost and math.isnan(out.lost_ms):
            out.lost_ms = since

    # --- one crash ---------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """To the fault, and until the axes stand and whatever is decided has been."""
        mill, crash = self.mill, self.crash
        while mill.block is None or mill.block.do is not Do.DWELL:
            mill.step()  # spindle and tool: nobody looks yet
        self._until_block()
        for _ in range(round(crash.after_s * 1000)):
            self.step()
        self._begin()
        for _ in range(FAULT_MS if crash.kind in FAULTS else AFTER_MS):
            self.step()
            self._follow()
            if self.out.found and not math.isnan(self.stood_ms):
                break
            if self.ms - self.stood_ms > STANDING_MS or (crash.kind is Kind.SENSOR_LOST and self.out.lost_ms >= 0.0):
                break
        return self.out

    def _until_block(self) -> None:
        for _ in range(READY_MS):
            if self.mill.block is not None and self.mill.block.number >= self.crash.number:
                return
            self.step()
        raise AssertionError(f"the program did not come to block {self.crash.number} in {READY_MS} ms")

    def _begin(self) -> None:
        crash, mill = self.crash, self.mill
        if crash.kind is Kind.TOO_DEEP:
            return self.touched(mill.axes.path_mm)
        if crash.kind in FAULTS:
            signal = self.judge.preset.signals[0].name if crash.kind is Kind.SENSOR_LOST else ""
            request = InjectRequest(fault=FAULTS[crash.kind], magnitude=crash.magnitude, signal=signal)
            assert self.simulator.inject(request, self.now_ns).accepted
            return self.touched(mill.axes.path_mm)
        mill.faults.crash_armed = True
        return None

    def _follow(self) -> None:
        moved = not math.isnan(self.touched_ms)
        over = self.mill.execution is not Execution.ACTIVE
        if moved and over and math.isnan(self.stood_ms) and self.mill.axes.moving_mm_s == 0.0:
            self.stood_ms = self.ms
            self.out.standing_ms = self.ms - self.touched_ms
            self.out.standing_mm = self.mill.axes.path_mm - self.touched_mm


def crashed(seed: Sequence[int], preset: Preset, kind: Kind | None = None) -> Outcome:
    """One crash; the same seed is the same crash for every preset."""
    rng = np.random.default_rng(seed)
    crash = a_crash(rng, kind)
    return Cell(crash, preset, int(rng.integers(1 << 62))).run()
