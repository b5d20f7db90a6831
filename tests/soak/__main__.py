"""`make soak`: long runs, by parts. `python -P -m tests.soak [PART [options]]`; without a PART every one, as it is.

A part is a module with `add_arguments(parser)` and `run(arguments) -> bool`, whether everything held.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping

PARTS: Mapping[str, tuple[str, str]] = {
    "durable": ("tests.soak.durable", "DURABLE events and kills -9 of either side, counted against a model"),
    "day": ("tests.soak.day", "a day of the demo cell at up to 20x: memory flat, directory clean, nothing lost"),
    "page": ("tests.soak.page", "the dashboard open for an hour, going through its views: memory flat, nothing lost"),
    "fuzz": ("tests.soak.fuzz_part", "every parser and every socket door, fed with what is wrong"),
}
"""by name: the module, and what it does"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parts = parser.add_subparsers(dest="part", metavar="PART")
    modules = {name: importlib.import_module(module) for name, (module, _) in PARTS.items()}
    for name, (_, text) in PARTS.items():
        modules[name].add_arguments(parts.add_parser(name, help=text, description=modules[name].__doc__))
    asked = parser.parse_args()
    wanted = [asked.part] if asked.part else list(PARTS)
    held = [modules[name].run(asked if asked.part else parts.choices[name].parse_args([])) for name in wanted]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
