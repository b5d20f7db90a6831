"""A quarter of a minute of cutting, judged by every preset."""

from __future__ import annotations

import numpy as np

from nodes.impact_cortex.cuts import Cuts
from nodes.sensory_cortex.drivers.simulator import DRIVE, SIGNALS
from nodes.sensory_cortex.machine import unknown_state
from schemas.machine import Execution, Motion
from tests.benchmarks.detect.hours import Watched, an_hour
from tests.benchmarks.detect.judge import Judge
from tests.benchmarks.detect.presets import PRESETS


def test_an_hour_has_its_rows_and_every_preset_has_looked() -> None:
    made = an_hour((77, 3), rows=15_000)
    assert made.rows >= 15_000
    assert set(made.raised) == set(PRESETS)
    assert 0.0 < made.raised["accelerometer"].shaken_h <= made.rows / 3_600_000


def test_acceleration_is_made_in_every_pass_when_asked() -> None:
    some, every = (an_hour((77, 3), rows=120_000, every=n).raised["accelerometer"].shaken_h for n in (1000, 1))
    assert some < every


def test_the_same_seed_is_the_same_hour() -> None:
    first, again = (an_hour((77, 4), rows=5_000) for _ in range(2))
    assert first == again


def test_a_stop_counts_once_in_a_block_and_again_in_the_next() -> None:
    preset = PRESETS["load_meter"]
    watched = Watched(Judge(preset, Cuts(), tuple(s for s in SIGNALS if s.name == "spindle_load_pct")))
    cutting = unknown_state(0, Motion.FEED).model_copy(update={"execution": Execution.ACTIVE})
    high = np.full((400, 1), 120.0, dtype=np.float32)
    for block in range(2):
        watched.state(cutting)
        for part in range(2):
            watched.hear(DRIVE, high, 400 * (2 * block + part), f"block {block}")
    assert [text.split(":")[0] for text in watched.raised.stops] == ["load_limit in block 0", "load_limit in block 1"]
