"""What the processes beside the driver say, as values: bytes in, values out. The letters stand in helper.py."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.sayable import sayable, shown

HEAD = struct.Struct("<Q")
ROW_MOST = 1 << 40
"""servo periods: 34 years"""
WHOLE_MOST = 1 << 31


class BadWord(ValueError):
    """Bytes that are none of theirs."""


@dataclass(frozen=True, slots=True)
class Status:
    """LinuxCNC's own status, as far as it is used; numbers are those of its Python module."""

    task_state: int = 0
    task_mode: int = 0
    interp_state: int = 0
    exec_state: int = 0
    paused: bool = False
    homed: bool = False
    ini: str = ""
    file: str = ""
    line: int = 0
    block: str = ""
    feed_word: float = 0.0
    """the program's F, in its own unit"""
    stop_word: int = -1
    """M word that ended the program: 2, 30; -1 none did since it was started"""
    units_per_mm: float = 1.0
    looks: int = field(default=0, compare=False)
    """how often it was looked at; it is told when it changed"""


@dataclass(frozen=True, slots=True)
class Attached:
    """The pins are linked."""


@dataclass(frozen=True, slots=True)
class OperatorText:
    """What the control says to its operator."""

    text: str


@dataclass(frozen=True, slots=True)
class Obeyed:
    """A command went out; `text` says why not."""

    do: str
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The process ends."""

    why: str


Word = Status | Attached | OperatorText | Obeyed | Ended

_KINDS = {f.name: type(f.default) for f in fields(Status)}


def word(data: bytes) -> Word:
    """What was said, rows apart.

    Raises:
        BadWord
    """
    letter, rest = data[:1], data[1:]
    if letter == b"H":
        return Attached()
    if letter == b"X":
        return Ended(sayable(rest.decode(errors="replace")))
    if letter == b"S":
        given = _table(rest)
        return Status(**{name: _of(name, kind, given.get(name)) for name, kind in _KINDS.items()})
    if letter == b"E":
        return OperatorText(sayable(str(_table(rest).get("text", ""))))
    if letter == b"A":
        given = _table(rest)
        return Obeyed(sayable(str(given.get("do", ""))), sayable(str(given.get("text", ""))))
    raise BadWord(f"{shown(data[:20])} begins with no letter that is known")


def _table(data: bytes) -> dict[str, Any]:
    try:
        table = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadWord(f"no JSON: {error}") from None
    if not isinstance(table, dict):
        raise BadWord(f"expected a table, got {type(table).__name__}")
    return table


def _of(name: str, kind: type, value: Any) -> Any:
    if kind is float and type(value) is int and abs(value) < WHOLE_MOST:
        value = float(value)
    if type(value) is not kind or (type(value) is int and abs(value) >= WHOLE_MOST):
        raise BadWord(f"status.{name}: expected {kind.__name__}, got {shown(value)}")
    if isinstance(value, str):
        return sayable(value)
    if name == "units_per_mm" and not (isinstance(value, float) and 1e-4 < value < 1e4):
        raise BadWord(f"status.units_per_mm: {shown(value)} is no unit of length")
    return value


def rows(data: bytes, width: int) -> tuple[int, NDArray[np.float32]]:
    """Number of the first row, and the rows of a datagram that begins with R.

    Raises:
        BadWord
    """
    body = len(data) - 1 - HEAD.size
    if data[:1] != b"R" or body <= 0 or body % (4 * width):
        raise BadWord(f"{len(data)} bytes are no rows of {width}")
    (first,) = HEAD.unpack_from(data, 1)
    if first > ROW_MOST:
        raise BadWord(f"row {first} is no number of a servo period")
    return first, np.frombuffer(data, dtype="<f4", offset=1 + HEAD.size).reshape(-1, width).copy()
