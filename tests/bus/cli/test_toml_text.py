from __future__ import annotations

import json
import math
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.cli.toml_text import NoToml, key, value

PLAIN = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(name=st.text(), plain=PLAIN)
def test_what_is_written_is_read(name: str, plain: Any) -> None:
    assert tomllib.loads(f"{key(name)} = {value(plain)}  # a word\n") == {name: plain}


def test_not_a_number_is_one() -> None:
    assert math.isnan(tomllib.loads(f"x = {value(math.nan)}")["x"])


@pytest.mark.parametrize("text", ["null", "[1, null]", '{"a": {"b": null}}'])
def test_null_is_refused(text: str) -> None:
    with pytest.raises(NoToml, match="no word for None"):
        value(json.loads(text))
