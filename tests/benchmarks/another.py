"""A recording is asked what another limit would have decided, about any moment of it: what the page's slider waits for.

The bag is one of the demo cell, with its 10 kHz signals and a crash in it.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from bus.testing import Domain
from tests.benchmarks.measure import Row, interval
from tests.web.dashboard.cell import END_WITHIN_S, Cell
from web.about import about
from web.shelf import Reader

BEFORE_S, BEHIND_S = 40.0, 20.0
"""recorded before the crash and behind it"""
EVERY_S = 4.0
BEHIND_IT_S = (0.0, 1.0, 4.0, 8.0, 12.0)
"""where the engine still stands as the crash left it"""
LIMITS_PCT = (75, 120, 190)


def another(domain: Domain, count: int) -> list[Row]:
    """The slowest answer of those about every moment, with several limits."""
    del domain  # the cell has one of its own
    with Cell() as cell:
        time.sleep(BEFORE_S)  # what is to be recorded takes its time
        cell.rise("service", "call", "/vmc1/machine/inject", '{"fault": "CRASH"}')
        time.sleep(BEHIND_S)
        cell.process.send_signal(signal.SIGINT)
        cell.process.wait(END_WITHIN_S)
        (bag,) = (p for p in (cell.folder / "state" / "bags").glob("*.mcap") if not p.name.startswith("black_box"))
        known = about(bag)
        crash_s = known["moments"][0]["at_s"]
        moments = [crash_s + s for s in BEHIND_IT_S]
        moments += [n * EVERY_S for n in range(int(known["duration_s"] / EVERY_S))]
        answers = [asyncio.run(asked(bag, moments)) for _ in range(max(1, count // 5))]
    also = {"median s": statistics.median(s for a in answers for s in a), "answers": float(len(answers[0]))}
    slowest = interval([max(a) for a in answers])
    return [Row("replay with another limit, any moment", "slowest answer", slowest, 2.0, unit="s", also=also)]


async def asked(bag: Path, moments: Sequence[float]) -> list[float]:
    """How long each answer took, in seconds, from a process that is warm."""
    reader, took_s = Reader(), []
    try:
        await reader.warm()
        for moment_s in moments:
            for limit_pct in LIMITS_PCT:
                start_s = time.monotonic()
                question = {
                    "ask": "replay", "bag": str(bag), "node": "vmc1/impact_cortex", "around": moment_s,
                    "parameters": [f"limit_pct={limit_pct}"],
                }  # fmt: skip
                await reader.ask(question, 60.0)
                took_s.append(time.monotonic() - start_s)
    finally:
        await reader.close()
    return took_s
