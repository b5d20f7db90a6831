"""The closed grammar of message fields: reading it off a class, comparing two sides, hashing it, writing JSON Schema.

A field is int, float, bool, str, bytes, a str enum, Samples, a Message, `T | None`, or `tuple[T, ...]`. Everything
that crosses a process boundary about a *type* (discovery entries, bags) is the plain-data `definition` made here:
`{"name": ..., "fields": [{"name", "type", "unit"?, "default"?}]}`.
"""

from __future__ import annotations

import hashlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Literal, get_args, get_origin

from schemas.base import Measured, Message, Samples, Unit
from schemas.definition import Definition as Definition

PLAIN: Mapping[Any, str] = {int: "int", float: "float", bool: "bool", str: "str", bytes: "bytes", Samples: "samples"}


class BadMessage(TypeError):
    """A Message class leaves the grammar, or has validators, limits, aliases: raised when the class is defined."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a Message as the wire sees it."""

    name: str
    type: Any
    """the annotation without metadata"""
    unit: str | None
    measured: bool
    required: bool
    default: Any


def check_declaration(cls: type[Message]) -> None:
    """Refuse a Message whose fields leave the grammar.

    Raises:
        BadMessage: naming the class, the field and what is allowed.
    """
    decorators = cls.__pydantic_decorators__
    if (
        decorators.validators
        or decorators.field_validators
        or decorators.root_validators
        or decorators.model_validators
    ):
        raise BadMessage(f"{cls.__name__}: a message has no validators; an odd reading must arrive")
    if decorators.field_serializers or decorators.model_serializers or decorators.computed_fields:
        raise BadMessage(f"{cls.__name__}: a message has no serializers and no computed fields; what it holds travels")
    for name, info in cls.model_fields.items():
        where = f"{cls.__name__}.{name}"
        if others := [m for m in info.metadata if not isinstance(m, (Unit, Measured))]:
            raise BadMessage(f"{where}: {others[0]!r}; a message has no limits, an odd reading must arrive")
        if info.alias is not None:
            raise BadMessage(f"{where}: a field travels under its own name, not as {info.alias!r}")
        if info.default_factory is not None:
            raise BadMessage(f"{where}: a default is a value; a factory would be asked once and never again")
    listed = fields(cls)
    for field in listed:
        if _mentions(field.type, cls):
            raise BadMessage(f"{cls.__name__}.{field.name}: a message that contains itself cannot travel")
        _wire_type(field.type, f"{cls.__name__}.{field.name}")
    if any(f.type is Samples for f in listed[:-1]):
        raise BadMessage(
            f"{cls.__name__}: a Samples field must be the last field (its bytes travel in a frame of their own)"
        )


def _mentions(annotation: Any, cls: type[Message]) -> bool:
    return annotation is cls or any(_mentions(a, cls) for a in get_args(annotation))


@cache
def fields(cls: type[Message]) -> tuple[Field, ...]:
    """The fields of a message in the order of their declaration."""
    found = []
    for name, info in cls.model_fields.items():
        unit = next((m.symbol for m in info.metadata if isinstance(m, Unit)), None)
        measured = any(isinstance(m, Measured) for m in info.metadata)
        default = None if info.is_required() else info.default
        found.append(Field(name, info.annotation, unit, measured, info.is_required(), default))
    return tuple(found)


def _wire_type(annotation: Any, where: str) -> Any:
    if annotation in PLAIN:
        return PLAIN[annotation]
    if isinstance(annotation, type):
        if issubclass(annotation, StrEnum):
            return {"enum": [m.value for m in annotation]}
        if issubclass(annotation, Message):
            return {"message": definition(annotation)}
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        unit = next((m.symbol for m in annotation.__metadata__ if isinstance(m, Unit)), None)
        inner = _wire_type(args[0], where)
        return {"unit": unit, "of": inner} if unit else inner
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return {"tuple": _wire_type(args[0], where)}
    if origin in (typing.Union, types.UnionType) and len(args) == 2 and type(None) in args:
        return {"optional": _wire_type(args[0] if args[1] is type(None) else args[1], where)}
    raise BadMessage(
        f"{where}: {annotation!r} cannot travel; use int, float, bool, str, bytes, a StrEnum, Samples, a Message, "
        "T | None or tuple[T, ...]"
    )


