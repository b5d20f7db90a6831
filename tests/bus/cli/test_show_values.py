from __future__ import annotations

import json
import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.cli.graph import without_nan
from bus.cli.show_values import BadPath, Unreadable, lines, paths, pick, plain_message, text, units, unpack
from schemas.codec import codec
from schemas.grammar import definition
from tests.bus.cli.shop import Axis, Feed

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SAMPLES = st.fixed_dictionaries(
    {
        "dtype": st.text(max_size=3) | st.just("<f4"),
        "shape": st.lists(st.integers(-2, 4), max_size=3),
        "data": st.binary(),
    }
)


@given(st.dictionaries(st.text(), VALUES | SAMPLES, max_size=5), st.booleans())
def test_whatever_travels_can_be_shown_without_its_type(message: dict[str, Any], full: bool) -> None:
    read = unpack(msgpack.packb(message))
    assert len(list(lines(read, None, full=full))) >= len(message)
    json.dumps(without_nan(plain_message(read, None, full=full)), allow_nan=False)


@given(st.dictionaries(st.sampled_from(["name", "load_pct", "other"]), VALUES))
def test_a_message_that_breaks_its_own_definition_can_be_shown(message: dict[str, Any]) -> None:
    defined = definition(Axis)
    list(lines(message, defined))
    json.dumps(without_nan(plain_message(message, defined)), allow_nan=False)


@given(st.binary())
def test_garbage_is_unreadable_or_a_map(payload: bytes) -> None:
    try:
        assert isinstance(unpack(payload), dict)
    except Unreadable as error:
        assert str(error)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (math.nan, "%", "no reading"),
        (1.5, "%", "1.5 %"),
        (3, "", "3"),
        (5_000_000, "ns", "5000000 ns"),
        (True, "", "true"),
        (None, "mm", "none"),
        (b"\x00\xff", "", "2 B 00 ff"),
        (bytes(20), "", "20 B " + "00 " * 16 + "..."),
    ],
)
def test_text(value: Any, unit: str, shown: str) -> None:
    assert text(value, unit) == shown


def test_a_time_of_day_stands_beside_its_ns() -> None:
    assert text(1_795_524_089_093_043_128, "ns").startswith("1795524089093043128 ns (")


def test_pick() -> None:
    defined = definition(Feed)
    message = unpack(codec(Feed).encode(Feed(percent=3.0)))
    assert pick(message, defined, "percent") == (3.0, "float", "%")
    with pytest.raises(BadPath, match="did you mean 'percent'"):
        pick(message, defined, "percen")
    with pytest.raises(BadPath):
        pick(message, defined, "percent.deeper")
    assert units(defined) == {"percent": "%"}
    assert paths(defined) == ["percent", "note"]
