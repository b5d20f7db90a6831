"""`make bench`: every row, a table and JSON. `python -P -m tests.benchmarks [--pairs N] [--json FILE] [ROW ...]`."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap

from bus.testing import Domain
from tests.benchmarks.machine import Quiet, facts, watched
from tests.benchmarks.measure import Row, short
from tests.benchmarks.rows import ROWS

WIDTHS = (27, 27, 25, 8, 6)
"""columns of the table; what else there is to say takes the rest of 120"""
ALSO_COLUMN = sum(WIDTHS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], help="default: all")
    parser.add_argument("--pairs", type=int, default=15, help="interleaved pairs per row (default 15)")
    parser.add_argument("--json", metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    machine = facts()
    print(", ".join(f"{what} {value}" for what, value in machine.items()))
    print(_columns("what", "figure", "median [90 % interval]", "bar", "holds", "also"))
    rows: list[tuple[Row, Quiet]] = []
    for name in arguments.rows or ROWS:
        with watched() as quiet, Domain("bench") as domain:
            made = ROWS[name](domain, arguments.pairs)
        rows += [(row, quiet) for row in made]
        for row in made:
            print("\n".join(_lines(row)))
        if quiet.disturbed:
            print(f"^ others used {quiet.others_cores:.2f} cores meanwhile: times are too high, ratios too wide")
        sys.stdout.flush()
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"machine": machine, "rows": [_plain(*r) for r in rows]}, file, indent=2)
    return 0 if all(row.holds is not False for row, _ in rows) else 1


def _lines(row: Row) -> list[str]:
    holds = {None: "-", True: "yes", False: "NO"}[row.holds]
    bar = "-" if row.holds is None else f"{'>=' if row.at_least else '<='} {row.bar:g}"
    also = ", ".join(_said(what, value) for what, value in row.also.items())
    if row.missing:
        return [_columns(row.name, row.figure, "not installed", "-", "-", ""), f"{'':<{WIDTHS[0]}}{row.missing}"]
    first, *rest = textwrap.wrap(also, 120 - ALSO_COLUMN) or [""]
    line = _columns(row.name, row.figure, f"{row.value} {row.unit}", bar, holds, first)
    return [line, *(f"{'':<{ALSO_COLUMN}}{more}" for more in rest)]


def _said(what: str, value: float) -> str:
    """`ours us` is a figure in microseconds."""
    name, _, unit = what.partition(" ")
    return f"{name} {short(value)} {unit}".rstrip()


def _columns(*cells: str) -> str:
    return "".join(f"{cell:<{width - 1}} " for cell, width in zip(cells, (*WIDTHS, 1), strict=True)).rstrip()


def _plain(row: Row, quiet: Quiet) -> dict[str, object]:
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


if __name__ == "__main__":
    sys.exit(main())
