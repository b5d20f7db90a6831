"""Values from a command line or an include(): text to the type that somebody declared."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal

from bus.site import did_you_mean


def value_of(text: str) -> Any:
    """A value as typed on a command line: JSON where it is JSON, otherwise the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


_BOOLS: Mapping[str, bool] = {
    "true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False,
}  # fmt: skip


def convert(value: Any, wanted: Any) -> Any:
    """An argument's text (or, from include(), its value) as the type that launch() declares for it.

    Raises:
        ValueError: it is none; the text says what would be one.
    """
    if wanted is Any:
        return value
    origin, args = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, UnionType):
        if NoneType in args and value in (None, "none", ""):
            return None
        return convert(value, next(a for a in args if a is not NoneType))
    if origin is Annotated:
        return convert(value, args[0])
    if origin is Literal:
        if value in args:
            return value
        raise ValueError(
            f"{value!r} is not one of {', '.join(map(str, args))}; {did_you_mean(str(value), map(str, args))}"
        )
    if isinstance(wanted, type) and isinstance(value, wanted) and not (wanted is int and isinstance(value, bool)):
        return value
    if wanted is float and type(value) is int:
        return float(value)
    if not isinstance(value, str):
        if not isinstance(wanted, type):
            return value
        raise ValueError(f"expected {wanted.__name__}, got {type(value).__name__} {value!r}")
    if wanted is bool:
        if value.lower() not in _BOOLS:
            raise ValueError(f"{value!r} is no truth value; write true or false")
        return _BOOLS[value.lower()]
    if wanted in (int, float):
        try:
            return wanted(value)
        except ValueError:
            raise ValueError(f"expected {'a whole number' if wanted is int else 'a number'}, got {value!r}") from None
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        for member in wanted:
            if value in (member.name, str(member.value)):
                return member
        names = [m.name for m in wanted]
        raise ValueError(f"{value!r} is not one of {', '.join(names)}; {did_you_mean(value, names)}")
    if wanted is Path:
        return Path(value)
    raise ValueError(f"a {getattr(wanted, '__name__', wanted) if not args else wanted} cannot be given as text")
