"""A black box that finds no room waits in memory; one that is open when the disk fills goes on. What is bounded."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

from bus.bag import read
from bus.bag.check import check
from nodes.recorder.recording import Recording
from nodes.recorder.settings import Better, Closed, Happened, Trouble
from schemas import topics
from tests.bus.bag.bags import MS, START_NS, block
from tests.nodes.recorder.raws import Voice, recording


@contextlib.contextmanager
def no_room(left_bytes: int = 0) -> Iterator[None]:
    """Every file ends here: the write fails in the middle, as with a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def feed(r: Recording, voice: Voice, first: int, last: int) -> None:
    for n in range(first, last):
        r.batch([voice.say(topics.SAMPLES, block(START_NS + n * MS, n), START_NS + n * MS)])


def codes(happened: list[Happened], kind: type[Trouble | Better]) -> list[str]:
    return [h.code for h in happened if isinstance(h, kind) and h.code.startswith("black_box")]


def numbers(path: Path) -> list[int]:
    assert check(path).ok
    return [m.seq for m in read(path) if m.topic == "vmc1/machine/samples"]


def test_it_is_complete_when_room_comes_after_its_end(tmp_path: Path) -> None:
    happened: list[Happened] = []
    r, voice = recording(tmp_path, happened, continuous=False, black_box_before_s=0.1, black_box_after_s=0.05), Voice()
    feed(r, voice, 0, 200)
    with no_room():
        r.trigger("one")
        feed(r, voice, 200, 240)
        r.sync()
        feed(r, voice, 240, 300)
        r.trigger("another")
        feed(r, voice, 300, 400)
        assert list(tmp_path.glob("*.mcap")) == []
    assert set(codes(happened, Trouble)) == {"black_box_waits"}
    r.sync()
    assert set(codes(happened, Better)) == {"black_box_waits"}
    closed = [Path(h.split.path) for h in happened if isinstance(h, Closed)]
    assert [numbers(path) for path in closed] == [list(range(100, 251)), list(range(200, 351))]
    r.close()


def test_one_that_is_being_written_when_the_disk_fills_goes_on(tmp_path: Path) -> None:
    happened: list[Happened] = []
    r, voice = recording(tmp_path, happened, continuous=False, black_box_after_s=10.0), Voice()
    feed(r, voice, 0, 100)
    path = Path(r.trigger("one"))
    feed(r, voice, 100, 200)
    r.sync()
    with no_room(path.stat().st_size + 10):
        feed(r, voice, 200, 300)
        r.sync()
        feed(r, voice, 300, 400)
        r.sync()
    feed(r, voice, 400, 500)
    r.close()
    assert numbers(path) == list(range(1, 501))
    assert set(codes(happened, Trouble)) == set(codes(happened, Better)) == {"black_box_waits"}


def test_what_waits_is_bounded_and_what_is_cut_off_is_said(tmp_path: Path) -> None:
    happened: list[Happened] = []
    r, voice = recording(tmp_path, happened, continuous=False, black_box_bytes=50_000, black_box_after_s=600.0), Voice()
    feed(r, voice, 0, 50)
    with no_room():
        r.trigger("one")
        feed(r, voice, 50, 1000)
    (said,) = [h.text for h in happened if isinstance(h, Trouble) and h.code == "black_box_failed"]
    assert said.startswith("a black box (one) is not complete: ")
    r.sync()
    (closed,) = [Path(h.split.path) for h in happened if isinstance(h, Closed)]
    found = numbers(closed)
    assert found == list(range(1, len(found) + 1))
    assert 100 < len(found) < 300
    r.close()


def test_the_end_without_room_is_said(tmp_path: Path) -> None:
    happened: list[Happened] = []
    r, voice = recording(tmp_path, happened, continuous=False), Voice()
    feed(r, voice, 0, 50)
    with no_room():
        r.trigger("one")
        r.close()
    assert codes(happened, Trouble)[-1] == "black_box_failed"
    assert [h for h in happened if isinstance(h, Closed)] == []
    assert list(tmp_path.iterdir()) == []