@cache
def _definition_json(cls: type[Message]) -> str:
    listed = []
    for field in fields(cls):
        entry: dict[str, Any] = {"name": field.name, "type": _wire_type(field.type, f"{cls.__name__}.{field.name}")}
        if field.unit is not None:
            entry["unit"] = field.unit
        if not field.required:
            entry["default"] = True
        listed.append(entry)
    return json.dumps({"name": cls.__name__, "fields": listed}, ensure_ascii=False)


def definition(cls: type[Message]) -> Definition:
    """The type as plain data, fit for JSON."""
    parsed: Definition = json.loads(_definition_json(cls))
    return parsed


def _hashed(defined: Definition) -> list[dict[str, Any]]:
    """A definition without what the hash leaves out: names of types, defaults, the order of fields."""
    listed = [
        {k: _hashed_type(f[k]) if k == "type" else f[k] for k in ("name", "type", "unit") if k in f}
        for f in defined["fields"]
    ]
    return sorted(listed, key=lambda f: str(f["name"]))


def _hashed_type(wire: Any) -> Any:
    if isinstance(wire, str):
        return wire
    if "enum" in wire:
        return {"enum": sorted(wire["enum"])}
    if "message" in wire:
        return {"message": _hashed(wire["message"])}
    return {k: v if k == "unit" else _hashed_type(v) for k, v in wire.items()}


def hash_of(defined: Definition) -> str:
    """16 hex digits over field names, wire types, enum members and units; not over titles, docs, defaults."""
    canonical = json.dumps(_hashed(defined), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


_hashes: dict[type[Message], str] = {}


def type_hash(cls: type[Message]) -> str:
    """`hash_of` the class's definition."""
    found = _hashes.get(cls)
    if found is None:
        found = _hashes[cls] = hash_of(definition(cls))
    return found


@dataclass(frozen=True, slots=True)
class Match:
    """What became of comparing a reader's type with a writer's."""

    outcome: Literal["equal", "compatible", "incompatible"]
    unknown_fields: tuple[str, ...] = ()
    """fields the writer sends and the reader does not know: ignored, and counted per message"""
    reasons: tuple[str, ...] = ()


def match(reader: Definition, writer: Definition) -> Match:
    """Whether `reader` can decode what `writer` encodes: equal, compatible or incompatible, with every reason."""
    if hash_of(reader) == hash_of(writer):
        return Match("equal")
    unknown: list[str] = []
    reasons: list[str] = []
    _compare_fields(reader, writer, "", unknown, reasons)
    return Match("incompatible" if reasons else "compatible", tuple(unknown), tuple(reasons))


def _compare_fields(reader: Definition, writer: Definition, at: str, unknown: list[str], reasons: list[str]) -> None:
    theirs = {f["name"]: f for f in writer["fields"]}
    for field in reader["fields"]:
        path = f"{at}{field['name']}"
        other = theirs.pop(field["name"], None)
        if other is None:
            if not field.get("default"):
                reasons.append(f"{path}: needed by the reader, not sent by the writer")
        elif field.get("unit") != other.get("unit"):
            reasons.append(f"{path}: unit {field.get('unit')!r} in the reader, {other.get('unit')!r} in the writer")
        else:
            _compare_types(field["type"], other["type"], path, unknown, reasons)
    unknown.extend(f"{at}{name}" for name in theirs)


def _compare_types(mine: Any, theirs: Any, path: str, unknown: list[str], reasons: list[str]) -> None:
    if isinstance(mine, dict) and isinstance(theirs, dict) and mine.keys() == theirs.keys():
        if "enum" in mine:
            extra = [m for m in theirs["enum"] if m not in mine["enum"]]
            if extra:
                reasons.append(f"{path}: the writer's members {extra} are unknown to the reader")
        elif "message" in mine:
            _compare_fields(mine["message"], theirs["message"], f"{path}.", unknown, reasons)
        elif "unit" in mine and mine["unit"] != theirs["unit"]:
            reasons.append(f"{path}: unit {mine['unit']!r} in the reader, {theirs['unit']!r} in the writer")
        else:
            kind = "of" if "unit" in mine else next(iter(mine))
            _compare_types(mine[kind], theirs[kind], f"{path}[]" if kind == "tuple" else path, unknown, reasons)
    elif mine != theirs:
        reasons.append(f"{path}: {describe_type(mine)} in the reader, {describe_type(theirs)} in the writer")


def describe_type(wire: Any) -> str:
    """A wire type in one line, for people."""
    if isinstance(wire, str):
        return wire
    if "enum" in wire:
        return "enum(" + "|".join(wire["enum"]) + ")"
    if "tuple" in wire:
        return f"tuple[{describe_type(wire['tuple'])}, ...]"
    if "optional" in wire:
        return f"{describe_type(wire['optional'])} | None"
    if "unit" in wire:
        return f"{describe_type(wire['of'])} [{wire['unit']}]"
    return str(wire["message"]["name"])


def describe(defined: Definition) -> str:
    """A definition as lines `name: type [unit]`, for people."""
    lines = [str(defined["name"])]
    for f in defined["fields"]:
        unit = f" [{f['unit']}]" if f.get("unit") else ""
        lines.append(
            f"  {f['name']}: {describe_type(f['type'])}{unit}{'' if not f.get('default') else ' (has a default)'}"
        )
    return "\n".join(lines)


_JSON_PLAIN: Mapping[str, Mapping[str, Any]] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "str": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "samples": {
        "type": "object",
        "properties": {
            "dtype": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "data": {"type": "string", "contentEncoding": "base64"},
        },
    },
}


