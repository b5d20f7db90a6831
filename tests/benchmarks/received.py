"""What a subscriber keeps of a burst, ours and the peers' alike; imports nothing that would weigh on a peer."""

from __future__ import annotations

import itertools
import json
import sys
from typing import Any


class Received:
    """Delays and numbers since the last report."""

    def __init__(self) -> None:
        self.delays_ns: list[int] = []
        self.counts: list[int] = []

    def note(self, delay_ns: int, count: int) -> None:
        self.delays_ns.append(delay_ns)
        self.counts.append(count)

    def report(self) -> dict[str, Any]:
        delays_ns, counts = self.delays_ns, self.counts
        self.delays_ns, self.counts = [], []
        return {
            "delays_us": [d / 1000 for d in delays_ns],
            "received": len(counts),
            "gaps": sum(1 for a, b in itertools.pairwise(counts) if b != a + 1),
        }


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
