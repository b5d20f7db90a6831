"""The simulated mill: program, axes, spindle, cut, faults and stops, one millisecond at a time.

Values in, values out: time is a count of steps, chance is a stream of numbers given by the caller, and what happened
is left in `events` for the caller to fetch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nodes.sensory_cortex.axes import Axes
from nodes.sensory_cortex.cutting import Cut
from nodes.sensory_cortex.drives import AXIS_FRICTION_N, AXIS_MASS_KG, AXIS_RATED_N, friction_n, pushed_n, shown_pct
from nodes.sensory_cortex.faults import (
    CLAMP_MM,
    CONTACT_FRICTION,
    SERVO_TRIPS_N,
    TOOL_BREAKS_N,
    Faults,
    contact_force_n,
)
from nodes.sensory_cortex.program import Block, Do, Program, Tool
from nodes.sensory_cortex.spindle import Spindle
from schemas.machine import Execution, Motion, MotionPhase

STEP_S = 0.001
RAPID_MM_S = 500.0
CHANGE_Z_MM = 100.0
"""where the turret can turn"""
RETRACT_Z_MM = 60.0
ENTRY_MM = 2.0
"""the engagement grows over this much of a cut's path"""
BEARING_NM = 0.5
"""friction that a failing spindle bearing adds"""
WANDER_GAIN, WANDER_BACK = 0.004, 0.02
"""of the stuff's hardness per step in the cut: a draw moves it so far, and it comes back by this share"""
WEAR_PACE = 0.002
"""share of the way to the wear that was asked for, per step in the cut"""
CONTROL_DELAY_STEPS = 4
"""the control looks at its inputs this often: from a request to the first change of speed"""

_MOTION = {
    Do.TOOL: Motion.TOOL_CHANGE,
    Do.SPINDLE: Motion.SPINDLE_CHANGE,
    Do.RAPID: Motion.RAPID,
    Do.FEED: Motion.FEED,
    Do.DWELL: Motion.DWELL,
}


@dataclass(slots=True)
class Happened:
    """A step of a stop, or a contact; the caller stamps it."""

    step: int
    phase: MotionPhase
    action_id: str
    travel_mm: float
    text: str


@dataclass(slots=True)
class _Action:
    id: str
    stop: bool
    asked: int
    path_mm: float
    stood: bool = False


