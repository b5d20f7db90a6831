"""A recording decides the same at the same moment of its own time, however fast it is played."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.sensory_cortex.chunk import Chunk
from nodes.sensory_cortex.columns import column_map
from nodes.sensory_cortex.drivers.recording import table_chunks
from schemas import topics
from schemas.impact import Intervention
from schemas.machine import MachineInfo, MachineState, SignalBlock, Signals
from tests.nodes.impact_cortex.rig import World
from tests.nodes.sensory_cortex.stage import START_NS, Stage

MS = 1_000_000
HEAR: dict[type, tuple[str, Any]] = {
    MachineInfo: ("on_info", topics.MACHINE_INFO),
    MachineState: ("on_state", topics.MACHINE_STATE),
    Signals: ("on_signals", topics.SIGNALS),
    SignalBlock: ("on_samples", topics.SAMPLES),
}


def table(path: Path, period_s: float, seed: int = 1) -> Path:
    """Cuts of different load with rapids between; some loads are too high, one rises within its cut, one is short."""
    noise = np.random.default_rng(seed)
    path.write_text("load,motion\n")
    with path.open("a") as file:
        for cut, (peak, seconds) in enumerate(
            [(40, 4.0), (95, 1.0), (45, 3.1), (99, 0.9), (42, 5.0), (90, 2.3), (30, 4.0)]
        ):
            for _ in range(round(0.7 / period_s)):
                file.write(f"{8 + cut % 3 + noise.normal(0, 0.3):.3f},RAPID\n")
            rows = round(seconds / period_s)
            for n in range(rows):
                risen = 25 if cut == 4 and n > rows * 0.6 else 0
                file.write(f"{peak + risen + noise.normal(0, 1.5):.3f},FEED\n")
    return path


def column_words(period_s: float) -> dict[str, Any]:
    return {
        "columns": {"spindle_load_pct": "load"},
        "motion_column": "motion",
        "motions": {"FEED": "FEED", "RAPID": "RAPID"},
        "period_ms": period_s * 1e3,
    }


def decided(path: Path, period_s: float, speed: float) -> Iterator[tuple[Any, ...]]:
    """Every decision with the time of the reading that led to it, from the recording's start."""
    words = column_words(period_s)
    stage = Stage(
        {
            "driver": "recording",
            "path": str(path),
            "loop": False,
            "columns": words,
            "speed": speed,
            "start_delay_s": 0.1,
        }
    )
    waiting: list[Chunk] = list(table_chunks(path, column_map(words, "columns"), skip_bad=False))
    for chunk in waiting:
        stage.node.on_chunk(chunk)
    world = World(signals=(), mode="OBSERVE")
    heard = 0
    while stage.of(topics.MACHINE_STATE)[-1].execution != "PROGRAM_COMPLETED":
        stage.run(0.001)
        world.now = stage.time_ns
        for _, topic, message in stage.sent[heard:]:
            if type(message) in HEAR:
                method, topic = HEAR[type(message)]
                world._hear(topic)
                getattr(world.node, method)(message)
        heard = len(stage.sent)
        if stage.time_ns // MS % 50 == 0:
            world.node.tick()
    for i in world.said(Intervention):
        read_s = (i.stamp_ns - round(i.age_ms * 1e6) - START_NS) / 1e9 - 0.1
        yield round(read_s, 6), i.task, str(i.reaction), i.value, i.limit, str(i.execution), i.evidence.array.tolist()


@pytest.mark.parametrize("period_s", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("speed", [0.0, 0.1, 0.5, 3.0, 40.0])
def test_the_same_is_decided_at_every_speed(tmp_path: Path, period_s: float, speed: float) -> None:
    path = table(tmp_path / "run.csv", period_s)
    as_recorded = list(decided(path, period_s, 1.0))
    assert len(as_recorded) >= 3
    assert list(decided(path, period_s, speed)) == as_recorded
