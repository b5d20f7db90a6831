"""Tables of recorded rows as text (CSV and its kin), read by a column map: lines in, rows out, errors that name line
and column.
"""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from nodes.sensory_cortex.columns import STAMP_UNITS_NS, ColumnMap
from schemas.machine import Motion
from schemas.sayable import sayable, shown

LONGEST_LINE = 65_536
STAMP_MOST_NS = 1 << 62
"""146 years from 1970; what is further is no time, and no message could carry it"""
LARGEST = 3.4028234e38
"""a sample is a 32-bit float; what is beyond it is no reading"""
SPAN_MOST_NS = 1 << 55
"""a year: no recording is longer"""


class BadTable(ValueError):
    """A table does not fit its map or a row is unreadable; the text names file, row and column."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it stands in the table."""

    line: int
    index: int
    """which one of the table's rows, bad ones counted, from 0"""
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
    index = -1
    first_ns: int | None = None
    last_ns = 0
    first_arrival: int | None = None
    arrival = -1
    for number, line in numbered:
        where = f"{name}, line {number}"
        if len(line) > LONGEST_LINE:
            index += 1
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
        index += 1
        cells = _split(line, by.delimiter)
        if len(cells) < needed or (width and len(cells) != width):
            yield BadRow(number, f"{where}: {len(cells)} columns, expected {width or needed}")
            continue
        if stamp_at is None:
            offset = index * by.period_ns
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
            if offset < last_ns:
                back = (last_ns - offset) / 1e9
                yield BadRow(number, f"{where}, column {by.stamp_column!r}: time goes back by {back:.6f} s")
                continue
        values: list[float] = []
        for cell_at, scale, shift, column in places:
            number_read = _number(cells[cell_at])
            value = math.inf if number_read is None else number_read * scale + shift
            if abs(value) > LARGEST:
                yield BadRow(number, f"{where}, column {column!r}: {cells[cell_at][:40]!r} is no number")
                break
            values.append(value)
        else:
            if motion_at is not None:
                motion = by.motions.get(cells[motion_at].strip(), by.motion_default)
            if block_at is not None:
                block = cells[block_at].strip()
            last_ns = offset
            yield Row(number, index, offset, tuple(values), motion, block, arrival)


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
                if (times := header.count(column)) > 1:
                    raise BadTable(f"{name}, line {number}: column {column!r} stands there {times} times")
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
