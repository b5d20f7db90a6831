"""`make bench`: every row, a table and JSON. `python -P -m tests.benchmarks [--pairs N] [--json FILE] [ROW ...]`."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap

from bus.testing import Domain
from tests.benchmarks import table
from tests.benchmarks.machine import Quiet, facts, watched
from tests.benchmarks.measure import Row
from tests.benchmarks.rows import ROWS


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], help="default: all")
    parser.add_argument("--pairs", type=int, default=15, help="interleaved pairs per row (default 15)")
    parser.add_argument("--json", metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    machine = facts()
    print(textwrap.fill(", ".join(f"{what} {value}" for what, value in machine.items()), table.TOTAL))
    print(table.head())
    rows: list[tuple[Row, Quiet]] = []
    for name in arguments.rows or ROWS:
        with watched() as quiet, Domain("bench") as domain:
            made = ROWS[name](domain, arguments.pairs)
        rows += [(row, quiet) for row in made]
        for row in made:
            print("\n".join(table.lines(row)))
        for remark in quiet.remarks():
            print(textwrap.fill(f"^ {remark}", table.TOTAL))
        sys.stdout.flush()
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"machine": machine, "rows": [table.plain(*r) for r in rows]}, file, indent=2)
    return 0 if all(row.holds is not False for row, _ in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
