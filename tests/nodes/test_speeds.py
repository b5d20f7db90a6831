"""A recording decides the same at the same moment of its own time, however fast it is played."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.sensory_cortex.chunk import Chunk
from nodes.sensory_cortex.columns import column_map
from nodes.sensory_cortex.drivers.recording import table_chunks
from nodes.sensory_cortex.recorded import bag_chunks
from schemas import topics
from schemas.impact import Intervention
from tests.nodes.impact_cortex.rig import World
from tests.nodes.sensory_cortex.stage import START_NS, Stage

MS = 1_000_000
CRASH = Path(__file__).parents[1] / "bags" / "vmc1_crash.mcap"
HEAR = {
    topics.MACHINE_INFO.name: "on_info",
    topics.MACHINE_STATE.name: "on_state",
    topics.SIGNALS.name: "on_signals",
    topics.SAMPLES.name: "on_samples",
    topics.VIBRATION.name: "on_vibration",
    topics.MOTION.name: "on_motion",
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


def decided(speed: float, chunks: Iterable[Chunk], **parameters: Any) -> Iterator[tuple[Any, ...]]:
    """Every decision with the time of the reading that led to it, from the recording's start."""
    stage = Stage.of_source(driver="recording", loop=False, speed=speed, start_delay_s=0.1, **parameters)
    for chunk in chunks:
        stage.node.on_chunk(chunk)
    world = World(signals=(), mode="OBSERVE")
    heard = 0
    while stage.of(topics.MACHINE_STATE)[-1].execution != "PROGRAM_COMPLETED":
        stage.run(0.001)
        world.now = stage.time_ns
        for _, topic, message in stage.sent[heard:]:
            if topic.name in HEAR:
                world._hear(topic)
                getattr(world.node, HEAR[topic.name])(message)
        heard = len(stage.sent)
        if stage.time_ns // MS % 50 == 0:
            world.node.tick()
    for i in world.said(Intervention):
        read_s = (i.stamp_ns - round(i.age_ms * 1e6) - START_NS) / 1e9 - 0.1
        yield round(read_s, 6), i.task, str(i.reaction), i.value, i.limit, str(i.execution), i.evidence.array.tolist()


@pytest.mark.parametrize("period_s", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("speed", [0.0, 0.1, 0.5, 3.0, 40.0])
def test_of_a_table_the_same_is_decided_at_every_speed(tmp_path: Path, period_s: float, speed: float) -> None:
    path, columns = table(tmp_path / "run.csv", period_s), column_words(period_s)
    chunks = list(table_chunks(path, column_map(columns, "columns"), skip_bad=False))
    as_recorded = list(decided(1.0, chunks, path=str(path), column_map=columns))
    assert len(as_recorded) >= 3
    assert list(decided(speed, chunks, path=str(path), column_map=columns)) == as_recorded


@pytest.mark.parametrize("speed", [0.0, 0.5, 3.0, 40.0])
def test_of_a_bag_the_same_is_decided_at_every_speed(speed: float) -> None:
    chunks = list(bag_chunks(CRASH, "vmc1"))
    as_recorded = list(decided(1.0, chunks, path=str(CRASH), bag_namespace="vmc1"))
    assert [(task, reaction) for _, task, reaction, *_ in as_recorded] == [("load_limit", "FEED_HOLD")]
    assert list(decided(speed, chunks, path=str(CRASH), bag_namespace="vmc1")) == as_recorded
