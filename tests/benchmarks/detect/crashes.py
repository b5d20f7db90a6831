"""What goes wrong, drawn over the range of engagement, speed, feed and material: short programs with one fault each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from nodes.impact_cortex.materials import MATERIALS
from nodes.sensory_cortex.faults import CLAMP_MM, TOOL_BREAKS_N
from nodes.sensory_cortex.mill import RAPID_MM_S
from nodes.sensory_cortex.program import Do, Program, Tool
from schemas.machine import Fault
from tests.benchmarks.detect.scenarios import Job, Planned, Writer, a_plan, a_tool, needed_nm, true_material

APPROACH_MM = (120.0, 300.0)
WATCHED_S = 0.35
"""so long the machine has been watched when its program comes to the first rapid"""
MOST_MM = 150.0
SLOWEST_S = 3.0
"""the latest that a fault comes into a cut"""


class Kind(Enum):
    """What happens."""

    IN_CUT = "into a vice while it cuts"
    IN_AIR = "into a vice at feed, in air"
    RAPID = "into a workpiece or vice in rapid"
    TOOL_CHANGE = "into something in the moves of a tool change"
    TOO_DEEP = "far deeper than programmed"
    BREAKAGE = "the tool breaks in the cut"
    CHATTER = "chatter"
    SENSOR_LOST = "a sensor gives no reading"


CRASHES = (Kind.IN_CUT, Kind.IN_AIR, Kind.RAPID, Kind.TOOL_CHANGE, Kind.TOO_DEEP)
SHARES = (0.5, 0.12, 0.2, 0.08, 0.1)
FAULTS = {
    Kind.BREAKAGE: Fault.TOOL_BREAKAGE,
    Kind.CHATTER: Fault.CHATTER,
    Kind.SENSOR_LOST: Fault.SENSOR_LOST,
}


@dataclass(frozen=True, slots=True)
class Crash:
    """A program, and the fault that comes so long after its block `number` has begun."""

    kind: Kind
    job: Job
    number: int
    after_s: float
    magnitude: float
    feed_mm_min: float
    """of the move it happens in"""
    rpm: float


def a_crash(rng: np.random.Generator, kind: Kind | None = None) -> Crash:
    """One of CRASHES by its share, or of the kind that is asked for."""
    chosen = CRASHES[int(rng.choice(len(CRASHES), p=SHARES))] if kind is None else kind
    material = str(rng.choice(list(MATERIALS)))
    tool = a_tool(rng, 1)
    plan = a_plan(rng, material, tool)
    deeper = 1.0
    if chosen is Kind.TOO_DEEP:
        plan, deeper = _too_deep(rng, material, tool, plan)
    plan = replace(plan, ap_mm=0.0) if chosen is Kind.IN_AIR else plan
    speed = plan.feed_mm_min / 60.0
    angle = rng.uniform(0.0, 2.0 * math.pi)
    after_s = float(np.exp(rng.uniform(math.log(0.005), math.log(SLOWEST_S))))
    if chosen in FAULTS:
        after_s = 0.7 + after_s  # the cut must be known before its loss can be told
    if chosen is Kind.TOO_DEEP:
        after_s = 0.0
    after_s = min(after_s, (MOST_MM - CLAMP_MM) / speed - 1.0)
    beyond_s = 0.5 if chosen is Kind.TOOL_CHANGE else after_s + 2.0
    along = min(speed * beyond_s + 4.0 * CLAMP_MM, MOST_MM)
    down = rng.random() < 0.15 and chosen is Kind.IN_AIR

    write = Writer()
    write.add(Do.TOOL, tool=1, seconds=0.25)
    write.add(Do.SPINDLE, speed_rpm=plan.rpm)
    write.add(Do.DWELL, seconds=WATCHED_S)
    way = rng.uniform(*APPROACH_MM)
    x, y = way * math.cos(angle + 1.0), way * math.sin(angle + 1.0)
    write.add(Do.RAPID, x=x, y=y, z=60.0)
    rapid = write.add(Do.RAPID, x=x, y=y, z=-5.0)
    to = (x, y, -5.0 - along) if down else (x + along * math.cos(angle), y + along * math.sin(angle), -5.0)
    number = len(write.blocks) * 10 + 10
    write.cut(to, plan, tool, material, deeper)
    feed = plan.feed_mm_min
    if chosen is Kind.RAPID:
        number, after_s = (rapid, rng.uniform(0.0, 0.2)) if rng.random() < 0.5 else (rapid - 10, rng.uniform(0.0, 0.25))
        feed = RAPID_MM_S * 60.0
    write.add(Do.RAPID, x=to[0], y=to[1], z=30.0)
    if chosen is Kind.TOOL_CHANGE:
        number = write.add(Do.TOOL, tool=1, seconds=0.25)
        after_s, feed = (rng.uniform(0.0, 0.25) if rng.random() < 0.5 else rng.uniform(0.7, 0.85)), RAPID_MM_S * 60.0
    write.add(Do.RAPID, x=0.0, y=0.0, z=60.0)
    program = Program("O9000", true_material(rng, material), (tool,), tuple(write.blocks))
    magnitude = float(rng.uniform(0.5, 1.5)) if chosen in (Kind.BREAKAGE, Kind.CHATTER) else 1.0
    return Crash(
        chosen, Job(program, tuple(write.rows), material), number, max(0.0, after_s), magnitude, feed, plan.rpm
    )


def _too_deep(rng: np.random.Generator, material: str, tool: Tool, plan: Planned) -> tuple[Planned, float]:
    """A cut as described, and how many times as deep the tool really goes: its force is beyond what breaks a tool."""
    d = tool.cutter.diameter_mm
    nm = needed_nm(material, tool, plan.ae_mm, plan.ap_mm, plan.feed_mm_min, plan.rpm)
    return plan, float(rng.uniform(1.0, 2.0)) * TOOL_BREAKS_N / (nm * 2000.0 / d)
