"""A log at work: reading by number, retention, one writer, and a disk that refuses."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.durable.log import Limits, Log
from bus.durable.segments import listed, records
from bus.durable.syncer import Syncer
from tests.bus.durable.test_recovery import disk_takes

SMALL = Limits(segment_bytes=400)
DAY_NS = 86_400_000_000_000


@contextlib.contextmanager
def opened(folder: Path, limits: Limits = SMALL, **more: object) -> Iterator[Log]:
    syncer = Syncer(1e6)
    log = Log(folder, syncer, limits, try_again_ns=0, **more)  # type: ignore[arg-type] # boot_id or time_ns
    try:
        yield log
    finally:
        assert syncer.stop()
        log.close()


def fill(log: Log, count: int, size: int = 50) -> None:
    for seq in range(log.next_seq, log.next_seq + count):
        assert log.append(seq, seq, f"{seq}".encode().ljust(size, b"."))


def numbers(folder: Path, first: int = 1) -> list[int]:
    return [r.seq for r in records(folder, first)]


# --- reading ----------------------------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(
    holes=st.sets(st.integers(1, 60)),
    first=st.integers(-3, 70),
    last=st.integers(-3, 70),
    max_bytes=st.integers(0, 600),
)
def test_a_run_from_the_first_that_is_kept(
    tmp_path_factory: pytest.TempPathFactory, holes: set[int], first: int, last: int, max_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    there = [seq for seq in range(1, 61) if seq not in holes]
    with opened(folder) as log:
        for seq in there:
            assert log.append(seq, seq, b"%d" % seq, b"tail")
        kept, run = log.read(first, last, max_bytes)
        expected = next((seq for seq in there if seq >= first), log.next_seq)
        assert kept == expected
        found = [int(frame) for frame, _ in run]
        assert found == list(range(kept, kept + len(found)))
        assert set(found) <= set(there)
        assert all(seq <= last for seq in found)
        following = kept + len(found)
        if found:
            size = sum(len(frame) + 4 for frame, _ in run)
            assert len(found) == 1 or size <= max_bytes
            full = size + len(b"%d" % following) + 4 > max_bytes
            assert following not in there or following > last or full
        else:
            assert kept > last or kept == log.next_seq
    shutil.rmtree(folder)


def test_an_event_larger_than_a_segment(tmp_path: Path) -> None:
    large = os.urandom(3_000_000)
    with opened(tmp_path) as log:
        fill(log, 3)
        assert log.append(4, 4, large[:10], memoryview(large)[10:])
        fill(log, 3)
        assert log.read(4, 9, 100) == (4, [(large[:10], large[10:])])
        assert log.read(5, 9, 60)[0] == 5
    with opened(tmp_path) as log:
        assert log.next_seq == 8
        assert log.read(4, 9, 100) == (4, [(large[:10], large[10:])])


def test_another_process_reads_while_one_writes(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        fill(log, 20)
        reading = records(tmp_path, 3)
        assert [r.seq for r in itertools.islice(reading, 5)] == [3, 4, 5, 6, 7]
        fill(log, 20)
        assert next(reading).seq == 8
        # a record that is being written is not there yet, and is no damage
        with listed(tmp_path)[-1].path.open("ab") as file:
            file.write(b"\xa5RE")
        assert numbers(tmp_path, 38) == [38, 39, 40]


def test_numbers_go_on_over_restarts_under_the_same_id(tmp_path: Path) -> None:
    ids = set()
    for life in range(4):
        with opened(tmp_path) as log:
            assert log.next_seq == life * 10 + 1
            assert not log.notes
            ids.add(log.log_id)
            fill(log, 10)
    assert len(ids) == 1
    assert numbers(tmp_path) == list(range(1, 41))


def test_a_log_that_was_lost_is_another_log(tmp_path: Path) -> None:
    with opened(tmp_path / "log") as log:
        fill(log, 5)
        first = log.log_id
    shutil.rmtree(tmp_path / "log")
    with opened(tmp_path / "log") as log:
        assert log.log_id not in (0, first)
        assert log.next_seq == 1


def test_segments_that_were_lost_leave_the_numbers(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        fill(log, 5)
        first = log.log_id
    for segment in listed(tmp_path):
        segment.path.unlink()
    with opened(tmp_path) as log:
        assert (log.log_id, log.next_seq, log.first_seq) == (first, 6, 6)
        assert log.read(1, 5, 1000) == (6, [])


def test_segments_of_another_log_are_set_aside(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as log:
        fill(log, 20)
        own = log.log_id
    with opened(tmp_path / "b") as log:
        fill(log, 3)
    shutil.copy(listed(tmp_path / "b")[0].path, tmp_path / "a" / f"{21:020d}.log")
    with opened(tmp_path / "a") as log:
        assert log.log_id == own
        assert "set aside as 00000000000000000021.damaged" in log.notes[0]
        fill(log, 1)
        assert numbers(tmp_path / "a") == list(range(1, 22))


def test_damage_is_told_and_what_lies_behind_it_stays(tmp_path: Path) -> None:
    with opened(tmp_path, Limits()) as log:
        fill(log, 20)
    path = listed(tmp_path)[0].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with opened(tmp_path, Limits()) as log:
        assert "damaged between #9 and #11" in log.notes[0]
        assert log.next_seq == 21
        assert log.read(1, 99, 10_000)[1] == log.read(1, 9, 10_000)[1]
        assert log.read(10, 99, 10_000)[0] == 11
        assert len(log.read(11, 99, 10_000)[1]) == 10


# --- retention --------------------------------------------------------------------------------------------------------


@given(keep_bytes=st.integers(0, 3000), count=st.integers(0, 80))
def test_retention_by_size_deletes_the_oldest_and_keeps_the_newest(
    tmp_path_factory: pytest.TempPathFactory, keep_bytes: int, count: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    with opened(folder, Limits(segment_bytes=400, keep_bytes=keep_bytes)) as log:
        fill(log, count)
        log.retain()
        log._syncer.sync()
        there = numbers(folder)
        assert there == list(range(log.first_seq, count + 1))
        assert log.read(1, 100, 1_000_000)[0] == log.first_seq
        segments = listed(folder)
        assert sum(s.end for s in segments) == log.size_bytes
        assert len(segments) <= 1 or log.size_bytes <= keep_bytes
        if log.first_seq > 1:
            assert log.size_bytes + 400 > keep_bytes, "no more was deleted than had to be"
    shutil.rmtree(folder)


def test_retention_by_age(tmp_path: Path) -> None:
    now = [1_700_000_000 * 10**9]
    limits = Limits(segment_s=86400.0, keep_s=30 * 86400.0)
    with opened(tmp_path, limits, time_ns=lambda: now[0]) as log:
        for _ in range(40):
            fill(log, 1)
            now[0] += DAY_NS + 1
            log.retain()
        # one event a day: a segment a day, and those older than thirty are gone, though nothing is written any more
        assert log.first_seq == 11
        now[0] += 100 * DAY_NS
        log.retain()
        assert log.first_seq == 40, "the newest is kept however old it is"
        log._syncer.sync()
        assert numbers(tmp_path) == [40]
        fill(log, 1)
        assert numbers(tmp_path) == [40, 41]


def test_a_reopened_segment_keeps_its_age(tmp_path: Path) -> None:
    now = [1_700_000_000 * 10**9]
    limits = Limits(segment_s=86400.0)
    for _ in range(5):
        with opened(tmp_path, limits, time_ns=lambda: now[0]) as log:
            fill(log, 1)
            now[0] += DAY_NS // 3
    assert [s.first_seq for s in listed(tmp_path)] == [1, 5]


# --- one writer -------------------------------------------------------------------------------------------------------


def test_a_second_writer_keeps_nothing_and_disturbs_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        fill(log, 5)
        with opened(tmp_path) as second:
            assert "is written by another process" in second.problem
            assert second.log_id == 0
            assert not second.append(1, 1, b"x")
            assert second.read(1, 10, 100) == (2, [])
        fill(log, 5)
    assert numbers(tmp_path) == list(range(1, 11))
    with opened(tmp_path) as log:
        assert log.next_seq == 11
        assert not log.problem


# --- a disk that refuses ----------------------------------------------------------------------------------------------


def test_what_the_disk_refuses_is_not_there_in_part(tmp_path: Path) -> None:
    with opened(tmp_path, Limits()) as log:
        fill(log, 10)
        size = listed(tmp_path)[0].end
        with disk_takes(5000):
            assert not log.append(11, 11, b"x" * 6000)
            assert "File too large" in log.problem
            assert not log.append(12, 12, b"x", b"t" * 6000)
        assert listed(tmp_path)[0].end == size
        fill(log, 3)
        assert not log.problem
        assert "takes events again from #13 on; 2 were sent and not kept" in log.news
        assert log.read(11, 99, 1000)[0] == 13
    assert numbers(tmp_path) == [*range(1, 11), 13, 14, 15]


def test_a_full_disk_is_not_asked_for_every_event(tmp_path: Path) -> None:
    syncer = Syncer()
    log = Log(tmp_path, syncer, SMALL, try_again_ns=10**15)
    fill(log, 3)
    with disk_takes(5000):
        assert not log.append(4, 4, b"x" * 6000)
    assert [log.append(seq, seq, b"x") for seq in range(5, 500)] == [False] * 495
    assert log.refused == 496
    syncer.stop()
    log.close()
    with opened(tmp_path) as log:
        assert log.next_seq == 500, "closed in good order: no number more than was given"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=96k", "tmpfs", str(folder)]
    mount = subprocess.run(["mount", *options], capture_output=True, text=True, timeout=10, check=False)
    if mount.returncode:
        pytest.skip(f"mount needs root: {mount.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], timeout=10, check=True)


def test_a_full_disk_and_room_again(tiny_disk: Path) -> None:
    ballast = tiny_disk / "ballast"
    with opened(tiny_disk / "log", Limits(segment_bytes=20_000)) as log:
        fill(log, 100, 500)
        ballast.write_bytes(bytes(16_000))
        given: list[int] = []
        while not log.problem:
            given.append(log.next_seq)
            log.append(log.next_seq, 0, b"x" * 500)
        assert "No space left on device" in log.problem
        refused = given[-1]
        assert numbers(tiny_disk / "log") == list(range(1, refused))
        ballast.unlink()
        fill(log, 20, 500)
        assert not log.problem
        assert numbers(tiny_disk / "log") == [*range(1, refused), *range(refused + 1, refused + 21)]


def test_a_start_on_a_full_disk(tiny_disk: Path) -> None:
    ballast = tiny_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    for name in itertools.count():  # inodes take room too
        try:
            (tiny_disk / f"{name}").write_bytes(b"x")
        except OSError:
            break
    with opened(tiny_disk / "log") as log:
        assert "No space left on device" in log.problem
        begun = log.log_id
        assert not log.append(1, 1, b"x")
        ballast.unlink()
        fill(log, 5)
        assert not log.problem
    with opened(tiny_disk / "log") as log:
        assert (log.log_id, log.next_seq) == (begun, 7)
        assert log.read(1, 9, 1000)[0] == 2


def test_a_folder_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "numbers").mkdir()
    with opened(tmp_path / "log") as log:
        assert "Is a directory; it is tried again when the node starts again" in log.problem
        assert log.log_id == 0
        assert not log.append(1, 1, b"x")
    assert sorted(p.name for p in (tmp_path / "log").iterdir()) == ["lock", "numbers"]


def test_a_log_that_came_back_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "mount" / "log"
    (tmp_path / "mount").write_text("where the disk belongs")
    with opened(folder) as log:
        assert "Not a directory" in log.problem or "File exists" in log.problem
        (tmp_path / "mount").unlink()
        with opened(folder) as other:
            fill(other, 5)
        assert not log.append(1, 1, b"x")
        assert "another log came into its place" in log.problem
    assert numbers(folder) == [1, 2, 3, 4, 5]


def test_a_sync_that_fails_is_told(tmp_path: Path) -> None:
    syncer = Syncer(1e6)
    log = Log(tmp_path, syncer, SMALL)
    fill(log, 1)
    assert log._active is not None
    kept, log._active.fd = log._active.fd, os.open("/dev/full", os.O_WRONLY)
    syncer.sync()
    assert log.sync_error == "Invalid argument"
    os.close(log._active.fd)
    log._active.fd = kept
    fill(log, 1)
    syncer.sync()
    assert not log.sync_error
    syncer.stop()
    log.close()
