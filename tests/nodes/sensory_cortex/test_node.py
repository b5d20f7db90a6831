import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bus.node import BadParameter
from nodes.sensory_cortex.node import SensoryCortex
from schemas import codec as codec_module
from schemas import topics
from schemas.base import Message
from schemas.codec import codec
from schemas.impact import Beat, Mode, ProtectionState
from schemas.machine import (
    ActionReply,
    ConditionLevel,
    Execution,
    Fault,
    FeedHoldRequest,
    InjectRequest,
    Motion,
    MotionPhase,
    ResetRequest,
    SignalBlock,
    StopRequest,
)
from tests.nodes.sensory_cortex.stage import START_NS, Stage

HOLD = FeedHoldRequest(reason="test", requested_by="me", stamp_ns=0)
STOP = StopRequest(reason="test", requested_by="me", stamp_ns=0)


def inject(stage: Stage, fault: Fault, **more: Any) -> None:
    reply = stage.node.inject(InjectRequest(fault=fault, **more))
    assert reply.accepted, reply.text


def cutting(on_brain_lost: str = "NONE", **table: Any) -> Stage:
    stage = Stage({"on_brain_lost": on_brain_lost, "sources": ({"driver": "simulator", **table},)})
    assert stage.run(10.0, lambda: stage.of(topics.MACHINE_STATE)[-1].block_number == 50)
    stage.run(0.5)
    return stage


def column(stage: Stage, name: str, rows: int = 200) -> np.ndarray[Any, Any]:
    """The last rows of a signal."""
    signals = stage.of(topics.SIGNALS)[-1].signals
    info = next(s for s in signals if s.name == name)
    index = [s.name for s in signals if s.source == info.source].index(name)
    blocks = stage.of(topics.SAMPLES if info.topic == topics.SAMPLES.name else topics.VIBRATION)
    return np.concatenate([b.data.array[:, index] for b in blocks[-rows:]])[-rows:]


def driver(stage: Stage) -> Any:
    return stage.node.machine.fitted[0].driver


def beat(stage: Stage, mode: Mode = Mode.STOP) -> None:
    stage.node.on_beat(Beat(stamp_ns=stage.time_ns, count=0, mode=mode))


def assert_every_row_once(blocks: list[SignalBlock]) -> None:
    row = 0
    stamp = blocks[0].stamp_ns
    for block in blocks:
        assert block.first_row == row
        assert block.stamp_ns == stamp
        row += len(block.data.array)
        stamp += len(block.data.array) * block.period_ns


def test_the_first_stop_waits_for_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: dict[type[Message], Any] = {}
    monkeypatch.setattr(codec_module, "_codecs", compiled)
    stage = Stage()
    before = set(compiled)
    stage.node.stop(STOP)
    stage.run(1.0)
    said = {type(m) for messages in stage.published.values() for m in messages}
    assert said | {StopRequest, FeedHoldRequest, ActionReply} <= before


def test_it_says_what_it_is_before_anything_else() -> None:
    stage = Stage()
    info = stage.of(topics.MACHINE_INFO)[0]
    assert (info.machine, info.simulated, info.can_feed_hold, info.can_stop) == ("vmc1", True, True, True)
    assert [s.name for s in stage.of(topics.SIGNALS)[0].signals][:3] == [
        "spindle_load_pct",
        "spindle_speed_rpm",
        "spindle_torque_nm",
    ]
    assert stage.of(topics.MACHINE_STATE)[0].execution is Execution.ACTIVE


def test_one_block_a_millisecond_and_every_row_once_with_its_own_stamp() -> None:
    stage = Stage()
    stage.run(2.0)
    drive, vibration = stage.of(topics.SAMPLES), stage.of(topics.VIBRATION)
    assert len(drive) == 2000
    assert {b.data.array.shape for b in drive} == {(1, 11)}
    assert {b.data.array.shape for b in vibration} == {(100, 3)}
    assert drive[0].stamp_ns == START_NS + 1_000_000
    assert_every_row_once(drive)
    assert_every_row_once(vibration)


def test_late_ticks_are_caught_up_without_a_gap_and_what_is_forgotten_is_counted() -> None:
    stage = Stage()
    stage.run(0.1)
    stage.time_ns += 300_000_000
    stage.run(0.1)
    assert_every_row_once(stage.of(topics.SAMPLES))
    assert sum(len(b.data.array) for b in stage.of(topics.SAMPLES)) == 500
    stage.time_ns += 3_000_000_000
    stage.run(0.3)
    rows = stage.of(topics.SAMPLES)
    gaps = [b.first_row - a.first_row - len(a.data.array) for a, b in itertools.pairwise(rows)]
    assert sum(gaps) == stage.node.machine.lost_rows > 1900
    assert "lost" in stage.logged[-1][1]
    stage.run(0.2)
    assert "rows_lost" in stage.findings


