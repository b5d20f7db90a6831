"""What the processes beside the driver say: read as meant, or refused with a reason, never anything else."""

from __future__ import annotations

import contextlib
import json
import struct
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.sensory_cortex.linuxcnc.said import Attached, BadWord, Ended, Obeyed, OperatorText, Status, rows, word

STATUS = Status(task_state=4, task_mode=2, interp_state=4, homed=True, file="/a/b.ngc", line=5, block="N50 G1 X1")


def said(letter: bytes, table: Any) -> bytes:
    return letter + json.dumps(table).encode()


def test_every_word_is_read() -> None:
    assert word(b"H") == Attached()
    assert word(b"XLinuxCNC does not run") == Ended("LinuxCNC does not run")
    assert word(said(b"S", asdict(STATUS))) == STATUS
    assert word(said(b"S", asdict(STATUS) | {"later": 1, "units_per_mm": 1})) == STATUS, "more fields, a whole number"
    assert word(said(b"E", {"text": "limit"})) == OperatorText("limit")
    assert word(said(b"A", {"do": "run", "text": ""})) == Obeyed("run", "")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "begins with no letter"),
        (b"S{", "no JSON"),
        (b"S[1]", "expected a table, got list"),
        (b"S{}", "status.task_state: expected int, got None"),
        (said(b"S", asdict(STATUS) | {"homed": 1}), "status.homed: expected bool, got 1"),
        (said(b"S", asdict(STATUS) | {"units_per_mm": 0.0}), "units_per_mm: 0.0 is no unit of length"),
        (said(b"S", asdict(STATUS) | {"units_per_mm": 0}), "units_per_mm: 0.0 is no unit of length"),
        (said(b"S", asdict(STATUS) | {"feed_word": True}), "feed_word: expected float, got True"),
        (b"S" + b"[" * 100_000, "no JSON"),
    ],
)
def test_a_wrong_word_is_refused_with_its_reason(data: bytes, text: str) -> None:
    with pytest.raises(BadWord) as error:
        word(data)
    assert text in str(error.value)


def test_rows_keep_their_number_and_values() -> None:
    table = np.arange(6, dtype="<f4").reshape(2, 3)
    first, read = rows(b"R" + struct.pack("<Q", 41) + table.tobytes(), 3)
    assert first == 41
    assert (read == table).all()


@pytest.mark.parametrize("data", [b"R", b"R" + bytes(8), b"R" + bytes(8 + 11), b"S" + bytes(20), b"R" + b"\xff" * 20])
def test_bytes_that_are_no_rows_are_refused(data: bytes) -> None:
    with pytest.raises(BadWord):
        rows(data, 3)


@given(
    st.binary(max_size=80) | st.builds(lambda a, b: a + b, st.sampled_from([b"S", b"E", b"A", b"X", b"R"]), st.binary())
)
def test_any_bytes_are_a_word_or_refused(data: bytes) -> None:
    for read in (word, lambda d: rows(d, 2)):
        with contextlib.suppress(BadWord):
            read(data)


@given(
    st.dictionaries(
        st.sampled_from([*asdict(STATUS), "x"]), st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    )
)
def test_any_status_is_one_or_refused(table: dict[str, Any]) -> None:
    with contextlib.suppress(BadWord):
        assert isinstance(word(said(b"S", asdict(STATUS) | table)), Status)
