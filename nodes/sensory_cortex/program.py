"""The built-in part program of the simulated mill: a table of blocks, the tools it calls, and where they stand.

A pocket and a contour in aluminium, about half a minute: roughing with the cut of the physics test vector (half the
diameter wide, half deep), a slot, an air cut, a finishing pass with a second tool. It loops; each pass is one part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from nodes.sensory_cortex.cutting import ALUMINIUM_7075, Cutter, Material, speed_rpm


class Do(Enum):
    """What a block makes the machine do."""

    TOOL = auto()
    SPINDLE = auto()
    RAPID = auto()
    FEED = auto()
    DWELL = auto()


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool in the magazine; a sister tool takes its place under a new serial."""

    number: int
    name: str
    cutter: Cutter
    issue: int = 1

    @property
    def serial(self) -> str:
        return f"{self.name}-{self.issue:04d}"

    def sister(self) -> Tool:
        return replace(self, issue=self.issue + 1)


@dataclass(frozen=True, slots=True)
class Block:
    """One line of the program."""

    number: int
    text: str
    do: Do
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    feed_mm_min: float = 0.0
    speed_rpm: float = 0.0
    ae_mm: float = 0.0
    ap_mm: float = 0.0
    """0: the tool cuts air"""
    tool: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Program:
    """Blocks, the tools they call, and the stuff they cut."""

    name: str
    material: Material
    tools: tuple[Tool, ...]
    blocks: tuple[Block, ...]


ROUGHER = Tool(1, "em10", Cutter(10.0, 3))
FINISHER = Tool(2, "em6", Cutter(6.0, 2))
TURN_S = 0.25
"""the turret turns; with the spindle's stop and the way up and down a tool change takes about 0.8 s"""


class _Writer:
    """Writes blocks like a programmer: numbered by ten, with the G-code as text."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []

    def _add(self, text: str, do: Do, **words: float | int) -> None:
        number = 10 * (len(self.blocks) + 1)
        self.blocks.append(Block(number, f"N{number} {text}", do, **words))  # type: ignore[arg-type] # checked by Block

    def tool(self, number: int) -> None:
        self._add(f"T{number} M6", Do.TOOL, tool=number, seconds=TURN_S)

    def spindle(self, rpm: float) -> None:
        self._add(f"S{rpm:.0f} M3", Do.SPINDLE, speed_rpm=rpm)

    def rapid(self, x: float, y: float, z: float) -> None:
        self._add(f"G0 X{x:g} Y{y:g} Z{z:g}", Do.RAPID, x=x, y=y, z=z)

    def feed(self, x: float, y: float, z: float, feed: float, ae: float = 0.0, ap: float = 0.0) -> None:
        self._add(f"G1 X{x:g} Y{y:g} Z{z:g} F{feed:.0f}", Do.FEED, x=x, y=y, z=z, feed_mm_min=feed, ae_mm=ae, ap_mm=ap)

    def dwell(self, seconds: float) -> None:
        self._add(f"G4 P{seconds * 1000:.0f}", Do.DWELL, seconds=seconds)


def pocket() -> Program:
    """The built-in program."""
    write = _Writer()
    rough_rpm = speed_rpm(300.0, ROUGHER.cutter.diameter_mm)
    rough_feed = 0.05 * ROUGHER.cutter.teeth * rough_rpm
    write.tool(1)
    write.spindle(rough_rpm)
    write.rapid(-10.0, 0.0, 20.0)
    write.rapid(-10.0, 0.0, -5.0)
    for lane in range(3):
        y = 5.0 * lane
        write.feed(60.0, y, -5.0, rough_feed, ae=5.0, ap=5.0)
        write.rapid(60.0, y, 5.0)
        write.rapid(-10.0, y + 5.0, 5.0)
        write.rapid(-10.0, y + 5.0, -5.0)
    write.feed(40.0, 15.0, -5.0, rough_feed * 0.5, ae=10.0, ap=2.5)
    write.dwell(0.2)
    write.feed(70.0, 15.0, 10.0, rough_feed)
    finish_rpm = speed_rpm(200.0, FINISHER.cutter.diameter_mm)
    finish_feed = 0.04 * FINISHER.cutter.teeth * finish_rpm
    write.rapid(0.0, 0.0, 60.0)
    write.tool(2)
    write.spindle(finish_rpm)
    write.rapid(0.0, 0.0, -4.0)
    for x, y in ((50.0, 0.0), (50.0, 20.0), (0.0, 20.0), (0.0, 0.0)):
        write.feed(x, y, -5.0, finish_feed, ae=0.5, ap=5.0)
    write.rapid(0.0, 0.0, 60.0)
    return Program("O1001 POCKET", ALUMINIUM_7075, (ROUGHER, FINISHER), tuple(write.blocks))
