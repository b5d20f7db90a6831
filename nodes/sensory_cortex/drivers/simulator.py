"""A simulated mill as a source: steps the mill by the clock it is given and lets its sensors read it."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nodes.sensory_cortex import coolant, sensors
from nodes.sensory_cortex.chunk import Chunk
from nodes.sensory_cortex.drivers import NO_QUALITY, Abilities, Answer, Setting, Source
from nodes.sensory_cortex.mill import Mill
from nodes.sensory_cortex.options import Options, Wrong, option
from nodes.sensory_cortex.program import Program, pocket
from nodes.sensory_cortex.sensors import BlockReading, Chain, Reading
from nodes.sensory_cortex.signals import signal
from nodes.sensory_cortex.vibration import Excitation, Vibration
from schemas.base import Message, Samples
from schemas.machine import (
    Alarm,
    ConditionLevel,
    ControllerMode,
    EmergencyStop,
    Execution,
    Fault,
    InjectReply,
    InjectRequest,
    MachineState,
    MotionEvent,
    SignalBlock,
    SignalInfo,
)
from schemas.system import LogLevel
from schemas.topics import SAMPLES, VIBRATION

STEP_NS = 1_000_000
MOST_STEPS = 4
"""per tick at the mill's own pace, so that a late tick is caught up over several and no callback is long"""
FORGET_STEPS = 1000
"""at its own pace: later than this the rows are lost at the source, and counted"""
VIBRATION_STEPS = 10
LONGEST_S = 86_400.0
"""a fault that is injected for a time"""
BEHIND_BLOCKS = 20
"""one block of vibration at a time, unless more than these wait"""


@dataclass(frozen=True, slots=True)
class Probe:
    """A signal of the mill: its name, the sensor it passes, and where it is read."""

    name: str
    chain: Chain
    read: Callable[[Mill], float]


LOAD = "spindle_load_pct"
PROBES: tuple[Probe, ...] = (
    Probe(LOAD, sensors.DRIVE_TORQUE, lambda m: m.spindle.load_pct),
    Probe("spindle_speed_rpm", sensors.DRIVE_SPEED, lambda m: m.spindle.speed_rpm),
    Probe("spindle_torque_nm", sensors.SPINDLE_TORQUE, lambda m: m.spindle.torque_nm),
    Probe("feed_mm_min", sensors.FEED, lambda m: m.axes.moving_mm_s * 60.0),
    Probe("x_mm", sensors.ENCODER, lambda m: m.axes.x),
    Probe("y_mm", sensors.ENCODER, lambda m: m.axes.y),
    Probe("z_mm", sensors.ENCODER, lambda m: m.axes.z),
    Probe("x_load_pct", sensors.AXIS_LOAD, lambda m: m.axis_load_pct[0]),
    Probe("y_load_pct", sensors.AXIS_LOAD, lambda m: m.axis_load_pct[1]),
    Probe("z_load_pct", sensors.AXIS_LOAD, lambda m: m.axis_load_pct[2]),
    Probe("load_meter_pct", sensors.LOAD_METER, lambda m: m.spindle.load_pct),
)
ACCELERATION = ("x_accel", "y_accel", "z_accel")
DRIVE, ACCELEROMETER = "drive", "accelerometer"


