"""The node on a real bus: sockets, its worker's thread, its timer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from bus.host import Spec
from bus.node import Raw
from bus.testing import Domain
from nodes.sensory_cortex import SensoryCortex
from schemas import topics
from schemas.base import Message, Topic
from schemas.codec import codec
from schemas.machine import (
    Execution,
    Fault,
    FeedHoldRequest,
    InjectRequest,
    MotionPhase,
    ResetRequest,
    SignalBlock,
    StopRequest,
)
from tests.nodes.sensory_cortex.real_data import LAUNCH, needs_real_data, real

M = TypeVar("M", bound=Message)


class Ear:
    """Everything heard of machine m, undecoded."""

    def __init__(self) -> None:
        self.raw: dict[str, list[Raw]] = {}
        self.lost = 0

    def __call__(self, batch: list[Raw]) -> None:
        for raw in batch:
            self.lost += raw.lost_first > 0
            self.raw.setdefault(raw.topic, []).append(raw)

    def of(self, topic: Topic[M]) -> list[M]:
        return [codec(topic.type).decode(r.payload) for r in self.raw.get(f"m/{topic.name}", [])]

    def rows(self, topic: Topic[SignalBlock]) -> int:
        """How far the rows have come: the end of the last block."""
        raws = self.raw.get(f"m/{topic.name}")
        if not raws:
            return 0
        block = codec(SignalBlock).decode(raws[-1].payload)
        return block.first_row + len(block.data.array)

    def last_is(self, topic: Topic[Any], text: str) -> bool:
        return text.encode() in self.raw.get(f"m/{topic.name}", [Raw("", "", 0, 0, 0, 0, b"", "", "", "")])[-1].payload


@pytest.fixture
def domain() -> Iterator[Domain]:
    with Domain() as made:
        yield made


def assert_every_row_once(blocks: list[SignalBlock], rows: int) -> None:
    row = 0
    for block in blocks:
        assert block.first_row == row
        row += len(block.data.array)
    assert row == rows


def mill(**table: Any) -> Spec:
    """A machine with one source."""
    return Spec(SensoryCortex, namespace="m", parameters={"sources": (table or {"driver": "simulator"},)})


def of_machine(topic: str, type_name: str) -> bool:
    return topic.startswith("m/") and not topic.endswith("/trace")


def test_a_crash_is_held_stopped_and_released_over_the_bus(domain: Domain) -> None:
    ear = Ear()
    with domain.running(mill()), domain.session(select=of_machine, heard=ear) as session:
        spin = session.executor.spin
        assert session.call("m/machine/inject", topics.INJECT, InjectRequest(fault=Fault.CRASH), timeout_s=2.0).accepted
        assert spin(lambda: ear.last_is(topics.MOTION, "CONTACT"), 10.0)
        cause: dict[str, Any] = {"reason": "load", "requested_by": "test", "stamp_ns": session.now_ns}
        hold = session.call("m/machine/feed_hold", topics.FEED_HOLD, FeedHoldRequest(**cause), timeout_s=2.0)
        stop = session.call("m/machine/stop", topics.STOP, StopRequest(**cause), timeout_s=2.0)
        assert hold.accepted
        assert stop.accepted
        assert spin(lambda: ear.last_is(topics.MOTION, "SPINDLE_STANDING"), 10.0)
        release = ResetRequest(operator="joe", reason="clamp moved")
        assert session.call("m/machine/reset", topics.RESET, release, timeout_s=2.0).accepted
        assert spin(lambda: ear.of(topics.MACHINE_STATE)[-1].execution is Execution.ACTIVE, 5.0)
    events = ear.of(topics.MOTION)
    assert events[0].phase is MotionPhase.CONTACT
    standing = [e for e in events if e.phase is MotionPhase.AXES_STANDING]
    assert {e.action_id for e in standing} == {hold.action_id, stop.action_id}
    assert all(e.travel_mm > 0.0 for e in standing)
    assert ear.lost == 0


def test_every_fault_is_injected_by_service(domain: Domain) -> None:
    signals = {Fault.SENSOR_LOST: "x_accel", Fault.SOURCE_SILENT: "accelerometer", Fault.AXIS_DRAG: "x"}
    ear = Ear()
    with domain.running(mill()), domain.session(select=of_machine, heard=ear) as session:
        for fault in sorted(Fault, key=lambda f: f is Fault.CRASH):  # the crash last: it ends the programme
            request = InjectRequest(fault=fault, signal=signals.get(fault, ""))
            assert session.call("m/machine/inject", topics.INJECT, request, timeout_s=2.0).accepted
        assert session.executor.spin(lambda: ear.last_is(topics.MOTION, "CONTACT"), 10.0)
        wrong = InjectRequest(fault=Fault.SENSOR_LOST, signal="x_acel")
        reply = session.call("m/machine/inject", topics.INJECT, wrong, timeout_s=2.0)
        assert (reply.accepted, "x_accel" in reply.text) == (False, True)


def test_a_table_comes_through_as_fast_as_possible_whole(domain: Domain, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n" + "".join(f"{i},{-i}\n" for i in range(5000)))
    ear = Ear()
    columns = {"columns": {"x_mm": "x", "y_mm": "y"}, "period_ms": 1.0}
    spec = mill(driver="recording", path=str(path), column_map=columns, speed=0.0, loop=False, start_delay_s=0.5)
    with domain.running(spec), domain.session(select=of_machine, heard=ear) as session:
        # the state that says so is told before the last rows
        assert session.executor.spin(lambda: ear.last_is(topics.MACHINE_STATE, "PROGRAM_COMPLETED"), 20.0)
        session.executor.spin(lambda: ear.rows(topics.SAMPLES) >= 5000, 5.0)
    assert_every_row_once(ear.of(topics.SAMPLES), 5000)
    values = np.concatenate([b.data.array for b in ear.of(topics.SAMPLES)])
    assert values[:, 0].tolist() == list(range(5000))
    assert ear.lost == 0


@needs_real_data
@pytest.mark.parametrize(
    ("name", "columns", "rows", "topic"),
    [
        ("lmas_vibration/accel_T2503.txt", "lmas_vibration", 47_029, topics.VIBRATION),
        ("smart_michigan/experiment_11.csv", "smart_michigan", 2314, topics.SAMPLES),
    ],
)
def test_real_recordings_come_through_whole(
    domain: Domain, name: str, columns: str, rows: int, topic: Topic[SignalBlock]
) -> None:
    ear = Ear()
    spec = mill(
        driver="recording",
        path=str(real(name)),
        column_map=str(LAUNCH / f"{columns}.toml"),
        speed=0.0,
        loop=False,
        start_delay_s=0.5,
    )
    with domain.running(spec), domain.session(select=of_machine, heard=ear) as session:
        assert session.executor.spin(lambda: ear.last_is(topics.MACHINE_STATE, "PROGRAM_COMPLETED"), 40.0)
        session.executor.spin(lambda: ear.rows(topic) >= rows, 5.0)
    assert_every_row_once(ear.of(topic), rows)
    assert ear.lost == 0
