"""The files of a persisted topic, as whatever ended their last life may have left them."""

from __future__ import annotations

import os
import resource
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.durable.kept import BEHIND_MAX, HEADER_BYTES, Kept, Value, namespaces, pack, parse
from bus.durable.syncer import Syncer
from tests.bus.durable.test_recovery import disk_takes

_syncers: list[Syncer] = []


@pytest.fixture(autouse=True)
def _threads_end() -> Iterator[None]:
    yield
    while _syncers:
        _syncers.pop().stop()


def opened(folder: Path) -> tuple[Kept, Syncer, list[Value]]:
    syncer = Syncer(1e6)  # it syncs when it is told to
    _syncers.append(syncer)
    kept = Kept(folder, syncer)
    return kept, syncer, kept.values()


def said(folder: Path) -> list[bytes]:
    """What a publisher that starts now would offer again."""
    return [value.frame for value in opened(folder)[2]]


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@given(st.binary(min_size=1, max_size=200), st.binary(max_size=200))
def test_a_file_holds_what_was_sent(frame: bytes, tail: bytes) -> None:
    assert parse(pack(frame, tail)) == Value(frame, tail)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_value_or_none(data: bytes) -> None:
    value = parse(data)
    assert value is None or pack(*value) == data


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 10_000), st.integers(1, 255))
def test_one_byte_off_or_cut_is_no_value(frame: bytes, tail: bytes, at: int, by: int) -> None:
    data = bytearray(pack(frame, tail))
    assert parse(bytes(data[: at % len(data)])) is None
    data[at % len(data)] ^= by
    assert parse(bytes(data)) is None


def test_the_last_value_of_each_key_comes_back_in_order(tmp_path: Path) -> None:
    kept, syncer, before = opened(tmp_path / "topic")
    assert before == []
    for n, key in enumerate("abcab"):
        kept.save(key, (b"%d" % n, memoryview(b"tail")))
    assert said(tmp_path / "topic") == [b"2", b"3", b"4"], "before the disk was asked to sync anything"
    assert len(names(tmp_path / "topic")) == 5
    syncer.sync()
    assert said(tmp_path / "topic") == [b"2", b"3", b"4"]
    assert len(names(tmp_path / "topic")) == 3
    for path in (tmp_path / "topic").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "topic").stat().st_mode) == 0o700


def test_a_tombstone_holds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    kept, syncer, _ = opened(tmp_path)
    kept.save("a", (b"1", b""))
    kept.save("b", (b"2", b""))
    syncer.sync()
    kept.drop("a")
    kept.drop("never said")
    assert said(tmp_path) == [b"2"]
    syncer.sync()
    assert (said(tmp_path), len(names(tmp_path))) == ([b"2"], 1)
    kept.retry()
    kept.save("a", (b"3", b""))
    assert said(tmp_path) == [b"2", b"3"]


def test_another_life_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    opened(tmp_path)[0].save("a", (b"1", b""))
    kept, syncer, before = opened(tmp_path)
    assert before == [Value(b"1", b"")]
    kept.save("a", (b"2", b""))
    syncer.sync()
    assert (said(tmp_path), len(names(tmp_path))) == ([b"2"], 1)
    kept, _, _ = opened(tmp_path)
    kept.drop("a")
    assert said(tmp_path) == []


def test_who_only_opens_changes_nothing(tmp_path: Path) -> None:
    """The one who is refused the node's name has opened them, too."""
    opened(tmp_path)[0].save("a", (b"1", b""))
    opened(tmp_path)[0].save("a", (b"2", b""))
    (tmp_path / ("0" * 16 + "-" + "7" * 20)).write_bytes(b"no value")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    kept, syncer, _ = opened(tmp_path)
    syncer.sync()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert len(kept.notes) == 1
    assert "is damaged: it counts as never written" in kept.notes[0]


def test_damage_takes_one_value_and_is_said(tmp_path: Path) -> None:
    kept, _, _ = opened(tmp_path)
    for n in range(3):
        kept.save(f"{n}", (b"frame%d" % n, b""))
    victim = sorted(tmp_path.iterdir(), key=lambda p: p.name[-20:])[1]
    victim.write_bytes(victim.read_bytes()[:-1])
    kept, syncer, before = opened(tmp_path)
    assert [v.frame for v in before] == [b"frame0", b"frame2"]
    assert kept.notes == [f"{victim} is damaged: it counts as never written"]
    kept.save("1", (b"again", b""))
    syncer.sync()
    assert not victim.exists()
    assert said(tmp_path) == [b"frame0", b"frame2", b"again"]


