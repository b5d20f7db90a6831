"""`make soak`: DURABLE events and kills -9 of either side, counted against a model."""

from __future__ import annotations

import argparse
import sys

from tests.soak.durable import soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1, help="of the victims and the moments")
    parser.add_argument("--composed", action="store_true", help="publisher and consumer in one process")
    arguments = parser.parse_args()

    def told(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    result = soak(arguments.events, arguments.kills, arguments.seed, composed=arguments.composed, told=told)
    told(str(result))
    told("held" if result.good else "NOT HELD")
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())
