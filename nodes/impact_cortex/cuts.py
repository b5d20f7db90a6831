"""What the cuts of a program should load the spindle with: rows by tool and block, and what a row does not say.

    cuts = [
      { tool = 1, blocks = [50, 130], depth_mm = 5.0, width_mm = 5.0 },
      { tool = 2, diameter_mm = 6.0, teeth = 2, depth_mm = 5.0, width_mm = 0.5 },
      { tool = 3, load_pct = 34.0 },    # measured with a sharp tool: counts instead of physics
    ]

The first row that fits counts. A block without a row has no model, and nothing is judged by one there: rather than
guess what an air cut should need. Handbook constants differ by half between editions, so a measured load is better.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nodes.impact_cortex import physics
from nodes.impact_cortex.materials import MATERIALS
from nodes.impact_cortex.tasks import Doing, gate_open, idling
from schemas.machine import Execution, MachineState

LOAD_BY_FEED = 0.75
"""how a measured load follows the feed override: Kienzle's 1 - mc, which is about this for every material"""
LONGEST_ENTRY_S = 60.0
UNKNOWN_CUT = physics.Cut(0.0, 0, 0.0, 0.0)


ONE_CLOCK_NS = 3_600_000_000_000
"""an older stamp belongs to another clock (an old recording): its age says nothing"""


class BadCuts(ValueError):
    """The rows cannot be used; the text lists every mistake, one a line."""


def age_ms(state: MachineState, heard_ns: int) -> float:
    """How old a state was when it was heard; 0 where its stamp is another clock's."""
    age_ns = heard_ns - state.stamp_ns
    return age_ns / 1e6 if abs(age_ns) < ONE_CLOCK_NS else 0.0


def known_execution(before: Execution | None, state: MachineState) -> Execution | None:
    """What is executed as far as anybody knows: a connection that is lost for a moment changes nothing of it."""
    return before if state.execution is Execution.UNAVAILABLE else state.execution


@dataclass(frozen=True, slots=True)
class Reference:
    """A cut and the drive as the parameters describe them; zeros where nobody said."""

    material: str = ""
    cut: physics.Cut = UNKNOWN_CUT
    rated_torque_nm: float = 0.0
    rated_power_kw: float = 0.0

    def load_pct(self, speed_rpm: float, feed_mm_min: float) -> float:
        """What the described cut should load the spindle with, idle not counted; NaN where nobody described it."""
        material = MATERIALS.get(self.material)
        rated_nm = self.rated_torque_nm
        if self.rated_power_kw and speed_rpm > 0:
            at_power = physics.torque_nm(self.rated_power_kw, speed_rpm)
            rated_nm = min(rated_nm, at_power) if rated_nm else at_power
        if material is None or not rated_nm or not self.cut.diameter_mm or not self.cut.teeth:
            return math.nan
        needed = physics.effort(material, self.cut, speed_rpm, feed_mm_min)
        return physics.load_pct(needed.torque_nm, rated_nm)


@dataclass(frozen=True, slots=True)
class Row:
    """A cut, and where it is made."""

    tool: int
    """0: any"""
    first: int
    last: int
    """block numbers, both included"""
    reference: Reference
    load_pct: float = math.nan
    """measured; NaN: by physics"""


