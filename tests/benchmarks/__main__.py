"""`make bench`: every row, a table and JSON. `python -P -m tests.benchmarks [--pairs N] [--json FILE] [ROW ...]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys

from bus.testing import Domain
from tests.benchmarks.measure import Row
from tests.benchmarks.rows import ROWS


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], help="default: all")
    parser.add_argument("--pairs", type=int, default=15, help="interleaved pairs per row (default 15)")
    parser.add_argument("--json", metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.release()}, load {load:.1f} before")
    if load > 0.5:
        print("other work is running on this machine: absolute times below are too high, ratios wider than they are")
    print(f"{'what':<28} {'figure':<34} {'median [90 % interval]':<28} {'bar':<10} holds")
    rows: list[Row] = []
    for name in arguments.rows or ROWS:
        with Domain("bench") as domain:
            for row in ROWS[name](domain, arguments.pairs):
                rows.append(row)
                print(_line(row), flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump([_plain(r) for r in rows], file, indent=2)
    return 0 if all(r.holds is not False for r in rows) else 1


def _line(row: Row) -> str:
    holds = {None: "-", True: "yes", False: "NO"}[row.holds]
    bar = "-" if row.holds is None else f"{'>=' if row.at_least else '<='} {row.bar:g}"
    also = "  ".join(f"{k} {v:.3g}" for k, v in row.also.items())
    return f"{row.name:<28} {row.figure:<34} {f'{row.value} {row.unit}':<28} {bar:<10} {holds:<4} {also}"


def _plain(row: Row) -> dict[str, object]:
    return {
        "name": row.name,
        "figure": row.figure,
        "unit": row.unit,
        "median": row.value.median,
        "low": row.value.low,
        "high": row.value.high,
        "bar": None if row.holds is None else row.bar,
        "holds": row.holds,
        "also": row.also,
    }


if __name__ == "__main__":
    sys.exit(main())
