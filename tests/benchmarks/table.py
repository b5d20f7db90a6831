"""The table, in 120 columns, and the same as plain data. Sans-IO."""

from __future__ import annotations

import textwrap

from tests.benchmarks.machine import Quiet
from tests.benchmarks.measure import Row, short

WIDTHS = (27, 27, 25, 8, 6)
"""columns; what else there is to say takes the rest"""
ALSO_COLUMN = sum(WIDTHS)
TOTAL = 120


def head() -> str:
    return _columns("what", "figure", "median [90 % interval]", "bar", "holds", "also")


def lines(row: Row) -> list[str]:
    holds = {None: "-", True: "yes", False: "NO"}[row.holds]
    bar = "-" if row.holds is None else f"{'>=' if row.at_least else '<='} {row.bar:g}"
    also = ", ".join(_said(what, value) for what, value in row.also.items())
    if row.missing:
        return [_columns(row.name, row.figure, "not installed", "-", "-", ""), f"{'':<{WIDTHS[0]}}{row.missing}"]
    first, *rest = textwrap.wrap(also, TOTAL - ALSO_COLUMN) or [""]
    line = _columns(row.name, row.figure, f"{row.value} {row.unit}", bar, holds, first)
    return [line, *(f"{'':<{ALSO_COLUMN}}{more}" for more in rest)]


def _said(what: str, value: float) -> str:
    """`ours us` is a figure in microseconds."""
    name, _, unit = what.partition(" ")
    return f"{name} {short(value)} {unit}".rstrip()


def _columns(*cells: str) -> str:
    return "".join(f"{cell:<{width - 1}} " for cell, width in zip(cells, (*WIDTHS, 1), strict=True)).rstrip()


def plain(row: Row, quiet: Quiet) -> dict[str, object]:
    return {
        "name": row.name,
        "figure": row.figure,
        "unit": row.unit,
        "median": None if row.missing else row.value.median,
        "low": None if row.missing else row.value.low,
        "high": None if row.missing else row.value.high,
        "bar": None if row.holds is None else row.bar,
        "holds": row.holds,
        "also": row.also,
        "missing": row.missing,
        "computer": quiet.plain(),
    }
