"""A message type as plain data, as it crosses a process boundary: in a node's entry, in a bag. Light: tools start fast.

`{"name": ..., "fields": [{"name", "type", "unit"?, "default"?}]}`, where a type is one of PLAIN, or one of
`{"enum": [words]}`, `{"message": definition}`, `{"tuple": type}`, `{"optional": type}`, `{"unit": text, "of": type}`.
schemas/grammar.py makes them from classes and compares them.
"""

from __future__ import annotations

from typing import Any

from schemas.sayable import sayable

Definition = dict[str, Any]
PLAIN = frozenset({"int", "float", "bool", "str", "bytes", "samples"})


class BadDefinition(ValueError):
    """Plain data that somebody sent is no definition of a message type; says where and what was expected."""

    def __init__(self, reason: str) -> None:
        super().__init__(sayable(reason))


MOST_DEPTH = 16
"""messages within messages: what is nested deeper no one of ours has written"""


def check_definition(defined: Any) -> Definition:
    """`defined` unchanged, when it is a definition: to be asked once where one comes in, in an entry or a bag.

    Raises:
        BadDefinition: with the path of the first thing that is wrong.
    """
    _check_message(defined, "$", MOST_DEPTH)
    checked: Definition = defined
    return checked


def _check_message(defined: Any, at: str, depth: int) -> None:
    name, listed = (defined.get("name"), defined.get("fields")) if isinstance(defined, dict) else (None, None)
    if not depth or not isinstance(name, str) or not isinstance(listed, list):
        raise BadDefinition(f"{at}: expected {{name, fields}}, at most {MOST_DEPTH} within one another")
    for field in listed:
        if not isinstance(field, dict) or not isinstance(field.get("name"), str):
            raise BadDefinition(f"{at}: expected fields {{name, type, unit, default}}")
        here = f"{at}.{field['name'][:40]}"
        if not isinstance(field.get("unit"), (str, type(None))):
            raise BadDefinition(f"{here}: unit: expected text")
        _check_wire(field.get("type"), here, depth - 1)


def _check_wire(wire: Any, at: str, depth: int) -> None:
    if isinstance(wire, str) and wire in PLAIN:
        return
    keys = frozenset(wire) if isinstance(wire, dict) and depth else frozenset()
    if keys == {"message"}:
        _check_message(wire["message"], at, depth)
    elif keys in ({"tuple"}, {"optional"}):
        _check_wire(next(iter(wire.values())), at, depth - 1)
    elif keys == {"unit", "of"} and isinstance(wire["unit"], str):
        _check_wire(wire["of"], at, depth - 1)
    elif not (keys == {"enum"} and isinstance(wire["enum"], list) and all(isinstance(m, str) for m in wire["enum"])):
        raise BadDefinition(f"{at}: expected a type of the grammar, at most {MOST_DEPTH} within one another")
