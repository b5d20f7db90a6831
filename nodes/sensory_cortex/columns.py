"""Tables of recorded rows as text (CSV and its kin), read by a column map: lines in, rows out, errors that name line
and column.

A map as TOML:

    delimiter = ","                    # or "whitespace", ";", "\\t"
    period_ms = 100.0                  # rows without a stamp; or: stamp_column = "time", stamp_unit = "s"
    motion_column = "Machining_Process"
    motions = { "Layer 1 Up" = "FEED" }
    [columns]
    x_mm = "X1_ActualPosition"         # a name of the header, or an index from 0
    spindle_speed_rpm = { column = "S1_ActualVelocity", scale = 60.0 }
"""

from __future__ import annotations

import csv
import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from nodes.sensory_cortex.signals import TOPICS, VOCABULARY, signal
from schemas.machine import Motion, SignalInfo
from schemas.sayable import sayable, shown
from schemas.topics import SAMPLES

LONGEST_LINE = 65_536
STAMP_MOST_NS = 1 << 62
"""146 years from 1970; what is further is no time, and no message could carry it"""
SPAN_MOST_NS = 1 << 55
"""a year: no recording is longer"""
STAMP_UNITS_NS = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}


class BadColumnMap(ValueError):
    """A column map cannot work; the text lists every mistake."""


class BadTable(ValueError):
    """A table does not fit its map or a row is unreadable; the text names file, row and column."""


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


# --- rows ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it stands in the table."""

    line: int
    offset_ns: int
    """since the first row"""
    values: tuple[float, ...]
    motion: Motion
    block: str
    arrival_ns: int
    """since the first arrival stamp; -1 where the table has none"""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that is no row; `text` names line and column."""

    line: int
    text: str


def read_rows(lines: Iterable[str], by: ColumnMap, name: str) -> Iterator[Row | BadRow]:
    """Rows and bad rows of a table, in order. An empty cell or `nan` is no reading (NaN).

    Raises:
        BadTable: the header lacks a column the map asks for.
    """
    numbered = enumerate(lines, 1)
    width = 0
    at: dict[str | int, int] = {c: c for c in by.asked() if isinstance(c, int)}
    if by.has_header:
        width = _read_header(numbered, by, name, at)
    needed = max(at.values(), default=-1) + 1
    places = [(at[c.column], c.scale, c.offset, c.column) for c in by.columns]
    stamp_at = None if by.stamp_column is None else at[by.stamp_column]
    motion_at = None if by.motion_column is None else at[by.motion_column]
    block_at = None if by.block_column is None else at[by.block_column]
    motion, block = by.motion_default, ""
    count = 0
    first_ns: int | None = None
    last_ns = 0
    first_arrival: int | None = None
    arrival = -1
    for number, line in numbered:
        where = f"{name}, line {number}"
        if len(line) > LONGEST_LINE:
            yield BadRow(number, f"{where}: longer than {LONGEST_LINE} characters")
            continue
        if by.arrival_pattern is not None and (found := by.arrival_pattern.search(line)) is not None:
            stamp = _iso_ns(found.group(0))
            line = line[: found.start()] + line[found.end() :]
            if stamp is None:
                yield BadRow(number, f"{where}: arrival stamp {shown(found.group(0))} is no date and time")
            else:
                first_arrival = stamp if first_arrival is None else first_arrival
                if stamp - first_arrival > SPAN_MOST_NS:
                    yield BadRow(
                        number,
                        f"{where}: arrival stamp {sayable(found.group(0), 80)} is more than a year after the first",
                    )
                elif stamp - first_arrival < arrival:
                    back = (arrival - stamp + first_arrival) / 1e9
                    yield BadRow(
                        number, f"{where}: arrival stamp {sayable(found.group(0), 80)} goes back by {back:.3f} s"
                    )
                else:
                    arrival = stamp - first_arrival
        if not line.strip() or (by.skip_pattern is not None and by.skip_pattern.search(line)):
            continue
        cells = _split(line, by.delimiter)
        if len(cells) < needed or (width and len(cells) != width):
            yield BadRow(number, f"{where}: {len(cells)} columns, expected {width or needed}")
            continue
        if stamp_at is None:
            offset = count * by.period_ns
        else:
            raw = _stamp_ns(cells[stamp_at], by.stamp_unit)
            if raw is None:
                yield BadRow(number, f"{where}, column {by.stamp_column!r}: {cells[stamp_at][:40]!r} is no time")
                continue
            first_ns = raw if first_ns is None else first_ns
            offset = raw - first_ns
            if offset > SPAN_MOST_NS:
                yield BadRow(number, f"{where}, column {by.stamp_column!r}: more than a year after the first row")
                continue
            if count and offset < last_ns:
                back = (last_ns - offset) / 1e9
                yield BadRow(number, f"{where}, column {by.stamp_column!r}: time goes back by {back:.6f} s")
                continue
        values: list[float] = []
        for index, scale, shift, column in places:
            value = _number(cells[index])
            if value is None:
                yield BadRow(number, f"{where}, column {column!r}: {cells[index][:40]!r} is no number")
                break
            values.append(value * scale + shift)
        else:
            if motion_at is not None:
                motion = by.motions.get(cells[motion_at].strip(), by.motion_default)
            if block_at is not None:
                block = cells[block_at].strip()
            count += 1
            last_ns = offset
            yield Row(number, offset, tuple(values), motion, block, arrival)


def _read_header(numbered: Iterator[tuple[int, str]], by: ColumnMap, name: str, at: dict[str | int, int]) -> int:
    for number, line in numbered:
        if not line.strip() or (by.skip_pattern is not None and by.skip_pattern.search(line)):
            continue
        header = [c.strip() for c in _split(line[:LONGEST_LINE], by.delimiter)]
        lacking = []
        for column in by.asked():
            if isinstance(column, str) and column not in header:
                near = difflib.get_close_matches(column, header, 1)
                lacking.append(f"{column!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
            elif isinstance(column, str):
                at[column] = header.index(column)
            elif column >= len(header):
                lacking.append(f"index {column} of {len(header)}")
        if lacking:
            raise BadTable(f"{name}, line {number}: the header lacks {', '.join(lacking)}")
        return len(header)
    raise BadTable(f"{name}: empty, expected a header with {', '.join(map(repr, by.asked()))}")


def _split(line: str, delimiter: str) -> list[str]:
    if delimiter == "whitespace":
        return line.split()
    line = line.rstrip("\r\n")
    if '"' in line:
        try:
            return next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:  # a carriage return within the line: it has no cells then
            return []
    return line.split(delimiter)


def _number(cell: str) -> float | None:
    if "_" in cell:  # float() would take 1_000
        return None
    try:
        return float(cell)
    except ValueError:
        return math.nan if not cell.strip() else None


def _stamp_ns(cell: str, unit: str) -> int | None:
    if unit == "iso":
        return _iso_ns(cell.strip())
    text = cell.strip()
    if "_" in text:  # int() and float() would take 1_000
        return None
    try:
        # whole numbers stay exact: nanoseconds since 1970 do not fit a float
        value = int(text) if unit == "ns" else float(text) * STAMP_UNITS_NS[unit]
        return round(value) if abs(value) < STAMP_MOST_NS else None
    except ValueError:
        return None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _iso_ns(text: str) -> int | None:
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError:
        return None
    since = (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)) - _EPOCH
    stamp_ns = (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
    return stamp_ns if abs(stamp_ns) < STAMP_MOST_NS else None


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
