"""A message for people and for JSON, from its bytes and the type definition that its publisher gave.

The definition travels in the publisher's entry, so a type that this checkout has never heard of is shown as well as
one of ours: with units, arrays in short, and NaN as what it means.
"""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgpack

from schemas.grammar import Definition

NO_READING = "no reading"
SHORT = 16
"""items of a tuple, columns of an array and bytes that are shown without --full"""
DEEPEST = 64
"""lists and maps within one another: no message of ours comes near it"""
WALL_NS = 10**18
"""an integer in ns from here on is a time of day (since 2001), not a duration"""


class Unreadable(ValueError):
    """The bytes are no message: not a msgpack map."""


class BadPath(ValueError):
    """A path names no field; the text names those there are."""


def unpack(payload: bytes) -> dict[str, Any]:
    """The message as the plain map it is on the wire.

    Raises:
        Unreadable: says why.
    """
    try:
        message = msgpack.unpackb(payload, unicode_errors="replace", strict_map_key=False)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:  # TypeError: a list as a key
        raise Unreadable(f"{len(payload)} bytes that are no msgpack: {error}") from None
    if not isinstance(message, dict):
        raise Unreadable(f"expected a map, got {type(message).__name__}")
    if _deeper(message, DEEPEST):
        raise Unreadable(f"more than {DEEPEST} maps and lists within one another")
    return {str(key): value for key, value in message.items()}


