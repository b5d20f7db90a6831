"""What machines are made to do: programs drawn over the range of material, tool, engagement, speed and feed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nodes.impact_cortex.cuts import Cuts, Reference, read
from nodes.impact_cortex.materials import MATERIALS
from nodes.impact_cortex.physics import Cut as DescribedCut
from nodes.sensory_cortex.cutting import Cut, Cutter, Material, speed_rpm
from nodes.sensory_cortex.program import Block, Do, Program, Tool
from nodes.sensory_cortex.spindle import TorqueCurve

CURVE = TorqueCurve()
CUTTING_SPEEDS: Mapping[str, tuple[float, float]] = {
    "aluminium_wrought": (200.0, 600.0),
    "c45_annealed": (100.0, 220.0),
    "c45_tempered": (80.0, 180.0),
    "stainless_304": (60.0, 140.0),
    "ti6al4v_low": (40.0, 80.0),
    "ti6al4v_high": (40.0, 80.0),
}
"""m/min, carbide"""
DIAMETERS = (4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0)
SLOWEST_RPM = 300.0
MOST_FEED_MM_MIN = 6000.0
BATCH = (0.9, 1.1)
"""what a batch of material needs, as a share of the handbook's kc1.1"""
WORN = 1.3
"""what an edge at the end of its life needs, as a share of a sharp one"""
NET_LOAD_PCT = 45.0
"""the most a sharp tool is programmed to load the spindle; a worn one in a hard batch comes to 64 %, and idle"""
MOST_FORCE_N = 1100.0
FORCE_N_MM2 = 12.0
"""a sharp tool is programmed to bear this much tangential force per square millimetre of D², at most MOST_FORCE_N"""
LONGEST_CUT_S = 4.0


@dataclass(frozen=True, slots=True)
class Planned:
    """One feed move as it is programmed and described: engagement and feed; `ap_mm` 0 is air."""

    ae_mm: float
    ap_mm: float
    feed_mm_min: float
    rpm: float


@dataclass(frozen=True, slots=True)
class Job:
    """A program, what the logic engine is told of its cuts, and how the tools wear."""

    program: Program
    rows: tuple[Mapping[str, Any], ...]
    material: str
    wear_end: float = 1.0
    wear_passes: int = 1
    """a tool is changed after so many passes"""

    @property
    def cuts(self) -> Cuts:
        base = Reference("", DescribedCut(0.0, 0, 0.0, 0.0), CURVE.rated_torque_nm, CURVE.rated_power_kw)
        return read(self.rows, base)


class Writer:
    """Blocks, numbered by ten, with the description of each cut beside them."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.rows: list[Mapping[str, Any]] = []

    def add(self, do: Do, **words: Any) -> int:
        number = 10 * (len(self.blocks) + 1)
        self.blocks.append(Block(number, f"N{number} {do.name}", do, **words))
        return number

    def cut(
        self, to: tuple[float, float, float], plan: Planned, tool: Tool, material: str, deeper: float = 1.0
    ) -> None:
        """A feed move; `deeper`: the tool really goes so many times as deep as is described."""
        x, y, z = to
        number = self.add(
            Do.FEED, x=x, y=y, z=z, feed_mm_min=plan.feed_mm_min, ae_mm=plan.ae_mm, ap_mm=plan.ap_mm * deeper
        )
        if plan.ap_mm:
            self.rows.append(
                {
                    "tool": tool.number,
                    "blocks": (number, number),
                    "material": material,
                    "diameter_mm": tool.cutter.diameter_mm,
                    "teeth": tool.cutter.teeth,
                    "depth_mm": plan.ap_mm,
                    "width_mm": plan.ae_mm,
                }
            )


def true_material(rng: np.random.Generator, name: str) -> Material:
    """A batch of it."""
    m = MATERIALS[name]
    return Material(m.name, m.kc11_n_mm2 * rng.uniform(*BATCH), m.mc, m.source)


def a_tool(rng: np.random.Generator, number: int) -> Tool:
    diameter = float(rng.choice(DIAMETERS))
    teeth = int(rng.integers(2, 4 if diameter <= 6.0 else 6))
    return Tool(number, f"em{diameter:g}", Cutter(diameter, teeth))


def a_plan(rng: np.random.Generator, material: str, tool: Tool) -> Planned:
    """A slot, a roughing or a finishing cut, as deep as tool and spindle bear it."""
    d, teeth = tool.cutter.diameter_mm, tool.cutter.teeth
    rpm = min(max(speed_rpm(rng.uniform(*CUTTING_SPEEDS[material]), d), SLOWEST_RPM), CURVE.max_speed_rpm)
    fz = min(max(d * rng.uniform(0.003, 0.01), 0.02), 0.15)
    feed = min(rpm * teeth * fz, MOST_FEED_MM_MIN)
    kind = rng.choice(("slot", "rough", "finish"), p=(0.2, 0.5, 0.3))
    if kind == "slot":
        ae, ap = d, d * rng.uniform(0.1, 0.5)
    elif kind == "rough":
        ae, ap = d * rng.uniform(0.2, 0.6), d * rng.uniform(0.3, 1.2)
    else:
        ae, ap = d * rng.uniform(0.03, 0.1), d * rng.uniform(0.5, 1.5)
    needs = needed_nm(material, tool, ae, ap, feed, rpm)
    most = min(
        NET_LOAD_PCT / 100.0 * CURVE.rated_nm(rpm),
        min(MOST_FORCE_N, FORCE_N_MM2 * d * d) * d / 2000.0,
    )
    return Planned(ae, ap * min(1.0, most / needs), feed, rpm)


def needed_nm(material: str, tool: Tool, ae_mm: float, ap_mm: float, feed_mm_min: float, rpm: float) -> float:
    """The torque of a sharp tool in the handbook's material."""
    m = MATERIALS[material]
    cut = Cut.of(Material(m.name, m.kc11_n_mm2, m.mc, m.source), tool.cutter, ae_mm, ap_mm)
    return cut.torque_nm(feed_mm_min, rpm)


