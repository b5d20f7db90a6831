"""Real recordings, judged by the same engine: a folder of tables with a column map, or of robot failures.

Known by their names: `smart_michigan/experiment_*.csv` (milling at 10 Hz), `lmas_vibration/accel_*.txt` (milling at
1 kHz), `uci_robot_failures/lp*.data` (collisions of a robot's arm). Any other folder: tables (.csv, .txt) beside a
column map `columns.toml` as launch/recording.py reads it; in a table whose name begins with `normal` nothing should be
raised.

A recording stands for itself: it proves no rate, and the interval says how little a few of them say.
"""

from __future__ import annotations

import csv
import math
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nodes.impact_cortex.cuts import Cuts
from nodes.impact_cortex.detectors import Limit, block
from nodes.sensory_cortex.chunk import ChunkKind
from nodes.sensory_cortex.columns import ColumnMap, column_map
from nodes.sensory_cortex.drivers.recording import table_chunks
from nodes.sensory_cortex.machine import unknown_state
from schemas.machine import Execution, SignalBlock
from schemas.topics import VIBRATION
from tests.benchmarks.detect.judge import ACTING, Judge
from tests.benchmarks.detect.presets import PRESETS, Preset
from tests.benchmarks.detect.statistics import Share, share

NOTHING = (
    "no smart_michigan/experiment_*.csv, lmas_vibration/accel_*.txt, uci_robot_failures/lp*.data, and no tables beside "
    "a columns.toml"
)
LAUNCH = Path(__file__).parents[3] / "launch"
TABLES = (".csv", ".txt")
ROBOT_COLUMNS = 6
"""forces and torques, x y z"""
TAUGHT = 1.5
"""a reading of a robot is too much when it is so many times as far from the mean as any that was taught"""
ROBOT_K, ROBOT_N = 2, 3
"""readings beyond that, of the last n"""

Case = tuple[str, NDArray[np.float64]]
"""its label, and its readings [rows, ROBOT_COLUMNS]"""


@dataclass
class Found:
    """What came of one recording, or of one class of cases in it."""

    name: str
    label: str
    normal: bool
    """nothing should be raised"""
    seconds: float = math.nan
    stops: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    wrong: str = ""
    """what of the file could not be read"""
    told: Share | None = None
    """where one file holds many cases: those in which something was raised"""


def judged(folder: Path) -> Iterator[Found]:
    """Every recording of a folder that is known, in the order of their names."""
    yield from _michigan(folder / "smart_michigan")
    yield from _tables(sorted((folder / "lmas_vibration").glob("accel_*.txt")), _map(LAUNCH / "lmas_vibration.toml"))
    for path in sorted((folder / "uci_robot_failures").glob("lp*.data")):
        yield from robot(path.name, cases(path.read_text("utf-8", errors="replace")))
    own = folder / "columns.toml"
    if own.is_file():
        tables = sorted(p for p in folder.iterdir() if p.suffix in TABLES)
        yield from _tables(tables, _map(own), lambda path: path.name.startswith("normal"))


def _map(path: Path) -> ColumnMap:
    return column_map(tomllib.loads(path.read_text("utf-8")), path.name)


# --- tables -----------------------------------------------------------------------------------------------------------


def _michigan(folder: Path) -> Iterator[Found]:
    labels: dict[str, dict[str, str]] = {}
    if (folder / "labels.csv").is_file():
        with open(folder / "labels.csv", newline="") as file:
            labels = {row["No"]: row for row in csv.DictReader(file)}
    by = _map(LAUNCH / "smart_michigan.toml")
    for path in sorted(folder.glob("experiment_*.csv")):
        row = labels.get(path.stem.rsplit("_", 1)[1].lstrip("0"), {})
        finished = row.get("machining_finalized") != "no"
        label = f"{row.get('tool_condition', '?')} tool" + ("" if finished else ", stopped: the workpiece moved")
        yield table(path, by, label, normal=finished)


def _tables(
    paths: Iterable[Path], by: ColumnMap, is_normal: Callable[[Path], bool] = lambda path: True
) -> Iterator[Found]:
    for path in paths:
        normal = is_normal(path)
        yield table(path, by, "normal cutting" if normal else path.stem, normal=normal)