class Mill:
    """The machine itself; sensors see it through sensors.py."""

    def __init__(self, program: Program, draw: Iterator[float], *, loop: bool = True) -> None:
        self.program = program
        self.loop = loop
        self.spindle = Spindle()
        self.axes = Axes()
        self.faults = Faults()
        self.events: list[Happened] = []
        self.steps = 0
        self.revision = 0
        """grows with everything that belongs into machine/state"""
        self.runs = 0
        self.part_count = 0
        self.execution = Execution.READY
        self.block: Block | None = None
        self.tool: Tool | None = None
        self.tripped = False
        """the control's own servo alarm"""
        self.cutting_steps = 0
        self.last_stop_steps: int | None = None
        self.cutting_nm = 0.0
        self.force_n = 0.0
        """at the edge: tangential, plus contact"""
        self.axis_load_pct = [0.0, 0.0, 0.0]
        self.blow = 0.0
        """m/s² of a blow in this step"""
        self._draw = draw
        self._sound_friction_nm = self.spindle.friction_nm
        self._variation = 0.0
        self._magazine = {t.number: t for t in program.tools}
        self._at = 0
        self._left_steps = 0
        self._back_to_z = 0.0
        self._cut: Cut | None = None
        self._entered_mm = 0.0
        self._actions: list[_Action] = []
        self._inhibit_from: int | None = None
        self._inhibited = False
        self._retracting = False

    # --- what is asked of it -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Cycle start from the top of the program."""
        self.runs += 1
        self._begin(0)
        self.execution = Execution.ACTIVE

    def hold(self, action_id: str, *, stop: bool) -> str:
        """Feed hold, or stop (feed, then spindle). Returns the action in force: asking twice changes nothing."""
        for action in self._actions:
            if action.stop or not stop:
                return action.id
        self._actions.append(_Action(action_id, stop, self.steps, self.axes.path_mm))
        self._emit(MotionPhase.ACCEPTED, action_id, "stop" if stop else "feed hold")
        if self._inhibit_from is None:
            self._inhibit_from = self.steps + CONTROL_DELAY_STEPS
        if not self.tripped:
            self.execution = Execution.STOPPED if stop else Execution.FEED_HOLD
        self.revision += 1
        return action_id

    def reset(self, action_id: str, *, restart: bool) -> str:
        """Release: a bare feed hold goes on where it was; after anything worse, retract, take sound tools, start anew.

        Returns why not, or nothing.
        """
        resume = (
            self.execution is Execution.FEED_HOLD
            and self.block is not None
            and not (self.faults.in_contact or self.faults.broken or self.tripped)
        )
        if self.execution is Execution.ACTIVE:
            self._make_good()
            return ""
        if not self._standing():
            return "the axes are still moving"
        self._emit(MotionPhase.RELEASED, action_id, "resumed" if resume else "reset")
        self._actions.clear()
        self._inhibit_from = None
        self._inhibited = self.tripped = False
        self._make_good()
        if resume:
            self.execution = Execution.ACTIVE
        else:
            self.axes.abandon()
            self.block = None
            self.execution = Execution.READY
            if restart:
                self.runs += 1
                self.execution = Execution.ACTIVE
                self._retract()
        self.revision += 1
        return ""

    def _make_good(self) -> None:
        """What a person at the machine does: free the tool, put a sound one in its place."""
        for number in self.faults.broken:
            self._magazine[number] = self._magazine[number].sister()
        if self.tool is not None:
            self.tool = self._magazine[self.tool.number]
        self.faults.clear()
        self.revision += 1

    def _retract(self) -> None:
        self._retracting = True
        x, y, z = self.axes.x, self.axes.y, max(self.axes.z, RETRACT_Z_MM)
        self.block = Block(0, "retract", Do.RAPID, x, y, z)
        self.axes.go(x, y, z)
        self._cut = None

    # --- state -----------------------------------------------------------------------------------------------------

    def _standing(self) -> bool:
        return self.axes.moving_mm_s == 0.0

    @property
    def motion(self) -> Motion:
        if self.block is None or (self._inhibited and self._standing()):
            return Motion.IDLE
        return _MOTION[self.block.do]

    def _emit(self, phase: MotionPhase, action_id: str, text: str, since_mm: float | None = None) -> None:
        if self.faults.in_contact:
            travel = self.axes.path_mm - self.faults.contact_path_mm
        else:
            travel = 0.0 if since_mm is None else self.axes.path_mm - since_mm
        self.events.append(Happened(self.steps, phase, action_id, travel, text))

    # --- one millisecond ---------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Let 1 ms pass."""
        self.steps += 1
        self.blow = 0.0
        faults = self.faults
        if faults.pending:
            faults.expire(self.steps)
        if self._inhibit_from is not None and not self._inhibited and self.steps >= self._inhibit_from:
            self._inhibit()
        travel = 0.0
        block = self.block
        axes = self.axes
        if block is not None:
            do = block.do
            if do is Do.FEED or do is Do.RAPID:
                wanted = 0.0
                if not self._inhibited:
                    wanted = block.feed_mm_min / 60.0 if do is Do.FEED else RAPID_MM_S
                travel = self._move(wanted)
                if axes.arrived and not self._inhibited:
                    self._next()
            elif do is Do.TOOL:
                travel = self._change_tool(block)
            elif not self._inhibited:
                self._left_steps -= 1
                if do is Do.SPINDLE:
                    if self.spindle.settled():
                        self._next()
                elif self._left_steps <= 0:
                    self._next()
        self._load(travel)
        self.spindle.step(self.cutting_nm, STEP_S)
        if self._actions:
            self._follow_stop()

    def _move(self, wanted_mm_s: float) -> float:
        """The axes' part of this millisecond; what stands in their way is met here."""
        faults, axes = self.faults, self.axes
        against = 0.0
        if self.tripped:  # the drives no longer push: what was run into brakes the axes
            against = contact_force_n(axes.path_mm - faults.contact_path_mm) * 1000.0 / AXIS_MASS_KG
        travel = axes.step(wanted_mm_s, STEP_S, against)
        if faults.crash_armed and travel > 0.0 and axes.left_mm > CLAMP_MM and not self._inhibited:
            self._touch()
        return travel

    def _change_tool(self, block: Block) -> float:
        """Up to where the turret can turn, turn it once the spindle stands, and down again. Returns the travel."""
        axes = self.axes
        if not axes.arrived:
            return self._move(0.0 if self._inhibited else RAPID_MM_S)
        if self._inhibited:
            return 0.0
        if self._left_steps == 0:
            self._next()
        elif self.spindle.standing:
            self._left_steps -= 1
            if self._left_steps == 0:
                self.tool = self._magazine[block.tool]
                self.revision += 1
                axes.go(axes.x, axes.y, self._back_to_z)
        return 0.0

    def _inhibit(self) -> None:
        self._inhibited = True
        if self.axes.moving_mm_s > 0.0:
            for action in self._actions:
                self._emit(MotionPhase.DECELERATING, action.id, "axes decelerate", action.path_mm)
        self.revision += 1

    def _follow_stop(self) -> None:
        if not self._inhibited or self.axes.moving_mm_s > 0.0:
            return
        for action in self._actions:
            if not action.stood:
                action.stood = True
                self.last_stop_steps = self.steps - action.asked
                self._emit(MotionPhase.AXES_STANDING, action.id, "axes stand", action.path_mm)
                self.revision += 1
                if action.stop:
                    self.spindle.commanded_rpm = 0.0
            elif action.stop and self.spindle.speed_rpm == 0.0 and action.asked >= 0:
                action.asked = -1
                self._emit(MotionPhase.SPINDLE_STANDING, action.id, "spindle stands", action.path_mm)

    def _touch(self) -> None:
        faults = self.faults
        faults.crash_armed = False
        faults.in_contact = True
        faults.contact_path_mm = self.axes.path_mm
        self.blow = 120.0 + 4.0 * self.axes.moving_mm_s
        self._emit(MotionPhase.CONTACT, "", "the tool met a clamp")

    def _load(self, travel_mm: float) -> None:
        """Cutting torque and axis forces of this step."""
        faults, spindle, axes = self.faults, self.spindle, self.axes
        torque = 0.0
        tangential = 0.0
        contact = 0.0
        cut, tool = self._cut, self.tool
        if cut is not None and tool is not None and travel_mm > 0.0:
            if faults.breakage_armed:
                faults.spike = 1.0 + 2.0 * faults.breakage_armed
                faults.spike_until = self.steps + 12
                faults.breakage_armed = 0.0
                faults.broken.add(tool.number)
                self.blow = 90.0
            broken = tool.number in faults.broken
            if not broken or self.steps < faults.spike_until:
                self._entered_mm += travel_mm
                torque = cut.torque_nm(travel_mm * 60_000.0, spindle.speed_rpm)
                if self._entered_mm < ENTRY_MM:
                    torque *= self._entered_mm / ENTRY_MM
                # the stuff is not the same everywhere: a slow wander of about 2 %
                self._variation += WANDER_GAIN * next(self._draw) - WANDER_BACK * self._variation
                if faults.wear != faults.wear_aim:
                    faults.wear += WEAR_PACE * (faults.wear_aim - faults.wear)
                torque *= (1.0 + self._variation) * faults.wear
                if faults.chatter > 0.01:
                    torque *= 1.0 + 0.08 * faults.chatter * next(self._draw)
                if broken:
                    torque *= faults.spike
                tangential = cut.tangential_force_n(torque)
                self.cutting_steps += 1
        if faults.chatter_aim or faults.chatter:
            aim = faults.chatter_aim if torque > 0.0 else 0.0
            faults.chatter += 0.02 * (aim - faults.chatter)
            if faults.chatter < 1e-3 and not aim:
                faults.chatter = 0.0
        if faults.in_contact:
            contact = contact_force_n(axes.path_mm - faults.contact_path_mm)
            radius_m = tool.cutter.diameter_mm / 2000.0 if tool is not None else 0.005
            torque += contact * CONTACT_FRICTION * radius_m
            if contact > TOOL_BREAKS_N and tool is not None and tool.number not in faults.broken:
                faults.broken.add(tool.number)
                self.blow = 200.0
            if contact > SERVO_TRIPS_N and not self.tripped:
                self.tripped = True
                self.execution = Execution.INTERRUPTED
                self._inhibited = True
                self.spindle.commanded_rpm = 0.0
                self.revision += 1
        faults.wear_bearing()
        spindle.friction_nm = self._sound_friction_nm + BEARING_NM * faults.bearing
        self.cutting_nm = torque
        self.force_n = tangential + contact
        friction = friction_n(axes.moving_mm_s) if travel_mm > 0.0 else 0.0
        along = pushed_n(axes.applied_mm_s2, contact, tangential, friction)
        along = min(along, SERVO_TRIPS_N)  # a drive shows no more than it can give
        percent = 100.0 / AXIS_RATED_N
        self.axis_load_pct[:] = shown_pct(along, tangential, axes.direction)
        load = self.axis_load_pct
        if faults.drag and travel_mm > 0.0:
            for axis, share in enumerate(axes.direction):
                load[axis] += faults.drag.get("xyz"[axis], 0.0) * abs(share) * AXIS_FRICTION_N * percent

    # --- the program -------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        if self._retracting:
            self._retracting = False
            self._begin(0)
        elif self._at + 1 < len(self.program.blocks):
            self._begin(self._at + 1)
        else:
            self.part_count += 1
            if self.loop:
                self.runs += 1
                self._begin(0)
            else:
                self.block = None
                self._cut = None
                self.spindle.commanded_rpm = 0.0
                self.execution = Execution.PROGRAM_COMPLETED
                self.revision += 1

    def _begin(self, at: int) -> None:
        block = self.program.blocks[at]
        self._at, self.block, self._cut = at, block, None
        self.revision += 1
        if block.do is Do.TOOL:
            self._back_to_z = self.axes.z
            self.axes.go(self.axes.x, self.axes.y, CHANGE_Z_MM)
            self.spindle.commanded_rpm = 0.0
            self._left_steps = round(block.seconds / STEP_S)
        elif block.do is Do.SPINDLE:
            self.spindle.commanded_rpm = block.speed_rpm
        elif block.do is Do.DWELL:
            self._left_steps = round(block.seconds / STEP_S)
        else:
            self.axes.go(block.x, block.y, block.z)
            if block.do is Do.FEED and block.ap_mm > 0.0 and self.tool is not None:
                self._cut = Cut.of(self.program.material, self.tool.cutter, block.ae_mm, block.ap_mm)
                self._entered_mm = 0.0
