import contextlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bus.bag import BagWriter
from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.columns import toml_map
from nodes.sensory_cortex.drivers.recording import CHUNKS_AHEAD, table_chunks
from schemas import topics
from schemas.codec import codec
from schemas.grammar import definition
from schemas.machine import Execution, Fault, FeedHoldRequest, InjectRequest, Motion, SignalBlock
from tests.nodes.sensory_cortex.real_data import LAUNCH, needs_real_data, real
from tests.nodes.sensory_cortex.stage import START_NS, Stage

MAP: dict[str, Any] = {"columns": {"x_mm": "x", "y_mm": "y"}, "period_ms": 1.0}


class Play:
    """A recording on a stage; the worker runs in steps, as far ahead as it may."""

    def __init__(self, path: Path, **parameters: Any) -> None:
        table = {"driver": "recording", "path": str(path), "loop": False, "start_delay_s": 0.1, **parameters}
        self.stage = Stage.of_source(**table)
        self.driver: Any = self.stage.node.machine.fitted[0].driver
        self.end = threading.Event()
        self.chunks: list[Chunk] = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        self.taken = 0

    def _read(self) -> None:
        self.chunks.extend(self.driver.read(self.end))
        # extend appends one by one, so that the stage sees them as they come

    def run(self, seconds: float, until: Execution = Execution.PROGRAM_COMPLETED) -> None:
        """Ticks until an execution state; the clock waits for the worker, as it would in real time."""
        for _ in range(round(seconds * 1000)):
            deadline = threading.Event()
            while self.thread.is_alive() and len(self.chunks) - self.taken == 0 and self.waiting() == 0:
                deadline.wait(0.001)
            while self.taken < len(self.chunks):
                self.stage.node.on_chunk(self.chunks[self.taken])
                self.taken += 1
            self.stage.run(0.001)
            if self.stage.of(topics.MACHINE_STATE)[-1].execution is until:
                return
        raise AssertionError(f"not {until} in {seconds} s: {self.stage.of(topics.MACHINE_STATE)[-1]}")

    def waiting(self) -> int:
        return len(self.driver._waiting)  # how far ahead it is

    def close(self) -> None:
        self.end.set()
        self.thread.join(5.0)
        assert not self.thread.is_alive()

    def blocks(self) -> list[SignalBlock]:
        return self.stage.of(topics.SAMPLES) + self.stage.of(topics.VIBRATION)

    def values(self, bad_rows: int = 0) -> np.ndarray[Any, Any]:
        row = missing = 0
        for block in self.blocks():
            missing += block.first_row - row
            assert block.first_row >= row
            row = block.first_row + len(block.data.array)
        assert missing == bad_rows
        return np.concatenate([b.data.array for b in self.blocks()])

    def stamps(self) -> list[int]:
        return [b.stamp_ns + i * b.period_ns for b in self.blocks() for i in range(len(b.data.array))]


def write(path: Path, rows: int) -> Path:
    path.write_text("x,y\n" + "".join(f"{i},{i * 0.5}\n" for i in range(rows)))
    return path


def test_at_real_speed_every_row_comes_when_it_is_due_with_its_stamp(tmp_path: Path) -> None:
    play = Play(write(tmp_path / "a.csv", 1500), column_map=MAP)
    play.run(3.0)
    play.close()
    assert play.values()[:, 0].tolist() == list(range(1500))
    base = START_NS + 100_000_000
    assert play.stamps() == [base + i * 1_000_000 for i in range(1500)]
    assert play.stage.time_ns == pytest.approx(base + 1_499_000_000, abs=2_000_000)
    assert {len(b.data.array) for b in play.blocks()} == {1}
    final = play.stage.of(topics.MACHINE_STATE)[-1]
    assert (final.part_count, final.motion, final.program) == (1, Motion.IDLE, "a.csv")
    assert any("end of recording a.csv: 1500 rows" in text for _, text in play.stage.logged)