def test_the_load_shows_the_cut_of_the_physics_vector_and_the_meter_follows() -> None:
    stage = cutting()
    torque = float(np.mean(column(stage, "spindle_torque_nm")))
    idle = 0.15 + 0.25 * 9549 / 12_000
    assert torque - idle == pytest.approx(1.130, rel=0.1)
    assert float(np.mean(column(stage, "load_meter_pct"))) == pytest.approx(
        float(np.mean(column(stage, "spindle_load_pct"))), abs=3.0
    )
    assert float(np.mean(column(stage, "feed_mm_min"))) == pytest.approx(1432.4, abs=1.0)


def test_the_load_passes_the_sensor_that_was_chosen() -> None:
    def steps_and_changes(stage: Stage) -> tuple[float, int]:
        load = column(stage, "spindle_load_pct", 1000)
        return float(np.abs(load - np.rint(load)).max()), int(np.count_nonzero(np.diff(load)))

    fine = cutting()
    fine.run(1.0)
    off, changes = steps_and_changes(fine)
    assert off > 0.1
    assert changes > 900
    coarse = cutting(load_sensor="load_meter")
    coarse.run(1.0)
    off, changes = steps_and_changes(coarse)
    assert off == 0.0
    assert 0 < changes <= 11
    with pytest.raises(BadParameter, match=r"vmc1/sensory_cortex.*did you mean 'load_meter'"):
        Stage.of_source(driver="simulator", load_sensor="load_metre")


def test_a_stop_is_accepted_decelerates_and_stands_and_the_time_is_measured() -> None:
    stage = cutting()
    reply = stage.node.stop(STOP)
    assert reply.accepted
    assert stage.of(topics.MACHINE_STATE)[-1].execution is Execution.STOPPED
    assert stage.node.stop(STOP).action_id == reply.action_id
    stage.run(1.0)
    events = stage.of(topics.MOTION)
    assert [e.phase for e in events] == [
        MotionPhase.ACCEPTED,
        MotionPhase.DECELERATING,
        MotionPhase.AXES_STANDING,
        MotionPhase.SPINDLE_STANDING,
    ]
    assert {e.action_id for e in events} == {reply.action_id}
    assert [e.stamp_ns for e in events] == sorted(e.stamp_ns for e in events)
    assert 4.0 <= stage.of(topics.MACHINE_INFO)[-1].last_stop_ms < 30.0
    assert float(column(stage, "spindle_speed_rpm", 1)[0]) == pytest.approx(0.0, abs=10.0)


@pytest.mark.parametrize("act", ["feed_hold", "stop"])
def test_what_is_asked_decelerates_the_axes_in_the_samples_too_and_a_reset_lets_them_go_again(act: str) -> None:
    def feeds(rows: int) -> np.ndarray[Any, Any]:
        return column(stage, "feed_mm_min", rows).astype(np.float64)

    stage = cutting()
    x = float(column(stage, "x_mm", 1)[0])
    assert getattr(stage.node, act)(HOLD if act == "feed_hold" else STOP).accepted
    stage.run(0.1)
    slowing = feeds(100)
    assert slowing[-1] == 0.0
    steps = np.diff(slowing)
    most = 3000.0 * 60 / 1000 + 0.2  # 3 m/s², and the sensor's steps
    assert steps.min() >= -most
    assert np.count_nonzero(steps < -10.0) >= 8  # not from one millisecond to the next
    travelled = float(column(stage, "x_mm", 1)[0]) - x
    assert travelled == pytest.approx(24.0 * 0.004 + 24.0**2 / 6000, abs=0.03)
    assert stage.node.reset(ResetRequest(operator="joe", reason="looked at it")).accepted
    stage.run(5.0, lambda: float(column(stage, "feed_mm_min", 1)[0]) > 1400.0)
    assert np.diff(feeds(30)).max() <= most


def test_state_names_the_tool_in_the_spindle_by_its_serial() -> None:
    stage = Stage()
    stage.run(20.0)
    tools = [(s.tool_number, s.tool_serial) for s in stage.of(topics.MACHINE_STATE) if s.tool_number]
    assert list(dict.fromkeys(tools)) == [(1, "em10-0001"), (2, "em6-0001")]