@dataclass(frozen=True, slots=True)
class Cuts:
    """The rows of a machine, and the one description that holds where there are none."""

    rows: tuple[Row, ...] = ()
    base: Reference = Reference()

    def row(self, state: MachineState) -> Row | None:
        """The row for what the machine does now."""
        for row in self.rows:
            if row.tool in (0, state.tool_number) and row.first <= state.block_number <= row.last:
                return row
        return None

    def number(self, state: MachineState) -> int:
        """Which row that is; -1 for none."""
        row = self.row(state)
        return -1 if row is None else self.rows.index(row)

    def enters_s(self, state: MachineState) -> float:
        """How long the tool takes to be wholly in this cut: to the side it does not come to its width sooner than after
        its radius. 0 where that is not known.
        """
        feed_mm_min = state.feed_commanded_mm_min * max(0.0, state.feed_override_pct / 100.0)
        radius_mm = self.reference(state).cut.diameter_mm / 2.0
        return min(60.0 * radius_mm / feed_mm_min, LONGEST_ENTRY_S) if feed_mm_min > 0.0 else 0.0

    def reference(self, state: MachineState | None) -> Reference:
        """The cut as described: of the row that fits; the base while there are no rows."""
        row = None if state is None else self.row(state)
        return self.base if row is None else row.reference

    def model_pct(self, state: MachineState | None) -> float:
        """What this block should load the spindle with, idle not counted; NaN where no row says."""
        return self.shown_pct(state) if self.rows else math.nan

    def shown_pct(self, state: MachineState | None) -> float:
        """The same; while there are no rows, what the base says of any block."""
        row = None if state is None else self.row(state)
        if state is None or (row is None and self.rows):
            return math.nan
        override = max(0.0, state.feed_override_pct / 100.0)
        if row is not None and row.load_pct == row.load_pct:
            return float(row.load_pct * override**LOAD_BY_FEED)
        reference = self.base if row is None else row.reference
        return reference.load_pct(state.spindle_speed_commanded_rpm, state.feed_commanded_mm_min * override)

    def doing(self, state: MachineState | None, age_ms: float) -> Doing:
        """What the machine does, as tasks need it; `age_ms`: how old the state was when it was heard. None: unknown."""
        if state is None or state.execution is Execution.UNAVAILABLE:
            return Doing(age_ms=math.inf)
        gate = gate_open(state.execution, state.motion)
        return Doing(
            gate=gate,
            idling=idling(state.execution, state.motion),
            model_pct=self.model_pct(state) if gate else math.nan,
            speed_rpm=state.spindle_speed_commanded_rpm,
            teeth=self.reference(state).cut.teeth,
            cut=self.number(state) if gate else -1,
            enters_s=self.enters_s(state) if gate else 0.0,
            age_ms=age_ms,
        )


NUMBERS = {"diameter_mm": 500.0, "teeth": 100, "depth_mm": 500.0, "width_mm": 500.0, "load_pct": 400.0}
"""what a row may say in numbers, and the most that makes sense"""
KEYS = ("tool", "blocks", "material", *NUMBERS)


def read(rows: Iterable[Any], base: Reference) -> Cuts:
    """The rows as a site file gives them; what one does not say is `base`'s.

    Raises:
        BadCuts: with every mistake.
    """
    wrong: list[str] = []
    made = [_row(f"cuts[{n}]", row, base, wrong) for n, row in enumerate(rows)]
    if wrong:
        raise BadCuts("\n".join(wrong))
    return Cuts(tuple(row for row in made if row is not None), base)


def _row(at: str, given: Any, base: Reference, wrong: list[str]) -> Row | None:
    if not isinstance(given, Mapping):
        wrong.append(f"{at}: expected a table of {', '.join(KEYS)}, got {given!r}")
        return None
    before = len(wrong)
    for key, value in given.items():
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, 1)
            wrong.append(f"{at}: unknown key {key!r}; " + (f"did you mean {near[0]!r}?" if near else f"known: {KEYS}"))
        elif key in NUMBERS and not (_number(value) and 0 < value <= NUMBERS[key]):
            wrong.append(f"{at}.{key}: expected a number above 0, at most {NUMBERS[key]:g}, got {value!r}")
    tool, blocks = given.get("tool", 0), given.get("blocks", (0, 1 << 31))
    if type(tool) is not int or tool < 0:
        wrong.append(f"{at}.tool: expected a tool number, got {tool!r}")
    two = isinstance(blocks, (list, tuple)) and len(blocks) == 2 and all(type(b) is int for b in blocks)
    if not two or blocks[0] > blocks[1]:
        wrong.append(f"{at}.blocks: expected the first and the last block number, got {blocks!r}")
    material = given.get("material", base.material)
    if material not in ("", *MATERIALS):
        near = difflib.get_close_matches(str(material), MATERIALS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(MATERIALS)}"
        wrong.append(f"{at}.material: {material!r} is not known; {hint}")
    if len(wrong) > before:
        return None
    cut = physics.Cut(
        float(given.get("diameter_mm", base.cut.diameter_mm)),
        int(given.get("teeth", base.cut.teeth)),
        float(given.get("depth_mm", base.cut.depth_mm)),
        float(given.get("width_mm", base.cut.width_mm)),
    )
    reference = Reference(material, cut, base.rated_torque_nm, base.rated_power_kw)
    measured = float(given.get("load_pct", math.nan))
    if math.isnan(measured) and not reference.load_pct(1000.0, 100.0) > 0.0:
        wrong.append(
            f"{at}: no load can be computed: it needs material, diameter_mm, teeth, depth_mm, width_mm and the drive's "
            "rated_torque_nm or rated_power_kw, or a measured load_pct"
        )
        return None
    return Row(tool, blocks[0], blocks[1], reference, measured)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
