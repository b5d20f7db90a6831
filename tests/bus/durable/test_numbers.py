"""The line that says which numbers may have been given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.durable.numbers import CLEAN, OPEN, REFUSED, SECOND_AT, Numbers, boot_id, read, write

LINES = st.builds(
    Numbers,
    st.integers(0, 2**64 - 1),
    st.sampled_from(["unknown", "337b1fe3-5180-4cb9-9f1e-ee1fde60c03a"]),
    st.integers(0, 2**63),
    st.integers(0, 2**63),
    st.sampled_from([CLEAN, OPEN, REFUSED]),
)


@given(numbers=LINES)
def test_a_line_of_one_length(numbers: Numbers) -> None:
    assert Numbers.parse(numbers.line()[:-1]) == numbers
    assert len(numbers.line()) == len(Numbers(1, boot_id(), 1, 1, OPEN).line()) <= 512


@given(data=st.binary(max_size=150))
def test_nothing_else_is_one(data: bytes) -> None:
    assert Numbers.parse(data) is None


@given(numbers=LINES, at=st.integers(0, 500), by=st.integers(1, 255))
def test_a_changed_byte_is_noticed_and_the_second_line_stands_in(
    tmp_path_factory: pytest.TempPathFactory, numbers: Numbers, at: int, by: int
) -> None:
    path = tmp_path_factory.mktemp("numbers") / "numbers"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    write(fd, Numbers(1, boot_id(), 1, 1, OPEN))
    write(fd, numbers)
    os.close(fd)
    data = bytearray(path.read_bytes())
    at %= len(numbers.line())
    data[at] = (data[at] + by) % 256
    path.write_bytes(data)
    assert read(path) == numbers
    path.write_bytes(data[:SECOND_AT])
    assert read(path) in (None, numbers)
    assert Numbers.parse(bytes(data[:at]) + b"\n") is None


def test_no_file(tmp_path: Path) -> None:
    assert read(tmp_path / "none") is None
