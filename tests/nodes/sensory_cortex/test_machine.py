"""Several sources as one machine: owners of signals, whose state, whom a stop goes to, and one that fails alone."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import numpy as np
import pytest

from nodes.sensory_cortex import drivers
from nodes.sensory_cortex.recorded import replaced
from schemas import topics
from schemas.machine import ConditionLevel, Execution, SourceStatus, StopRequest
from tests.nodes.sensory_cortex.stage import Stage

STOP = StopRequest(reason="test", requested_by="me", stamp_ns=0)
MILL = {"driver": "simulator"}


@pytest.fixture(autouse=True)
def breaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row more in the table of drivers, as whoever adds a kind of source writes it."""
    row = {"breaking": "tests.nodes.sensory_cortex.drivers_of_tests:Breaking"}
    monkeypatch.setattr(drivers, "DRIVERS", {**drivers.DRIVERS, **row})
    monkeypatch.setattr("nodes.sensory_cortex.entries.DRIVERS", {**drivers.DRIVERS})


def stage(*sources: dict[str, Any]) -> Stage:
    return Stage({"sources": sources})


def table(path: Any, **more: Any) -> dict[str, Any]:
    path.write_text("x,y,c\n" + "".join(f"{i},{-i},{i * 2}\n" for i in range(3000)))
    columns = {"x_current_a": "x", "y_current_a": "y", "x_mm": "c"}
    by = {"columns": columns, "period_ms": 1.0, "source": "table"}
    return {"driver": "recording", "path": str(path), "column_map": by, "start_delay_s": 0.0, "state": False, **more}


def of(made: Stage) -> dict[str, SourceStatus]:
    return {s.name: s for s in made.of(topics.MACHINE_INFO)[-1].sources}


def read_all(made: Stage, number: int) -> None:
    """The blocking side of a source, as far ahead as it may go."""
    end = threading.Event()
    reader = made.node.machine.readers()[number](end)
    for chunk, _ in zip(reader, range(5), strict=False):
        made.node.on_chunk(replaced(chunk, entry=number))


def test_each_signal_has_one_owner_and_its_column_stays_its_own(tmp_path: Any) -> None:
    made = stage(MILL, table(tmp_path / "a.csv", leave=["x_mm"]))
    read_all(made, 1)
    made.run(1.2)
    signals = {s.name: s.source for s in made.of(topics.SIGNALS)[-1].signals}
    assert (signals["x_mm"], signals["x_current_a"]) == ("drive", "table")
    blocks = [b for b in made.of(topics.SAMPLES) if b.source == "table"]
    values = np.concatenate([b.data.array for b in blocks])
    assert values.shape[1] == 2
    assert values[:100].tolist() == [[float(i), float(-i)] for i in range(100)]
    told = of(made)
    assert told["table"].signals == ("x_current_a", "y_current_a")
    assert "x_mm" in told["drive"].signals
    assert (told["table"].driver, told["table"].available) == ("recording", True)
    assert told["table"].rate_hz == pytest.approx(1000.0, rel=0.05)


def test_a_source_that_owns_nothing_is_not_heard(tmp_path: Any) -> None:
    made = stage(MILL, table(tmp_path / "a.csv", leave=["x_mm", "x_current_a", "y_current_a"]))
    read_all(made, 1)
    made.run(0.3)
    assert {b.source for b in made.of(topics.SAMPLES)} == {"drive"}
    assert "table" not in of(made)


def test_a_signal_that_turns_out_to_have_two_owners_stays_with_the_first(tmp_path: Any) -> None:
    with_x = table(tmp_path / "a.csv")
    made = stage(MILL, with_x | {"leave": ["x_mm"]})
    # what a source has only while it runs, --check cannot know
    late = made.node.machine.fitted[1]
    late.entry = dataclasses.replace(late.entry, leave=())
    made.node.machine.start(made.time_ns)
    made.run(0.4)
    assert "x_mm" in made.findings["two_owners"]
    assert [s.source for s in made.node.machine.signals if s.name == "x_mm"] == ["drive"]


def test_a_stop_goes_to_the_source_that_can_stop(tmp_path: Any) -> None:
    made = stage(table(tmp_path / "a.csv", take=["x_current_a"]), MILL)
    info = made.of(topics.MACHINE_INFO)[-1]
    assert (info.can_stop, info.model) == (True, "simulated mill")
    assert {s.name for s in info.sources if s.takes_stop} == {"drive", "accelerometer"}
    assert {s.name for s in info.sources if s.carries_state} == {"drive"}
    assert made.node.stop(STOP).accepted
    assert made.of(topics.MACHINE_STATE)[-1].execution is Execution.STOPPED


def test_a_driver_that_fails_does_not_stop_the_others(tmp_path: Any) -> None:
    breaking = {"driver": "breaking", "state": False, "take": ["z_mm"], "breaks_at": 100}
    # its rows would be named as those of the mill: only what is failing matters here
    made = stage(table(tmp_path / "a.csv", state=True, take=["x_current_a"]), breaking)
    read_all(made, 0)
    made.run(1.2)
    rows = sum(len(b.data.array) for b in made.of(topics.SAMPLES) if b.source == "table")
    assert rows >= 1199
    assert "ZeroDivisionError: a fault of this driver" in made.findings["source_failed_breaking"]
    failed = [a for a in made.of(topics.ALARM) if a.native_code == "SOURCE_FAILED"]
    assert [a.level for a in failed] == [ConditionLevel.FAULT]
    told = of(made)
    assert (told["drive"].available, told["table"].available) == (False, True)
    assert "ZeroDivisionError" in told["drive"].trouble
    assert made.node.stop(STOP).accepted, "it may still reach the machine"


def test_a_driver_whose_library_is_not_there_is_told_and_the_others_run() -> None:
    made = stage(MILL, {"driver": "breaking", "name": "other", "state": False, "lacks": "cnc"})
    made.run(1.1)
    assert "ModuleNotFoundError: No module named 'cnc'" in made.findings["source_failed_other"]
    assert not of(made)["other"].available
    assert of(made)["drive"].available


def test_the_state_of_a_source_that_failed_is_unknown() -> None:
    made = stage({"driver": "breaking", "breaks_at": 50})
    assert made.of(topics.MACHINE_STATE)[-1].execution is Execution.ACTIVE
    made.run(0.1)
    assert made.of(topics.MACHINE_STATE)[-1].execution is Execution.UNAVAILABLE


def test_the_offset_of_a_clock_is_the_least_delay_and_a_gap_is_a_loss() -> None:
    made = Stage()
    made.run(1.2)
    before = of(made)["drive"]
    assert before.clock_offset_ms == pytest.approx(0.0, abs=0.01)
    assert before.lost_rows == 0
    made.time_ns += 50_000_000  # a late tick: rows wait, the clocks are what they were
    made.run(1.2)
    assert of(made)["drive"].clock_offset_ms == pytest.approx(0.0, abs=0.01)
    made.time_ns += 3_000_000_000
    made.run(1.2)
    assert of(made)["drive"].lost_rows == made.node.machine.lost_rows > 1900
