"""The closed grammar: what a class may declare, its hash, the three outcomes of a comparison, its JSON Schema."""

from __future__ import annotations

import json
from enum import Enum, StrEnum
from typing import Annotated, Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, create_model, field_serializer, field_validator

from schemas.base import Measured, MeasuredMilliseconds, Message, Millimetres, Percent, Samples, Unit
from schemas.grammar import BadMessage, definition, describe, fields, hash_of, json_schema, match, type_hash, units
from schemas.machine import Execution, MachineInfo, SignalBlock, StopRequest
from tests.schemas.strategies import every_message, messages

EVERY_TYPE = pytest.mark.parametrize("cls", every_message(), ids=lambda c: c.__name__)


def made(name: str = "Reading", **declared: Any) -> type[Message]:
    """A message class with these fields: a type, or (type, default)."""
    full = {n: d if isinstance(d, tuple) else (d, ...) for n, d in declared.items()}
    cls: type[Message] = create_model(name, __base__=Message, **full)  # type: ignore[call-overload] # fields as a dict
    return cls


class Colour(StrEnum):
    RED = "RED"
    GREEN = "GREEN"


class GreenFirst(StrEnum):
    GREEN = "GREEN"
    RED = "RED"


class WithBlue(StrEnum):
    RED = "RED"
    GREEN = "GREEN"
    BLUE = "BLUE"


class Plain(Enum):
    A = 1


class Inner(Message):
    """Nested."""

    depth_mm: Millimetres


# --- what a class may declare -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        dict[str, int],
        list[int],
        tuple[int, str],
        tuple[int],
        int | str,
        int | str | None,
        Any,
        object,
        complex,
        Plain,
        set[int],
        tuple[dict[str, int], ...],
        dict[str, int] | None,
    ],
    ids=str,
)
def test_a_type_outside_the_grammar_is_refused_naming_class_and_field(bad: Any) -> None:
    with pytest.raises(BadMessage, match=r"Reading\.x: .* cannot travel; use int, float"):
        made(x=bad)


def test_a_message_that_contains_itself_is_refused() -> None:
    with pytest.raises(BadMessage, match=r"Tree\.children: a message that contains itself"):

        class Tree(Message):
            children: tuple[Tree, ...] = ()


def test_an_array_that_is_not_last_is_refused() -> None:
    with pytest.raises(BadMessage, match="must be the last field"):
        made(data=Samples, x=int)


def test_limits_aliases_and_factories_are_refused() -> None:
    with pytest.raises(BadMessage, match=r"Reading\.x: Ge\(ge=0\); a message has no limits"):
        made(x=(int, Field(ge=0)))
    with pytest.raises(BadMessage, match=r"Reading\.x: .* not as 'X'"):
        made(x=(int, Field(alias="X")))
    with pytest.raises(BadMessage, match=r"Reading\.x: a default is a value"):
        made(x=(tuple[int, ...], Field(default_factory=tuple)))


def test_validators_and_serializers_are_refused() -> None:
    with pytest.raises(BadMessage, match="no validators"):

        class Judged(Message):
            x: int

            @field_validator("x")
            @classmethod
            def positive(cls, value: int) -> int:
                return abs(value)

    with pytest.raises(BadMessage, match="no serializers"):

        class Dressed(Message):
            x: int

            @field_serializer("x")
            def doubled(self, value: int) -> int:
                return value * 2


def test_fields_know_unit_default_and_whether_they_are_measured() -> None:
    cls = made(load_pct=Percent, delay_ms=(MeasuredMilliseconds, 1.5))
    load, delay = fields(cls)
    assert (load.unit, load.required, load.measured) == ("%", True, False)
    assert (delay.unit, delay.required, delay.default, delay.measured) == ("ms", False, 1.5, True)


# --- the hash ---------------------------------------------------------------------------------------------------------


def test_the_hash_leaves_out_names_docs_defaults_and_order() -> None:
    one = made("One", x=int, colour=Colour, inner=(Inner | None, None))
    two = made("Two", inner=(Inner | None, Inner(depth_mm=1.0)), colour=(GreenFirst, GreenFirst.RED), x=(int, 3))
    two.__doc__ = "Other words."
    assert type_hash(one) == type_hash(two)
    assert type_hash(made(x=Annotated[int, Measured()])) == type_hash(made(x=int))


