from __future__ import annotations

import pytest

from bus.cli.defined_types import message_type
from bus.cli.known_types import message_types
from schemas.base import Message
from schemas.definition import BadDefinition
from schemas.grammar import definition, type_hash
from tests.bus.cli.shop import Feed, Reading


@pytest.mark.parametrize("kind", [Reading, *message_types().values()], ids=lambda kind: kind.__name__)
def test_a_type_made_from_its_definition_has_its_hash(kind: type[Message]) -> None:
    made = message_type(definition(kind))
    assert type_hash(made) == type_hash(kind)
    assert definition(made)["name"] == kind.__name__


def test_what_has_a_default_and_is_not_given_is_left_to_the_owner() -> None:
    assert list(message_type(definition(Feed), given={"percent"}).model_fields) == ["percent"]
    assert list(message_type(definition(Feed), given={"percent", "note"}).model_fields) == ["percent", "note"]


@pytest.mark.parametrize("name", ["_private", "model_config", "class", "a b", "", "__init__"])
def test_a_name_that_no_class_can_have_is_told(name: str) -> None:
    defined = {"name": "Odd", "fields": [{"name": name, "type": "int"}, {"name": "array", "type": "samples"}]}
    try:
        made = message_type(defined)
    except BadDefinition as error:
        assert str(error).startswith("Odd: ")
    else:
        assert name in made.model_fields


def test_an_array_before_the_last_field_is_told() -> None:
    defined = {"name": "Odd", "fields": [{"name": "array", "type": "samples"}, {"name": "x", "type": "int"}]}
    with pytest.raises(BadDefinition, match=r"Odd: .*must be the last field"):
        message_type(defined)
