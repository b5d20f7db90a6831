"""When to connect, what to send, when to hang up: in the node's time, without a socket."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.drivers.shdr import Shdr
from nodes.sensory_cortex.orders import Do, Order
from nodes.sensory_cortex.telling import BACKOFF_MOST_NS
from schemas import topics
from schemas.machine import Execution, SignalBlock, Signals, SourceStatus
from tests.nodes.sensory_cortex.stage import START_NS, Stage


class Behind(Stage):
    """A sensory cortex whose adapter is this test."""

    def __init__(self, **options: Any) -> None:
        super().__init__({"sources": ({"driver": "shdr", "address": "mill", **options},)})
        driver = self.node.machine.fitted[0].driver
        assert isinstance(driver, Shdr)
        self.driver: Shdr = driver

    def orders(self) -> list[Order]:
        found = []
        while (order := self.driver.orders.get()) is not None:
            found.append(order)
        return found

    def open(self, *lines: str) -> None:
        self.node.on_chunk(Chunk(kind=ChunkKind.LINK))
        self.say(*lines)

    def say(self, *lines: str) -> None:
        for line in lines:
            self.node.on_chunk(Chunk(kind=ChunkKind.BYTES, payload=line.encode() + b"\n"))
        self.run(0.01)

    def execution(self) -> Execution:
        return self.of(topics.MACHINE_STATE)[-1].execution


def test_connections_are_tried_ever_more_seldom_and_never_all_at_once() -> None:
    behind = Behind()
    waits: list[float] = []
    last_ns = behind.time_ns
    for _ in range(9):
        assert behind.run(10.0, lambda: bool(found := behind.orders()) and found[0].do is Do.CONNECT)
        waits.append((behind.time_ns - last_ns) / 1e9)
        assert not behind.run(0.5, lambda: bool(behind.orders())), "one attempt at a time"
        behind.node.on_chunk(Chunk(kind=ChunkKind.LINK, text="Connection refused"))
        behind.run(0.001)
        last_ns = behind.time_ns
    assert waits[0] < 0.01
    assert waits[1:] == sorted(waits[1:])
    assert 0.08 <= waits[1] <= 0.13
    assert 0.8 * BACKOFF_MOST_NS / 1e9 <= waits[-1] <= 1.21 * BACKOFF_MOST_NS / 1e9
    told = [a.text for a in behind.of(topics.ALARM) if a.alarm_id == "vmc1/shdr/connection"]
    assert told == ["no connection to shdr://mill:7878: Connection refused"]


def test_after_a_sound_connection_the_next_attempt_is_soon() -> None:
    behind = Behind()
    behind.open("|execution|ACTIVE")
    for _ in range(12):
        behind.run(0.2)
        behind.say("* PONG 10000")
    behind.orders()
    behind.node.on_chunk(Chunk(kind=ChunkKind.LINK, text="the adapter hung up"))
    assert behind.run(0.2, lambda: any(o.do is Do.CONNECT for o in behind.orders()))


@pytest.mark.parametrize(("heartbeat_ms", "pings"), [(10_000, 5), (200, 10), (20, 20)])
def test_pings_go_out_five_times_a_second_or_at_half_the_heartbeat(heartbeat_ms: int, pings: int) -> None:
    behind = Behind()
    behind.open(f"* PONG {heartbeat_ms}")
    behind.orders()
    for _ in range(100):
        behind.say(f"* PONG {heartbeat_ms}")
    sent = [o.data for o in behind.orders() if o.do is Do.SEND]
    assert set(sent) == {b"* PING\n"}
    assert abs(len(sent) - pings) <= 1


def test_silence_is_unavailable_and_after_two_heartbeats_the_end() -> None:
    behind = Behind()
    behind.open("* PONG 1000", "|execution|ACTIVE|Sload|5")
    assert behind.execution() is Execution.ACTIVE
    assert behind.run(1.0, lambda: behind.execution() is Execution.UNAVAILABLE)
    behind.orders()
    assert behind.run(3.0, lambda: any(o == Order(Do.CLOSE, b"silent for 2 s") for o in behind.orders()))
    assert not behind.run(1.0, lambda: any(o.do is Do.CLOSE for o in behind.orders())), "told once"
    assert behind.execution() is Execution.UNAVAILABLE
    behind.say("|Sload|6")
    assert behind.run(0.3, lambda: behind.execution() is Execution.ACTIVE), "it was slow, not gone"


def test_a_pong_repeats_the_last_row_and_silence_does_not() -> None:
    behind = Behind()
    behind.open("|Sload|5")
    rows = len(behind.of(topics.SAMPLES))
    behind.run(0.3)
    assert len(behind.of(topics.SAMPLES)) == rows
    behind.say("* PONG 10000")
    last = behind.of(topics.SAMPLES)[-1]
    assert (len(behind.of(topics.SAMPLES)), last.data.array.tolist()) == (rows + 1, [[5.0]])


def test_a_sign_of_life_among_other_lines_repeats_the_row_too() -> None:
    behind = Behind()
    behind.open("|Sload|5")
    rows = len(behind.of(topics.SAMPLES))
    for n in range(100):
        behind.say(f"* PONG 10000\n|chatter|{n}")
    assert 6 <= len(behind.of(topics.SAMPLES)) - rows <= 7  # in a second, however much it chatters


def test_state_is_told_before_its_rows_and_after_those_of_the_state_before() -> None:
    behind = Behind()
    at = "2026-01-01T00:00:0"
    behind.open(f"{at}1Z|execution|READY|Sload|1")
    behind.say(f"{at}2Z|Sload|2\n{at}3Z|Sload|3|execution|ACTIVE\n{at}4Z|Sload|4")
    told: list[Any] = []
    for _, topic, message in behind.sent:
        if topic is topics.MACHINE_STATE:
            told.append(message.execution)  # type: ignore[attr-defined] # it is a MachineState
        elif isinstance(message, SignalBlock):
            told.append(float(message.data.array[0, 0]))
    assert told[told.index(Execution.READY) :] == [Execution.READY, 1.0, 2.0, Execution.ACTIVE, 3.0, 4.0]


def test_a_half_line_is_never_a_state() -> None:
    behind = Behind()
    behind.open("|execution|READY|program|O1")
    line = "2026-01-01T00:00:02Z|" + "|".join(f"k{n}|1" for n in range(100)) + "|execution|ACTIVE|program|O2"
    behind.say(line)
    pairs = {(s.execution, s.program) for s in behind.of(topics.MACHINE_STATE)}
    assert pairs == {(Execution.UNAVAILABLE, ""), (Execution.READY, "O1"), (Execution.ACTIVE, "O2")}


def test_the_senders_clock_is_known_by_its_least_delay() -> None:
    behind = Behind()
    behind.open("|Sload|1")
    assert math.isnan(behind.driver.quality["shdr"].clock_offset_ms)
    for second, late_ms in ((1, 30), (2, 0), (3, 50)):
        behind.run((second * 1000 + late_ms - (behind.time_ns - START_NS) / 1e6) / 1000)
        behind.say(f"2020-01-01T00:00:{second:02d}Z|Sload|{second}")
    assert behind.driver.quality["shdr"].clock_offset_ms == pytest.approx(
        (START_NS - 1_577_836_800 * 10**9) / 1e6, abs=1.5
    )


def test_a_broken_pong_is_told_once() -> None:
    behind = Behind()
    behind.open("* PONG", "* PONG x", "* PONG " + "9" * 400)
    assert sum("no heartbeat in PONG" in text for _, text in behind.logged) == 1


def status(behind: Behind, name: str = "shdr") -> SourceStatus:
    return next(s for s in behind.of(topics.MACHINE_INFO)[-1].sources if s.name == name)


@pytest.mark.parametrize("options", [{}, {"leave": ["spindle_load_pct"]}])
def test_a_source_without_rows_lives_by_its_pongs_and_dies_by_its_silence(options: dict[str, Any]) -> None:
    behind = Behind(**options)
    behind.open("|execution|ACTIVE")
    if options:  # rows there are, and they are another's
        behind.say("|Sload|5")
    for _ in range(15):
        behind.run(0.2)
        behind.say("* PONG 10000")
    assert (behind.execution(), behind.of(topics.SAMPLES)) == (Execution.ACTIVE, [])
    assert not [a for a in behind.of(topics.ALARM) if a.native_code == "SOURCE_SILENT"]
    told = status(behind)
    assert (told.available, told.carries_state, told.rate_hz, told.trouble) == (True, True, 0.0, "")
    assert told.age_ms < 500.0
    behind.run(1.2)
    assert (behind.execution(), status(behind).available) == (Execution.UNAVAILABLE, False)
    assert [a.level for a in behind.of(topics.ALARM) if a.native_code == "SOURCE_SILENT"] == ["UNAVAILABLE"]
    behind.say("* PONG 10000")
    behind.run(0.2)
    assert behind.of(topics.ALARM)[-1].level == "NORMAL"


def test_what_is_wrong_with_it_stands_in_the_machines_info() -> None:
    behind = Behind()
    assert status(behind).trouble == "not connected yet"
    behind.open("|Sload|much", "|Sload|more")
    behind.run(1.0)
    assert (status(behind).bad_rows, status(behind).trouble) == (2, "")
    behind.node.on_chunk(Chunk(kind=ChunkKind.FAILED, text="KeyError: 1"))  # a fault of the reader
    behind.run(1.0)
    assert status(behind).trouble == "no connection to shdr://mill:7878: KeyError: 1"


def test_columns_that_come_one_after_the_other_stay_with_their_owner() -> None:
    behind = Behind(name="control", leave=["spindle_load_pct"])
    at = "2026-01-01T00:00:0"
    lines = f"{at}1Z|Sload|1|Fact|2\n{at}2Z|Srpm|3"
    behind.open(lines)
    told = [m for _, _, m in behind.sent if isinstance(m, SignalBlock | Signals)]
    named = [[s.name for s in m.signals] if isinstance(m, Signals) else m.data.array.tolist() for m in told]
    columns = ["feed_mm_min", "spindle_speed_rpm"]
    assert named == [[], columns[:1], [[2.0]], columns, [[2.0, 3.0]]]
    assert {m.source for m in told if isinstance(m, SignalBlock)} == {"control"}
    assert status(behind, "control").driver == "shdr"


def test_beside_a_source_that_carries_the_state_it_gives_readings_and_its_loss_is_its_own() -> None:
    mill = {"driver": "simulator", "leave": ["spindle_load_pct"]}
    stage = Stage(
        {"sources": (mill, {"driver": "shdr", "address": "mill", "take": ["spindle_load_pct"], "state": False})}
    )
    stage.node.on_chunk(Chunk(kind=ChunkKind.LINK, entry=1))
    stage.node.on_chunk(Chunk(kind=ChunkKind.BYTES, entry=1, payload=b"|execution|STOPPED|Sload|31|Fact|2\n"))
    stage.run(0.4)
    assert [b.data.array.tolist() for b in stage.of(topics.SAMPLES) if b.source == "shdr"] == [[[31.0]]]
    assert [s.source for s in stage.of(topics.SIGNALS)[-1].signals if s.name == "spindle_load_pct"] == ["shdr"]
    stage.node.on_chunk(Chunk(kind=ChunkKind.LINK, entry=1, text="the adapter hung up"))
    stage.run(1.5)
    assert {s.name: s.available for s in stage.of(topics.MACHINE_INFO)[-1].sources}["shdr"] is False
    assert {s.execution for s in stage.of(topics.MACHINE_STATE)} == {Execution.ACTIVE}
