"""The message types of today, to hold a bag's against."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import schemas
from schemas.base import Message
from schemas.grammar import Definition, Match, definition, match


@cache
def known_types() -> dict[str, type[Message]]:
    """Every message of schemas/ by name."""
    for module in pkgutil.iter_modules(schemas.__path__):
        importlib.import_module(f"schemas.{module.name}")
    found: dict[str, type[Message]] = {}
    waiting = [Message]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            if cls.__module__.split(".", 1)[0] == "schemas":
                found[cls.__name__] = cls
    return found


def against_today(recorded: Definition) -> tuple[type[Message] | None, Match | None]:
    """Today's class of that name, and how it reads what was recorded; (None, None) when there is none."""
    cls = known_types().get(str(recorded["name"]))
    return (None, None) if cls is None else (cls, match(definition(cls), recorded))