def test_a_folder_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "topic").write_text("a file")
    kept, _, before = opened(tmp_path / "topic")
    assert before == []
    assert "Not a directory" in kept.notes[0]
    kept.save("a", (b"1", b""))
    assert "directory" in kept.problem


def test_what_the_disk_refuses_is_tried_again(tmp_path: Path) -> None:
    kept, syncer, _ = opened(tmp_path)
    kept.save("a", (b"1", b""))
    with disk_takes(HEADER_BYTES + 100):
        kept.save("a", (b"x" * 500, b""))
        assert "File too large" in kept.problem
        assert (said(tmp_path), len(names(tmp_path))) == ([b"1"], 1), "what it was before counts"
        kept.drop("b")
        kept.save("b", (b"2", b""))
        kept.retry()
        assert "File too large" in kept.problem
    kept.retry()
    assert kept.problem == ""
    syncer.sync()
    assert sorted(said(tmp_path)) == [b"2", b"x" * 500]
    assert kept.sync_error == ""


def test_a_disk_that_hangs_gets_no_endless_queue(tmp_path: Path) -> None:
    kept, syncer, _ = opened(tmp_path)
    for n in range(BEHIND_MAX + 10):
        kept.save("a", (b"%d" % n, b""))
    assert f"the disk is {BEHIND_MAX} values behind" in kept.problem
    assert said(tmp_path) == [b"%d" % BEHIND_MAX]
    syncer.sync()
    kept.retry()
    assert (kept.problem, said(tmp_path)) == ("", [b"%d" % (BEHIND_MAX + 9)])
    syncer.sync()
    assert len(names(tmp_path)) == 1


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["save"] * 4 + ["drop", "sync", "die", "refuse", "torn"]), st.integers(0, 3)),
    max_size=40,
)


@settings(max_examples=100)
@given(ACTIONS)
def test_whatever_ends_a_life_the_next_one_says_what_was_said_last(actions: list[tuple[str, int]]) -> None:
    shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shm) as root:
        folder = Path(root)
        kept, syncer, _ = opened(folder)
        model: dict[int, bytes] = {}
        owed: dict[int, bytes | None] = {}
        """what the disk refused, until the next try"""
        for count, (what, key) in enumerate(actions):
            frame = b"%d" % count
            match what:
                case "save":
                    kept.save(f"{key}", (frame, b"t" * key))
                    model.pop(key, None)
                    model[key] = frame
                    owed.pop(key, None)
                case "drop":
                    kept.drop(f"{key}")
                    model.pop(key, None)
                    owed.pop(key, None)
                case "refuse":
                    with disk_takes(HEADER_BYTES):
                        kept.save(f"{key}", (frame, b""))
                    owed[key] = frame
                case "sync":
                    syncer.sync()
                case "torn":  # killed in the middle of the write of one more
                    number = max((int(n[-20:]) for n in names(folder)), default=0) + 1
                    hashed = names(folder)[0][:16] if names(folder) else "0" * 16
                    (folder / f"{hashed}-{number:020d}").write_bytes(pack(b"never sent")[:-3])
                    kept, syncer, _ = opened(folder)
                    owed.clear()
                case "die":
                    kept, syncer, _ = opened(folder)
                    owed.clear()
            assert sorted(said(folder)) == sorted(model.values())
        kept.retry()
        model |= {k: v for k, v in owed.items() if v is not None}
        syncer.sync()
        assert sorted(said(folder)) == sorted(model.values())
        for key in range(4):
            kept.save(f"{key}", (b"new", b""))
        syncer.sync()
        assert len([n for n in names(folder) if n[:16] != "0" * 16]) == 4, "what a life left behind goes with its key"


def test_the_namespaces_of_a_topic(tmp_path: Path) -> None:
    for name in ("vmc1.job.spec", "vmc2.job.spec", "job.spec", "a.b.job.spec", "vmc1.job.event", "Vmc.job.spec"):
        (tmp_path / name).mkdir()
    assert list(namespaces(tmp_path, "job/spec")) == ["vmc1", "vmc2"]
    assert list(namespaces(tmp_path / "none", "job/spec")) == []


@pytest.fixture(autouse=True)
def _limits_stay() -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
