"""How a table of recorded rows is read: the column map, checked whole.

As TOML:

    delimiter = ","                    # or "whitespace", ";", "\\t"
    period_ms = 100.0                  # rows without a stamp; or: stamp_column = "time", stamp_unit = "s"
    motion_column = "Machining_Process"
    motions = { "Layer 1 Up" = "FEED" }
    [columns]
    x_mm = "X1_ActualPosition"         # a name of the header, or an index from 0
    spindle_speed_rpm = { column = "S1_ActualVelocity", scale = 60.0 }
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from nodes.sensory_cortex.signals import TOPICS, VOCABULARY, signal
from schemas.machine import Motion, SignalInfo
from schemas.sayable import shown
from schemas.topics import SAMPLES

STAMP_UNITS_NS = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}


class BadColumnMap(ValueError):
    """A column map cannot work; the text lists every mistake."""


@dataclass(frozen=True, slots=True)
class Column:
    """One signal of the table."""

    info: SignalInfo
    column: str | int
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """How a table is read."""

    columns: tuple[Column, ...]
    delimiter: str = ","
    period_ns: int = 0
    """distance of rows where there is no stamp column"""
    stamp_column: str | int | None = None
    stamp_unit: str = "s"
    arrival_pattern: re.Pattern[str] | None = None
    """lines (or ends of lines) with a wall-clock time: the rows that follow came in then"""
    skip_pattern: re.Pattern[str] | None = None
    motion_column: str | int | None = None
    motions: Mapping[str, Motion] = field(default_factory=dict)
    motion_default: Motion = Motion.FEED
    block_column: str | int | None = None
    source: str = "drive"
    model: str = "recording"

    @property
    def has_header(self) -> bool:
        """A table has a header line when any column is asked for by name."""
        return any(isinstance(c, str) for c in self.asked())

    def asked(self) -> list[str | int]:
        wanted: list[str | int] = [c.column for c in self.columns]
        wanted += [c for c in (self.stamp_column, self.motion_column, self.block_column) if c is not None]
        return wanted


_KEYS = (
    *("delimiter", "period_ms", "stamp_column", "stamp_unit", "arrival_pattern", "skip_pattern"),
    *("motion_column", "motions", "motion_default", "block_column", "source", "topic", "model", "columns"),
)


def column_map(table: Mapping[str, Any], where: str = "column map") -> ColumnMap:
    """A column map from plain data.

    Raises:
        BadColumnMap: with every mistake and what was meant.
    """
    wrong: list[str] = []

    def text(key: str, default: str) -> str:
        value = table.get(key, default)
        if not isinstance(value, str):
            wrong.append(f"{key}: expected text, got {shown(value)}")
            return default
        return value

    def place(key: str) -> str | int | None:
        value = table.get(key)
        if value is None or (type(value) is int and value >= 0) or (isinstance(value, str) and value):
            return value
        wrong.append(f"{key}: expected a header name or an index from 0, got {shown(value)}")
        return None

    def pattern(key: str) -> re.Pattern[str] | None:
        if not (source := text(key, "")):
            return None
        try:
            return re.compile(source)
        except (re.error, OverflowError, RecursionError, ValueError) as error:
            wrong.append(f"{key}: not a regular expression: {error}")
            return None

    for key in table:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, 1)
            wrong.append(f"{key}: unknown key" + (f"; did you mean {near[0]!r}?" if near else f"; known: {_KEYS}"))
    topic = text("topic", SAMPLES.name)
    if topic not in TOPICS:
        wrong.append(f"topic: {topic!r} is not one of {TOPICS}")
    source = text("source", "drive")
    columns: list[Column] = []
    listed = table.get("columns", {})
    if not isinstance(listed, Mapping) or not listed:
        wrong.append("columns: expected a table signal = column with at least one row")
        listed = {}
    for name, entry in listed.items():
        try:
            columns.append(_column(name, entry, source, topic))
        except (BadColumnMap, KeyError) as error:
            wrong.append(f"columns.{name}: {error.args[0] if isinstance(error, BadColumnMap) else _unknown(name)}")
    period = table.get("period_ms", 0)
    # a nanosecond at least, or no time would pass from row to row
    if type(period) not in (int, float) or (period and not 1e-6 <= period < 1e9):
        wrong.append(f"period_ms: expected milliseconds above 0, got {shown(period)}")
        period = 0
    stamp = place("stamp_column")
    if (stamp is None) == (not period):
        wrong.append("give either period_ms (above 0) or stamp_column")
    unit = text("stamp_unit", "s")
    if unit not in (*STAMP_UNITS_NS, "iso"):
        wrong.append(f"stamp_unit: {unit!r} is not one of {(*STAMP_UNITS_NS, 'iso')}")
    motions: dict[str, Motion] = {}
    given = table.get("motions", {})
    for label, word in given.items() if isinstance(given, Mapping) else [("", given)]:
        if isinstance(word, str) and word in Motion.__members__:
            motions[str(label)] = Motion(word)
        else:
            wrong.append(f"motions.{label}: {shown(word)} is not one of {list(Motion.__members__)}")
    default = text("motion_default", "FEED")
    if default not in Motion.__members__:
        wrong.append(f"motion_default: {default!r} is not one of {list(Motion.__members__)}")
    delimiter = text("delimiter", ",")
    if delimiter != "whitespace" and (len(delimiter) != 1 or not (delimiter.isprintable() or delimiter == "\t")):
        wrong.append(f"delimiter: expected one character or 'whitespace', got {shown(delimiter)}")
    elif delimiter == '"':
        wrong.append("delimiter: a quotation mark encloses cells, it cannot stand between them")
    arrival, skip = pattern("arrival_pattern"), pattern("skip_pattern")
    motion_column, block_column = place("motion_column"), place("block_column")
    model = text("model", "recording")
    if wrong:
        raise BadColumnMap("\n".join(f"{where}: {line}" for line in wrong))
    return ColumnMap(
        tuple(columns), delimiter, round(period * 1e6), stamp, unit, arrival, skip,
        motion_column, motions, Motion(default), block_column, source, model,
    )  # fmt: skip


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, VOCABULARY, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"not in the vocabulary of signals{hint} Or give it `type` and `unit`."


def _column(name: str, entry: Any, source: str, topic: str) -> Column:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise BadColumnMap("a signal's name is [a-z][a-z0-9_]*")
    kinds = {"scale": (int, float), "offset": (int, float), "unit": str, "type": str}
    rest: Mapping[str, Any] = {}
    if isinstance(entry, Mapping):
        rest = {k: v for k, v in entry.items() if k != "column"}
        if odd := [k for k in rest if k not in kinds]:
            raise BadColumnMap(f"unknown key {odd[0]!r}; known: column, {', '.join(kinds)}")
        entry = entry.get("column")
    if not ((type(entry) is int and entry >= 0) or (isinstance(entry, str) and entry)):
        raise BadColumnMap(f"expected a header name or an index from 0, got {shown(entry)}")
    for key, value in rest.items():
        if isinstance(value, bool) or not isinstance(value, kinds[key]):  # type: ignore[arg-type] # a tuple of types
            raise BadColumnMap(f"{key}: {shown(value)} is of the wrong type")
        if isinstance(value, int) and abs(value) > 2**53:
            raise BadColumnMap(f"{key}: {shown(value)} is more than a float holds exactly")
    info = signal(name, source, topic, rest.get("type", ""), rest.get("unit", ""))
    return Column(info, entry, float(rest.get("scale", 1.0)), float(rest.get("offset", 0.0)))


def toml_map(text: str, where: str) -> ColumnMap:
    """A column map from TOML.

    Raises:
        BadColumnMap: not TOML, or mistakes in it.
    """
    import tomllib

    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5000 digits is no TOMLDecodeError
        raise BadColumnMap(f"{where}: not TOML: {error}") from error
    return column_map(table, PurePath(where).name)


def map_of(given: str | Mapping[str, Any]) -> ColumnMap:
    """The column map that an option gives: the path of a TOML file, or the map itself.

    Raises:
        BadColumnMap: with every mistake.
    """
    if not given:
        raise BadColumnMap("column_map: give the path of a TOML file, or the map itself")
    if not isinstance(given, str):
        return column_map(given, "column_map")
    try:
        return toml_map(Path(given).read_text("utf-8"), given)
    except (OSError, UnicodeDecodeError) as error:
        raise BadColumnMap(f"column_map: cannot read {given}: {error}") from error


def channel_columns(listed: Sequence[Any], source: str, topic: str) -> tuple[Column, ...]:
    """The columns of numbered channels: a signal's name each, or a table with `signal` and what a column map allows;
    an empty name leaves the channel out.

    Raises:
        BadColumnMap: with every mistake.
    """
    made: list[Column] = []
    wrong: list[str] = []
    for n, entry in enumerate(listed):
        rest = {k: v for k, v in entry.items() if k != "signal"} if isinstance(entry, Mapping) else {}
        name = entry.get("signal") if isinstance(entry, Mapping) else entry
        if name == "":
            continue
        if not isinstance(name, str):
            wrong.append(f"channel {n + 1}: expected a signal's name, or {{ signal = ... }}, got {shown(entry)}")
            continue
        try:
            made.append(_column(name, {**rest, "column": n}, source, topic))
        except (BadColumnMap, KeyError) as error:
            wrong.append(f"channel {n + 1}: {error.args[0] if isinstance(error, BadColumnMap) else _unknown(name)}")
    names = [c.info.name for c in made]
    wrong += [f"{name!r} stands there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if not made and not wrong:
        wrong.append("give the signal of each channel, in order")
    if wrong:
        raise BadColumnMap("\n".join(f"columns: {line}" for line in wrong))
    return tuple(made)
