"""Hours of ordinary cutting in minutes: what is raised though nothing is wrong, and how near each task came to it.

    python -P -m tests.false_alarms [--hours 2] [--load-sensor drive_torque] [--seed 1]

The simulated mill and the logic engine are stepped by hand, a millisecond at a time, without sockets; each preset of
the load signal has a row. Exit code 1 when anything was raised.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence

from nodes.impact_cortex.tasks import Settings, default_tasks
from nodes.sensory_cortex.sensors import PRESETS
from schemas.impact import Assessment, Intervention, Mode
from schemas.machine import Motion
from tests.nodes.impact_cortex.mill_rig import MillWorld

TICK_MS = 50
"""the engine assesses this often"""
LOAD_SENSORS = tuple(name for name, (quantity, _) in PRESETS.items() if quantity == "load")


def nearest(hours: float, load_sensor: str, seed: int) -> tuple[MillWorld, dict[str, float]]:
    """The world after so long, and per task the highest share of its limit while it judged (1 fires)."""
    world = MillWorld(seed, load_sensor, mode=Mode.STOP)
    gated = {t.name for t in default_tasks(Settings()) if t.gated}
    shares: dict[str, float] = {}
    cutting = 0
    for _ in range(round(hours * 3600 * 1000 / TICK_MS)):
        world.run(TICK_MS)
        cutting = cutting + 1 if world.mill.mill.motion is Motion.FEED else 0
        for m in world.said(Assessment)[-1].margins:
            share = m.value / m.limit
            # an assessment looks a tick back: by then the gate must have been open, and all calm
            if not math.isnan(share) and (cutting > 4 or m.task not in gated):
                shares[m.task] = max(shares.get(m.task, 0.0), share)
        # what was raised is kept; the rest of two hours would be gigabytes
        world.published = [p for p in world.published if type(p) is Intervention]
        world.loads.clear()
    return world, shares


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="false_alarms", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--load-sensor", choices=LOAD_SENSORS, action="append")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    raised = 0
    for load_sensor in given.load_sensor or LOAD_SENSORS:
        world, shares = nearest(given.hours, load_sensor, given.seed)
        raised += len(world.reactions)
        said = ", ".join(f"{task} {reaction}" for task, reaction in world.reactions) or "nothing raised"
        sys.stdout.write(f"{load_sensor}: {given.hours:g} h, {world.mill.mill.part_count} parts: {said}\n")
        near = ", ".join(f"{task} {share:.3f}" for task, share in sorted(shares.items(), key=lambda s: -s[1]))
        sys.stdout.write(f"    highest reading or sum as a share of its limit: {near}\n")
        sys.stdout.flush()
    return 1 if raised else 0


if __name__ == "__main__":
    sys.exit(main())