def test_as_fast_as_possible_keeps_its_bound_and_loses_nothing(tmp_path: Path) -> None:
    play = Play(write(tmp_path / "a.csv", 20_000), column_map=MAP, speed=0.0, fast_rows_s=20_000.0)
    play.run(3.0)
    play.close()
    assert play.values()[:, 0].tolist() == list(range(20_000))
    base = START_NS + 100_000_000
    assert play.stamps() == [base + i * 1_000_000 for i in range(20_000)]
    assert (play.stage.time_ns - base) / 1e9 == pytest.approx(1.0, abs=0.1)
    assert max(len(b.data.array) for b in play.blocks()) == 64


def test_twice_the_speed_takes_half_the_time(tmp_path: Path) -> None:
    play = Play(write(tmp_path / "a.csv", 1000), column_map=MAP, speed=2.0)
    play.run(3.0)
    play.close()
    assert len(play.values()) == 1000
    assert (play.stage.time_ns - START_NS) / 1e9 == pytest.approx(0.6, abs=0.01)


def test_the_worker_reads_only_so_far_ahead(tmp_path: Path) -> None:
    play = Play(write(tmp_path / "a.csv", 50_000), column_map=MAP)
    waited = threading.Event()
    while len(play.chunks) < CHUNKS_AHEAD:
        waited.wait(0.001)
    waited.wait(0.05)
    assert len(play.chunks) == CHUNKS_AHEAD
    play.close()


def test_loop_begins_again_and_time_and_rows_go_on(tmp_path: Path) -> None:
    play = Play(write(tmp_path / "a.csv", 100), column_map=MAP, loop=True)
    with pytest.raises(AssertionError, match="not PROGRAM_COMPLETED"):
        play.run(0.5)
    play.close()
    assert play.values()[:, 0].tolist()[:250] == [*range(100), *range(100), *range(50)]
    stamps = play.stamps()
    assert stamps == [stamps[0] + i * 1_000_000 for i in range(len(stamps))]
    assert play.stage.of(topics.MACHINE_STATE)[-1].part_count >= 3


def test_a_bad_row_stops_the_recording_and_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,2\n3,fast\n5,6\n")
    play = Play(path, column_map=MAP)
    play.run(1.0, until=Execution.UNAVAILABLE)
    play.close()
    assert play.values().tolist() == [[1.0, 2.0]]
    assert play.stage.of(topics.ALARM)[-1].text == "a.csv, line 3, column 'y': 'fast' is no number"


def test_bad_rows_are_skipped_and_counted_where_that_was_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,2\n3,fast\n5\n7,8\n")
    play = Play(path, column_map=MAP, on_bad_row="skip")
    play.run(1.0)
    play.close()
    assert play.values(bad_rows=2).tolist() == [[1.0, 2.0], [7.0, 8.0]]
    assert play.stamps()[1] - play.stamps()[0] == 3_000_000
    assert play.stage.of(topics.ALARM)[-1].text.startswith("2 bad rows skipped, the last: a.csv, line 4")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), ("", "empty"), ("x,z\n1,2\n", "lacks 'y'"), ("x,y\n", "no row"), ("\0\1\2", "lacks")],
)
def test_a_file_that_cannot_be_played_leaves_the_machine_unavailable(
    tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "a.csv").write_text(content)
    play = Play(tmp_path / "a.csv", column_map=MAP)
    play.run(1.0, until=Execution.UNAVAILABLE)
    play.close()
    assert said in play.stage.of(topics.ALARM)[-1].text


def test_a_recording_can_be_neither_stopped_nor_made_to_fail(tmp_path: Path) -> None:
    play = Play(write(tmp_path / "a.csv", 10), column_map=MAP)
    assert not play.stage.node.feed_hold(FeedHoldRequest(reason="", requested_by="", stamp_ns=0)).accepted
    assert not play.stage.node.inject(InjectRequest(fault=Fault.CRASH)).accepted
    info = play.stage.of(topics.MACHINE_INFO)[-1]
    assert (info.simulated, info.can_stop, info.can_feed_hold) == (False, False, False)
    play.close()