def _deeper(value: Any, than: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return than == 0 or any(_deeper(item, than - 1) for item in inner if isinstance(item, (dict, list)))


# --- reading along the definition ---------------------------------------------------------------------------------


def _stripped(wire: Any, unit: str = "") -> tuple[Any, str]:
    """The type below `T | None` and a unit of its own."""
    while isinstance(wire, dict) and ("optional" in wire or "unit" in wire):
        unit = wire.get("unit") or unit
        wire = wire["optional"] if "optional" in wire else wire["of"]
    return wire, unit


def _fields(message: Mapping[str, Any], defined: Definition | None) -> Iterator[tuple[str, Any, Any, str]]:
    """(name, value, type, unit) in the order of the definition, then what it does not mention."""
    rest = dict(message)
    for field in defined["fields"] if defined else ():
        if field["name"] in rest:
            yield field["name"], rest.pop(field["name"]), *_stripped(field["type"], field.get("unit") or "")
    for name, value in rest.items():
        yield name, value, None, ""


def _nested(value: Any, wire: Any) -> Definition | None:
    """The definition of a message inside; an empty one where only the value tells that it is one."""
    if not isinstance(value, dict) or _is_samples(value, wire):
        return None
    return wire["message"] if isinstance(wire, dict) and "message" in wire else {"name": "", "fields": []}


def _is_samples(value: Any, wire: Any) -> bool:
    return wire == "samples" or (
        wire is None and isinstance(value, dict) and value.keys() == {"dtype", "shape", "data"}
    )


def _element(wire: Any, unit: str) -> tuple[Any, str]:
    return _stripped(wire["tuple"], unit) if isinstance(wire, dict) and "tuple" in wire else (None, unit)


def units(defined: Definition | None, at: str = "") -> dict[str, str]:
    """Unit by dotted path of every field that has one; the index in a tuple is left out."""
    found: dict[str, str] = {}
    for field in defined["fields"] if defined else ():
        path = f"{at}{field['name']}"
        wire, unit = _stripped(field["type"], field.get("unit") or "")
        while isinstance(wire, dict) and "tuple" in wire:
            wire, unit = _element(wire, unit)
        if unit:
            found[path] = unit
        if isinstance(wire, dict) and "message" in wire:
            found |= units(wire["message"], f"{path}.")
    return found


def paths(defined: Definition | None, at: str = "") -> list[str]:
    """Every field's dotted path."""
    found: list[str] = []
    for field in defined["fields"] if defined else ():
        path = f"{at}{field['name']}"
        found.append(path)
        wire = _stripped(field["type"])[0]
        while isinstance(wire, dict) and "tuple" in wire:
            wire = _element(wire, "")[0]
        if isinstance(wire, dict) and "message" in wire:
            found += paths(wire["message"], f"{path}.")
    return found


def pick(message: Mapping[str, Any], defined: Definition | None, path: str) -> tuple[Any, Any, str]:
    """(value, type, unit) of `spindle.load_pct` or `findings.0.code`.

    Raises:
        BadPath: no such field.
    """
    value: Any = message
    wire: Any = {"message": defined} if defined else None
    unit = ""
    for step in path.split("."):
        if isinstance(value, list):
            wire, unit = _element(wire, unit)
            if not step.isdecimal() or len(step) > 9 or int(step) >= len(value):
                raise BadPath(f"{path}: {step!r} is not an index below {len(value)}")
            value = value[int(step)]
            continue
        inner = _nested(value, wire)
        found = {name: rest for name, *rest in _fields(value, inner)} if inner is not None else {}
        if step not in found:
            from bus.site import did_you_mean

            raise BadPath(f"no field {path!r}; {did_you_mean(path, paths(defined) or message)}")
        value, wire, unit = found[step]
    return value, wire, unit


# --- for people -----------------------------------------------------------------------------------------------------


def lines(
    message: Mapping[str, Any], defined: Definition | None, *, full: bool = False, indent: str = ""
) -> Iterator[str]:
    """A message as `name: value unit`, line by line."""
    for name, value, wire, unit in _fields(message, defined):
        yield from value_lines(name, value, wire, unit, full=full, indent=indent)


def value_lines(name: str, value: Any, wire: Any, unit: str, *, full: bool = False, indent: str = "") -> Iterator[str]:
    """One field."""
    if (inner := _nested(value, wire)) is not None:
        yield f"{indent}{name}:"
        yield from lines(value, inner, full=full, indent=f"{indent}  ")
    elif _is_samples(value, wire):
        yield from _samples_lines(name, value, full=full, indent=indent)
    elif isinstance(value, list):
        of, unit = _element(wire, unit)
        if any(isinstance(item, (dict, list)) for item in value):
            shown = value if full else value[:SHORT]
            for i, item in enumerate(shown):
                yield from value_lines(f"{name}[{i}]", item, of, unit, full=full, indent=indent)
            if len(shown) < len(value):
                yield f"{indent}{name}: ... {len(value)} in all, --full shows them"
        else:
            texts = [text(item) for item in (value if full else value[:SHORT])]
            more = f", ... {len(value)} in all" if len(texts) < len(value) else ""
            shown_unit = f" {unit}" if unit and value else ""
            yield f"{indent}{name}: {', '.join(texts) + more if value else '(empty)'}{shown_unit}"
    else:
        yield f"{indent}{name}: {text(value, unit, full=full)}"


def text(value: Any, unit: str = "", *, full: bool = False) -> str:
    """A plain value with its unit."""
    if value is None:
        return "none"
    if isinstance(value, float):
        if math.isnan(value):
            return NO_READING
        return f"{value:.6g}{f' {unit}' if unit else ''}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (bytes, bytearray)):
        cut = not full and len(value) > SHORT
        return f"{len(value)} B {bytes(value[:SHORT] if cut else value).hex(' ')}{' ...' if cut else ''}".rstrip()
    if isinstance(value, int):
        clock = f" ({clock_time(value)})" if unit == "ns" and value > WALL_NS else ""
        return f"{value}{f' {unit}' if unit else ''}{clock}"
    return str(value)


def clock_time(wall_ns: int) -> str:
    """Local time of day to the millisecond."""
    try:
        day = time.strftime("%H:%M:%S", time.localtime(wall_ns // 1_000_000_000))
    except (OverflowError, ValueError, OSError):
        return "no time of day"
    return f"{day}.{wall_ns // 1_000_000 % 1000:03d}"


def _samples_lines(name: str, value: Any, *, full: bool, indent: str) -> Iterator[str]:
    array = _array(value)
    if array is None:
        yield f"{indent}{name}: broken samples"
        return
    head = f"{indent}{name}: {value['dtype']} {list(value['shape'])}"
    if full:
        yield head
        for row in array if array.ndim else [array]:
            yield f"{indent}  {', '.join(text(v) for v in row.ravel().tolist())}"
    elif array.ndim == 2 and 1 < array.shape[1] <= SHORT:
        yield f"{head}  min / mean / max by column"
        for i in range(array.shape[1]):
            yield f"{indent}  [{i}] {_summary(array[:, i])}"
    else:
        yield f"{head}  min / mean / max {_summary(array)}"


def _summary(array: Any) -> str:
    found = _statistics(array)
    if found is None:
        return NO_READING
    low, mean, high = found
    return text(mean) if low == high else f"{text(low)} / {text(mean)} / {text(high)}"


def _statistics(array: Any) -> tuple[float, float, float] | None:
    """Least, mean, greatest of the numbers that are some."""
    import numpy as np

    good = array[np.isfinite(array)]
    return (float(good.min()), float(good.mean(dtype="f8")), float(good.max())) if good.size else None


def _array(value: Any) -> Any:
    from schemas.base import Samples

    try:
        return Samples.from_wire(value["dtype"], tuple(value["shape"]), value["data"]).array
    except (ValueError, TypeError, KeyError):
        return None


# --- for programs ---------------------------------------------------------------------------------------------------


def plain(value: Any, wire: Any = None, *, full: bool = False) -> Any:
    """A value as JSON holds it: bytes in base64, an array as its shape with min, mean and max, or with all values."""
    if _is_samples(value, wire):
        return _plain_samples(value, full=full)
    if isinstance(value, dict):
        return {str(n): plain(v, w, full=full) for n, v, w, _ in _fields(value, _nested(value, wire))}
    if isinstance(value, list):
        of = _element(wire, "")[0]
        return [plain(item, of, full=full) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    return value if isinstance(value, (int, float, str, bool)) or value is None else str(value)


def plain_message(message: Mapping[str, Any], defined: Definition | None, *, full: bool = False) -> dict[str, Any]:
    """A whole message."""
    return {name: plain(value, wire, full=full) for name, value, wire, _ in _fields(message, defined)}


def _plain_samples(value: Any, *, full: bool) -> dict[str, Any]:
    array = _array(value)
    if array is None:
        return {"dtype": None, "shape": None}
    shape: Sequence[int] = list(array.shape)
    if full:
        return {"dtype": value["dtype"], "shape": shape, "values": array.tolist()}
    low, mean, high = _statistics(array) or (math.nan,) * 3
    return {"dtype": value["dtype"], "shape": shape, "min": low, "mean": mean, "max": high}