def length_mm(rng: np.random.Generator, plan: Planned) -> float:
    """Of a cut: 20 to 120 mm, but no longer than LONGEST_CUT_S."""
    return max(6.0, min(rng.uniform(20.0, 120.0), plan.feed_mm_min / 60.0 * LONGEST_CUT_S))


def normal(rng: np.random.Generator) -> Job:
    """A program of one to three tools that cuts in lanes, contours, slots, steps of growing depth, and air."""
    material = str(rng.choice(list(MATERIALS)))
    write = Writer()
    tools: list[Tool] = []
    for number in range(1, int(rng.integers(1, 4)) + 1):
        tool = a_tool(rng, number)
        tools.append(tool)
        write.add(Do.TOOL, tool=number, seconds=0.25)
        plan = a_plan(rng, material, tool)
        write.add(Do.SPINDLE, speed_rpm=plan.rpm)
        for _ in range(int(rng.integers(2, 5))):
            _figure(rng, write, plan, tool, material)
            again = a_plan(rng, material, tool)
            if abs(again.rpm - plan.rpm) > 1.0 and rng.random() < 0.3:
                write.add(Do.SPINDLE, speed_rpm=again.rpm)
                plan = again
        write.add(Do.RAPID, x=0.0, y=0.0, z=60.0)
    return Job(
        Program(f"O{int(rng.integers(1, 9999)):04d}", true_material(rng, material), tuple(tools), tuple(write.blocks)),
        tuple(write.rows),
        material,
        wear_end=float(rng.uniform(1.0, WORN)),
        wear_passes=int(rng.integers(10, 80)),
    )


def _figure(rng: np.random.Generator, write: Writer, plan: Planned, tool: Tool, material: str) -> None:
    """Rapid to its begin, and what is cut there."""
    x, y = rng.uniform(-150.0, 150.0), rng.uniform(-100.0, 100.0)
    z = -rng.uniform(1.0, 20.0)
    write.add(Do.RAPID, x=x, y=y, z=10.0)
    write.add(Do.RAPID, x=x, y=y, z=z)
    if rng.random() < 0.2:
        write.add(Do.DWELL, seconds=float(rng.uniform(0.05, 0.5)))
    if rng.random() < 0.2:  # an approach in air at feed
        x += 5.0
        write.cut((x, y, z), Planned(0.0, 0.0, plan.feed_mm_min, plan.rpm), tool, material)
    angle = rng.uniform(0.0, 2.0 * math.pi)
    kind = rng.choice(("lane", "contour", "steps"), p=(0.4, 0.3, 0.3))
    corners = 1 if kind == "lane" else int(rng.integers(2, 5))
    for corner in range(corners):
        along = length_mm(rng, plan)
        x, y = x + along * math.cos(angle), y + along * math.sin(angle)
        share = (corner + 1) / corners if kind == "steps" else 1.0
        deep = Planned(plan.ae_mm, plan.ap_mm * share, plan.feed_mm_min, plan.rpm)
        write.cut((x, y, z), deep, tool, material)
        if kind == "contour":
            angle += math.pi / 2.0
    write.add(Do.RAPID, x=x, y=y, z=10.0)
