"""What a machine says of itself, and what can be asked of it. Words are MTConnect's."""

from __future__ import annotations

from enum import StrEnum

from schemas.base import (
    Bar,
    Celsius,
    Hertz,
    LitresPerMinute,
    Message,
    Millimetres,
    MillimetresPerMinute,
    Milliseconds,
    Nanoseconds,
    Percent,
    Rpm,
    Samples,
    Seconds,
)


class Execution(StrEnum):
    READY = "READY"
    ACTIVE = "ACTIVE"
    INTERRUPTED = "INTERRUPTED"
    FEED_HOLD = "FEED_HOLD"
    STOPPED = "STOPPED"
    OPTIONAL_STOP = "OPTIONAL_STOP"
    PROGRAM_STOPPED = "PROGRAM_STOPPED"
    PROGRAM_COMPLETED = "PROGRAM_COMPLETED"
    WAIT = "WAIT"
    UNAVAILABLE = "UNAVAILABLE"


class ControllerMode(StrEnum):
    AUTOMATIC = "AUTOMATIC"
    MANUAL = "MANUAL"
    MANUAL_DATA_INPUT = "MANUAL_DATA_INPUT"
    SEMI_AUTOMATIC = "SEMI_AUTOMATIC"
    EDIT = "EDIT"
    UNAVAILABLE = "UNAVAILABLE"


class EmergencyStop(StrEnum):
    ARMED = "ARMED"
    TRIGGERED = "TRIGGERED"
    UNAVAILABLE = "UNAVAILABLE"


class ConditionLevel(StrEnum):
    NORMAL = "NORMAL"
    WARNING = "WARNING"
    FAULT = "FAULT"
    UNAVAILABLE = "UNAVAILABLE"


class Motion(StrEnum):
    """What the machine is doing besides cutting; monitoring is gated by it."""

    IDLE = "IDLE"
    RAPID = "RAPID"
    FEED = "FEED"
    SPINDLE_CHANGE = "SPINDLE_CHANGE"
    TOOL_CHANGE = "TOOL_CHANGE"
    DWELL = "DWELL"
    UNKNOWN = "UNKNOWN"


class SourceStatus(Message):
    """One source of signals as it is measured."""

    name: str
    driver: str
    available: bool
    rate_hz: Hertz
    age_ms: Milliseconds
    """since its last rows or its last sign of life came"""
    clock_offset_ms: Milliseconds
    """how far its clock is behind ours: the least of arrival - stamp in the last 30 s, so that what rows wait on their
    way does not count but for the shortest way there is; NaN before the first"""
    signals: tuple[str, ...] = ()
    """those that it owns"""
    carries_state: bool = False
    """machine/state is known through it"""
    takes_stop: bool = False
    """feed hold and stop go to its driver"""
    jitter_p99_ms: Milliseconds = 0.0
    """arrival after the schedule of the source's own counter, 99 of 100; 0 where it has no counter"""
    lost_rows: int = 0
    """rows, or an agent's observations, that its counter shows and that did not come"""
    bad_rows: int = 0
    """rows, frames of rows, or what else it told, that could not be read"""
    doubled_rows: int = 0
    """rows that came again, or after they had been given up"""
    trouble: str = ""
    """what is wrong with it now, in words"""


class MachineInfo(Message):
    """What the machine is and what may be asked of it."""

    machine: str
    model: str
    simulated: bool
    can_feed_hold: bool
    can_stop: bool
    stop_path: str
    """how a stop reaches the drives, in words"""
    last_stop_ms: Milliseconds
    """request to standing at the last stop, as measured; NaN before the first"""
    sources: tuple[SourceStatus, ...] = ()


class MachineState(Message):
    """The state of the machine when it last changed, or once a second."""

    stamp_ns: Nanoseconds
    execution: Execution
    controller_mode: ControllerMode
    emergency_stop: EmergencyStop
    motion: Motion
    program: str
    block_number: int
    block: str
    tool_number: int
    tool_serial: str
    part_count: int
    spindle_speed_commanded_rpm: Rpm
    feed_commanded_mm_min: MillimetresPerMinute
    feed_override_pct: Percent
    run_id: str = ""
    """one execution of the program: `<node>#<counter>`; empty when nothing runs"""


class SignalInfo(Message):
    """One column of the samples."""

    name: str
    mtconnect_type: str
    unit: str
    source: str
    topic: str
    """machine/samples or machine/vibration"""


class Signals(Message):
    """The columns of every block a machine publishes, in order, per topic and source."""

    signals: tuple[SignalInfo, ...]


