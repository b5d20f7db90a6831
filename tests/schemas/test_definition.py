"""A definition that somebody else sent is checked once; then everything may read it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.cli.show_values import units
from schemas.base import Message
from schemas.definition import MOST_DEPTH, BadDefinition, check_definition
from schemas.grammar import definition, describe, hash_of, json_schema_of, match
from tests.schemas.strategies import every_message

MINE = [definition(cls) for cls in every_message()]
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["int", "name", "fields", "message"])
)
JSON = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "fields", "type", "unit", "of", "tuple", "enum"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("cls", every_message(), ids=lambda c: c.__name__)
def test_ours_are_definitions(cls: type[Message]) -> None:
    assert check_definition(definition(cls)) == definition(cls)


@given(st.sampled_from(MINE), JSON, st.data())
def test_what_passes_can_be_read(mine: dict[str, Any], junk: Any, data: st.DataObject) -> None:
    theirs = json.loads(json.dumps(mine))
    places = [theirs, *theirs["fields"]]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places))
        place[data.draw(st.sampled_from(["name", "fields", "type", "unit", "default"]))] = junk
    try:
        check_definition(theirs)
    except BadDefinition as error:
        assert str(error)
        return
    hash_of(theirs)
    describe(theirs)
    json_schema_of(theirs)
    units(theirs)
    match(mine, theirs)
    match(theirs, mine)


@pytest.mark.parametrize(
    ("defined", "says"),
    [
        ({}, "$: expected {name, fields}"),
        ([], "$: expected {name, fields}"),
        ({"name": "A", "fields": [3]}, "$: expected fields {name, type, unit, default}"),
        ({"name": "A", "fields": [{"name": "x", "type": "decimal"}]}, "$.x: expected a type of the grammar"),
        ({"name": "A", "fields": [{"name": "x", "type": {"enum": [1]}}]}, "$.x: expected a type of the grammar"),
        ({"name": "A", "fields": [{"name": "x", "type": {"unit": 1, "of": "int"}}]}, "$.x: expected a type"),
        ({"name": "A", "fields": [{"name": "x", "type": "int", "unit": 1}]}, "$.x: unit: expected text"),
        ({"name": "A", "fields": [{"name": "x", "type": {"message": {}}}]}, "$.x: expected {name, fields}"),
    ],
)
def test_what_is_wrong_is_said(defined: Any, says: str) -> None:
    with pytest.raises(BadDefinition) as caught:
        check_definition(defined)
    assert says in str(caught.value)


def test_what_is_nested_too_deeply_is_refused() -> None:
    wire: Any = "int"
    for _ in range(MOST_DEPTH - 1):
        wire = {"tuple": wire}
    check_definition({"name": "A", "fields": [{"name": "x", "type": wire}]})
    for _ in range(50_000):
        wire = {"tuple": wire}
    with pytest.raises(BadDefinition, match="at most 16 within one another"):
        check_definition({"name": "A", "fields": [{"name": "x", "type": wire}]})
    while isinstance(wire, dict):
        wire = wire["tuple"]
