"""The file of a cursor: what is written is read, whatever is damaged means from the beginning."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.durable.cursor import LOGS_MAX, CursorFile, folder_of, known
from bus.durable.syncer import Syncer


@pytest.fixture(scope="module")
def syncer() -> Iterator[Syncer]:
    made = Syncer(1e6)
    yield made
    assert made.stop()


def write(folder: Path, log_id: int, syncer: Syncer, *numbers: int) -> Path:
    file = CursorFile(folder, log_id, syncer)
    for number in numbers:
        file.write(number)
    file.retire()
    return folder / f"{log_id:016x}"


@given(log_id=st.integers(0, 2**64 - 1), numbers=st.lists(st.integers(0, 2**63), min_size=1, max_size=5))
def test_the_last_that_was_written(
    tmp_path_factory: pytest.TempPathFactory, syncer: Syncer, log_id: int, numbers: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("cursor") / "a" / "b"
    path = write(folder, log_id, syncer, *numbers)
    assert known(folder) == {log_id: numbers[-1]}
    assert path.stat().st_size == 30


@given(number=st.integers(1, 2**63), at=st.integers(0, 29), by=st.integers(1, 255), cut=st.integers(0, 29))
def test_a_damaged_one_is_the_beginning(
    tmp_path_factory: pytest.TempPathFactory, syncer: Syncer, number: int, at: int, by: int, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cursor")
    path = write(folder, 5, syncer, number)
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:cut])
    assert known(folder) == {5: 0}
    data[at] = (data[at] + by) % 256
    path.write_bytes(data)
    assert known(folder) == {5: 0}


def test_nobody_yet_and_strangers(tmp_path: Path) -> None:
    assert known(tmp_path / "none") == {}
    (tmp_path / "x").write_text("x")
    (tmp_path / "5").write_text("x")
    assert known(tmp_path) == {}


def test_the_logs_before_are_remembered_and_bounded(tmp_path: Path, syncer: Syncer) -> None:
    for log_id in range(1, LOGS_MAX + 5):
        os.utime(write(tmp_path, log_id, syncer, log_id), ns=(log_id, log_id))
    assert known(tmp_path) == {i: i for i in range(5, LOGS_MAX + 5)}


def test_names_of_consumers_topics_and_publishers_never_meet() -> None:
    names = [("a/b", "c", "d"), ("a", "b/c", "d"), ("a", "b", "c/d"), ("a_b", "c", "d"), ("a", "b", "c_d")]
    assert len({folder_of(Path("/s"), *each) for each in names}) == len(names)