class SignalBlock(Message):
    """Consecutive rows of one source: row i was taken at `stamp_ns + i * period_ns`."""

    stamp_ns: Nanoseconds
    period_ns: Nanoseconds
    source: str
    first_row: int
    """rows of this source before this block: a gap shows rows lost at the source"""
    data: Samples
    """float32 [rows, signals]; NaN is no reading"""


class SignalLevels(Message):
    """What the rows of one source were since the last of these: newest, least, greatest, mean, standard deviation."""

    stamp_ns: Nanoseconds
    """of the newest row"""
    source: str
    rows: int
    data: Samples
    """float32 [5, signals], in the order of machine/signals; NaN is no reading"""


class ReducedBlock(Message):
    """What a recorder keeps of a source's rows while the machine does not cut: their range over `period_ns`."""

    stamp_ns: Nanoseconds
    """of the first row"""
    period_ns: Nanoseconds
    source: str
    rows: int
    data: Samples
    """float32 [3, signals]: least, greatest, mean; NaN where no row had a reading"""


class CoolantState(Message):
    """The coolant tank, and what comes out of it."""

    stamp_ns: Nanoseconds
    level_pct: Percent
    concentration_pct: Percent
    temperature_c: Celsius
    pump_on: bool = False
    """commanded; flow and pressure say something only then, and are NaN where no probe reads them"""
    flow_l_min: LitresPerMinute = 0.0
    """at the nozzles"""
    pressure_bar: Bar = 0.0
    """between pump and filter"""


class Alarm(Message):
    """A condition of a machine or node; NORMAL withdraws it."""

    stamp_ns: Nanoseconds
    alarm_id: str
    level: ConditionLevel
    origin: str
    """full name of the node or source"""
    native_code: str
    text: str


class Cause(Message):
    """The message that led to a decision."""

    publisher: str
    topic: str
    seq: int


class FeedHoldRequest(Message):
    """Stop the feed, keep the spindle turning. Needs no authority."""

    reason: str
    requested_by: str
    stamp_ns: Nanoseconds
    cause: Cause | None = None


class StopRequest(Message):
    """Stop the feed, then the spindle. Needs no authority."""

    reason: str
    requested_by: str
    stamp_ns: Nanoseconds
    cause: Cause | None = None


class ResetRequest(Message):
    """Release a hold or a stop and let the machine run again."""

    operator: str
    reason: str


class ActionReply(Message):
    """Whether the HAL took the request; `decelerating` and `standing` follow on machine/motion."""

    accepted: bool
    action_id: str
    text: str
    stamp_ns: Nanoseconds
    """the HAL's clock when it took the request"""


class MotionPhase(StrEnum):
    CONTACT = "CONTACT"
    """the simulator's own truth: the tool met what it should not; a real machine never says this"""
    ACCEPTED = "ACCEPTED"
    DECELERATING = "DECELERATING"
    AXES_STANDING = "AXES_STANDING"
    SPINDLE_STANDING = "SPINDLE_STANDING"
    RELEASED = "RELEASED"


class MotionEvent(Message):
    """A step of a stop: every intervention's timeline is made of these."""

    stamp_ns: Nanoseconds
    phase: MotionPhase
    action_id: str
    travel_mm: Millimetres
    """path travelled since contact, else since the request was taken"""
    text: str


class Fault(StrEnum):
    CRASH = "CRASH"
    TOOL_BREAKAGE = "TOOL_BREAKAGE"
    CHATTER = "CHATTER"
    WORN_TOOL = "WORN_TOOL"
    SENSOR_LOST = "SENSOR_LOST"
    SOURCE_SILENT = "SOURCE_SILENT"
    NETWORK_LOST = "NETWORK_LOST"
    """nothing that the machine measures arrives any more"""
    COOLANT_PUMP = "COOLANT_PUMP"
    COOLANT_FILTER = "COOLANT_FILTER"
    COOLANT_LOW = "COOLANT_LOW"
    """of a tank that several machines share: inject it into each"""
    COOLANT_THIN = "COOLANT_THIN"
    SPINDLE_BEARING = "SPINDLE_BEARING"
    AXIS_DRAG = "AXIS_DRAG"


class InjectRequest(Message):
    """Make a simulated machine fail.

    `signal` names the sensor for SENSOR_LOST, the source for SOURCE_SILENT, the axis (x, y, z) for AXIS_DRAG.
    """

    fault: Fault
    magnitude: float = 1.0
    signal: str = ""
    duration_s: Seconds = 0.0
    """0 lasts until reset"""


class InjectReply(Message):
    """Whether the fault was taken."""

    accepted: bool
    text: str