@pytest.mark.parametrize(
    "other",
    [
        made(y=int, colour=Colour),
        made(x=float, colour=Colour),
        made(x=int, colour=WithBlue),
        made(x=Annotated[int, Unit("B")], colour=Colour),
        made(x=int | None, colour=Colour),
        made(x=tuple[int, ...], colour=Colour),
        made(x=int, colour=Colour, z=int),
    ],
)
def test_the_hash_covers_names_types_members_and_units(other: type[Message]) -> None:
    assert type_hash(other) != type_hash(made(x=int, colour=Colour))


def test_the_hash_looks_into_nested_messages() -> None:
    other = made("Inner", depth_mm=float)
    assert type_hash(made(x=Inner)) != type_hash(made(x=other))
    assert type_hash(made(x=tuple[Inner, ...])) != type_hash(made(x=tuple[other, ...]))  # type: ignore[valid-type] # made at run time


def test_a_hash_that_is_on_disk_stays() -> None:
    """Bags and discovery entries hold hashes: the way of computing them may not change."""
    assert type_hash(made(x=int, colour=Colour, depth_mm=Millimetres, inner=Inner)) == "b9e4e571056b1a58"
    assert hash_of(json.loads(json.dumps(definition(StopRequest)))) == type_hash(StopRequest)


@EVERY_TYPE
def test_a_definition_is_plain_data(cls: type[Message]) -> None:
    assert json.loads(json.dumps(definition(cls))) == definition(cls)
    assert definition(cls) is not definition(cls)
    assert match(definition(cls), definition(cls)).outcome == "equal"


# --- the three outcomes -----------------------------------------------------------------------------------------------


def compared(reader: type[Message], writer: type[Message]) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    found = match(definition(reader), definition(writer))
    return found.outcome, found.unknown_fields, found.reasons


@pytest.mark.parametrize(
    ("reader", "writer", "unknown"),
    [
        (made(x=int, y=(int, 0)), made(x=int), ()),
        (made(x=int), made(x=int, y=str), ("y",)),
        (made(x=int, y=(int, 0)), made(x=int, z=str), ("z",)),
        (made(c=WithBlue), made(c=Colour), ()),
        (made(i=Inner), made(i=made("Inner", depth_mm=Millimetres, more=str)), ("i.more",)),
        (
            made(i=tuple[Inner, ...]),
            made(i=tuple[made("Inner", depth_mm=Millimetres, more=str), ...]),  # type: ignore[misc] # made at run time
            ("i[].more",),
        ),
        (made(i=Inner | None), made(i=made("Inner", depth_mm=Millimetres, more=str) | None), ("i.more",)),
    ],
)
def test_compatible(reader: type[Message], writer: type[Message], unknown: tuple[str, ...]) -> None:
    assert compared(reader, writer) == ("compatible", unknown, ())


@pytest.mark.parametrize(
    ("reader", "writer", "reason"),
    [
        (made(x=int, y=int), made(x=int), "y: needed by the reader, not sent by the writer"),
        (made(x=int), made(x=float), "x: int in the reader, float in the writer"),
        (made(x=(int, 0)), made(x=str), "x: int in the reader, str in the writer"),
        (made(x=int), made(x=int | None), "x: int in the reader, int | None in the writer"),
        (made(x=int | None), made(x=int), "x: int | None in the reader, int in the writer"),
        (made(x=tuple[int, ...]), made(x=tuple[str, ...]), "x[]: int in the reader, str in the writer"),
        (made(x=Percent), made(x=float), "x: unit '%' in the reader, None in the writer"),
        (made(x=Percent), made(x=Millimetres), "x: unit '%' in the reader, 'mm' in the writer"),
        (
            made(x=tuple[Percent, ...]),
            made(x=tuple[Millimetres, ...]),
            "x[]: unit '%' in the reader, 'mm' in the writer",
        ),
        (made(x=tuple[Percent, ...]), made(x=tuple[float, ...]), "x[]: float [%] in the reader, float in the writer"),
        (made(c=Colour), made(c=WithBlue), "c: the writer's members ['BLUE'] are unknown to the reader"),
        (made(c=Colour), made(c=str), "c: enum(RED|GREEN) in the reader, str in the writer"),
        (
            made(i=Inner),
            made(i=made("Inner", depth_mm=float)),
            "i.depth_mm: unit 'mm' in the reader, None in the writer",
        ),
        (made(i=Inner), made(i=made("Inner")), "i.depth_mm: needed by the reader, not sent by the writer"),
        (made(i=Inner), made(i=Samples), "i: Inner in the reader, samples in the writer"),
    ],
)  # fmt: skip
def test_incompatible_says_where_and_why(reader: type[Message], writer: type[Message], reason: str) -> None:
    outcome, _, reasons = compared(reader, writer)
    assert outcome == "incompatible"
    assert list(reasons) == [reason]


