"""Random messages of any type, made from the type's own grammar."""

from __future__ import annotations

import math
import types
import typing
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, get_args, get_origin

import numpy as np
from hypothesis import strategies as st

from schemas.base import DTYPES, Message, Samples
from schemas.grammar import fields

M = TypeVar("M", bound=Message)

INTEGERS = st.integers(-(2**63), 2**64 - 1)
TEXT = st.text(max_size=12)


@st.composite
def samples(draw: st.DrawFn) -> Samples:
    """Arrays of every dtype and up to three dimensions, any bits: NaN with payload, infinities, subnormals."""
    dtype = np.dtype(draw(st.sampled_from(sorted(DTYPES))))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    data = draw(st.binary(min_size=math.prod(shape) * dtype.itemsize, max_size=math.prod(shape) * dtype.itemsize))
    return Samples(np.frombuffer(data, dtype).reshape(shape))


@cache
def messages(cls: type[M], *, finite: bool = False) -> st.SearchStrategy[M]:
    """Instances of `cls`, fields with a default sometimes left to it; `finite` leaves NaN and the infinities out."""
    declared = fields(cls)
    values = {f.name: _values(f.type, finite) for f in declared}
    return st.fixed_dictionaries(
        {f.name: values[f.name] for f in declared if f.required},
        optional={f.name: values[f.name] for f in declared if not f.required},
    ).map(lambda chosen: cls(**chosen))


def _values(annotation: Any, finite: bool) -> st.SearchStrategy[Any]:
    plain: dict[Any, st.SearchStrategy[Any]] = {
        int: INTEGERS,
        float: st.floats(allow_nan=not finite, allow_infinity=not finite),
        bool: st.booleans(),
        str: TEXT,
        bytes: st.binary(max_size=12),
        Samples: samples(),
    }
    if annotation in plain:
        return plain[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _values(args[0], finite)
    if origin is tuple:
        return st.lists(_values(args[0], finite), max_size=3).map(tuple)
    if origin in (typing.Union, types.UnionType):
        return st.none() | _values(args[0] if args[1] is type(None) else args[1], finite)
    if issubclass(annotation, StrEnum):
        return st.sampled_from(list(annotation))
    assert issubclass(annotation, Message), annotation
    return messages(annotation, finite=finite)


def every_message() -> list[type[Message]]:
    """Every message class of schemas/, found by importing its modules."""
    import importlib
    import pkgutil

    import schemas

    for module in pkgutil.iter_modules(schemas.__path__):
        importlib.import_module(f"schemas.{module.name}")
    found: list[type[Message]] = []
    waiting = [Message]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            if cls.__module__.startswith("schemas."):
                found.append(cls)
    return sorted(set(found), key=lambda c: (c.__module__, c.__name__))
