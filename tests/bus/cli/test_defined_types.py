from __future__ import annotations

import pytest

from bus.cli.defined_types import message_type
from bus.cli.known_types import message_types
from schemas.base import Message
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
