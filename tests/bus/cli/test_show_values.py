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


@pytest.mark.parametrize(
    "value",
    [
        {"dtype": "<f4", "shape": 1, "data": bytes(4)}, {"dtype": "S2", "shape": [2], "data": bytes(4)},
        {"dtype": "(1,", "shape": [2], "data": bytes(4)}, {"dtype": "M8[s]", "shape": [1], "data": bytes(8)},
        {"dtype": "f4,f4", "shape": [1], "data": bytes(8)}, {"dtype": "O", "shape": [0], "data": b""},
    ],
)  # fmt: skip
def test_samples_that_are_none_are_said_to_be_broken(value: Any) -> None:
    assert list(lines({"data": value}, None)) == ["data: broken samples"]
    assert plain_message({"data": value}, None) == {"data": {"dtype": None, "shape": None}}


@pytest.mark.parametrize("payload", [b"\x81\x90\x01", b"\x81\xa1a" + b"\x91" * 400 + b"\x01", b"\x81\x80\x01"])
def test_keys_that_are_lists_and_towers_are_unreadable(payload: bytes) -> None:
    with pytest.raises(Unreadable):
        unpack(payload)


def test_a_key_of_any_kind_is_text_in_json() -> None:
    message = unpack(b"\x81\xa1a\x82\xc7\x01\x07x\x01\xc4\x01b\x02")
    assert len(json.loads(json.dumps(plain_message(message, None)))["a"]) == 2


@pytest.mark.parametrize("step", ["²", "9" * 5000, "-1", "٣٤"])
def test_an_index_that_is_none_is_a_bad_path(step: str) -> None:
    with pytest.raises(BadPath):
        pick({"a": [1, 2]}, None, f"a.{step}")
