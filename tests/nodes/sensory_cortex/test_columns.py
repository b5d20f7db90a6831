import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.sensory_cortex.columns import BadColumnMap, ColumnMap, column_map, toml_map
from nodes.sensory_cortex.rows import BadRow, BadTable, Row, read_rows
from schemas.machine import Motion


def by(**more: Any) -> ColumnMap:
    return column_map({"columns": {"x_mm": "x", "y_mm": "y"}, "period_ms": 100.0, **more})


def rows(text: str, how: ColumnMap) -> list[Row]:
    read = list(read_rows(text.splitlines(keepends=True), how, "t.csv"))
    assert all(isinstance(r, Row) for r in read), read
    return [r for r in read if isinstance(r, Row)]


def bad(text: str, how: ColumnMap) -> list[str]:
    return [r.text for r in read_rows(text.splitlines(keepends=True), how, "t.csv") if isinstance(r, BadRow)]


def test_rows_by_header_name_with_an_even_period() -> None:
    read = rows(",x,y\n0,1.5,2\n1,-3,4e1\n", by())
    assert [(r.offset_ns, r.values) for r in read] == [(0, (1.5, 2.0)), (100_000_000, (-3.0, 40.0))]
    assert read[0].line == 2


def test_rows_by_index_between_lines_of_wall_clock_times() -> None:
    how = column_map(
        {
            "delimiter": "whitespace",
            "period_ms": 1.0,
            "arrival_pattern": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+",
            "columns": {"x_accel": {"column": 0, "scale": 10.0}, "y_accel": 1},
        }
    )
    text = "2016-05-26 21:15:16.881\n2016-05-26 21:15:16.963\n-1.5 2 3 \n-1.0 2 3\n2016-05-26 21:15:17.017\n0.5 2 3 "
    read = rows(text, how)
    assert [(r.offset_ns, r.arrival_ns, r.values[0]) for r in read] == [
        (0, 82_000_000, -15.0),
        (1_000_000, 82_000_000, -10.0),
        (2_000_000, 136_000_000, 5.0),
    ]
    assert bad(text + "2016-05-26 21:15:16.900\n", how)[0].startswith("t.csv, line 6: arrival stamp 2016-05-26")


def test_rows_by_stamp_column() -> None:
    how = column_map({"columns": {"x_mm": "x"}, "stamp_column": "t", "stamp_unit": "ms"})
    assert [r.offset_ns for r in rows("t,x\n1000,1\n1001.5,2\n1001.5,3\n", how)] == [0, 1_500_000, 1_500_000]
    iso = column_map({"columns": {"x_mm": "x"}, "stamp_column": "t", "stamp_unit": "iso"})
    assert [r.offset_ns for r in rows("t,x\n2026-01-01T00:00:00Z,1\n2026-01-01T00:00:00.25+00:00,2\n", iso)] == [
        0,
        250_000_000,
    ]
    exact = column_map({"columns": {"x_mm": "x"}, "stamp_column": "t", "stamp_unit": "ns"})
    assert [r.offset_ns for r in rows("t,x\n1700000000000000001,1\n1700000000000000002,2\n", exact)] == [0, 1]


def test_text_columns_say_motion_and_block() -> None:
    how = by(
        motion_column="m", motions={"Layer 1 Up": "FEED", "Prep": "IDLE"}, motion_default="RAPID", block_column="m"
    )
    read = rows("x,y,m\n1,2,Prep\n1,2,Layer 1 Up\n1,2,else\n", how)
    assert [(r.motion, r.block) for r in read] == [
        (Motion.IDLE, "Prep"),
        (Motion.FEED, "Layer 1 Up"),
        (Motion.RAPID, "else"),
    ]


def test_an_empty_cell_is_no_reading() -> None:
    values = rows("x,y\n,nan\n", by())[0].values
    assert all(math.isnan(v) for v in values)


def test_quoted_cells_hold_delimiters() -> None:
    assert rows('n,x,y\n"a,b",1,2\n', by())[0].values == (1.0, 2.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,y\n1,2\n1,fast\n", "t.csv, line 3, column 'y': 'fast' is no number"),
        ("x,y\n1,1_000\n", "t.csv, line 2, column 'y': '1_000' is no number"),
        ("x,y\n1\n", "t.csv, line 2: 1 columns, expected 2"),
        ("x,y\n1,2,3\n", "t.csv, line 2: 3 columns, expected 2"),
        ("x,y\n" + "1" * 70_000 + ",2\n", "t.csv, line 2: longer than 65536 characters"),
    ],
)
def test_a_bad_row_names_line_and_column(text: str, said: str) -> None:
    assert bad(text, by()) == [said]