def test_uneven_stamps_are_kept_to_the_nanosecond(tmp_path: Path) -> None:
    offsets = [0, 1_000_000, 2_000_000, 2_500_001, 7_000_000, 7_000_000, 8_000_000]
    path = tmp_path / "a.csv"
    path.write_text("t,x\n" + "".join(f"{1_700_000_000_000_000_000 + o},{i}\n" for i, o in enumerate(offsets)))
    play = Play(path, column_map={"columns": {"x_mm": "x"}, "stamp_column": "t", "stamp_unit": "ns"})
    play.run(1.0)
    play.close()
    assert [s - START_NS - 100_000_000 for s in play.stamps()] == offsets
    assert play.values()[:, 0].tolist() == list(range(7))


def test_a_bag_plays_its_machine_again(tmp_path: Path) -> None:
    """A simulated mill is recorded, and its bag is a machine of its own afterwards."""
    live = Stage()
    live.run(3.0)
    bag = tmp_path / "mill.mcap"
    record(live, bag)
    play = Play(bag, start_delay_s=0.0)
    play.run(5.0)
    play.close()
    recorded, played = live.of(topics.SAMPLES), play.stage.of(topics.SAMPLES)
    assert [b.data for b in played] == [b.data for b in recorded]
    assert {p.stamp_ns - r.stamp_ns for p, r in zip(played, recorded, strict=True)} == {0}
    assert [b.data for b in play.stage.of(topics.VIBRATION)] == [b.data for b in live.of(topics.VIBRATION)]
    states = [s.block_number for s in play.stage.of(topics.MACHINE_STATE)]
    assert 50 in states
    assert play.stage.of(topics.SIGNALS)[-1] == live.of(topics.SIGNALS)[-1]
    assert any(s.available or s.rate_hz > 0 for i in play.stage.of(topics.MACHINE_INFO) for s in i.sources)


def record(stage: Stage, path: Path) -> None:
    with contextlib.closing(BagWriter(path)) as bag:
        for seq, (time_ns, topic, message) in enumerate(stage.sent, 1):
            channel = bag.channel(
                stage.resolve(topic.name), stage.name, 7, definition(topic.type), topic.qos.name, first_seq=1
            )
            bag.write(channel, seq, time_ns, time_ns, codec(topic.type).encode(message))


@needs_real_data
@pytest.mark.parametrize("run", ["01", "04", "17"])
def test_every_row_of_a_real_10_hz_run(run: str) -> None:
    path = real(f"smart_michigan/experiment_{run}.csv")
    by = toml_map((LAUNCH / "smart_michigan.toml").read_text(), "smart_michigan.toml")
    chunks = list(table_chunks(path, by, skip_bad=False))
    assert chunks[-1].kind is ChunkKind.END
    rows = sum(len(c.data.array) for c in chunks)
    assert rows == len(path.read_text().splitlines()) - 1
    assert chunks[-1].offset_ns == (rows - 1) * 100_000_000
    assert {c.motion for c in chunks} >= {Motion.IDLE, Motion.FEED}


@needs_real_data
def test_every_row_of_a_real_1_khz_file_with_its_arrival(tmp_path: Path) -> None:
    path = real("lmas_vibration/accel_T2503.txt")
    by = toml_map((LAUNCH / "lmas_vibration.toml").read_text(), "lmas_vibration.toml")
    chunks = list(table_chunks(path, by, skip_bad=False))
    assert sum(len(c.data.array) for c in chunks) == 47_029
    assert len({c.arrival_ns for c in chunks if c.kind is ChunkKind.ROWS}) >= 790
    play = Play(path, column_map=str(LAUNCH / "lmas_vibration.toml"), speed=0.0, fast_rows_s=100_000.0)
    play.run(3.0)
    play.close()
    assert len(play.values()) == 47_029
    base = START_NS + 100_000_000
    assert play.stamps() == [base + i * 1_000_000 for i in range(47_029)]
