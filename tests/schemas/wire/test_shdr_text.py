"""Times, data sets and quotes of SHDR."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.wire.shdr_text import data_set, fields, format_time, parse_time

SECOND = 1_000_000_000
AT = 1_659_966_694 * SECOND


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2022-08-08T13:51:34.7167146Z", AT + 716_714_600),
        ("2022-08-08T13:51:34", AT),
        ("2022-08-08T15:51:34+02:00", AT),
        ("2022-08-08T11:51:34.5-0200", AT + 500_000_000),
        ("2022-08-08T13:51:34.1234567899Z", AT + 123_456_789),
        ("", None),
    ],
)
def test_times(text: str, ns: int | None) -> None:
    assert parse_time(text) == ns


@pytest.mark.parametrize(
    "text", ["now", "2022-08-08", "2022-02-30T00:00:00Z", "2022-08-08T13:51:34.Z", "0000-01-01T00:00Z"]
)
def test_no_times(text: str) -> None:
    with pytest.raises(ValueError, match="no time"):
        parse_time(text)


@given(st.integers(0, 4_000_000_000 * SECOND))
def test_a_time_comes_back(ns: int) -> None:
    assert parse_time(format_time(ns)) == ns


def test_data_sets() -> None:
    text = """:MANUAL a=1 b={x y} c="it's \\"it\\"" d='e' f= g"""
    assert data_set(text) == {"a": "1", "b": "x y", "c": 'it\'s "it"', "d": "e", "f": "", "g": None}
    assert data_set("  ") == {}
    with pytest.raises(ValueError, match="no entry"):
        data_set("a=1 =2")


def test_fields_may_be_quoted() -> None:
    assert fields(r'a| "b\|c\"\\" |d|"e"f|"') == ["a", r'b|c"' + "\\", "d", '"e"f', '"']
