"""Plain data as TOML, which Python reads but does not write."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


class NoToml(ValueError):
    """TOML has no word for it: null."""


def key(name: str) -> str:
    """`limit_pct`, or `"vmc1/core"` where a bare key may not hold it."""
    return name if _BARE.fullmatch(name) else value(name)


def value(plain: Any) -> str:
    """A value in one line.

    Raises:
        NoToml: it is null, or holds one.
    """
    match plain:
        case bool():
            return "true" if plain else "false"
        case int():
            return str(plain)
        case float():
            return repr(plain) if math.isfinite(plain) else ("nan" if math.isnan(plain) else f"{plain}")
        case str():
            return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")
        case Mapping():
            return "{" + ", ".join(f"{key(str(k))} = {value(v)}" for k, v in plain.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(value, plain)) + "]"
        case _:
            raise NoToml(f"TOML has no word for {plain!r}")
