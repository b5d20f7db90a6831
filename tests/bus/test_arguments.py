"""Text of a command line as the type that somebody declared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st

from bus.arguments import convert, value_of

WANTED: list[Any] = [int, float, bool, str, Path, Literal["a", "b"], int | None, tuple[int, ...], Any]


@given(st.text(max_size=30), st.sampled_from(WANTED))
def test_any_text_is_converted_or_refused_with_words(text: str, wanted: Any) -> None:
    value_of(text)
    try:
        convert(text, wanted)
    except ValueError as error:
        assert str(error)


def test_what_is_no_json_or_nested_too_deeply_is_text() -> None:
    assert value_of("[1, 2]") == [1, 2]
    assert value_of("STOP") == "STOP"
    assert value_of("[" * 100_000) == "[" * 100_000


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3)))
def test_an_argument_of_any_type_is_what_was_given(value: Any) -> None:
    assert convert(value, Any) == value
    assert value_of(json.dumps(value)) == value