def test_reset_needs_a_name_and_a_reason() -> None:
    stage = cutting()
    stage.node.feed_hold(HOLD)
    stage.run(0.1)
    for operator, reason in (("", "freed"), ("joe", " ")):
        assert not stage.node.reset(ResetRequest(operator=operator, reason=reason)).accepted
    assert stage.node.reset(ResetRequest(operator="joe", reason="freed")).accepted
    assert stage.of(topics.MACHINE_STATE)[-1].execution is Execution.ACTIVE


def test_a_crash_shows_in_load_force_and_acceleration_within_milliseconds() -> None:
    stage = cutting()
    normal = float(np.abs(column(stage, "x_accel", 1000)).max())
    load = float(column(stage, "spindle_load_pct").max())
    inject(stage, Fault.CRASH)
    assert stage.run(0.1, lambda: bool(stage.of(topics.MOTION)))
    assert stage.of(topics.MOTION)[0].phase is MotionPhase.CONTACT
    stage.run(0.02)
    assert float(np.abs(column(stage, "x_accel", 300)).max()) > 3 * normal
    assert float(column(stage, "spindle_load_pct").max()) > 2 * load
    assert float(column(stage, "x_load_pct").max()) > 50.0
    stage.node.stop(STOP)
    stage.run(1.0)
    standing = next(e for e in stage.of(topics.MOTION) if e.phase is MotionPhase.AXES_STANDING)
    assert 0.3 < standing.travel_mm < 1.2


def test_an_unattended_crash_raises_the_controls_own_alarm_and_reset_withdraws_it() -> None:
    stage = cutting()
    inject(stage, Fault.CRASH)
    stage.run(1.0)
    assert stage.of(topics.MACHINE_STATE)[-1].execution is Execution.INTERRUPTED
    assert stage.of(topics.ALARM)[-1].level is ConditionLevel.FAULT
    assert stage.node.reset(ResetRequest(operator="joe", reason="freed")).accepted
    stage.run(0.1)
    assert stage.of(topics.ALARM)[-1].level is ConditionLevel.NORMAL


def test_a_lost_sensor_reads_nothing_raises_an_alarm_and_comes_back() -> None:
    stage = cutting()
    inject(stage, Fault.SENSOR_LOST, signal="spindle_load_pct", duration_s=1.0)
    inject(stage, Fault.SENSOR_LOST, signal="y_accel", duration_s=1.0)
    stage.run(0.5)
    assert np.isnan(column(stage, "spindle_load_pct")).all()
    assert not np.isnan(column(stage, "spindle_speed_rpm")).any()
    assert np.isnan(column(stage, "y_accel")).all()
    raised = {a.alarm_id: a for a in stage.of(topics.ALARM)}
    assert raised["vmc1/sensory_cortex/signal/spindle_load_pct"].level is ConditionLevel.FAULT
    stage.run(1.0)
    raised = {a.alarm_id: a for a in stage.of(topics.ALARM)}
    assert {a.level for a in raised.values()} == {ConditionLevel.NORMAL}


def test_a_silent_source_makes_the_machine_unavailable_within_a_second() -> None:
    stage = cutting()
    inject(stage, Fault.SOURCE_SILENT, signal="drive", duration_s=3.0)
    last = stage.of(topics.SAMPLES)[-1]
    assert stage.run(1.0, lambda: stage.of(topics.MACHINE_STATE)[-1].execution is Execution.UNAVAILABLE)
    assert stage.of(topics.MACHINE_STATE)[-1].motion is Motion.UNKNOWN
    assert stage.of(topics.SAMPLES)[-1] is last
    assert stage.of(topics.ALARM)[-1].level is ConditionLevel.UNAVAILABLE
    drive = stage.of(topics.MACHINE_INFO)[-1].sources[0]
    assert not drive.available
    assert drive.age_ms > 400.0
    stage.run(3.0)
    assert stage.of(topics.MACHINE_STATE)[-1].execution is Execution.ACTIVE
    assert stage.of(topics.ALARM)[-1].level is ConditionLevel.NORMAL
    again = next(b for b in stage.of(topics.SAMPLES) if b.stamp_ns > last.stamp_ns)
    assert again.first_row > last.first_row + 2000  # the rows of the silence are a gap


def test_the_accelerometer_alone_silent_leaves_the_machine_available() -> None:
    stage = cutting()
    inject(stage, Fault.SOURCE_SILENT, signal="accelerometer")
    stage.run(1.0)
    assert stage.of(topics.MACHINE_STATE)[-1].execution is Execution.ACTIVE
    assert [s.available for s in stage.of(topics.MACHINE_INFO)[-1].sources] == [True, False]


def test_rates_are_measured() -> None:
    stage = cutting()
    stage.run(1.5)
    rates = [s.rate_hz for s in stage.of(topics.MACHINE_INFO)[-1].sources]
    assert rates == pytest.approx([1000.0, 10_000.0], rel=0.02)


