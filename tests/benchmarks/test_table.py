"""What is printed fits and says all; what is written is JSON that any reader takes."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.machine import Quiet
from tests.benchmarks.measure import Interval, Row
from tests.benchmarks.table import ALSO_COLUMN, TOTAL, head, lines, plain

FIGURES = st.floats(0.001, 99_999)
ROWS = st.builds(
    Row,
    name=st.sampled_from(["typed message 1 kHz", "stop, 2 processes, 8 busy"]),
    figure=st.sampled_from(["subscriber PSS / zenoh", "p99.9, slice 0.1 ms"]),
    value=st.builds(Interval, FIGURES, FIGURES, FIGURES),
    bar=st.sampled_from([math.nan, 1.3, 2000.0]),
    at_least=st.booleans(),
    unit=st.sampled_from(["", "us", "MB"]),
    also=st.dictionaries(st.sampled_from(["ours us", "zenoh us", "gaps", "python ms"]), FIGURES),
)


@given(ROWS)
def test_a_row_fits_and_wraps_what_else_there_is_under_its_column(row: Row) -> None:
    first, *more = lines(row)
    assert all(len(line) <= TOTAL for line in (head(), first, *more))
    assert all(line[:ALSO_COLUMN].isspace() for line in more)
    text = " ".join([first, *(line.strip() for line in more)])
    for what in (row.name, row.figure, str(row.value), *(key.split()[0] for key in row.also)):
        assert what in text
    assert ("NO" in first.split()) is (row.holds is False)


def test_columns_stand_under_their_heads() -> None:
    (line,) = lines(Row("typed message 1 kHz", "p50 / raw", Interval(1.35, 1.31, 1.4), 1.3, also={"ours us": 71.0}))
    for word, cell in (("what", "typed"), ("figure", "p50"), ("median", "1.35 ["), ("bar", "<= 1.3"), ("also", "ours")):
        assert head().index(word) == line.index(cell)


def test_a_peer_that_is_not_there_is_told_with_the_command_that_installs_it() -> None:
    row = Row("typed message 1 kHz", "p50 / zenoh", Interval.single(math.nan), missing="pip install it")
    first, second = lines(row)
    assert "not installed" in first
    assert second.strip() == "pip install it"
    assert row.holds is None


@given(ROWS)
def test_a_row_is_plain_json_with_the_state_of_the_computer(row: Row) -> None:
    told = plain(row, Quiet(0.1, load_after=1.5, seconds=60.0, others_cores=0.5))
    again = json.loads(json.dumps(told, allow_nan=False))
    assert again == told
    assert (again["median"], again["holds"], again["computer"]["disturbed"]) == (row.value.median, row.holds, True)


def test_a_missing_row_is_plain_json_too() -> None:
    row = Row("typed message 1 kHz", "p50 / zenoh", Interval.single(math.nan), missing="pip install it")
    assert json.loads(json.dumps(plain(row, Quiet(0.0)), allow_nan=False))["median"] is None
