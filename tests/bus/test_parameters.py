"""Parameters by themselves; as a node has them: test_node.py."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.parameters import BadParameter, Parameter, parameter


class Colour(StrEnum):
    RED = "RED"
    GREEN = "GREEN"


DECLARED: dict[str, Parameter[Any]] = {
    "limit_pct": parameter(85.0, unit="%", ge=0, le=200),
    "count": parameter(3, ge=1),
    "on": parameter(True),
    "word": parameter("x", choices=("x", "y")),
    "colour": parameter(Colour.RED),
    "names": parameter(("a",)),
    "owners": parameter({"x": 1}),
}
for _name, _declared in DECLARED.items():
    _declared.__set_name__(object, _name)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["x", "GREEN"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", DECLARED)
@given(value=PLAIN)
def test_whatever_is_given_fits_or_is_refused_by_name(name: str, value: Any) -> None:
    declared = DECLARED[name]
    try:
        kept = declared.check(value)
    except BadParameter as error:
        assert str(error).startswith(f"{name}: ")
    else:
        assert type(kept) is type(declared.default)
        assert declared.check(kept) == kept


@pytest.mark.parametrize("name", DECLARED)
def test_a_default_fits_itself(name: str) -> None:
    assert DECLARED[name].check(DECLARED[name].default) == DECLARED[name].default


def test_an_integer_beyond_every_float_is_refused() -> None:
    with pytest.raises(BadParameter, match="limit_pct: no number has so many digits"):
        DECLARED["limit_pct"].check(10**400)


def test_types_have_names_for_people() -> None:
    assert [p.type_name for p in DECLARED.values()] == ["number", "int", "bool", "str", "Colour", "tuple", "dict"]
