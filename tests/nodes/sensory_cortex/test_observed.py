"""From lines to the machine's messages, without a socket."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from nodes.sensory_cortex.items import items
from nodes.sensory_cortex.observed import CONDITIONS_MAX, Observed
from schemas.base import Message
from schemas.machine import Alarm, ConditionLevel, CoolantState, Execution, SignalBlock, Signals
from schemas.system import LogLevel
from schemas.wire.shdr import Decoder

NOW = 1_700_000_000_000_000_000
MS = 1_000_000
AT = "2022-08-08T13:51:34"


class Watch:
    """What is observed, line by line, a millisecond apart."""

    def __init__(self, own: Mapping[str, Any] | None = None) -> None:
        table = items(own or {})
        self.logged: list[str] = []
        self.now = NOW
        self.ids = 0
        self.observed = Observed("m/shdr", "shdr", table, self._next_id, self._log)
        self.decoder = Decoder(table.kinds)

    def _next_id(self) -> str:
        self.ids += 1
        return f"m#{self.ids}"

    def _log(self, level: LogLevel, text: str) -> None:
        self.logged.append(text)

    def say(self, *lines: str) -> list[Message]:
        out: list[Message] = []
        for line in lines:
            self.now += MS
            for event in self.decoder.receive(line.encode() + b"\n"):
                self.observed.hear(event, self.now, out)
        self.observed.flush(self.now, out)
        return out

    def rows(self, *lines: str) -> list[list[float]]:
        return [list(map(float, m.data.array[0])) for m in self.say(*lines) if isinstance(m, SignalBlock)]

    def alarms(self, *lines: str) -> list[tuple[str, str]]:
        return [(a.alarm_id.removeprefix("m/shdr/"), a.level.value) for a in self.say(*lines) if isinstance(a, Alarm)]


def test_a_row_is_everything_told_of_one_moment() -> None:
    watch = Watch()
    out = watch.say(f"{AT}.1Z|Sload|5|Srpm|900|Sload|6", f"{AT}.2Z|Srpm|901", "|Sload|7")
    assert [type(m).__name__ for m in out] == ["Signals", *["SignalBlock"] * 4]
    signals = out[0]
    assert isinstance(signals, Signals)
    assert [(s.name, s.unit, s.topic) for s in signals.signals] == [
        ("spindle_load_pct", "%", "machine/samples"),
        ("spindle_speed_rpm", "rpm", "machine/samples"),
    ]
    blocks = [m for m in out if isinstance(m, SignalBlock)]
    assert [b.data.array[0].tolist() for b in blocks] == [[5.0, 900.0], [6.0, 900.0], [6.0, 901.0], [7.0, 901.0]]
    assert [(b.first_row, b.period_ns, b.source) for b in blocks] == [(n, 0, "shdr") for n in range(4)]


def test_unavailable_is_nan_and_a_wrong_number_too_and_counted() -> None:
    watch = Watch()
    assert watch.rows("|Sload|5")[0] == [5.0]
    assert math.isnan(watch.rows("|Sload|UNAVAILABLE")[0][0])
    assert watch.observed.misunderstood() == ""
    watch.rows("|Sload|5")
    assert math.isnan(watch.rows("|Sload|five")[0][0])
    assert "1 value; the last: Sload is 'five'" in watch.observed.misunderstood()


def test_a_path_position_is_three_signals() -> None:
    assert Watch().rows("|path_pos|1 2 3")[0] == [1.0, 2.0, 3.0]


def test_a_series_is_a_source_of_its_own() -> None:
    watch = Watch({"vib": {"signal": "x_accel", "series": True}})
    named, first, second = watch.say("|vib|4|1000|1 2 3 4", "|vib|2|1000|5 6", "|vib|3|1000|1 2")
    assert isinstance(named, Signals)
    assert isinstance(first, SignalBlock)
    assert isinstance(second, SignalBlock)
    assert (first.source, first.period_ns, first.first_row) == ("shdr_x_accel", MS, 0)
    assert first.data.array.tolist() == [[1.0], [2.0], [3.0], [4.0]]
    assert first.stamp_ns + 3 * MS == NOW + MS
    assert second.first_row == 4
    assert "1 number" in watch.observed.misunderstood()


def test_a_series_that_is_none_is_told_and_unavailable_is_no_row() -> None:
    watch = Watch({"vib": {"signal": "x_accel", "series": True}})
    assert watch.say("|vib|UNAVAILABLE") == []
    assert watch.observed.misunderstood() == ""
    watch.say("|vib|3")
    assert "1 number" in watch.observed.misunderstood()


def test_the_state_is_what_was_told_and_unavailable_without_its_sender() -> None:
    watch = Watch()
    watch.say("|execution|active|mode|AUTOMATIC|estop|ARMED|program|O1|line|7.0|Fovr|80|tool_id|4")
    state = watch.observed.state(NOW, alive=True)
    assert (state.execution, state.program, state.block_number, state.tool_number) == (Execution.ACTIVE, "O1", 7, 4)
    assert (state.feed_override_pct, state.run_id) == (80.0, "m#1")
    assert watch.observed.state(NOW, alive=False).execution is Execution.UNAVAILABLE
    watch.say("|avail|UNAVAILABLE")
    assert watch.observed.state(NOW, alive=True).execution is Execution.UNAVAILABLE
    revision = watch.observed.revision
    watch.say("|avail|UNAVAILABLE|program|O1")
    assert watch.observed.revision == revision
    watch.say("|line|1e300", "|line|nan", "|execution|FLYING")
    assert watch.observed.state(NOW, alive=True).block_number == 0
    assert "3 value" in watch.observed.misunderstood()


def test_a_counter_that_is_not_known_for_a_moment_does_not_begin_anew() -> None:
    """What falls to 0 and rises again would be parts that nobody made."""
    watch = Watch()

    def parts() -> int:
        return watch.observed.state(NOW, alive=True).part_count

    watch.say("|PartCountAct|500")
    watch.say("|PartCountAct|UNAVAILABLE", "|PartCountAct|many")
    assert parts() == 500
    watch.observed.forget(NOW, [])
    watch.say("|execution|ACTIVE")
    assert parts() == 500
    watch.say("|PartCountAct|0")
    assert parts() == 0


def test_a_run_is_one_execution_of_the_program() -> None:
    watch = Watch()
    runs = []
    for word in ("ACTIVE", "FEED_HOLD", "ACTIVE", "READY", "ACTIVE"):
        watch.say(f"|execution|{word}")
        runs.append(watch.observed.state(NOW, alive=True).run_id)
    assert runs == ["m#1", "m#1", "m#1", "", "m#2"]


@pytest.mark.parametrize(
    ("told_again", "run"),
    [
        (("|execution|ACTIVE", "|program|O1"), "m#1"),
        (("|program|O1", "|execution|ACTIVE"), "m#1"),
        (("|program|O9001", "|execution|ACTIVE", "|program|O1"), "m#1"),
        (("|execution|ACTIVE",), "m#1"),
        (("|program|O2", "|execution|ACTIVE"), "m#2"),
        (("|execution|ACTIVE", "|program|O2"), "m#2"),
        (("|program|O1", "|execution|READY"), ""),
        (("|program|O1", "|execution|READY", "|execution|ACTIVE"), "m#2"),
    ],
)
def test_a_run_goes_on_over_a_lost_connection(told_again: tuple[str, ...], run: str) -> None:
    """What ended and began anew would take the next job in the middle of a program."""
    watch = Watch()
    watch.say("|program|O1", "|execution|ACTIVE", "|program|O9001")  # a sub-program
    watch.observed.forget(NOW, [])
    assert watch.observed.state(NOW, alive=False).run_id == ""
    for line in told_again:
        watch.say(line)
    assert watch.observed.state(NOW, alive=True).run_id == run


def test_an_execution_that_is_not_known_for_a_moment_ends_no_run() -> None:
    watch = Watch()
    runs = []
    for word in ("ACTIVE", "UNAVAILABLE", "ACTIVE"):
        watch.say(f"|execution|{word}")
        runs.append(watch.observed.state(NOW, alive=True).run_id)
    assert runs == ["m#1", "", "m#1"]


def test_coolant_of_one_line_is_one_message() -> None:
    (state,) = Watch().say("|coolant_level|80|coolant_temperature|21")
    assert isinstance(state, CoolantState)
    assert (state.level_pct, state.temperature_c) == (80.0, 21.0)
    assert math.isnan(state.concentration_pct)
    assert (state.pump_on, math.isnan(state.flow_l_min)) == (False, True)


def test_the_pump_is_a_switch() -> None:
    watch = Watch()
    lines = ("|coolant_pump|ON|flow_l_min|12", "|pump_on|INACTIVE", "|pump_on|ACTIVE", "|pump_on|maybe")
    told = [m for line in lines for m in watch.say(line)]
    assert [m.pump_on for m in told if isinstance(m, CoolantState)] == [True, False, True, False]
    assert "pump_on is 'maybe': none of ACTIVE, ON" in watch.observed.misunderstood()


def test_conditions_are_in_force_side_by_side_and_end_alone_or_together() -> None:
    watch = Watch()
    assert watch.alarms("|system|NORMAL||||") == []
    assert watch.alarms("|system|FAULT|1||HIGH|a", "|system|WARNING|2||LOW|b") == [
        ("system/1", "FAULT"),
        ("system/2", "WARNING"),
    ]
    assert watch.alarms("|system|FAULT|1||HIGH|a") == []
    assert watch.alarms("|system|NORMAL|1|||") == [("system/1", "NORMAL")]
    assert watch.alarms("|system|FAULT|1||HIGH|a", "|system|NORMAL||||") == [
        ("system/1", "FAULT"), ("system/2", "NORMAL"), ("system/1", "NORMAL"),
    ]  # fmt: skip


def test_what_was_in_force_when_the_line_was_cut_is_not_known_and_can_be_told_again() -> None:
    watch = Watch()
    watch.say("|system|FAULT|1||HIGH|a", "|execution|ACTIVE|Sload|5")
    out: list[Message] = []
    watch.observed.forget(watch.now, out)
    assert [(a.level, a.text) for a in out if isinstance(a, Alarm)] == [
        (ConditionLevel.UNAVAILABLE, "not known any more: a")
    ]
    assert watch.observed.state(NOW, alive=True).execution is Execution.UNAVAILABLE
    watch.observed.unchanged(watch.now, out)
    assert isinstance(out[-1], SignalBlock)
    assert np.isnan(out[-1].data.array).all()
    assert watch.alarms("|system|FAULT|1||HIGH|a") == [("system/1", "FAULT")]
    (told,) = watch.say("|coolant_level|80")
    assert isinstance(told, CoolantState)
    out.clear()
    watch.observed.forget(watch.now, out)
    assert any(isinstance(m, CoolantState) and math.isnan(m.level_pct) for m in out)


def test_what_strangers_make_up_is_bounded() -> None:
    watch = Watch()
    out = watch.say(*(f"|c{n}|FAULT|{n}||HIGH|a" for n in range(CONDITIONS_MAX + 50)))
    assert sum(isinstance(m, Alarm) for m in out) == CONDITIONS_MAX
    assert f"50 condition; the last: more than {CONDITIONS_MAX} conditions in force" in watch.observed.misunderstood()
    watch.say(*(f"|key{n}|1" for n in range(1000)), *(f"|message||text {n}" for n in range(1000)))
    assert len(watch.logged) < 300
    assert watch.observed.counts["unknown"] == 1000
    assert watch.observed.counts["messages"] == 1000


@pytest.mark.parametrize("line", ["|Sload|1|S1load|2", "|S1load|2|Sload|1"])
def test_a_signal_is_read_from_one_key_the_first_that_was_told(line: str) -> None:
    watch = Watch()
    first = float(line.split("|")[2])
    assert watch.rows(line, "|S1load|7", "|Sload|8")[0] == [first]
    assert watch.observed.counts["second key"] == 2
    assert any("is read from" in text for text in watch.logged)
