"""Bags, splits, losses, the black box, reduction, and going on when the disk is full; no thread, no bus."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bus.bag import BagReader, BagWriter, read
from bus.bag.check import check
from nodes.recorder.settings import Better, Closed, Happened, Trouble
from schemas import topics
from schemas.base import Samples
from schemas.codec import codec
from schemas.machine import Alarm, ConditionLevel, Execution, ReducedBlock, SignalBlock
from schemas.system import BagDeleted, LostMessages
from tests.bus.bag.bags import MS, START_NS, Pen, block, small, state
from tests.bus.bag.test_convert import intervention
from tests.nodes.recorder.raws import Voice, problems, recording

S = 1000 * MS


def splits(happened: list[Happened]) -> list[Closed]:
    return [h for h in happened if isinstance(h, Closed)]


def test_what_was_heard_is_in_the_bag_and_the_split_says_so(tmp_path: Path) -> None:
    happened: list[Happened] = []
    r, voice = recording(tmp_path, happened), Voice()
    entry = {"name": "vmc1/sensory_cortex", "publisher_id": 77, "parameters": {"a": 1}}
    r.entries({"vmc1/sensory_cortex": json.dumps(entry)})
    r.batch([voice.say(topics.MACHINE_STATE, state(START_NS), START_NS)])
    r.batch([voice.say(topics.SAMPLES, block(START_NS, n), START_NS + n * MS) for n in range(100)])
    r.close()
    (closed,) = splits(happened)
    split = closed.split
    assert (split.messages, split.lost, split.run_ids, closed.recovered) == (101, 0, ("run#1",), False)
    assert (split.start_ns, split.end_ns) == (START_NS, START_NS + 99 * MS)
    assert hashlib.sha256(Path(split.path).read_bytes()).hexdigest() == split.sha256
    assert problems(split.path) == []
    with BagReader(split.path) as bag:
        assert bag.nodes() == {"vmc1/sensory_cortex": entry}
        assert bag.metadata()["recording"] == {"kind": "run", "cutting": "1", "run_ids": "run#1", "reason": ""}
        assert json.loads(bag.attachments()[0].data) == {"vmc1/sensory_cortex": {"a": 1}}


def test_losses_stand_at_their_place(tmp_path: Path) -> None:
    happened: list[Happened] = []
    r, voice = recording(tmp_path, happened), Voice()
    message = block(START_NS, 0)
    r.batch(
        [
            voice.say(topics.SAMPLES, message, START_NS),
            voice.say(topics.SAMPLES, message, START_NS + MS, lost=4),
            voice.say(topics.SAMPLES, message, START_NS + 2 * MS),
            voice.say(topics.SAMPLES, message, START_NS + 3 * MS, skip=2),
        ]
    )
    r.close()
    (closed,) = splits(happened)
    assert closed.split.lost == 6
    assert [(h.first_seq, h.last_seq) for h in happened if isinstance(h, LostMessages)] == [(2, 5), (7, 8)]
    assert [(m.topic.rsplit("/", 1)[-1], m.seq) for m in read(closed.split.path)] == [
        ("samples", 1),
        ("lost", 1),
        ("samples", 6),
        ("lost", 2),
        ("samples", 9),
    ]
    report = check(closed.split.path)
    assert (report.ok, report.lost, report.lost_recorded) == (True, 6, 6)


def test_a_message_that_comes_twice_is_written_once(tmp_path: Path) -> None:
    happened: list[Happened] = []
    r, voice = recording(tmp_path, happened), Voice()
    raws = [voice.say(topics.SAMPLES, block(START_NS, n), START_NS) for n in range(3)]
    r.batch([*raws, raws[1]])
    r.close()
    assert splits(happened)[0].split.messages == 3


def test_splits_by_size_and_time_repeat_the_state(tmp_path: Path) -> None:
    happened: list[Happened] = []
    r, voice = recording(tmp_path, happened, split_s=1.0), Voice()
    r.entries({"vmc1/sensory_cortex": json.dumps({"name": "vmc1/sensory_cortex", "publisher_id": 77})})
    r.batch([voice.say(topics.MACHINE_STATE, state(START_NS), START_NS)])
    for n in range(25):
        r.batch([voice.say(topics.SAMPLES, block(START_NS, n), START_NS + n * 100 * MS)])
    r.close()
    paths = [c.split.path for c in splits(happened)]
    assert len(paths) == 3
    assert [next(iter(read(p))).topic for p in paths] == ["vmc1/machine/state"] * 3
    assert [m.seq for p in paths for m in read(p) if "samples" in m.topic] == list(range(1, 26))
    assert all(problems(p) == [] for p in paths)
    assert all(c.split.run_ids == ("run#1",) for c in splits(happened))

    happened.clear()
    r = recording(tmp_path / "size", happened, split_bytes=4000)
    r.batch([voice.say(topics.SAMPLES, block(START_NS, n), START_NS + n) for n in range(100)])
    r.batch([voice.say(topics.SAMPLES, block(START_NS, n), START_NS + n) for n in range(3)])
    r.close()
    assert [c.split.messages for c in splits(happened)] == [100, 3]


def test_a_bag_per_run_when_asked(tmp_path: Path) -> None:
    happened: list[Happened] = []
    r, voice = recording(tmp_path, happened, split_on_run=True), Voice()
    for n, run in enumerate(("", "a", "a", "b")):
        r.batch([voice.say(topics.MACHINE_STATE, state(START_NS, run_id=run), START_NS + n * MS)])
    r.close()
    assert [c.split.run_ids for c in splits(happened)] == [(), ("a",), ("b",)]


def test_the_black_box_holds_what_came_before_and_after(tmp_path: Path) -> None:
    happened: list[Happened] = []
    r = recording(tmp_path, happened, black_box_before_s=1.0, black_box_after_s=0.5, continuous=False)
    voice = Voice()
    r.batch([voice.say(topics.MACHINE_STATE, state(START_NS), START_NS)])
    for n in range(400):
        at = START_NS + n * 10 * MS
        r.batch([voice.say(topics.VIBRATION, block(at, n), at), voice.say(topics.SAMPLES, block(at, n), at)])
        if n == 200:
            r.batch([voice.say(topics.INTERVENTION, intervention(), at)])
    r.close()
    (closed,) = splits(happened)
    assert "black_box_" in closed.split.path
    assert (closed.split.start_ns, closed.split.end_ns) == (START_NS + 1000 * MS, START_NS + 2500 * MS)
    found = [m.topic for m in read(closed.split.path)]
    assert found[0] == "vmc1/machine/state"
    assert (found.count("vmc1/machine/vibration"), found.count("vmc1/impact/intervention")) == (151, 1)
    with BagReader(closed.split.path) as bag:
        assert bag.metadata()["recording"]["reason"].startswith("vmc1/impact/intervention: über")
    assert problems(closed.split.path) == []


def test_an_alarm_and_a_request_write_the_black_box_and_bytes_bound_it(tmp_path: Path) -> None:
    happened: list[Happened] = []
    r, voice = recording(tmp_path, happened, continuous=False, black_box_bytes=50_000), Voice()
    r.batch([voice.say(topics.SAMPLES, block(START_NS, n), START_NS + n * MS) for n in range(1000)])
    alarm = Alarm(stamp_ns=1, alarm_id="a", level=ConditionLevel.FAULT, origin="o", native_code="", text="door open")
    r.batch([voice.say(topics.ALARM, alarm, START_NS + S)])
    assert r.trigger("by hand") == r.trigger("again")
    r.close()
    (closed,) = splits(happened)
    assert 50 < closed.split.messages < 200


def test_vibration_stays_out_of_the_bag_unless_asked_or_needed_for_replay(tmp_path: Path) -> None:
    def topics_with(folder: Path, traced: bool, **settings: object) -> set[str]:
        happened: list[Happened] = []
        r, voice = recording(folder, happened, **settings), Voice()
        entry = {
            "name": "vmc1/impact_cortex",
            "publisher_id": 5,
            "subscribes": [{"name": "vmc1/machine/vibration"}],
        }
        r.entries({"vmc1/impact_cortex": json.dumps(entry)}, {"vmc1/impact_cortex"} if traced else ())
        r.batch([voice.say(topics.VIBRATION, block(START_NS, 0), START_NS)])
        r.batch([voice.say(topics.SAMPLES, block(START_NS, 0), START_NS)])
        r.close()
        return {m.topic for m in read(splits(happened)[0].split.path)}

    assert "vmc1/machine/vibration" not in topics_with(tmp_path / "a", traced=False)
    assert "vmc1/machine/vibration" in topics_with(tmp_path / "b", traced=False, vibration=True)
    assert "vmc1/machine/vibration" in topics_with(tmp_path / "c", traced=True)


def test_what_a_node_needed_stays_whole_to_the_end_of_the_bag(tmp_path: Path) -> None:
    happened: list[Happened] = []
    r, voice = recording(tmp_path, happened, split_s=1.0), Voice()
    entry = {"name": "vmc1/x", "publisher_id": 5, "subscribes": [{"name": "*/machine/vibration"}]}
    r.entries({"vmc1/x": json.dumps(entry)}, {"vmc1/x"})
    r.batch([voice.say(topics.VIBRATION, block(START_NS, 0), START_NS)])
    r.entries({})
    for n in (1, 1000, 1001):
        r.batch([voice.say(topics.VIBRATION, block(START_NS, n), START_NS + n * MS)])
        r.batch([voice.say(topics.SAMPLES, block(START_NS, n), START_NS + n * MS)])
    r.close()
    kept = [sum("vibration" in m.topic for m in read(c.split.path)) for c in splits(happened)]
    assert kept == [3, 0]


def test_an_idle_machine_leaves_only_the_range_of_its_signals(tmp_path: Path) -> None:
    happened: list[Happened] = []
    r, voice = recording(tmp_path, happened, reduce_idle=True), Voice()
    r.batch([voice.say(topics.MACHINE_STATE, state(START_NS, Execution.READY), START_NS)])
    at = START_NS
    for n in range(12_000):
        at = START_NS + n * MS
        r.batch([voice.say(topics.SAMPLES, block(at, n, float(n % 100)), at)])
    r.batch([voice.say(topics.MACHINE_STATE, state(at, Execution.ACTIVE), at)])
    for n in range(12_000, 12_010):
        at = START_NS + n * MS
        r.batch([voice.say(topics.SAMPLES, block(at, n), at)])
    r.close()
    (closed,) = splits(happened)
    messages = list(read(closed.split.path))
    raw = [m.seq for m in messages if m.topic == "vmc1/machine/samples"]
    assert raw == [*range(1, 10_002), *range(12_001, 12_011)]
    ranges = [codec(ReducedBlock).decode(m.payload) for m in messages if m.topic == "vmc1/machine/samples_reduced"]
    assert sum(b.rows for b in ranges) == 1999
    assert len(ranges) == 20
    assert [list(column) for column in ranges[1].data.array[:, :1]] == [[0.0], [99.0], [49.5]]
    assert np.isnan(ranges[1].data.array[:, 1]).all()
    assert closed.split.lost == 0
    report = check(closed.split.path)
    assert (report.ok, set(report.counts)) == (True, {"bag/reduced"})


def test_a_payload_that_is_garbage_is_written_down_and_stops_nothing(tmp_path: Path) -> None:
    happened: list[Happened] = []
    r, voice = recording(tmp_path, happened, reduce_idle=True), Voice()
    for topic in (topics.MACHINE_STATE, topics.SAMPLES, topics.ALARM, topics.INTERVENTION):
        good = voice.say(topic, state(0), START_NS)  # type: ignore[misc] # the wrong type is the point
        r.batch([good._replace(payload=b"\xc1\xff", type_name=topic.type.__name__, stamp_ns=-1)])
    r.close()
    assert splits(happened)[0].split.messages == 4


def test_a_dead_recorders_bag_is_closed_at_the_start(tmp_path: Path) -> None:
    writer = small(tmp_path / "old.mcap", close=False)
    writer.flush()
    writer.abandon()
    (tmp_path / "empty.mcap").write_bytes(b"")
    (tmp_path / "zip.mcap").write_bytes(b"PK" * 100)
    living = small(tmp_path / "living.mcap", close=False)
    living.flush()
    happened: list[Happened] = []
    recording(tmp_path, happened).recover()
    (closed,) = splits(happened)
    assert (closed.recovered, closed.split.messages, closed.split.run_ids) == (True, 21, ("run#1",))
    assert [h.code for h in happened if isinstance(h, Trouble)] == ["not_recovered"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["living.mcap", "old.mcap", "zip.mcap"]
    assert problems(tmp_path / "old.mcap") == []
    living.close()


def test_the_quota_takes_the_oldest_idle_bag_and_says_so(tmp_path: Path) -> None:
    for n in range(3):
        with BagWriter(tmp_path / f"idle{n}.mcap") as writer:
            Pen(writer).put(topics.MACHINE_STATE, state(START_NS, Execution.READY, ""), START_NS + n)
    small(tmp_path / "cutting.mcap")
    sizes = sum(p.stat().st_size for p in tmp_path.iterdir())
    happened: list[Happened] = []
    r = recording(tmp_path, happened, quota_gb=(sizes + 300) / 1e9)
    r.batch([Voice().say(topics.SAMPLES, block(START_NS, 0), START_NS + 100 * S)])
    r.sync()
    assert [Path(h.path).name for h in happened if isinstance(h, BagDeleted)] == ["idle0.mcap"]
    assert not (tmp_path / "idle0.mcap").exists()
    assert r.used_bytes <= r.quota_bytes
    r.close()


FULL = """
import json, resource, sys
from pathlib import Path
from schemas import topics
from nodes.recorder.settings import Closed, Trouble, Better
from tests.bus.bag.bags import MS, START_NS, block
from tests.nodes.recorder.raws import Voice, recording
import numpy as np
from schemas.base import Samples
from schemas.machine import SignalBlock
folder = Path(sys.argv[1])
happened = []
r, voice = recording(folder, happened, black_box_before_s=1.0), Voice()
def block(n):
    data = Samples(np.random.default_rng(n).random((64, 4)).astype("<f4"))
    return SignalBlock(stamp_ns=n, period_ns=MS, source="drive", first_row=n, data=data)
