"""Which band a task judges by here and now, why it rests where there is none, and what is gathered meanwhile. Pure."""

from __future__ import annotations

from typing import NamedTuple

from nodes.impact_cortex.place import Place, same_override
from nodes.impact_cortex.taught import Bins, Lesson, Taught, same_step, tunnel_id
from nodes.impact_cortex.tunnel import Band

MOST = 1024
"""tunnels of one machine; as many as a topic keeps"""


class Here(NamedTuple):
    """What holds for a task in the pass through a block that is on."""

    band: Band | None = None
    bins: Bins | None = None
    """where readings are gathered, while it is taught"""
    where: str = ""
    """which tunnel, in words"""
    why: str = ""
    """why it rests"""


NOWHERE = Here()


class Tunnels:
    """What is taught, by tunnel_id, and the lesson that is on."""

    def __init__(self) -> None:
        self.taught: dict[str, Taught] = {}
        self.lesson: Lesson | None = None

    def take(self, key: str, taught: Taught) -> bool:
        """Use this from now on; False when it is older than what is known, or there are too many."""
        known = self.taught.get(key)
        if (known is None and len(self.taught) >= MOST) or (known is not None and known.version > taught.version):
            return False
        self.taught[key] = taught
        return True

    def version(self, key: str) -> int:
        """Of the last tunnel of this name; 0 before the first."""
        known = self.taught.get(key)
        return 0 if known is None else known.version

    def spoil(self, why: str) -> None:
        """The run that is on is no reference."""
        if self.lesson is not None:
            self.lesson.spoil(why)

    def here(
        self, task: str, signal: str, place: Place | None, step_s: float, margin_pct: float, *, learns: bool
    ) -> Here:
        """What a task judges `signal` by in this place, in steps of `step_s` and with this margin.

        Args:
            learns: this is who gathers, where the task is taught.
        """
        if place is None:
            return NOWHERE
        bins = self._gather(task, signal, place, step_s) if learns else None
        taught = self.taught.get(tunnel_id(task, signal, place.program))
        where, why = f"tool {place.tool}, block {place.block}", ""
        if taught is None or not taught.runs:
            lesson = self.lesson
            on = lesson is not None and lesson.program == place.program and task in lesson.tasks
            why = lesson.text if on and lesson is not None else f"nothing was taught of {place.program}"
        elif not same_step(taught.step_s, step_s):
            why = f"{place.program} was taught in steps of {taught.step_s:g} s, not {step_s:g} s: teach it anew"
        elif place.broken:
            why = f"block {place.block} is not judged to its end: {place.broken}"
        elif not same_override(place.override_pct, taught.override_pct):
            why = f"feed override {_percent(place.override_pct)}, taught at {_percent(taught.override_pct)}"
        else:
            band = taught.band(place.tool, place.block, margin_pct)
            if band is not None:
                return Here(band, bins, f"tunnel v{taught.version} of {place.program}, {where}")
            why = f"nothing was taught of {where}"
        return Here(None, bins, "", why)

    def _gather(self, task: str, signal: str, place: Place, step_s: float) -> Bins | None:
        lesson = self.lesson
        if lesson is None or lesson.program != place.program or task not in lesson.tasks:
            return None
        if place.broken:
            lesson.spoil(f"block {place.block}: {place.broken}")
        elif not same_override(place.override_pct, lesson.override(place.override_pct)):
            before = f"{_percent(lesson.override_pct)} before"
            lesson.spoil(f"block {place.block}: feed override {_percent(place.override_pct)}, {before}")
        return lesson.bins(task, signal, (place.tool, place.block), step_s)


def _percent(value: float) -> str:
    return "unknown" if value != value else f"{value:.0f} %"
