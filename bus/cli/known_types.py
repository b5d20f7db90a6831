"""Message types and rows of the table by what people call them, and messages from JSON."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any

import click
from pydantic import ValidationError

import schemas
from bus.cli.defined_types import message_type
from bus.cli.graph import meant, meets
from bus.discovery import Entry, ServiceEntry
from bus.target import BadTarget, module_of
from schemas import topics
from schemas.base import Message, Service, Topic
from schemas.codec import EncodeError, codec
from schemas.definition import BadDefinition, Definition
from schemas.grammar import definition, type_hash
from schemas.sayable import shown

Row = Topic[Any] | Service[Any, Any]
_PLUMBING = frozenset({"base", "codec", "definition", "grammar", "names", "sayable", "topics"})


def message_types() -> dict[str, type[Message]]:
    """Every message type of schemas/ by its name."""
    found: dict[str, type[Message]] = {}
    for module in pkgutil.iter_modules(schemas.__path__):
        if module.name in _PLUMBING or module.ispkg:
            continue
        loaded = importlib.import_module(f"schemas.{module.name}")
        found |= {
            name: value
            for name, value in vars(loaded).items()
            if inspect.isclass(value) and issubclass(value, Message) and value.__module__ == loaded.__name__
        }
    return found


def named(word: str) -> Row | type[Message]:
    """What a word means: a row (STOP), its name (machine/stop), a type (SpindleSample), `module:NAME`, `file.py:NAME`.

    Raises:
        ClickException: nothing of that name.
    """
    table = topics.table()
    if word in table:
        return table[word]
    types = message_types()
    if word in types:
        return types[word]
    by_name = {row.name.removeprefix("/"): row for row in table.values()}
    if (name := word.removeprefix("/")) in by_name:
        return by_name[name]
    if ":" in word:
        return _in_module(word)
    hint = meant(word, [*table, *types, *by_name])
    raise click.ClickException(f"no message type, topic or service {word!r} in schemas/; {hint}")


def _in_module(word: str) -> Row | type[Message]:
    module, _, name = word.rpartition(":")
    try:
        loaded = module_of(module)
    except BadTarget as error:
        raise click.ClickException(f"{word}: {error}") from None
    value = getattr(loaded, name, None)
    if isinstance(value, (Topic, Service)) or (inspect.isclass(value) and issubclass(value, Message)):
        return value
    known = [n for n, v in vars(loaded).items() if isinstance(v, (Topic, Service))]
    raise click.ClickException(f"{module} has no message type, topic or service {name!r}; {meant(name, known)}")


def living_definition(word: str, entries: Iterable[Entry], full_name: str = "") -> tuple[Definition, Entry] | None:
    """The type of that name as a living node defines it: whoever has the topic `full_name` is asked first."""
    found: list[tuple[bool, Definition, Entry]] = []
    for entry in entries:
        near = {t.type_hash for t in (*entry.publishes, *entry.subscribes) if meets(t.name, full_name)}
        found += [(key not in near, d, entry) for key, d in entry.definitions.items() if d["name"] == word]
    return min(found, key=lambda each: each[0])[1:] if found else None


def living_type(word: str, entries: Iterable[Entry], full_name: str, text: str) -> type[Message] | None:
    """A class of that definition for the message in `text`.

    Raises:
        ClickException: no class can be made of it here.
    """
    if (living := living_definition(word, entries, full_name)) is None:
        return None
    try:
        return message_type(living[0], given=_object(word, text))
    except BadDefinition as error:
        raise click.ClickException(f"{word}, as {living[1].name} defines it, cannot be written here: {error}") from None


def row_of_topic(full_name: str, kind: type[Message]) -> Topic[Any] | None:
    """The row of the table that a full name comes from: the longest one it ends in, with that type."""
    fits = [
        row
        for row in topics.table().values()
        if isinstance(row, Topic) and row.type is kind and _ends_in(full_name, row.name)
    ]
    return max(fits, key=lambda row: len(row.name), default=None)


def _ends_in(full_name: str, name: str) -> bool:
    if name.startswith("/"):
        return full_name == name[1:]
    name = name.removeprefix("node/")
    return full_name == name or full_name.endswith(f"/{name}")


def service_of(entry: Entry, served: ServiceEntry, text: str) -> Service[Any, Any]:
    """The service a living node serves: from the table where the types are the same, else as the node defines them.

    Raises:
        ClickException: the entry does not hold the definitions.
    """
    for row in topics.table().values():
        if isinstance(row, Service) and _ends_in(served.name, row.name) and _same_types(row, served):
            return row
    try:
        request, reply = entry.definitions[served.request_hash], entry.definitions[served.reply_hash]
        made = message_type(request, given=_object(request["name"], text)), message_type(reply)
    except KeyError:
        raise click.ClickException(f"{served.name}: {entry.name} does not say what its types are") from None
    except BadDefinition as error:
        raise click.ClickException(f"{served.name}: its types cannot be written here: {error}") from None
    return Service(f"/{served.name}", *made, idempotent=served.idempotent, acts_on_machine=served.acts_on_machine)


def _same_types(row: Service[Any, Any], served: ServiceEntry) -> bool:
    return type_hash(row.request) == served.request_hash and type_hash(row.reply) == served.reply_hash


# --- from JSON --------------------------------------------------------------------------------------------------------


def message_from(kind: type[Message], text: str, **fill: Any) -> Message:
    """A message from JSON; `null` for a number is no reading, `fill` gives fields of the type that JSON leaves out.

    Raises:
        UsageError: no JSON, or not of the type: every mistake with its path.
    """
    given = _object(kind.__name__, text)
    given = {**{name: value for name, value in fill.items() if name in kind.model_fields}, **given}
    try:
        made = kind.model_validate_json(json.dumps(_with_nan(given, definition(kind))))
        codec(kind).encode(made)  # an integer of more than 64 bits is one in JSON, and cannot travel
    except ValidationError as error:
        raise click.UsageError(_mistakes(kind, error)) from None
    except (EncodeError, RecursionError) as error:
        raise click.UsageError(str(error)) from None
    return made


def _object(type_name: str, text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{type_name}: not JSON: {error}") from None
    if not isinstance(given, dict):
        raise click.UsageError(f"{type_name}: expected a JSON object, got {type(given).__name__}")
    return given


def _with_nan(value: Any, defined: Mapping[str, Any]) -> Any:
    """NaN where JSON has null and the type a number."""
    wires = {f["name"]: f["type"] for f in defined["fields"]}
    return {name: _number(item, wires.get(name)) for name, item in value.items()}


def _number(value: Any, wire: Any) -> Any:
    if value is None and wire == "float":
        return math.nan
    if not isinstance(wire, dict):
        return value
    if "unit" in wire:
        return _number(value, wire["of"])
    if "optional" in wire:
        return None if value is None else _number(value, wire["optional"])
    if "tuple" in wire and isinstance(value, list):
        return [_number(item, wire["tuple"]) for item in value]
    if "message" in wire and isinstance(value, dict):
        return _with_nan(value, wire["message"])
    return value


def _mistakes(kind: type[Message], error: ValidationError) -> str:
    told = []
    for wrong in error.errors(include_url=False):
        path = ".".join(str(step) for step in wrong["loc"]) or kind.__name__
        if wrong["type"] == "extra_forbidden":
            told.append(f"{path}: {kind.__name__} has no such field; {meant(str(wrong['loc'][-1]), kind.model_fields)}")
        elif wrong["type"] == "missing":
            told.append(f"{path}: missing")
        else:
            message = wrong["msg"][:1].lower() + wrong["msg"][1:]
            told.append(f"{path}: {message}, got {shown(wrong['input'], 60)}")
    return f"{kind.__name__}:\n" + "\n".join(f"  {line}" for line in told)