def run(first, last):
    for n in range(first, last):
        r.batch([voice.say(topics.SAMPLES, block(n), START_NS + n * 10 * MS)])
        if n % 50 == 49:
            r.sync()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
run(0, 600)
full = [h.code for h in happened if isinstance(h, Trouble)]
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
run(600, 800)
r.trigger("by hand")
r.close()
print(json.dumps({
    "full": sorted(set(full)),
    "better": [h.code for h in happened if isinstance(h, Better)],
    "bags": [[h.split.path, h.split.messages, h.split.lost] for h in happened if isinstance(h, Closed)],
}))
"""


def test_a_refusing_disk_is_said_and_recording_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """A file-size limit stands in for the full disk: the write fails in the middle, as with ENOSPC."""
    command = [sys.executable, "-P", "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    said = json.loads(done.stdout)
    assert "disk_full" in said["full"]
    assert "disk_full" in said["better"]
    paths = [path for path, _, _ in said["bags"]]
    assert any("black_box" in path for path in paths)
    seen: set[int] = set()
    lost: set[int] = set()
    for path in paths:
        assert check(path).ok, problems(path)
        with BagReader(path) as bag:
            for m in bag.messages():
                if m.topic == "bag/lost":
                    told = codec(LostMessages).decode(m.payload)
                    assert told.reason == "disk"
                    lost.update(range(told.first_seq, told.last_seq + 1))
                elif "black_box" not in path:
                    seen.add(m.seq)
    assert seen | lost == set(range(1, 801))
    assert len(seen) > 250


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system needs root to mount")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    happened: list[Happened] = []
    try:
        r, voice = recording(folder, happened, quota_gb=1.0), Voice()
        rng = np.random.default_rng(1)
        for n in range(3000):
            data = Samples(rng.random((64, 4)).astype("<f4"))
            message = SignalBlock(stamp_ns=n, period_ns=MS, source="drive", first_row=n, data=data)
            r.batch([voice.say(topics.SAMPLES, message, START_NS + n * MS)])
            if n % 100 == 99:
                r.sync()
        assert [h.code for h in happened if isinstance(h, Trouble)][:1] == ["disk_full"]
        assert r.paused
        (first,) = folder.glob("*.mcap")
        r.close()
        assert len(list(read(first))) > 500
        assert not [h for h in happened if isinstance(h, Better) and h.code == "disk_full"]
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    "payload", [b"\x81\xa4text\xa1\xff", b"\x81\xa5level\xa2\xff\xff", b"\xc7\x0c\xff" + b"\xff" * 12, b"\x91" * 5000]
)
def test_a_payload_that_is_none_is_recorded_and_ends_nothing(tmp_path: Path, payload: bytes) -> None:
    happened: list[Happened] = []
    r, voice = recording(tmp_path, happened), Voice()
    alarm = Alarm(stamp_ns=1, alarm_id="a", level=ConditionLevel.FAULT, origin="o", native_code="", text="")
    said = [
        voice.say(topics.MACHINE_STATE, state(START_NS), START_NS),
        voice.say(topics.ALARM, alarm, START_NS + 1),
        voice.say(topics.INTERVENTION, intervention(), START_NS + 2),
        voice.say(topics.SAMPLES, block(START_NS, 0), START_NS + 3),
    ]
    r.entries({"n": json.dumps({"name": "n", "publishes": [{"name": "vmc1/alarm", "key": "alarm_id"}]})})
    r.batch([raw._replace(payload=payload) for raw in said])
    r.trigger("by hand")
    r.close()
    (run,) = [h for h in splits(happened) if "black_box" not in h.split.path]
    assert [m.payload for m in read(run.split.path)] == [payload] * 4
