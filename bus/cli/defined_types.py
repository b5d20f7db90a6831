"""A message type made from the definition in a node's entry: to speak to a node of a checkout that is not this one."""

from __future__ import annotations

from collections.abc import Container
from enum import StrEnum
from typing import Annotated, Any

from pydantic import PydanticUserError, create_model

from schemas.base import Message, Samples, Unit
from schemas.definition import BadDefinition, Definition

_PLAIN: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str, "bytes": bytes, "samples": Samples}


def message_type(defined: Definition, given: Container[str] | None = None) -> type[Message]:
    """The type as its owner has it.

    What a default is stands in no definition: with `given`, a field that has one and is not in it is left out, so that
    the owner fills it in.

    Raises:
        BadDefinition: no class can be made of it here, whatever its owner is written in.
    """
    try:
        return _message_type(defined, given)
    except (TypeError, NameError, ValueError, PydanticUserError) as error:
        raise BadDefinition(f"{defined['name']}: {error}") from None


def _message_type(defined: Definition, given: Container[str] | None = None) -> type[Message]:
    columns: dict[str, Any] = {
        f["name"]: (_annotation(f["type"], f.get("unit")), ...)
        for f in defined["fields"]
        if given is None or not f.get("default") or f["name"] in given
    }
    if private := [name for name in columns if name.startswith("_")]:
        raise ValueError(f"{private[0]}: here a field cannot begin with _")
    made: type[Message] = create_model(defined["name"], __base__=Message, __doc__="As its node defines it.", **columns)
    return made


def _annotation(wire: Any, unit: str | None = None) -> Any:
    if unit:
        return Annotated[_annotation(wire), Unit(unit)]
    if isinstance(wire, str):
        return _PLAIN[wire]
    if "enum" in wire:
        return StrEnum("Enum", {f"M{i}": word for i, word in enumerate(wire["enum"])})
    if "tuple" in wire:
        return tuple[_annotation(wire["tuple"]), ...]  # type: ignore[misc] # made at run time
    if "optional" in wire:
        return _annotation(wire["optional"]) | None
    if "unit" in wire:
        return _annotation(wire["of"], wire["unit"])
    return _message_type(wire["message"])
