"""What is raised in machine hours of ordinary cutting, per preset.

Acceleration has a hundred times the readings of a drive. It is made reading by reading in every EVERY-th pass, and in
each pass whose wave alone could come to FAR of the lowest limit that acts. Of the other passes it is known without it
that nothing acts: noise would have to give the rest, and one reading in 10⁷ of the accelerometer's is so far off, where
a task asks for several in a hundredth of a second. How many hours were made reading by reading stands in the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from nodes.sensory_cortex import sensors, vibration
from nodes.sensory_cortex.drivers.simulator import ACCELERATION, ACCELEROMETER, DRIVE, SIGNALS
from nodes.sensory_cortex.mill import Mill
from nodes.sensory_cortex.vibration import DIRECTION
from schemas.machine import MachineState
from tests.benchmarks.detect import sensed
from tests.benchmarks.detect.judge import ACTING, Judge, signal_block
from tests.benchmarks.detect.presets import PRESETS
from tests.benchmarks.detect.scenarios import normal
from tests.benchmarks.detect.simulate import (
    BLOCK_ROWS,
    PER_BLOCK,
    Base,
    Truth,
    Varied,
    even_stuff,
    shaken_ranges,
    shaking,
    two_passes,
)

HOUR_ROWS = 3_600_000
MS_NS = 1_000_000
DRIVE_NAMES = ("spindle_load_pct", "spindle_speed_rpm", "x_load_pct", "y_load_pct", "z_load_pct", "load_meter_pct")
AT_ONCE = 60
"""blocks of vibration that are made and judged at once: what fits the processor's cache"""
EVERY = 5
FAR = 0.5
TOGETHER = "load_meter_axes"


@dataclass
class Raised:
    """What one preset raised in one hour."""

    preset: str
    stops: list[str] = field(default_factory=list)
    """false ones: which task, where"""
    warnings: Counter[str] = field(default_factory=Counter)
    shaken_h: float = 0.0
    """of vibration that was made reading by reading"""


@dataclass
class Hour:
    """One machine hour of one program, with its tools wearing."""

    rows: int
    raised: dict[str, Raised]


