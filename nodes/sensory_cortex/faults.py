"""What can be made to go wrong in the simulated mill, and how a collision grows with every tenth of a millimetre."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.machine import Fault

CONTACT_N_PER_MM = 12_000.0
"""a cutter of 10 mm, the spindle and a clamp in series"""
CONTACT_FRICTION = 0.6
CONTACT_MOST_N = 30_000.0
TOOL_BREAKS_N = 4_000.0
SERVO_TRIPS_N = 15_000.0
"""the control's own overload alarm: the last line; at feed far later than a monitor, in rapid within 3 ms"""
CLAMP_MM = 1.0
"""a clamp stands in the way, not at its end: this much of the path is left when the tool meets it"""
NAMED = (Fault.SENSOR_LOST, Fault.SOURCE_SILENT, Fault.AXIS_DRAG)
"""those that may be in force in several places at once, each by its name"""


@dataclass(slots=True)
class Faults:
    """The faults in force. Times are steps of the simulation; the mill asks, the injection sets."""

    crash_armed: bool = False
    in_contact: bool = False
    contact_path_mm: float = 0.0
    breakage_armed: float = 0.0
    broken: set[int] = field(default_factory=set)
    """numbers of tools"""
    spike_until: int = 0
    spike: float = 1.0
    chatter_aim: float = 0.0
    chatter: float = 0.0
    wear_aim: float = 1.0
    wear: float = 1.0
    lost: set[str] = field(default_factory=set)
    """signals that read NaN"""
    silent: set[str] = field(default_factory=set)
    """sources whose blocks do not come"""
    network_lost: bool = False
    pump: float = 0.0
    """0 sound, 1 worn out"""
    clog: float = 0.0
    """0 a clean filter"""
    tank_low: float = 0.0
    thin: float = 0.0
    bearing_aim: float = 0.0
    bearing: float = 0.0
    drag: dict[str, float] = field(default_factory=dict)
    """by axis: more friction than there should be, as a share of it"""
    _ends: dict[tuple[Fault, str], int] = field(default_factory=dict)
    """step at which a fault is over; what was said last counts"""

    def inject(self, fault: Fault, magnitude: float, signal: str, until: int | None) -> None:
        """Put a fault in force, until a step or (None) until `clear`."""
        match fault:
            case Fault.CRASH:
                self.crash_armed = True
            case Fault.TOOL_BREAKAGE:
                self.breakage_armed = magnitude
            case Fault.CHATTER:
                self.chatter_aim = magnitude
            case Fault.WORN_TOOL:
                self.wear_aim = 1.0 + 0.5 * magnitude
            case Fault.SENSOR_LOST:
                self.lost.add(signal)
            case Fault.SOURCE_SILENT:
                self.silent.add(signal)
            case Fault.NETWORK_LOST:
                self.network_lost = True
            case Fault.COOLANT_PUMP:
                self.pump = magnitude
            case Fault.COOLANT_FILTER:
                self.clog = magnitude
            case Fault.COOLANT_LOW:
                self.tank_low = magnitude
            case Fault.COOLANT_THIN:
                self.thin = magnitude
            case Fault.SPINDLE_BEARING:
                self.bearing_aim = magnitude
            case Fault.AXIS_DRAG:
                self.drag[signal] = magnitude
        place = (fault, signal if fault in NAMED else "")
        if until is None:
            self._ends.pop(place, None)
        else:
            self._ends[place] = until

    def expire(self, step: int) -> None:
        """End what was injected for a time."""
        for fault, signal in [place for place, until in self._ends.items() if until <= step]:
            del self._ends[fault, signal]
            match fault:
                case Fault.CRASH:
                    self.crash_armed = False
                case Fault.TOOL_BREAKAGE:
                    self.breakage_armed = 0.0
                case Fault.CHATTER:
                    self.chatter_aim = 0.0
                case Fault.WORN_TOOL:
                    self.wear_aim = 1.0
                case Fault.SENSOR_LOST:
                    self.lost.discard(signal)
                case Fault.SOURCE_SILENT:
                    self.silent.discard(signal)
                case Fault.NETWORK_LOST:
                    self.network_lost = False
                case Fault.COOLANT_PUMP:
                    self.pump = 0.0
                case Fault.COOLANT_FILTER:
                    self.clog = 0.0
                case Fault.COOLANT_LOW:
                    self.tank_low = 0.0
                case Fault.COOLANT_THIN:
                    self.thin = 0.0
                case Fault.SPINDLE_BEARING:
                    self.bearing_aim = 0.0
                case Fault.AXIS_DRAG:
                    self.drag.pop(signal, None)

    def wear_bearing(self) -> None:
        """One step nearer to the bearing that was asked for."""
        if self.bearing == self.bearing_aim:
            return
        self.bearing += 0.002 * (self.bearing_aim - self.bearing)
        if abs(self.bearing_aim - self.bearing) < 1e-3:
            self.bearing = self.bearing_aim

    def clear(self) -> None:
        """As new: what a reset by the operator does."""
        self.__init__()  # type: ignore[misc] # a dataclass: the initialiser is the list of defaults

    @property
    def pending(self) -> bool:
        return bool(self._ends)


def contact_force_n(travel_mm: float) -> float:
    """Force between tool and clamp when the axes have gone `travel_mm` past the touch."""
    return min(CONTACT_N_PER_MM * travel_mm, CONTACT_MOST_N)