def test_every_reason_is_given_at_once() -> None:
    _, _, reasons = compared(made(a=int, b=int, c=int), made(a=str, b=float))
    assert len(reasons) == 3


def test_a_definition_for_people() -> None:
    cls = made(load_pct=Percent, colours=tuple[Colour, ...], inner=(Inner | None, None), parts=tuple[Percent, ...])
    assert describe(definition(cls)).splitlines() == [
        "Reading",
        "  load_pct: float [%]",
        "  colours: tuple[enum(RED|GREEN), ...]",
        "  inner: Inner | None (has a default)",
        "  parts: tuple[float [%], ...]",
    ]


def test_units_by_path() -> None:
    assert units(MachineInfo)["sources.rate_hz"] == "Hz"
    assert units(made(load_pct=Percent, inner=Inner | None)) == {"load_pct": "%", "inner.depth_mm": "mm"}


# --- JSON Schema ------------------------------------------------------------------------------------------------------


def walk(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, dict):
        return [schema, *(inner for value in schema.values() for inner in walk(value))]
    return [inner for value in schema for inner in walk(value)] if isinstance(schema, list) else []


@EVERY_TYPE
def test_the_schema_stays_in_the_dialect_that_every_viewer_reads(cls: type[Message]) -> None:
    schema = json_schema(cls)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert list(schema["properties"]) == list(cls.model_fields)
    text = json.dumps(schema)
    for word in ("$ref", "$defs", "anyOf", "oneOf", "allOf", "null"):
        assert f'"{word}"' not in text
    for inner in walk(schema):
        if "enum" in inner and isinstance(inner["enum"], list):
            assert inner["type"] == "string"


def without_none(value: Any) -> Any:
    """Viewers leave out what is null."""
    if isinstance(value, dict):
        return {k: without_none(v) for k, v in value.items() if v is not None}
    return [without_none(v) for v in value] if isinstance(value, list) else value


@EVERY_TYPE
@settings(max_examples=10)
@given(data=st.data())
def test_the_json_form_of_a_message_fits_its_schema_and_reads_back(cls: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(cls, finite=True))
    text = message.model_dump_json()
    jsonschema.validate(without_none(json.loads(text)), json_schema(cls))
    assert cls.model_validate_json(text) == message


def test_the_schema_holds_units_and_the_first_line_of_the_docstring() -> None:
    schema = json_schema(MachineInfo)
    assert schema["properties"]["last_stop_ms"] == {"type": "number", "unit": "ms"}
    assert schema["properties"]["sources"]["items"]["properties"]["rate_hz"]["unit"] == "Hz"
    assert schema["description"] == "What the machine is and what may be asked of it."
    assert "sources" not in schema["required"]
    assert "cause" not in json_schema(StopRequest)["required"]


def test_no_reading_is_null_in_json() -> None:
    cls = made(load_pct=Percent)
    assert cls.model_validate({"load_pct": float("nan")}).model_dump_json() == '{"load_pct":null}'


def test_a_schema_refuses_what_is_no_such_message() -> None:
    wrongs: list[Any] = [{}, {"reason": 3, "requested_by": "", "stamp_ns": 0}, []]
    for wrong in wrongs:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, json_schema(StopRequest))
    assert json_schema(SignalBlock)["properties"]["data"]["properties"]["dtype"] == {"type": "string"}
    assert json_schema(made(e=Execution))["properties"]["e"]["enum"][0] == "READY"