def json_schema(cls: type[Message]) -> dict[str, Any]:
    """JSON Schema in the dialect every bag viewer reads: an object at the root, no `$ref`, no `anyOf`, no null.

    An optional field is one that is not required; `unit` stands beside `type`.
    """
    return _json_object(definition(cls), (cls.__doc__ or cls.__name__).strip().splitlines()[0])


def json_schema_of(defined: Definition) -> dict[str, Any]:
    """As `json_schema`, from a definition: for a type whose class is not at hand (a recorder, a bag)."""
    return _json_object(defined)


def _json_object(defined: Definition, text: str | None = None) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required = []
    for field in defined["fields"]:
        wire = field["type"]
        optional = isinstance(wire, dict) and "optional" in wire
        schema = dict(_json_type(wire["optional"] if optional else wire))
        if field.get("unit"):
            schema["unit"] = field["unit"]
        properties[field["name"]] = schema
        if not optional and not field.get("default"):
            required.append(field["name"])
    result: dict[str, Any] = {
        "type": "object",
        "title": defined["name"],
        "properties": properties,
        "required": required,
    }
    if text:
        result["description"] = text
    return result


def _json_type(wire: Any) -> Mapping[str, Any]:
    if isinstance(wire, str):
        return _JSON_PLAIN[wire]
    if "enum" in wire:
        return {"type": "string", "enum": wire["enum"]}
    if "tuple" in wire:
        return {"type": "array", "items": _json_type(wire["tuple"])}
    if "unit" in wire:
        return {**_json_type(wire["of"]), "unit": wire["unit"]}
    if "optional" in wire:
        return _json_type(wire["optional"])
    return _json_object(wire["message"])


def units(cls: type[Message]) -> dict[str, str]:
    """Unit by dotted path of every field that has one, for `echo`."""
    found: dict[str, str] = {}
    for field in fields(cls):
        if field.unit:
            found[field.name] = field.unit
        inner: Any = field.type
        while get_args(inner):
            inner = next(a for a in get_args(inner) if a is not type(None))
        if isinstance(inner, type) and issubclass(inner, Message):
            found.update({f"{field.name}.{path}": unit for path, unit in units(inner).items()})
    return found
