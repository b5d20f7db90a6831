"""A Message to msgpack and back, compiled once per type.

The bytes are the plain msgpack map of the fields, which any language reads. Decoding checks every field with msgspec
(a TypedDict is generated from the pydantic model) and puts the checked values into a pydantic instance without a
second validation: several times faster than `model_validate`, with the same refusals.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, Generic, NotRequired, TypedDict, TypeVar, get_args, get_origin

import msgspec
from pydantic import BaseModel

from schemas.base import Message, Samples
from schemas.grammar import fields
from schemas.sayable import sayable

M = TypeVar("M", bound=Message)

SPLIT_BYTES = 64 * 1024
"""Samples at least this large travel in a second frame, without a copy."""

_BIN32 = 0xC6
_EMPTY_BIN = b"\xc4\x00"


class DecodeError(ValueError):
    """The bytes are no message of this type; says which type, where in the message, and what was expected."""

    def __init__(self, type_name: str, reason: str) -> None:
        super().__init__(f"not a {type_name}: {sayable(reason)}")


class EncodeError(ValueError):
    """A value cannot be written as msgpack: an integer beyond 64 bits, text with lone surrogates."""


def _plain(value: Any) -> Any:
    """msgspec's hook for what it does not know: our own types, and numpy's subclasses of float."""
    if isinstance(value, Message):
        return value.__dict__
    if isinstance(value, Samples):
        return value.to_wire()
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"{type(value).__name__} cannot travel")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)

_set_values = BaseModel.__dict__["__dict__"].__set__
_set_names = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private = BaseModel.__dict__["__pydantic_private__"].__set__


class _SamplesWire(TypedDict):
    dtype: str
    shape: tuple[int, ...]
    data: bytes


Build = Callable[[Any, str], Any]


class Codec(Generic[M]):
    """Encodes and decodes one message type; get it from `codec(type)`."""

    def __init__(self, cls: type[M]) -> None:
        self.type = cls
        declared = fields(cls)
        self._decoder = msgspec.msgpack.Decoder(_wire_class(cls))
        self._build = _builder(cls)
        last = declared[-1] if declared else None
        self._last_samples = last.name if last is not None and last.type is Samples else None

    def encode(self, message: M) -> bytes:
        """The message as one msgpack map.

        Raises:
            EncodeError: an integer does not fit 64 bits, a text does not fit UTF-8.
        """
        try:
            return _encoder.encode(message.__dict__)
        except (OverflowError, UnicodeEncodeError) as error:
            raise EncodeError(f"{self.type.__name__}: {error}") from error

    def encode_frames(self, message: M) -> tuple[bytes, memoryview | None]:
        """As `encode`, with the bytes of a large last Samples apart; the concatenation of the two is the map."""
        name = self._last_samples
        if name is None or (samples := getattr(message, name)).nbytes < SPLIT_BYTES:
            return self.encode(message), None
        wire = samples.to_wire()
        data: memoryview = wire["data"]
        wire["data"] = b""
        try:
            head = _encoder.encode({**message.__dict__, name: wire})
        except (OverflowError, UnicodeEncodeError) as error:
            raise EncodeError(f"{self.type.__name__}: {error}") from error
        return head[: -len(_EMPTY_BIN)] + bytes((_BIN32,)) + data.nbytes.to_bytes(4, "big"), data

    def decode(self, payload: bytes | memoryview, tail: bytes | memoryview | None = None) -> M:
        """The message in `payload`; `tail` is the second frame where there is one.

        Raises:
            DecodeError: with the path of the first field that is wrong.
        """
        try:
            values = self._decoder.decode(payload if tail is None else _announcing(payload, tail))
            if tail is not None and (name := self._last_samples) in values:
                if values[name]["data"] != b"":
                    raise ValueError(f"a second frame, and the first holds data already - at `$.{name}`")
                values[name]["data"] = tail
            message: M = self._build(values, "$")
        except UnicodeDecodeError:
            raise DecodeError(self.type.__name__, f"text that is not UTF-8 - at `{_not_text(payload)}`") from None
        except (msgspec.DecodeError, ValueError) as error:
            raise DecodeError(self.type.__name__, str(error)) from None
        except RecursionError:
            raise DecodeError(self.type.__name__, "nested too deeply") from None
        return message


def _announcing(payload: bytes | memoryview, tail: bytes | memoryview) -> bytes:
    """The first frame with an empty array where it announces the second one.

    A second frame for a field this reader does not know is ignored, as every unknown field is.
    """
    head, size = bytes(payload), len(tail)
    if len(head) < 5 or head[-5] != _BIN32 or int.from_bytes(head[-4:], "big") != size:
        raise ValueError(f"the first frame does not announce a second one of {size} bytes")
    return head[:-5] + _EMPTY_BIN


def _not_text(payload: bytes | memoryview) -> str:
    """The path of the first string that is not UTF-8; msgspec does not say."""
    import msgpack  # only here, on the way to an error

    def search(value: Any, path: str) -> str | None:
        if isinstance(value, str):
            return path if any("\ud800" <= c <= "\udfff" for c in value) else None
        if isinstance(value, dict):
            steps: Iterable[tuple[Any, Any]] = value.items()
        elif isinstance(value, list):
            steps = enumerate(value)
        else:
            return None
        for step, item in steps:
            # a path is written only where something may be found: the rest may be millions of numbers
            if isinstance(item, (str, dict, list)):
                found = search(item, f"{path}[{step}]" if isinstance(value, list) else f"{path}.{step}")
                if found is not None:
                    return found
        return None

    try:
        return search(msgpack.unpackb(payload, unicode_errors="surrogateescape"), "$") or "$"
    except (ValueError, RecursionError):
        return "$"


_codecs: dict[type[Message], Codec[Any]] = {}


def codec(cls: type[M]) -> Codec[M]:
    """The codec of a message type, compiled at the first call."""
    found = _codecs.get(cls)
    if found is None:
        found = _codecs[cls] = Codec(cls)
    return found


def prepare(*types: type[Message]) -> None:
    """Compile now, with all they hold, what would else be compiled by the first message of each: up to 2 ms."""
    for cls in types:
        codec(cls)
        cls.model_rebuild()
        for field in fields(cls):
            prepare(*_messages_in(field.type))


def _messages_in(annotation: Any) -> Iterator[type[Message]]:
    if isinstance(annotation, type) and issubclass(annotation, Message):
        yield annotation
    for inner in get_args(annotation):
        yield from _messages_in(inner)


@cache
def _wire_class(cls: type[Message]) -> Any:
    annotations: dict[str, Any] = {}
    for field in fields(cls):
        wire = _wire_annotation(field.type)
        annotations[field.name] = wire if field.required else NotRequired[wire]
    return TypedDict(cls.__name__, annotations)  # type: ignore[operator] # made from the model at run time


def _wire_annotation(annotation: Any) -> Any:
    if annotation is Samples:
        return _SamplesWire
    if isinstance(annotation, type) and issubclass(annotation, Message):
        return _wire_class(annotation)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _wire_annotation(args[0])
    if origin is tuple:
        return tuple[_wire_annotation(args[0]), ...]  # type: ignore[misc] # made at run time
    if origin in (typing.Union, types.UnionType):
        return _wire_annotation(args[0] if args[1] is type(None) else args[1]) | None
    return annotation


def _builder(cls: type[Message]) -> Build:
    """A function from the checked map to an instance, written out for the type: messages nested directly are built in
    the same function, since a call each would cost as much as the work itself."""
    scope: dict[str, Any] = {"new": object.__new__, "values_of": _set_values, "names_of": _set_names}
    scope |= {"extra_of": _set_extra, "private_of": _set_private}
    lines = ["def build(m0, path):"]
    _write_build(cls, "m0", "", lines, scope)
    lines.append(" return o0")
    exec("\n".join(lines), scope)  # the text is made of field names, which are Python identifiers
    build: Build = scope["build"]
    return build


def _write_build(cls: type[Message], var: str, at: str, lines: list[str], scope: dict[str, Any]) -> None:
    """Statements that turn the map in `var` into an instance in `o<n>` for `m<n>`."""
    n = var[1:]
    declared = fields(cls)
    defaults = {f.name: f.default for f in declared if not f.required}
    scope |= {f"c{n}": cls, f"n{n}": {f.name for f in declared}, f"d{n}": defaults}
    if defaults:
        lines.append(f" if len({var}) < {len(declared)}: {var} = {{**d{n}, **{var}}}")
    for f in declared:
        path = f"{at}.{f.name}"
        key = f"{var}[{f.name!r}]"
        if isinstance(f.type, type) and issubclass(f.type, Message) and f.required:
            inner = f"m{len(scope)}"
            lines.append(f" {inner} = {key}")
            _write_build(f.type, inner, path, lines, scope)
            lines.append(f" {key} = o{inner[1:]}")
        elif (step := _step(f.type)) is not None:
            name = f"s{len(scope)}"
            scope[name] = step
            lines.append(f" {key} = {name}({key}, path + {path!r})")
    lines.append(f" o{n} = new(c{n}); values_of(o{n}, {var}); names_of(o{n}, n{n})")
    lines.append(f" extra_of(o{n}, None); private_of(o{n}, None)")


def _step(annotation: Any) -> Build | None:
    """What turns a checked value into the field's: None when it is the value itself."""
    if annotation is Samples:
        return _build_samples
    if isinstance(annotation, type) and issubclass(annotation, Message):
        inner = _builder(annotation)
        return lambda value, path: value if isinstance(value, Message) else inner(value, path)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _step(args[0])
    if origin is tuple and (each := _step(args[0])) is not None:
        return lambda value, path: tuple(each(item, f"{path}[{i}]") for i, item in enumerate(value))
    if origin in (typing.Union, types.UnionType):
        present = _step(args[0] if args[1] is type(None) else args[1])
        if present is not None:
            return lambda value, path: None if value is None else present(value, path)
    return None


def _build_samples(value: Any, path: str) -> Samples:
    if isinstance(value, Samples):
        return value
    try:
        return Samples.from_wire(value["dtype"], value["shape"], value["data"])
    except ValueError as error:
        raise ValueError(f"{error} - at `{path}`") from None