def test_time_going_back_names_line_column_and_by_how_much() -> None:
    how = column_map({"columns": {"x_mm": "x"}, "stamp_column": "t"})
    assert bad("t,x\n1.0,1\n2.0,1\n1.5,1\n2.5,1\n", how) == ["t.csv, line 4, column 't': time goes back by 0.500000 s"]
    assert bad("t,x\nsoon,1\n", how) == ["t.csv, line 2, column 't': 'soon' is no time"]


def test_a_header_that_lacks_columns_is_told_with_all_of_them_and_the_nearest_names() -> None:
    how = column_map({"columns": {"x_mm": "X1_Position", "y_mm": "Q"}, "period_ms": 1.0})
    with pytest.raises(
        BadTable, match="line 1: the header lacks 'X1_Position' \\(did you mean 'X1_position'\\?\\), 'Q'"
    ):
        list(read_rows(["X1_position,Y\n"], how, "t.csv"))
    with pytest.raises(BadTable, match="empty, expected a header"):
        list(read_rows(["\n"], how, "t.csv"))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"period_ms": 1.0}, "columns: expected a table"),
        ({"columns": {"x_mm": 0}}, "give either period_ms"),
        ({"columns": {"x_mm": 0}, "period_ms": 1.0, "stamp_column": 1}, "give either period_ms"),
        ({"columns": {"x_mm": 0}, "period_ms": -1}, "period_ms: expected"),
        ({"columns": {"x_mm": 0}, "perod_ms": 1.0}, "did you mean 'period_ms'"),
        ({"columns": {"spindel_load_pct": 0}, "period_ms": 1.0}, "did you mean 'spindle_load_pct'"),
        ({"columns": {"X": 0}, "period_ms": 1.0}, "[a-z][a-z0-9_]*"),
        ({"columns": {"x_mm": -1}, "period_ms": 1.0}, "header name or an index"),
        ({"columns": {"x_mm": {"column": 0, "scale": "big"}}, "period_ms": 1.0}, "scale: 'big'"),
        ({"columns": {"x_mm": {"colum": "x"}}, "period_ms": 1.0}, "unknown key 'colum'"),
        ({"columns": {"x_mm": {"column": 0, "factor": 2}}, "period_ms": 1.0}, "unknown key 'factor'"),
        ({"columns": {"x_mm": 0}, "period_ms": 1.0, "delimiter": ",,"}, "delimiter"),
        ({"columns": {"x_mm": 0}, "period_ms": 1.0, "topic": "machine/noise"}, "topic"),
        ({"columns": {"x_mm": 0}, "period_ms": 1.0, "skip_pattern": "("}, "not a regular expression"),
        ({"columns": {"x_mm": 0}, "period_ms": 1.0, "motions": {"a": "FLY"}}, "motions.a: 'FLY'"),
        ({"columns": {"x_mm": 0}, "stamp_column": 1, "stamp_unit": "h"}, "stamp_unit"),
    ],
)
def test_a_map_that_cannot_work_says_why(table: dict[str, Any], said: str) -> None:
    with pytest.raises(BadColumnMap) as told:
        column_map(table)
    assert said in str(told.value)


def test_all_mistakes_of_a_map_at_once() -> None:
    with pytest.raises(BadColumnMap) as told:
        toml_map('delimiter = ""\nstamp_unit = "h"\n[columns]\nX = 0\n', "map.toml")
    assert len(str(told.value).splitlines()) == 4
    with pytest.raises(BadColumnMap, match=r"map.toml: not TOML"):
        toml_map("= 1", "map.toml")


plain = {"allow_nan": False, "allow_infinity": False}
numbers = st.floats(-1e9, 1e9, **plain)  # type: ignore[arg-type] # keywords of floats


@given(st.lists(st.tuples(numbers, numbers), max_size=50), st.sampled_from((",", ";", "\t", "whitespace")))
def test_what_was_written_is_read(table: list[tuple[float, float]], delimiter: str) -> None:
    between = " " if delimiter == "whitespace" else delimiter
    text = "".join(f"{between.join(map(repr, row))}\n" for row in [("x", "y")]).replace("'", "")
    text += "".join(f"{a!r}{between}{b!r}\n" for a, b in table)
    read = rows(text, by(delimiter=delimiter))
    assert [r.values for r in read] == table
    assert [r.offset_ns for r in read] == [i * 100_000_000 for i in range(len(table))]


MAPS = (
    by(),
    column_map({"columns": {"x_mm": 0}, "period_ms": 1.0, "delimiter": "whitespace"}),
    column_map({"columns": {"x_mm": 1}, "stamp_column": 0, "stamp_unit": "iso", "arrival_pattern": r"\d+:\d+"}),
    column_map({"columns": {"x_mm": "x"}, "stamp_column": "t", "stamp_unit": "ns", "block_column": "y"}),
)


