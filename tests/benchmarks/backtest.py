"""The backtest: a job of a simulated mill, with many settings at once; and whether it decides as lock-step does."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bus.bag import BagReader
from bus.replay import replay
from bus.replay.inputs import recorded_nodes
from bus.testing import Domain
from nodes.impact_cortex import ImpactCortex
from nodes.impact_cortex.recorded import Reader, Recording
from schemas.impact import Intervention, Mode
from schemas.machine import Fault
from tests.benchmarks.measure import Row, interval
from tests.nodes.impact_cortex.bag_rig import BagWorld

SECONDS = 120
SETTINGS: list[dict[str, Any]] = [{"limit_pct": float(limit)} for limit in range(70, 121, 5)]


def recorded(path: Path, *, vibration: bool) -> Path:
    """A job of two minutes, as the recorder leaves it; near its end the tool crashes."""
    world = BagWorld(path, 7, vibration=vibration)
    world.run(SECONDS * 1000 - 3000)
    world.inject(Fault.CRASH)
    world.run(3000)
    world.close()
    return path


def judged(path: Path, settings: Sequence[dict[str, Any]]) -> tuple[float, float, Recording]:
    """Seconds of CPU with reading the file and without, and what was decided."""
    with BagReader(path) as bag:
        node = next(n for n in recorded_nodes(bag) if n.target.startswith("nodes.impact_cortex"))
        start_s = time.process_time()
        Reader(bag, node, ImpactCortex.interface, settings).read()
        whole_s = time.process_time() - start_s
        reader = Reader(bag, node, ImpactCortex.interface, settings)
        columns = reader.columns()
        items = list(columns)
        start_s = time.process_time()
        for item in items:
            reader.take(item)
        found = reader.finish(columns)
        return whole_s, time.process_time() - start_s, found


def differing(path: Path, found: Recording) -> int:
    """Settings that decide otherwise than a lock-step replay with them."""
    wrong = 0
    for setting, decided in zip(SETTINGS, found.decided, strict=True):
        made = [d.message() for d in replay(ImpactCortex, path, **{**setting, "mode": Mode.OBSERVE}).made]
        said = [(m.stamp_ns, m.task, m.reaction, m.value) for m in made if isinstance(m, Intervention)]
        wrong += said != [(d.heard_ns, d.task, d.reaction, d.value) for d in decided]
    return wrong


def backtest(domain: Domain, count: int) -> list[Row]:
    """Recorded seconds per second of CPU, of one core: 11 settings in one pass."""
    rows: list[Row] = []
    for vibration, what in ((False, "1 kHz"), (True, "1 + 10 kHz")):
        with tempfile.TemporaryDirectory(prefix="rise") as folder:
            path = recorded(Path(folder) / "job.mcap", vibration=vibration)
            _, _, found = judged(path, SETTINGS)  # what is compiled and cached at first is no part of it
            runs = [judged(path, SETTINGS)[:2] for _ in range(count)]
            alone = [judged(path, SETTINGS[:1])[0] for _ in range(count)]
            wrong = differing(path, found)
        name = f"backtest, {SECONDS} s job, {what}"
        also = {
            "without the file": interval([SECONDS / s for _, s in runs]).median,
            "one setting": interval([SECONDS / s for s in alone]).median,
        }
        speeds = interval([SECONDS / s for s, _ in runs])
        # what is demanded is demanded of a job at 1 kHz; ten times as many readings are told beside it
        bar = math.nan if vibration else 1000.0
        rows.append(Row(name, "times real time", speeds, bar, at_least=True, also=also))
        rows.append(Row(name, "settings unlike lock-step", interval([float(wrong)]), 0.0))
    return rows
