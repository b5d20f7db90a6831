"""The bytes of a segment: what is written comes back, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.durable.segment import (
    HEAD_BYTES,
    HEADER_BYTES,
    MARK,
    is_cut_short,
    pack_head,
    pack_header,
    parse_header,
    scan,
    seed,
)

SEED = seed(7)
# marks in the payload look like the beginning of a record
BODIES = st.binary(max_size=60).map(lambda b: b.replace(b"\x00", MARK))
RECORDS = st.lists(st.tuples(BODIES, st.sampled_from([b"", b"tail", MARK * 3])), max_size=12)


def packed(bodies: list[tuple[bytes, bytes]], crc_seed: int = SEED) -> list[bytes]:
    return [pack_head(crc_seed, n, n * 10, f, t) + f + t for n, (f, t) in enumerate(bodies, 1)]


def scanned(path: Path, data: bytes, start: int = 0, crc_seed: int = SEED) -> list[tuple[int, bytes, bytes]]:
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        return [(r.seq, r.frame, r.tail) for r in scan(fd, start, len(data), crc_seed)]
    finally:
        os.close(fd)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("segment") / "file"


@given(bodies=RECORDS)
def test_what_is_written_is_read(path: Path, bodies: list[tuple[bytes, bytes]]) -> None:
    assert scanned(path, b"".join(packed(bodies))) == [(n, *b) for n, b in enumerate(bodies, 1)]


@given(bodies=RECORDS, cut=st.integers(0, 2000))
def test_cut_anywhere(path: Path, bodies: list[tuple[bytes, bytes]], cut: int) -> None:
    parts = packed(bodies)
    data = b"".join(parts)[:cut]
    whole = [n for n in range(1, len(parts) + 1) if sum(map(len, parts[:n])) <= len(data)]
    assert [seq for seq, _, _ in scanned(path, data)] == whole
    end = sum(map(len, parts[: len(whole)]))
    if end < len(data):
        fd = os.open(path, os.O_RDONLY)
        assert is_cut_short(fd, end, len(data), SEED)
        os.close(fd)


@given(bodies=RECORDS.filter(bool), at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_takes_one_record(path: Path, bodies: list[tuple[bytes, bytes]], at: int, bit: int) -> None:
    parts = packed(bodies)
    data = bytearray(b"".join(parts))
    at %= len(data)
    data[at] ^= 1 << bit
    hit = next(n for n in range(1, len(parts) + 1) if at < sum(map(len, parts[:n])))
    left = [(n, *b) for n, b in enumerate(bodies, 1) if n != hit]
    assert scanned(path, bytes(data)) == left


@given(bodies=RECORDS.filter(bool), at=st.integers(0, 13), junk=st.binary(max_size=100), zeros=st.integers(0, 300))
def test_junk_between_records_is_passed_over(
    path: Path, bodies: list[tuple[bytes, bytes]], at: int, junk: bytes, zeros: int
) -> None:
    parts = packed(bodies)
    parts.insert(at % (len(parts) + 1), junk + MARK + bytes(zeros))
    assert scanned(path, b"".join(parts)) == [(n, *b) for n, b in enumerate(bodies, 1)]


@given(data=st.binary(max_size=300))
def test_random_bytes_are_no_records(path: Path, data: bytes) -> None:
    assert scanned(path, MARK + data + MARK) == []
    assert parse_header(data) is None


def test_records_of_another_log_are_none_of_this_one(path: Path) -> None:
    """A file may get blocks that held another log."""
    bodies = [(b"one", b""), (b"two", b"")]
    data = b"".join(packed(bodies, seed(8))) + packed(bodies)[0]
    assert scanned(path, data) == [(1, b"one", b"")]


def test_numbers_never_fall(path: Path) -> None:
    one, two, three = packed([(b"1", b""), (b"2", b""), (b"3", b"")])
    assert [seq for seq, _, _ in scanned(path, one + three + two + three)] == [1, 3]


def test_records_longer_than_what_is_read_at_once(path: Path) -> None:
    bodies = [(bytes([n]) * 200_000, b"t" * n * 100_000) for n in range(4)]
    junk = MARK * 200_000
    parts = packed(bodies)
    data = parts[0] + junk + b"".join(parts[1:])
    assert scanned(path, data) == [(n, *b) for n, b in enumerate(bodies, 1)]


def test_the_header(path: Path) -> None:
    header = pack_header(2**63 - 1, 17, 42)
    assert len(header) == HEADER_BYTES
    assert parse_header(header + b"more") == (2**63 - 1, 17, 42)
    assert parse_header(header[:-1]) is None
    for at in range(HEADER_BYTES):
        assert parse_header(header[:at] + bytes([header[at] ^ 4]) + header[at + 1 :]) is None


@pytest.mark.parametrize("rest", [bytes(5), bytes(HEAD_BYTES), bytes(500), b"x", MARK + bytes(100)])
def test_what_no_write_leaves_is_not_cut_short(path: Path, rest: bytes) -> None:
    path.write_bytes(rest)
    fd = os.open(path, os.O_RDONLY)
    assert not is_cut_short(fd, 0, len(rest), SEED)
    os.close(fd)