def test_chatter_and_a_worn_tool_show() -> None:
    stage = cutting()
    before = float(np.std(column(stage, "x_accel", 1000)))
    load = float(np.mean(column(stage, "spindle_load_pct")))
    inject(stage, Fault.CHATTER)
    inject(stage, Fault.WORN_TOOL)
    stage.run(1.0)
    assert float(np.std(column(stage, "x_accel", 1000))) > 3 * before
    assert float(np.mean(column(stage, "spindle_load_pct"))) > 1.2 * load


def test_a_broken_tool_cuts_air() -> None:
    stage = cutting()
    load = float(np.mean(column(stage, "spindle_load_pct")))
    inject(stage, Fault.TOOL_BREAKAGE)
    stage.run(0.03)
    assert float(column(stage, "spindle_load_pct", 30).max()) > 1.5 * load
    stage.run(0.5)
    assert float(np.mean(column(stage, "spindle_load_pct"))) < 0.5 * load


@pytest.mark.parametrize(
    ("fault", "more"),
    [
        (Fault.SENSOR_LOST, {"signal": "spindel_load"}),
        (Fault.SOURCE_SILENT, {}),
        (Fault.CHATTER, {"magnitude": float("nan")}),
        (Fault.CHATTER, {"magnitude": -1.0}),
        (Fault.CRASH, {"duration_s": float("inf")}),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_and_says_why(fault: Fault, more: dict[str, Any]) -> None:
    reply = Stage().node.inject(InjectRequest(fault=fault, **more))
    assert not reply.accepted
    assert reply.text


def test_a_machine_that_stands_cannot_be_made_to_crash_and_says_what_to_do() -> None:
    stage = cutting()
    stage.node.feed_hold(HOLD)
    stage.run(0.1)
    reply = stage.node.inject(InjectRequest(fault=Fault.CRASH))
    assert (reply.accepted, "reset it first" in reply.text) == (False, True)
    assert stage.node.reset(ResetRequest(operator="joe", reason="freed")).accepted
    inject(stage, Fault.CRASH)
    stage.run(0.1)
    again = stage.node.inject(InjectRequest(fault=Fault.CRASH))
    assert (again.accepted, "in a clamp already" in again.text) == (False, True)


def test_coolant_falls_with_cutting() -> None:
    stage = Stage()
    stage.run(1.0)
    first = stage.of(topics.COOLANT)[0]
    mill = driver(stage).mill
    for _ in range(600_000):  # ten minutes of the programme, unread
        mill.step()
    minutes = mill.cutting_steps / 60_000
    assert 6.0 < minutes < 9.0
    stage.run(15.0)  # the probe is slow
    last = stage.of(topics.COOLANT)[-1]
    assert first.level_pct - last.level_pct == pytest.approx(6.0 * minutes / 60, rel=0.1)
    assert first.concentration_pct - last.concentration_pct == pytest.approx(0.4 * minutes / 60, rel=0.3)
    assert last.temperature_c > first.temperature_c + 1.0
    stage.node.feed_hold(HOLD)
    stage.run(5.0)
    held = stage.of(topics.COOLANT)[-1]
    stage.run(10.0)
    assert stage.of(topics.COOLANT)[-1].level_pct == pytest.approx(held.level_pct, abs=0.02)


def test_without_the_brain_it_says_unprotected_and_holds_the_feed_when_told_to() -> None:
    stage = cutting(on_brain_lost="FEED_HOLD")
    assert not stage.of(topics.HAL_PROTECTION)
    for _ in range(10):
        beat(stage)
        stage.run(0.05)
    assert [p.state for p in stage.of(topics.HAL_PROTECTION)] == [ProtectionState.PROTECTED]
    assert stage.run(0.22, lambda: len(stage.of(topics.HAL_PROTECTION)) > 1)
    assert stage.of(topics.HAL_PROTECTION)[-1].state is ProtectionState.UNPROTECTED
    assert stage.of(topics.MACHINE_STATE)[-1].execution is Execution.FEED_HOLD
    stage.run(1.0)
    assert len([e for e in stage.of(topics.MOTION) if e.phase is MotionPhase.ACCEPTED]) == 1
    beat(stage)
    assert stage.of(topics.HAL_PROTECTION)[-1].state is ProtectionState.PROTECTED
    assert stage.of(topics.MACHINE_STATE)[-1].execution is Execution.FEED_HOLD


def test_a_brain_that_never_came_is_told_after_five_seconds_and_does_nothing_by_default() -> None:
    stage = Stage()
    stage.run(4.9)
    assert not stage.of(topics.HAL_PROTECTION)
    stage.run(0.2)
    assert stage.of(topics.HAL_PROTECTION)[-1].state is ProtectionState.UNPROTECTED
    assert stage.of(topics.MACHINE_STATE)[-1].execution is Execution.ACTIVE


def test_a_brain_that_only_observes_is_degraded_protection() -> None:
    stage = Stage()
    beat(stage, Mode.OBSERVE)
    assert stage.of(topics.HAL_PROTECTION)[-1].state is ProtectionState.DEGRADED


def test_its_own_sleep_is_no_silence_of_the_brain() -> None:
    stage = cutting()
    beat(stage)
    stage.run(0.05)
    stage.time_ns += 2_000_000_000
    stage.run(0.1)
    assert [p.state for p in stage.of(topics.HAL_PROTECTION)] == [ProtectionState.PROTECTED]


def test_same_seed_same_bytes() -> None:
    def record(seed: int) -> bytes:
        stage = Stage(seed=seed)
        stage.run(3.0)
        stage.node.inject(InjectRequest(fault=Fault.CRASH))
        stage.run(0.2)
        stage.node.stop(STOP)
        stage.run(0.5)
        return b"".join(codec(type(m)).encode(m) for name in sorted(stage.published) for m in stage.published[name])

    assert record(1) == record(1)
    assert record(1) != record(2)


def test_check_finds_a_sensor_that_is_none_and_what_a_recording_lacks(tmp_path: Path) -> None:
    defaults = {name: p.default for name, p in SensoryCortex.interface.parameters.items()}

    def wrong(**table: Any) -> list[str]:
        given = {**defaults, "sources": ({"driver": "simulator", **table},)}
        said = list(SensoryCortex.mistakes(given))
        assert all(path == ["sources", 0] for _, _, *path in said)
        return [f"{code}: {text.removeprefix('source 1: ')}" for code, text, *_ in said]

    assert wrong() == []
    assert wrong(load_sensor="drive_torqe") == [
        "load-sensor: load_sensor: no sensor preset 'drive_torqe'; did you mean 'drive_torque'?"
    ]
    assert wrong(driver="recording")[0].startswith("recording-path")
    assert wrong(driver="recording", path="x.csv")[0].startswith("column-map")
    assert wrong(driver="recording", path="x.mcap") == [
        "recording-path: path: cannot read x.mcap: No such file or directory"
    ]
    bad = wrong(driver="recording", path="x.csv", column_map={"colums": {}, "period_ms": 1.0})
    assert any("did you mean 'columns'" in line for line in bad)
    columns = {"columns": {"x_mm": "x"}, "period_ms": 1.0}
    assert wrong(driver="recording", path=str(tmp_path), column_map=columns) == [
        f"recording-path: path: cannot read {tmp_path}: Is a directory"
    ]
    table = tmp_path / "run.csv"
    for text, said in (
        ("x,y\n1,2\n", []),
        ("x2,y\n1,2\n", ["run.csv, line 1: the header lacks 'x' (did you mean 'x2'?)"]),
        ("x,y\n", [f"{table} holds no row"]),
        ("x,y\n?,2\n", ["run.csv, line 2, column 'x': '?' is no number"]),
    ):
        table.write_text(text)
        assert wrong(driver="recording", path=str(table), column_map=columns) == [
            f"recording-path: path: {t}" for t in said
        ]
    assert wrong(driver="recording", path=str(table), column_map=columns, on_bad_row="skip") == []
    bag = table.rename(tmp_path / "run.mcap")
    assert wrong(driver="recording", path=str(bag)) == [f"recording-path: path: {bag} is no bag"]


@pytest.mark.parametrize("duration_s", [1e308, float("inf"), float("nan"), -1.0])
def test_a_fault_for_longer_than_a_day_is_refused(duration_s: float) -> None:
    """A callback that raises at every such request would end the process."""
    reply = Stage().node.inject(InjectRequest(fault=Fault.CHATTER, duration_s=duration_s))
    assert not reply.accepted
    assert "is not in 0..86400" in reply.text


def test_what_was_injected_last_counts_and_nothing_piles_up() -> None:
    stage = Stage()
    for n in range(1000):
        inject(stage, Fault.CHATTER, signal=f"whatever {n}", duration_s=3600.0)
    inject(stage, Fault.SENSOR_LOST, signal="x_mm", duration_s=0.01)
    inject(stage, Fault.SENSOR_LOST, signal="x_mm")
    assert len(driver(stage).mill.faults._ends) == 1
    stage.run(0.1)
    assert np.isnan(column(stage, "x_mm", 5)).all(), "the second lasts until reset"
