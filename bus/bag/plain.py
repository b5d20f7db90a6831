"""A recorded payload as plain data, by the definition the bag keeps: no class is needed."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from schemas.base import Samples
from schemas.grammar import Definition, describe_type
from schemas.sayable import sayable, shown

_decode = msgspec.msgpack.Decoder().decode
_NONE_OF_IT = (ValueError, RecursionError, OverflowError)
"""what msgspec says of bytes that are no msgpack; of text that is no UTF-8 and of a time beyond the calendar it is an
error of Python's"""
_KINDS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (float, int), "bool": (bool,), "str": (str,)}


class BadPayload(ValueError):
    """The payload is no message of its definition; the text says where and what was expected."""

    def __init__(self, reason: str) -> None:
        super().__init__(sayable(reason))


def words(payload: bytes, *names: str) -> tuple[str, ...]:
    """Some fields of a payload as text, whatever its type; empty where it is no map, or has no such field."""
    try:
        values = _decode(payload)
    except _NONE_OF_IT:
        values = {}
    found = [values.get(name, "") if isinstance(values, dict) else "" for name in names]
    return tuple(v if isinstance(v, str) else shown(v) for v in found)


def unpack(defined: Definition, payload: bytes) -> dict[str, Any]:
    """The fields of a message; Samples become Samples, bytes stay bytes. Fields with a default may be missing.

    Raises:
        BadPayload: not msgpack, or not of this definition.
    """
    try:
        values = _decode(payload)
    except _NONE_OF_IT as error:
        raise BadPayload(f"not msgpack: {error}") from None
    return _message(defined, values, "$")


def _message(defined: Definition, values: Any, path: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise BadPayload(f"{path}: expected a map ({defined['name']}), got {type(values).__name__}")
    made: dict[str, Any] = {}
    for field in defined["fields"]:
        name = field["name"]
        if name in values:
            made[name] = _value(field["type"], values[name], f"{path}.{name}")
        elif not field.get("default"):
            raise BadPayload(f"{path}.{name}: missing")
    return made


def _value(wire: Any, value: Any, path: str) -> Any:
    if isinstance(wire, str):
        return _plain(wire, value, path)
    if "optional" in wire:
        return None if value is None else _value(wire["optional"], value, path)
    if "message" in wire:
        return _message(wire["message"], value, path)
    if "unit" in wire:
        return _value(wire["of"], value, path)
    if "tuple" in wire:
        if isinstance(value, list):
            return [_value(wire["tuple"], item, f"{path}[{i}]") for i, item in enumerate(value)]
    elif value in wire["enum"]:
        return value
    raise BadPayload(f"{path}: expected {describe_type(wire)}, got {shown(value, 40)}")


def _plain(wire: str, value: Any, path: str) -> Any:
    if wire == "samples":
        try:
            return Samples.from_wire(value["dtype"], tuple(value["shape"]), value["data"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadPayload(f"{path}: no samples: {error}") from None
    if wire == "bytes" and isinstance(value, bytes):
        return value
    kinds = _KINDS.get(wire, ())
    if isinstance(value, kinds) and (wire == "bool" or not isinstance(value, bool)):
        return value
    raise BadPayload(f"{path}: expected {wire}, got {type(value).__name__}")


def number(value: float) -> float | None:
    """A float for JSON: what is no number is null."""
    return value if math.isfinite(value) else None


def numbers(samples: Samples) -> list[float | int | None]:
    """All values of an array in row order, for JSON."""
    a = samples.array.reshape(-1)
    if a.dtype.kind != "f":
        return list(a.tolist())
    finite = np.isfinite(a)
    values = a.astype("f8").tolist()
    return list(values) if finite.all() else [v if ok else None for v, ok in zip(values, finite.tolist(), strict=True)]
