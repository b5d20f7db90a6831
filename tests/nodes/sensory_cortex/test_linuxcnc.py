"""The driver, chunk by chunk, as a replay feeds it: what the control says in; blocks, states, steps of a stop out."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.drivers import Guarded, Setting
from nodes.sensory_cortex.drivers.linuxcnc import LinuxCnc, LinuxCncOptions
from nodes.sensory_cortex.entries import objections
from nodes.sensory_cortex.linuxcnc.said import Status
from nodes.sensory_cortex.linuxcnc.table import AT, CHANNELS
from schemas import topics
from schemas.base import Message, Samples
from schemas.machine import (
    Alarm,
    ConditionLevel,
    EmergencyStop,
    Execution,
    Fault,
    InjectRequest,
    Motion,
    MotionEvent,
    MotionPhase,
    SignalBlock,
)
from tests.nodes.sensory_cortex.stage import Stage

MS = 1_000_000
RUNS = Status(
    task_state=4, task_mode=2, interp_state=4, homed=True, ini="/m/mill.ini", file="/m/a.ngc", line=3, block="N50 G1"
)


class Rig:
    """A driver whose control is played by hand."""

    def __init__(self, **options: Any) -> None:
        ids = count()
        self.log: list[str] = []
        setting = Setting(
            "mill", "lc", LinuxCncOptions(**options), random.Random(0), lambda: f"#{next(ids)}", self._logged
        )
        self.driver = LinuxCnc(setting)
        self.now_ns = 10_000 * MS
        self.out: list[Message] = []
        self.row = 0
        self.pins = dict.fromkeys(AT, 0.0) | {"enabled": 1.0, "feed_override": 1.0, "motion_type": 2.0, "tool": 1.0}
        self.x_mm = 0.0
        self.driver.start(self.now_ns)

    def _logged(self, level: object, text: str) -> None:
        self.log.append(text)

    def hear(self, chunk: Chunk) -> None:
        self.driver.receive(chunk)
        self.advance()

    def advance(self, ms: int = 0) -> None:
        self.now_ns += ms * MS
        self.out += self.driver.advance(self.now_ns)

    def link(self, why: str = "") -> None:
        self.hear(Chunk(kind=ChunkKind.LINK, text=why))

    def status(self, status: Status = RUNS) -> None:
        self.hear(Chunk(kind=ChunkKind.BYTES, payload=b"S" + json.dumps(asdict(status)).encode()))

    def rows(self, rows: int, velocity_mm_s: float = 50.0, slower_mm_s: float = 0.0, **pins: float) -> None:
        self.pins |= pins
        for _ in range(rows):
            self.now_ns += MS
            velocity_mm_s = max(0.0, velocity_mm_s - slower_mm_s)
            self.x_mm += velocity_mm_s / 1000.0
            at = self.pins | {"x": self.x_mm, "velocity": velocity_mm_s, "velocity_asked": 50.0}
            table = np.array([[at[c.key] for c in CHANNELS]], dtype=np.float32)
            self.hear(
                Chunk(
                    kind=ChunkKind.ROWS,
                    first_row=self.row,
                    period_ns=MS,
                    arrival_ns=self.now_ns,
                    data=Samples.take(table),
                )
            )
            self.row += 1

    def connected(self, status: Status = RUNS) -> Rig:
        self.link()
        self.status(status)
        self.rows(5)
        return self

    def of(self, kind: type[Message]) -> list[Any]:
        return [m for m in self.out if type(m) is kind]

    @property
    def phases(self) -> list[MotionPhase]:
        return [m.phase for m in self.of(MotionEvent)]

    def execution(self) -> Execution:
        return self.driver.state(self.now_ns).execution


def test_rows_become_signals_in_the_shops_units() -> None:
    rig = Rig().connected()
    block: SignalBlock = rig.of(SignalBlock)[-1]
    values = dict(zip([s.name for s in rig.driver.signals], block.data.array[0].tolist(), strict=True))
    assert values["feed_mm_min"] == pytest.approx(3000.0)
    assert values["x_mm"] == pytest.approx(rig.x_mm)
    assert (block.first_row, block.source) == (4, "lc")
    assert abs(block.stamp_ns - rig.now_ns) <= MS
    state = rig.driver.state(rig.now_ns)
    assert (state.execution, state.motion, state.block_number, state.program) == (
        Execution.ACTIVE,
        Motion.FEED,
        50,
        "a.ngc",
    )
    assert (state.feed_commanded_mm_min, state.feed_override_pct, state.tool_number) == (3000.0, 100.0, 1)
    assert state.emergency_stop is EmergencyStop.ARMED


def test_rows_wait_for_the_unit_they_are_in() -> None:
    rig = Rig()
    rig.link()
    rig.rows(3)
    assert rig.of(SignalBlock) == []
    rig.status(replace(RUNS, units_per_mm=1 / 25.4))
    rig.rows(1, velocity_mm_s=1.0)
    (block,) = rig.of(SignalBlock)
    names = [s.name for s in rig.driver.signals]
    assert block.data.array[0, names.index("feed_mm_min")] == pytest.approx(25.4 * 60.0)


@pytest.mark.parametrize("missing", ["rows", "status"])
def test_what_is_not_heard_any_more_is_unavailable_within_a_second(missing: str) -> None:
    rig = Rig().connected()
    for _ in range(9):
        rig.rows(100) if missing == "status" else rig.advance(100)
        if missing == "rows":
            rig.status()
    assert rig.execution() is Execution.UNAVAILABLE
    rig.rows(1)
    rig.status()
    assert rig.execution() is Execution.ACTIVE, "it tells again"


def test_a_control_that_ends_is_told_once_and_forgotten_until_it_tells_again() -> None:
    rig = Rig().connected()
    before = rig.driver.revision
    rig.link("LinuxCNC's task ended")
    rig.link("LinuxCNC's task ended")
    assert rig.driver.revision > before
    assert rig.execution() is Execution.UNAVAILABLE
    alarms = rig.of(Alarm)
    assert [a.level for a in alarms] == [ConditionLevel.NORMAL, ConditionLevel.UNAVAILABLE]
    assert not rig.driver.hold("a", rig.now_ns, stop=True).accepted
    assert "task ended" in rig.driver.hold("a", rig.now_ns, stop=True).text
    rig.link()
    rig.rows(1)
    assert rig.execution() is Execution.UNAVAILABLE, "the old status is not this one's"
    rig.status()
    rig.rows(1)
    assert rig.execution() is Execution.ACTIVE


def test_a_hold_runs_its_course_and_a_reset_releases_only_what_is_paused_and_stands() -> None:
    rig = Rig().connected()
    assert rig.driver.hold("a", rig.now_ns, stop=False).accepted
    rig.rows(10, velocity_mm_s=50.0, slower_mm_s=2.0, inhibited=1.0)
    assert rig.execution() is Execution.FEED_HOLD
    assert "still move" in rig.driver.reset("r", rig.now_ns).text
    rig.rows(20, velocity_mm_s=30.0, slower_mm_s=2.0)
    assert rig.phases == [MotionPhase.ACCEPTED, MotionPhase.DECELERATING, MotionPhase.AXES_STANDING]
    assert rig.driver.last_stop_ms > 20.0
    assert "not paused yet" in rig.driver.reset("r", rig.now_ns).text
    rig.status(replace(RUNS, paused=True, interp_state=3))
    assert rig.driver.reset("r", rig.now_ns).accepted
    rig.rows(1, velocity_mm_s=0.0, inhibited=0.0)
    assert rig.phases[-1] is MotionPhase.RELEASED
    assert rig.execution() is Execution.INTERRUPTED


def test_a_stop_ends_with_the_spindle() -> None:
    rig = Rig().connected()
    answer = rig.driver.hold("a", rig.now_ns, stop=True)
    assert (answer.accepted, answer.action_id) == (True, "a")
    assert rig.driver.hold("b", rig.now_ns, stop=False).action_id == "a", "already in force"
    rig.rows(30, slower_mm_s=2.0, inhibited=1.0, spindle_rpm=6000.0)
    assert rig.execution() is Execution.STOPPED
    rig.rows(1, velocity_mm_s=0.0, spindle_rpm=0.0)
    assert rig.phases[-1] is MotionPhase.SPINDLE_STANDING


def test_motion_that_is_inhibited_by_the_watchdog_is_a_hold_too() -> None:
    rig = Rig().connected()
    rig.rows(1, inhibited=1.0)
    assert rig.execution() is Execution.FEED_HOLD


def test_a_run_has_an_id_and_a_completed_program_counts_a_part() -> None:
    idle = replace(RUNS, interp_state=1)
    rig = Rig().connected(idle)
    assert rig.driver.state(0).run_id == ""
    rig.status(RUNS)
    assert rig.driver.state(0).run_id == "#0"
    rig.status(replace(idle, stop_word=2))
    state = rig.driver.state(0)
    assert (state.execution, state.part_count, state.run_id) == (Execution.PROGRAM_COMPLETED, 1, "")
    rig.status(RUNS)
    rig.status(idle)
    assert rig.driver.state(0).part_count == 1, "aborted"


def test_what_the_control_tells_its_operator_is_an_alarm_until_the_reset() -> None:
    rig = Rig().connected(replace(RUNS, interp_state=1))
    rig.hear(Chunk(kind=ChunkKind.BYTES, payload=b'E{"text": "joint 1 limit"}'))
    rig.rows(1, velocity_mm_s=0.0)
    assert rig.driver.reset("r", rig.now_ns).accepted
    rig.advance()
    told = [a for a in rig.of(Alarm) if a.alarm_id == "mill/lc/operator"]
    assert [(a.level, a.text) for a in told] == [
        (ConditionLevel.WARNING, "joint 1 limit"),
        (ConditionLevel.NORMAL, ""),
    ]


def test_only_a_simulated_machine_is_made_to_crash_and_the_contact_is_seen_in_its_rows() -> None:
    crash = InjectRequest(fault=Fault.CRASH)
    assert not Rig().connected().driver.inject(crash, 0).accepted
    rig = Rig(simulated=True).connected()
    assert not rig.driver.inject(InjectRequest(fault=Fault.CHATTER), rig.now_ns).accepted
    assert not rig.driver.inject(InjectRequest(fault=Fault.CRASH, magnitude=-1.0), rig.now_ns).accepted
    assert rig.driver.inject(crash, rig.now_ns).accepted
    rig.rows(2)
    assert rig.phases == []
    rig.rows(2, load=206.0)
    assert rig.phases == [MotionPhase.CONTACT]


def test_gaps_in_the_servo_periods_are_gaps_in_the_rows() -> None:
    rig = Rig().connected()
    rig.row += 7
    rig.now_ns += 7 * MS
    rig.rows(1)
    first, second = rig.of(SignalBlock)[-2:]
    assert second.first_row - first.first_row == 8
    assert 6 * MS < second.stamp_ns - first.stamp_ns < 10 * MS


def test_what_cannot_be_read_is_counted_and_logged_once() -> None:
    rig = Rig().connected()
    for n in (1, 2):
        rig.hear(Chunk(kind=ChunkKind.BAD, bad_rows=n, text="no JSON"))
    rig.hear(Chunk(kind=ChunkKind.BYTES, payload=b"S{}"))
    assert rig.driver.quality["lc"].bad_rows == 2
    assert sum("no JSON" in line for line in rig.log) == 1


def test_options_are_checked_together() -> None:
    def wrong(**table: Any) -> list[str]:
        return [text for _, text, *_ in objections(({"driver": "linuxcnc", **table},))]

    assert wrong() == []
    assert wrong(simulated=True, program="a.ngc", more=["x_current_a"]) == []
    assert "started by its operator" in wrong(program="a.ngc")[0]
    assert "no signal of the vocabulary" in wrong(more=["nothing"])[0]
    assert isinstance(Rig().driver, Guarded)


def test_rows_of_the_machine_that_can_be_stopped_do_not_wait_for_a_tick() -> None:
    made = Stage.of_source(driver="linuxcnc")
    row = Samples.take(np.zeros((1, len(CHANNELS)), dtype=np.float32))
    said = b"S" + json.dumps(asdict(RUNS)).encode()
    made.node.on_chunk(Chunk(kind=ChunkKind.LINK))
    made.node.on_chunk(Chunk(kind=ChunkKind.BYTES, payload=said))
    assert made.of(topics.SAMPLES) == []
    made.node.on_chunk(Chunk(kind=ChunkKind.ROWS, first_row=1, period_ns=MS, arrival_ns=made.now_ns(), data=row))
    assert len(made.of(topics.SAMPLES)) == 1
    assert made.of(topics.MACHINE_STATE)[-1].execution is Execution.ACTIVE