class Watched:
    """A judge that counts; after a stop the operator resets, and what is left of that block is not judged again."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.raised = Raised(judge.preset.name)
        self.stopped = False

    def state(self, state: MachineState) -> None:
        if self.stopped:
            self.stopped = False
            self.judge.release()
        self.judge.state(state)

    def hear(self, source: str, data: np.ndarray[tuple[int, ...], np.dtype[np.float32]], row: int, where: str) -> None:
        per_row_ns = MS_NS if source == DRIVE else MS_NS // 10
        block = signal_block(source, data, row, per_row_ns, row * per_row_ns)
        for hit in self.judge.hear(block):
            name = hit.watch.task.name
            if hit.watch.reaction not in ACTING:
                self.raised.warnings[name] += 1
            elif not self.stopped:
                self.stopped = True
                self.raised.stops.append(f"{name} in {where}: {hit.value:.3g} against {hit.limit:.3g} {hit.watch.unit}")


def an_hour(seed: Sequence[int], rows: int = HOUR_ROWS, every: int = EVERY) -> Hour:
    """One machine hour, or so many rows of it; the same seed is the same hour. `every`: 1 makes all acceleration."""
    rng = np.random.default_rng(seed)
    job = normal(rng)
    passes = two_passes(Mill(job.program, even_stuff()))
    told = tuple(s for s in SIGNALS if s.name in DRIVE_NAMES)
    of_meter = tuple(s.model_copy(update={"name": "spindle_load_pct"}) if s.name == "load_meter_pct" else s
                     for s in told if s.name != "spindle_load_pct")  # fmt: skip
    watched = {
        name: Watched(Judge(preset, job.cuts, of_meter if preset.load_sensor == "load_meter" else told))
        for name, preset in PRESETS.items()
        if not preset.vibration and name != TOGETHER
    }
    shaken = {
        name: Watched(Judge(p, job.cuts, tuple(s for s in SIGNALS if s.name in ACCELERATION)))
        for name, p in PRESETS.items()
        if p.vibration
    }
    noise = np.random.Generator(np.random.SFC64(rng.integers(1 << 63)))
    draw, even = sensed.heavy_tailed(noise), sensed.evenly(noise)
    drive = DriveSensors(draw, even)
    accelerometer = sensed.Reader(sensors.ACCELEROMETER, draw, even)
    varied = Varied()
    done = number = 0
    while done < rows:
        base = passes[min(number, 1)]
        worn = (number % job.wear_passes + 1) / job.wear_passes
        true = varied.over(base, draw((len(base.in_cut),)).astype(np.float64), 1.0 + (job.wear_end - 1.0) * worn)
        data = drive.read(base, true)
        where = f"{job.material}, pass {number}"
        for w in watched.values():
            meter = w.judge.preset.load_sensor == "load_meter"
            _judge_drive(w, base, data[:, 1:] if meter else data[:, :-1], done, where)
        for w in shaken.values():
            if number % every and _most(base, true) < FAR * _acts_from(w.judge):
                continue
            _judge_shaken(w, base, true, accelerometer, done, where)
        done += len(base)
        number += 1
    raised = {name: w.raised for name, w in (watched | shaken).items()}
    return Hour(done, raised | {TOGETHER: _together(raised["load_meter"], raised["drive_torque"])})


def _together(meter: Raised, drive: Raised) -> Raised:
    """A load meter with the axis loads beside it: every task is judged by itself already."""
    both = Raised(TOGETHER, [*meter.stops, *(s for s in drive.stops if s.startswith("axis_"))])
    both.warnings = meter.warnings + Counter({n: c for n, c in drive.warnings.items() if n.startswith("axis_")})
    return both


class DriveSensors:
    """The columns of DRIVE_NAMES."""

    def __init__(self, draw: sensed.Draw, even: sensed.Draw) -> None:
        chains = (sensors.DRIVE_TORQUE, sensors.DRIVE_SPEED, *3 * (sensors.AXIS_LOAD,), sensors.LOAD_METER)
        self._readers = [sensed.Reader(chain, draw, even) for chain in chains]

    def read(self, base: Base, true: Truth) -> sensed.Values:
        """[rows, columns], 32 bits as in a block."""
        values = (true.load_pct, base.speed_rpm, *true.axis_load_pct, true.load_pct)
        columns = [reader(v.copy()) for reader, v in zip(self._readers, values, strict=True)]
        return np.stack(columns, axis=1, dtype=np.float32, casting="same_kind")


def _judge_drive(w: Watched, base: Base, data: sensed.Values, first: int, where: str) -> None:
    ends = [row for row, _ in base.changes[1:]] + [len(base)]
    for (begin, state), end in zip(base.changes, ends, strict=True):
        w.state(state)
        if end > begin:
            w.hear(DRIVE, data[begin:end], first + begin, f"{where}, N{state.block_number} {state.motion}")


def _judge_shaken(w: Watched, base: Base, true: Truth, read: sensed.Reader, first: int, where: str) -> None:
    """Vibration while the tool may cut: beside it the mill shakes with less than 1.2 m/s², and no task is near."""
    changes = [(row // BLOCK_ROWS, state) for row, state in base.changes]
    for begin, end in shaken_ranges(base):
        told = [at for at, _ in changes]
        cuts = sorted({begin, end, *(at for at in told if begin < at < end), *range(begin, end, AT_ONCE)})
        current = max((i for i, at in enumerate(told) if at <= begin), default=0)
        w.state(changes[current][1])
        for a, b in pairwise(cuts):
            while current + 1 < len(changes) and told[current + 1] <= a:
                current += 1
                w.state(changes[current][1])
            state = changes[current][1]
            wave = shaking(base, true.force_n, a, b).astype(np.float32)
            data = read(np.outer(wave, DIRECTION.astype(np.float32)))
            place = f"{where}, N{state.block_number} {state.motion}"
            w.hear(ACCELEROMETER, data, first * PER_BLOCK // BLOCK_ROWS + a * PER_BLOCK, place)
        w.raised.shaken_h += (end - begin) * BLOCK_ROWS / HOUR_ROWS


def _most(base: Base, true: Truth) -> float:
    """More than the wave of this pass comes to on any axis, m/s²."""
    return vibration.most(float(base.speed_rpm.max()), float(true.force_n.max()))


def _acts_from(judge: Judge) -> float:
    """The lowest limit of a task that acts."""
    return min(t.error for t in judge.preset.tasks if t.reaction in ACTING and t.watches(ACCELERATION[0]))