@given(st.lists(st.text(max_size=40), max_size=20), st.sampled_from(MAPS), st.booleans())
def test_garbage_is_bad_rows_or_a_bad_table_and_never_anything_else(
    lines: list[str], how: ColumnMap, header: bool
) -> None:
    if header:
        lines = ["t,x,y", *lines]
    try:
        for row in read_rows(lines, how, "t"):
            assert isinstance(row, (Row, BadRow))
    except BadTable:
        assert how.has_header


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(
        (
            "delimiter",
            "period_ms",
            "stamp_column",
            "stamp_unit",
            "arrival_pattern",
            "skip_pattern",
            "motions",
            "columns",
        )
    ),
)
def test_any_map_is_a_map_or_a_list_of_mistakes(value: Any, key: str) -> None:
    table = {"columns": {"x_mm": 0}, "period_ms": 1.0, key: value}
    try:
        assert isinstance(column_map(table), ColumnMap)
    except BadColumnMap as error:
        assert "column map: " in str(error)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"motions": {"a": []}}, "motions.a: [] is not one of"),
        ({"motions": {"a": {"b": 1}}}, "motions.a: {'b': 1} is not one of"),
        ({"columns": {"x_mm": {"column": 0, "scale": 10**400}}}, "scale: 1000"),
        ({"columns": {"x_mm": {"column": 0, "offset": -(10**400)}}}, "offset: -1000"),
        ({"period_ms": 1e-9}, "period_ms: expected milliseconds above 0"),
        ({"period_ms": 10**400}, "period_ms: expected milliseconds above 0"),
        ({"delimiter": '"'}, "delimiter: a quotation mark encloses cells"),
        ({"delimiter": "\n"}, "delimiter: expected one character"),
        ({"delimiter": "\0"}, "delimiter: expected one character"),
        ({"skip_pattern": "x{99999999999}"}, "skip_pattern: not a regular expression"),
        ({"skip_pattern": "x{" + "9" * 5000 + "}"}, "skip_pattern: not a regular expression"),
        ({"model": 10**5000}, "model: expected text, got <int>"),
    ],
)
def test_values_that_no_table_can_be_read_by(more: dict[str, Any], says: str) -> None:
    with pytest.raises(BadColumnMap) as caught:
        column_map({"columns": {"x_mm": 0}, "period_ms": 1.0, **more})
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["a = " + "[" * 5000 + "]" * 5000, "a = " + "1" * 5000])
def test_what_tomllib_does_not_call_a_mistake_is_one(text: str) -> None:
    with pytest.raises(BadColumnMap, match="not TOML"):
        toml_map(text, "map.toml")


def test_a_carriage_return_within_a_quoted_line_is_a_bad_row() -> None:
    read = list(read_rows(["x,y\n", '1,"2"\r3\n', '4,"5"\n'], by(), "t.csv"))
    assert [r.text for r in read if isinstance(r, BadRow)] == ["t.csv, line 2: 0 columns, expected 2"]
    assert [r.values for r in read if isinstance(r, Row)] == [(4.0, 5.0)]


@pytest.mark.parametrize(
    ("unit", "cells"),
    [
        ("ns", ["1", "1_0", str(2**62), "9" * 30]),
        ("s", ["1", "1e11", "1_0", "inf"]),
        ("iso", ["2020-01-01", "9999-01-01"]),
    ],
)
def test_a_time_that_no_message_can_carry_is_none(unit: str, cells: list[str]) -> None:
    how = column_map({"columns": {"x_mm": 1}, "stamp_column": 0, "stamp_unit": unit})
    text = "".join(f"{cell},1\n" for cell in cells)
    assert len(bad(text, how)) == len(cells) - 1


def test_a_recording_longer_than_a_year_is_a_mistake_of_the_unit() -> None:
    how = column_map({"columns": {"x_mm": 1}, "stamp_column": 0, "stamp_unit": "s"})
    assert bad("1700000000,1\n1700000001,2\n1800000000000,3\n", how) == [
        "t.csv, line 3, column 0: '1800000000000' is no time"
    ]
    assert bad("0,1\n1700000001,2\n", how) == ["t.csv, line 2, column 0: more than a year after the first row"]
    lines = {"columns": {"x_mm": 0}, "period_ms": 1.0, "arrival_pattern": r"\d{4}-\d\d-\d\d"}
    assert bad("2020-01-01\n1\n2030-01-01\n2\n", column_map(lines)) == [
        "t.csv, line 3: arrival stamp 2030-01-01 is more than a year after the first"
    ]