def table(path: Path, by: ColumnMap, label: str, *, normal: bool) -> Found:
    """A table, read and gated as the recording driver does, judged by the default tasks and, where it is acceleration,
    by those of the accelerometer preset.
    """
    signals = tuple(c.info for c in by.columns)
    rows = PRESETS["accelerometer"].rows if signals[0].topic == VIBRATION.name else ()
    judge = Judge(Preset("recording", "", signals, rows), Cuts(), signals)
    found = Found(path.name, label, normal)
    for chunk in table_chunks(path, by, skip_bad=True):
        if chunk.kind is ChunkKind.END:
            found.seconds = (chunk.offset_ns + by.period_ns) / 1e9
        if chunk.kind is ChunkKind.FAILED:
            found.wrong = chunk.text
        if chunk.kind is not ChunkKind.ROWS:
            continue
        state = unknown_state(0, chunk.motion).model_copy(update={"execution": Execution.ACTIVE})
        judge.state(state)
        sent = SignalBlock(
            stamp_ns=chunk.offset_ns,
            period_ns=chunk.period_ns,
            source=by.source,
            first_row=chunk.first_row,
            data=chunk.data,
        )
        for hit in judge.hear(sent):
            w = hit.watch
            after_s = (chunk.offset_ns + hit.row * chunk.period_ns) / 1e9
            text = f"{after_s:.1f} s {w.task.name} ({w.signal}) {hit.value:.3g} against {hit.limit:.3g} {w.unit}"
            (found.stops if w.reaction in ACTING else found.warnings).append(text)
    return found


# --- robot failures ---------------------------------------------------------------------------------------------------


def cases(text: str) -> list[Case]:
    """The cases of a file: a label, rows of six whole numbers below it, an empty line; anything else is skipped."""
    found: list[tuple[str, list[list[float]]]] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 1 and not _numbers(words):
            found.append((words[0], []))
        elif found and len(words) == ROBOT_COLUMNS and (row := _numbers(words)):
            found[-1][1].append(row)
    return [(label, np.array(rows, dtype=np.float64)) for label, rows in found if rows]


def _numbers(words: Sequence[str]) -> list[float]:
    try:
        row = [float(word) for word in words]
    except ValueError:
        return []
    return row if all(math.isfinite(v) for v in row) else []


def robot(name: str, some: Sequence[Case]) -> Iterator[Found]:
    """Limits are taught by every other normal case; the rest of them, and all failures, are judged."""
    normal = [rows for label, rows in some if label == "normal"]
    taught = normal[::2]
    if not taught:
        yield Found(name, "no normal case to teach limits by", normal=True, wrong="no case labelled normal")
        return
    every = np.concatenate(taught)
    mean = every.mean(axis=0)
    limits = TAUGHT * np.abs(every - mean).max(axis=0)
    for label in dict.fromkeys(label for label, _ in some):
        judged_cases = normal[1::2] if label == "normal" else [rows for at, rows in some if at == label]
        raised = sum(_too_far(rows - mean, limits) for rows in judged_cases)
        yield Found(name, label, normal=label == "normal", told=share(raised, len(judged_cases)))


def _too_far(away: NDArray[np.float64], limits: NDArray[np.float64]) -> bool:
    for column, limit in enumerate(limits):
        detector = Limit(float(limit), ROBOT_K, ROBOT_N)
        if block(detector, detector.start(), np.abs(away[:, column]), True).any():
            return True
    return False


# --- said -------------------------------------------------------------------------------------------------------------


def lines(found: Sequence[Found]) -> Iterator[str]:
    """A line for each recording, and each finding below it."""
    yield "recordings, judged by the default tasks (acceleration by those of the preset, too)"
    yield "robot failures, judged by limits that half of the normal cases taught"
    for f in found:
        expected = "nothing expected" if f.normal else "something expected"
        if f.told is not None:
            yield (
                f"  {f.name:<22} {f.label:<34} {expected}: {f.told.hits} of {f.told.trials} cases raised "
                f"[{100 * f.told.low:.0f} %, {100 * f.told.high:.0f} %]"
            )
            continue
        raised = f"{len(f.stops)} stops, {len(f.warnings)} warnings" if f.stops or f.warnings else "nothing raised"
        yield f"  {f.name:<22} {f.label:<34} {expected}: {raised} in {f.seconds:.0f} s {f.wrong}".rstrip()
        for text in (*f.stops[:4], *f.warnings[:2]):
            yield f"      {text}"


def plain(f: Found) -> dict[str, Any]:
    """As data for JSON."""
    said: dict[str, Any] = {"file": f.name, "label": f.label, "normal": f.normal}
    if f.wrong:
        said["wrong"] = f.wrong
    if f.told is None:
        return said | {"seconds": f.seconds, "stops": f.stops, "warnings": f.warnings}
    return said | {"raised": f.told.hits, "cases": f.told.trials, "raised_95": [f.told.low, f.told.high]}