SIGNALS = (
    *(signal(p.name, DRIVE, SAMPLES.name) for p in PROBES),
    *(signal(name, ACCELEROMETER, VIBRATION.name) for name in ACCELERATION),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions(Options):
    """What a simulated mill may be told."""

    knows_state: ClassVar[bool] = True

    autostart: bool = option(True, doc="start the program at once, and again after a reset")
    load_sensor: str = option(
        "drive_torque",
        doc="what spindle_load_pct is read with: drive_torque (1 kHz), load_meter (100 ms, 1 %, 10 Hz)",
    )
    loop: bool = option(True, doc="begin again at the end of the program")
    speed: float = option(1.0, ge=0.0, le=1000.0, doc="1 is the mill's own pace; 0 is as fast as can be kept up with")

    def mistakes(self) -> Iterator[Wrong]:
        try:
            sensors.preset(self.load_sensor, "load")
        except ValueError as error:
            yield "load-sensor", f"load_sensor: {error}"

    def signals(self, name: str) -> Sequence[SignalInfo]:
        return SIGNALS


class Simulator:
    """A milling machine that cuts, fails and stops as told."""

    Options = SimulatorOptions
    abilities = Abilities(
        model="simulated mill",
        simulated=True,
        can_feed_hold=True,
        can_stop=True,
        stop_path="simulated control: feed override to zero, then spindle stop, 4 ms scan",
    )
    sources = (Source(DRIVE, 1000.0, carries_state=True), Source(ACCELEROMETER, 10_000.0, carries_state=False))
    signals = SIGNALS
    quality = NO_QUALITY
    ended = False

    def __init__(self, setting: Setting, program: Program | None = None) -> None:
        """`program`: another one than the built-in."""
        self._setting = setting
        options: SimulatorOptions = setting.options
        self._autostart = options.autostart
        self._speed = options.speed
        faster = max(1.0, self._speed)
        self._most_steps = max(MOST_STEPS, math.ceil(2.0 * faster))
        self._forget_steps = int(FORGET_STEPS * faster)
        seed = setting.rng.getrandbits(64)
        rng = np.random.default_rng(seed)
        draw, even = sensors.heavy_tailed(rng, 4.0), sensors.evenly(rng)
        self.mill = Mill(program or pocket(), draw, loop=options.loop)
        load = sensors.preset(options.load_sensor, "load")
        chains = [load if p.name == LOAD else p.chain for p in PROBES]
        self._reading = [(Reading(c, draw, even), p.read) for c, p in zip(chains, PROBES, strict=True)]
        self._vibration = Vibration(VIBRATION_STEPS * 10)
        self._accelerometer = BlockReading(sensors.ACCELEROMETER, len(ACCELERATION), rng)
        self._angle_rad = 0.0
        self._force_sum = 0.0
        self._blow, self._blow_at = 0.0, 0
        self._shaken: deque[tuple[int, Excitation]] = deque()
        """what shook the machine up to a step, not yet turned into a block"""
        self._tank = coolant.Tank(draw, even, seed)
        self._coolant_step = 0
        self._start_ns = 0
        self._steps = 0
        self._run, self._run_id = 0, ""
        self._tripped = False
        self._pending: list[Message] = []
        """what an act made happen, until the next `advance`"""
        self.lost_rows = 0
        self.last_stop_ms = math.nan

    @property
    def revision(self) -> int:
        return self.mill.revision

    def start(self, now_ns: int) -> None:
        self._start_ns = now_ns
        if self._autostart:
            self.mill.start()

    # --- time ------------------------------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> list[Message]:
        """Steps until `now_ns`, so many at once; the rest follows at the next call."""
        gone = int((now_ns - self._start_ns) * self._speed) // STEP_NS
        due = gone - self._steps if self._speed else MOST_STEPS
        out, self._pending = self._pending, []
        if due <= 0:
            return out
        if due > self._forget_steps:
            lost = due - self._forget_steps
            self.lost_rows += lost
            self._setting.log(LogLevel.WARNING, f"{due} ms late: {lost} rows of {DRIVE} are lost")
            self._steps += lost
        rows: list[list[float]] = []
        mill, reading, missing = self.mill, self._reading, self.mill.faults.lost
        first = self._steps
        for _ in range(min(due, self._most_steps)):
            mill.step()
            self._steps += 1
            rows.append([sensor(read(mill)) for sensor, read in reading])
            if missing:
                rows[-1] = [math.nan if p.name in missing else v for p, v in zip(PROBES, rows[-1], strict=True)]
            self._force_sum += mill.force_n
            if mill.blow > self._blow:
                self._blow, self._blow_at = mill.blow, self._steps % VIBRATION_STEPS
            if mill.events:
                out.extend(self._happened())
            if self._steps % VIBRATION_STEPS == 0:
                self._shake()
        if DRIVE not in mill.faults.silent and not mill.faults.network_lost:
            data = Samples.take(np.array(rows, dtype=np.float32))
            stamp = self._start_ns + (first + 1) * STEP_NS
            out.append(SignalBlock(stamp_ns=stamp, period_ns=STEP_NS, source=DRIVE, first_row=first, data=data))
        if self._steps >= self._coolant_step:
            self._coolant_step = self._steps + 1000
            state = self._tank.read(mill, self._stamp_ns())
            if not mill.faults.network_lost:
                out.append(state)
        if mill.tripped is not self._tripped:
            self._tripped = mill.tripped
            out.append(self._servo_alarm())
        return out

    def _stamp_ns(self) -> int:
        return self._start_ns + self._steps * STEP_NS

    def _happened(self, stamp_ns: int | None = None) -> list[MotionEvent]:
        mill = self.mill
        events = [
            MotionEvent(
                stamp_ns=self._stamp_ns() if stamp_ns is None else stamp_ns,
                phase=h.phase,
                action_id=h.action_id,
                travel_mm=h.travel_mm,
                text=h.text,
            )
            for h in mill.events
        ]
        mill.events.clear()
        if mill.last_stop_steps is not None:
            self.last_stop_ms = mill.last_stop_steps * STEP_NS / 1e6
        return events

    def _shake(self) -> None:
        mill = self.mill
        teeth = mill.tool.cutter.teeth if mill.tool is not None else 2
        excitation = Excitation(
            self._angle_rad,
            mill.spindle.angle_rad,
            teeth,
            self._force_sum / VIBRATION_STEPS,
            mill.spindle.speed_rpm,
            chatter=mill.faults.chatter,
            bearing=mill.faults.bearing,
            blow=self._blow,
            blow_at=self._blow_at * 10,
        )
        self._angle_rad = mill.spindle.angle_rad
        self._force_sum = self._blow = 0.0
        self._shaken.append((self._steps, excitation))

    def deferred(self) -> list[SignalBlock]:
        """The oldest block of vibration."""
        out: list[SignalBlock] = []
        waiting, faults = self._shaken, self.mill.faults
        for _ in range(max(1, len(waiting) - BEHIND_BLOCKS) if waiting else 0):
            step, excitation = waiting.popleft()
            values = self._accelerometer(self._vibration.block(excitation))
            if ACCELEROMETER in faults.silent or faults.network_lost:
                continue
            for index, name in enumerate(ACCELERATION):
                if name in faults.lost:
                    values[:, index] = math.nan
            out.append(
                SignalBlock(
                    stamp_ns=self._start_ns + (step - VIBRATION_STEPS) * STEP_NS + STEP_NS // 10,
                    period_ns=STEP_NS // 10,
                    source=ACCELEROMETER,
                    first_row=step * 10 - len(values),
                    data=Samples.take(values.astype(np.float32)),
                )
            )
        return out

    def _servo_alarm(self) -> Alarm:
        level = ConditionLevel.FAULT if self._tripped else ConditionLevel.NORMAL
        name = f"{self._setting.machine}/servo"
        return Alarm(
            stamp_ns=self._stamp_ns(),
            alarm_id=name,
            level=level,
            origin=name,
            native_code="SV0436",
            text="servo overload: the control stopped the axes itself" if self._tripped else "",
        )

    # --- state and acts ----------------------------------------------------------------------------------------------

    def state(self, stamp_ns: int) -> MachineState:
        mill = self.mill
        if mill.runs != self._run:
            self._run, self._run_id = mill.runs, self._setting.next_id()
        block, tool = mill.block, mill.tool
        running = mill.execution not in (Execution.READY, Execution.PROGRAM_COMPLETED)
        return MachineState(
            stamp_ns=stamp_ns,
            execution=mill.execution,
            controller_mode=ControllerMode.AUTOMATIC,
            emergency_stop=EmergencyStop.ARMED,
            motion=mill.motion,
            program=mill.program.name,
            block_number=block.number if block is not None else 0,
            block=block.text if block is not None else "",
            tool_number=tool.number if tool is not None else 0,
            tool_serial=tool.serial if tool is not None else "",
            part_count=mill.part_count,
            spindle_speed_commanded_rpm=mill.spindle.commanded_rpm,
            feed_commanded_mm_min=block.feed_mm_min if block is not None else 0.0,
            feed_override_pct=100.0,
            run_id=self._run_id if running else "",
        )

    def hold(self, action_id: str, now_ns: int, *, stop: bool) -> Answer:
        in_force = self.mill.hold(action_id, stop=stop)
        self._pending.extend(self._happened(now_ns))
        return Answer(True, in_force, "" if in_force == action_id else "already in force")

    def reset(self, action_id: str, now_ns: int) -> Answer:
        refused = self.mill.reset(action_id, restart=self._autostart)
        self._pending.extend(self._happened(now_ns))
        return Answer(not refused, action_id if not refused else "", refused)

    def inject(self, request: InjectRequest, now_ns: int) -> InjectReply:
        if not 0.0 < request.magnitude <= 10.0:
            return InjectReply(accepted=False, text=f"magnitude {request.magnitude:g} is not in 0..10")
        known: Sequence[str] = ()
        if request.fault is Fault.SENSOR_LOST:
            known = [*(s.name for s in self.signals), *coolant.SIGNALS]
        elif request.fault is Fault.SOURCE_SILENT:
            known = [s.name for s in self.sources]
        elif request.fault is Fault.AXIS_DRAG:
            known = ("x", "y", "z")
        if known and request.signal not in known:
            return InjectReply(accepted=False, text=f"signal {request.signal!r} is not one of {', '.join(known)}")
        if not 0.0 <= request.duration_s <= LONGEST_S:
            return InjectReply(accepted=False, text=f"duration_s {request.duration_s:g} is not in 0..{LONGEST_S:g}")
        if request.fault is Fault.CRASH and (why := self._no_crash()):
            return InjectReply(accepted=False, text=why)
        until = self.mill.steps + round(request.duration_s * 1000) if request.duration_s > 0.0 else None
        self.mill.faults.inject(request.fault, request.magnitude, request.signal, until)
        when = {
            Fault.CRASH: "at the next move, rapid or feed, the tool meets a clamp",
            Fault.TOOL_BREAKAGE: "at the next cut the tool breaks",
        }.get(request.fault, "in force")
        return InjectReply(accepted=True, text=when)

    def _no_crash(self) -> str:
        """Why nothing can be run into now."""
        mill = self.mill
        if mill.faults.in_contact:
            return "the tool is in a clamp already: reset the machine first"
        if mill.execution is not Execution.ACTIVE:
            return f"the machine stands ({mill.execution}): nothing moves that could meet a clamp; reset it first"
        return ""

    # --- no blocking side --------------------------------------------------------------------------------------------

    def read(self, end: threading.Event) -> Iterator[Chunk]:
        yield from ()

    def receive(self, chunk: Chunk) -> None:
        """Nothing is read, nothing comes."""
