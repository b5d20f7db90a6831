"""A log against a model: whatever ends it, what was accepted comes back as it was, and no number means two events."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.durable.log import Limits, Log
from bus.durable.recovery import recover
from bus.durable.segment import HEADER_BYTES, MARK, Record, pack_head, pack_header, seed
from bus.durable.segments import listed, records
from bus.durable.syncer import Syncer

LIMITS = Limits(segment_bytes=900, keep_bytes=1 << 30, reserve=64)
UNSYNCED_MAX = 16
"""fewer than half of what is reserved, as a disk that keeps up sees to"""
BIG = 5000


@contextlib.contextmanager
def disk_takes(file_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes: the kernel refuses as a full disk does, in mid-write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def body(seq: int, size: int) -> bytes:
    return (f"event {seq} ".encode() + MARK * (size // 4 + 1))[: size + 8]


@dataclass
class Model:
    """What a publisher did, over several lives and boots, and what of it must still be there."""

    root: Path
    boots: int = 0
    given: dict[int, bytes] = field(default_factory=dict)
    """every number that was ever given in this log"""
    kept: set[int] = field(default_factory=set)
    synced: dict[str, bytes] = field(default_factory=dict)
    unsynced: int = 0
    lives: int = 0
    log_id: int = 0

    def __post_init__(self) -> None:
        self.syncer = Syncer(1e6)
        self.open()

    @property
    def folder(self) -> Path:
        return self.root / f"life{self.lives}"

    def open(self) -> None:
        self.syncer = Syncer(1e6)
        self.log = Log(self.folder, self.syncer, LIMITS, boot_id=f"boot{self.boots}", try_again_ns=0)
        if self.log.log_id != self.log_id:
            self.log_id = self.log.log_id
            self.given.clear()
            self.kept.clear()
        assert self.log.next_seq > max(self.given, default=0), "a number would be given twice"
        self.check()
        self.sync()

    def check(self) -> None:
        found = {r.seq: r.frame + r.tail for r in records(self.folder)}
        assert list(found) == sorted(found)
        assert set(found) == self.kept
        assert all(self.given[seq] == data for seq, data in found.items())
        assert self.log.first_seq <= min(self.kept, default=self.log.next_seq)

    def sync(self) -> None:
        self.syncer.sync()
        self.synced = {p.name: p.read_bytes() for p in self.folder.iterdir()}
        self.unsynced = 0

    def append(self, size: int, *, refused: bool = False) -> None:
        seq = self.log.next_seq
        data = body(seq, size)
        self.given[seq] = data
        split = len(data) // 2 if size % 3 == 0 else len(data)
        with disk_takes(4300 if refused else resource.RLIM_INFINITY):
            accepted = self.log.append(seq, seq, data[:split], memoryview(data[split:]))
        assert accepted is not refused
        assert bool(self.log.problem) is refused
        if accepted:
            self.kept.add(seq)
        self.unsynced += 1
        if self.unsynced >= UNSYNCED_MAX:
            self.sync()

    def close(self) -> None:
        self.syncer.stop()
        self.log.close()

    # --- the ends of a life ------------------------------------------------------------------------------------------

    def die(self, damage: Callable[[Path], None]) -> None:
        """Go on with what a crash at this moment leaves on the disk, damaged."""
        before = self.folder
        self.lives += 1
        shutil.copytree(before, self.folder)
        self.close()
        shutil.rmtree(before)
        damage(self.folder)
        if self.lives % 2:  # who puts it right dies at it, before any number is given
            recover(self.folder, f"boot{self.boots}", LIMITS.reserve)
        self.open()

    def end(self) -> None:
        self.close()
        self.boots += 1
        self.open()

    def kill(self, torn: int) -> None:
        """In the middle of the write of one more record, which nobody got."""
        data, refused = self.log.next_seq, bool(self.log.problem)

        def cut(folder: Path) -> None:
            frame = body(data, 100)
            whole = pack_head(seed(self.log_id), data, 0, frame, b"") + frame
            path = listed(folder)[-1].path if self.kept else None
            if path is None or torn % 4 == 0:  # it was the first record of a segment
                path = folder / f"{data:020d}.log"
                whole = whole if path.exists() else pack_header(self.log_id, data, 1) + whole
            with path.open("ab") as file:
                file.write(whole[: min(torn, len(whole) - 1)])

        self.die(cut)
        assert refused or self.log.next_seq == data, "killed: no hole in the numbers"

    def lose_power(self, choice: int, zeros: int) -> None:
        """What was not synced may be there, or not, or in part, or be zeros."""

        def cut(folder: Path) -> None:
            for segment in listed(folder):
                now = segment.path.read_bytes()
                safe = self.synced.get(segment.path.name)
                if safe is None:
                    if choice % 3 == 0:
                        segment.path.unlink()
                        continue
                    safe = b""
                end = len(safe) + choice % (len(now) - len(safe) + 1)
                segment.path.write_bytes(now[:end] + bytes(min(zeros, len(now) - end)))
            if choice % 2 and "numbers" in self.synced:
                (folder / "numbers").write_bytes(self.synced["numbers"])
            rows = {r.seq for r in records(folder)}
            synced_rows = self._rows_of(self.synced)
            assert synced_rows & self.kept <= rows
            self.kept &= rows

        self.boots += 1
        self.die(cut)

    def _rows_of(self, files: dict[str, bytes]) -> set[int]:
        with tempfile.TemporaryDirectory(dir=self.root) as folder:
            for name, data in files.items():
                (Path(folder) / name).write_bytes(data)
            return {r.seq for r in records(Path(folder))}

    def flip(self, where: int, by: int) -> None:
        """A byte somewhere in the log is another one: never back to what it was."""

        def damage(folder: Path) -> None:
            files = sorted(p for p in folder.iterdir() if p.stat().st_size)
            place = where % sum(p.stat().st_size for p in files)
            for path in files:
                size = path.stat().st_size
                if place < size:
                    hit = self._at(path, place)
                    data = bytearray(path.read_bytes())
                    data[place] = (data[place] + 1 + by) % 256
                    path.write_bytes(data)
                    if hit is not None:
                        self.kept.discard(hit)
                    return
                place -= size

        self.die(damage)

    def _at(self, path: Path, place: int) -> int | None:
        if path.suffix != ".log" or place < HEADER_BYTES:
            return None
        rows: list[Record] = list(records(path.parent))
        for segment in listed(path.parent):
            if segment.path == path:
                later = [s.first_seq for s in listed(path.parent) if s.first_seq > segment.first_seq]
                own = [r for r in rows if segment.first_seq <= r.seq < min(later, default=1 << 60)]
                return next((r.seq for r in own if r.start <= place < r.end), None)
        raise AssertionError(path)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["append"] * 4 + ["refuse"] * 2 + ["kill"] * 2 + ["sync", "end", "power", "flip"]),
        st.integers(0, 10_000),
        st.integers(0, 400),
    ),
    min_size=6,
    max_size=60,
)


@settings(max_examples=300)
@given(actions=ACTIONS)
def test_whatever_ends_a_log(actions: list[tuple[str, int, int]]) -> None:
    # in memory where there is such a place: every open waits for the disk
    shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shm) as root, contextlib.closing(Model(Path(root))) as model:
        for what, a, b in actions:
            match what:
                case "append":
                    model.append(b)
                case "sync":
                    model.sync()
                case "refuse":
                    model.append(BIG, refused=True)
                case "end":
                    model.end()
                case "kill":
                    model.kill(b)
                case "power":
                    model.lose_power(a, b)
                case "flip":
                    model.flip(a, b % 8)
        model.check()
