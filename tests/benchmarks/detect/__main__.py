"""`make bench-detect`: crashes found, false stops, and how far a tool goes after the touch, for each sensor preset.

python -P -m tests.benchmarks.detect [--tenth | --times N] [--jobs N] [--json FILE] [--freeze | --tuning] [--folder DIR]

1,000 crashes per preset in a closed loop with the simulated mill, and 400 machine hours of varied ordinary cutting.
`--tuning` draws from other seeds than the reported ones: whoever alters a task looks at those. `--folder` judges real
recordings beside it (`--only-folder` nothing else): see real.py. The exit code is 1 where a bar does not hold.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.detect import frozen, real, result, table
from tests.benchmarks.detect.closed import Outcome
from tests.benchmarks.detect.crashes import FAULTS
from tests.benchmarks.detect.hours import EVERY, Hour
from tests.benchmarks.detect.presets import PRESETS
from tests.benchmarks.detect.work import Task, run

SEEDS = {"reporting": 20_261_130, "tuning": 1}
CRASHES, FAULTS_EACH = 1000, 100
HOURS = 400
"""without a false stop in so many, one hour in a hundred with one is outside the interval"""


def tasks(seeds: str, times: float, presets: Sequence[str]) -> list[Task]:
    """Everything that is to be run, evenly mixed, so that half a run is half of everything.

    Args:
        times: as many crashes and hours as are reported, so many times.
    """
    of = SEEDS[seeds]
    kinds = [("hour", "", 0, HOURS)]
    for name in presets:
        kinds.append(("crash", name, 1, CRASHES))
        kinds += [(kind.name, name, 2 + n, FAULTS_EACH) for n, kind in enumerate(FAULTS)]
    mixed = [
        (i / (count * times), (what, name, (of, stream, i)))
        for what, name, stream, count in kinds
        for i in range(round(count * times))
    ]
    return [task for _, task in sorted(mixed)]


def counted(todo: Sequence[Task], jobs: int, every: int = EVERY) -> dict[str, result.Counted]:
    """Run it all, so many processes at a time; Ctrl-C ends it with what has been counted so far."""
    counts = result.empty()
    started = time.monotonic()
    each = _each(todo, jobs, every)
    for done in range(1, len(todo) + 1):
        try:
            (what, preset, _), found = next(each)
        except KeyboardInterrupt:
            print(f"interrupted: {done - 1} of {len(todo)} parts were counted", flush=True)
            break
        if isinstance(found, Hour):
            for name, c in counts.items():
                if name in found.raised:
                    c.add_hour(found)
        elif what == "crash":
            counts[preset].crashes.append(found)
        else:
            counts[preset].faults.setdefault(what, []).append(found)
        if sys.stderr.isatty() or done % 500 == 0 or done == len(todo):
            text = f"{done}/{len(todo)} after {time.monotonic() - started:.0f} s"
            print(text, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr)
    return counts


def _each(todo: Sequence[Task], jobs: int, every: int) -> Iterator[tuple[Task, Hour | Outcome]]:
    one = partial(run, every=every)
    if jobs == 1:
        yield from map(one, todo)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        yield from pool.imap_unordered(one, todo)


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    parser = argparse.ArgumentParser(prog="make bench-detect", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--tenth", action="store_const", dest="times", const=0.1, help="a tenth of it all, as CI does")
    size.add_argument("--times", type=int, default=1, metavar="N", help="N times as much: narrower intervals")
    parser.set_defaults(times=1)
    parser.add_argument("--tuning", action="store_true", help="other seeds than the reported ones")
    parser.add_argument("--freeze", action="store_true", help="write down the hash, before the figures are made")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (default: all cores)")
    parser.add_argument(
        "--every", type=int, default=EVERY, help="make acceleration in one of so many passes; 1 takes twice as long"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--folder", type=Path, action="append", default=[], help="judge the recordings in it, too")
    parser.add_argument("--only-folder", action="store_true", help="judge recordings and nothing else")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    seeds = "tuning" if given.tuning else "reporting"
    now = frozen.fingerprint()
    if given.freeze:
        frozen.FILE.write_text(json.dumps({"hash": now}, indent=2) + "\n", "utf-8")
    print(f"{frozen.compared(now, frozen.frozen())}; {seeds} seeds")
    judged = {folder: list(real.judged(folder)) for folder in given.folder}  # a wrong one is told before the hours
    for folder, found in judged.items():
        if not found:
            print(f"{folder}: {real.NOTHING}", file=sys.stderr)
            return 2
    figures: dict[str, Any] = {}
    if not given.only_folder:
        counts = counted(tasks(seeds, given.times, list(PRESETS)), given.jobs, given.every)
        figures = result.plain(counts)
        print("\n".join(table.lines(figures)))
    for found in judged.values():
        print("\n".join(real.lines(found)))
    recorded = [real.plain(f) for found in judged.values() for f in found]
    if given.json:
        made: dict[str, Any] = {"hash": now, "seeds": seeds, "made": datetime.now(UTC).isoformat(timespec="seconds")}
        made |= {"presets": figures, "recordings": recorded}
        given.json.write_text(json.dumps(made, indent=2) + "\n", "utf-8")
    return 0 if all(f["holds"] is not False for f in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
