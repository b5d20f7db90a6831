"""Real machining data through the whole bus, and what is decided on it: one command, one table.

    python -P -m tests.real_data ../shared/data [--speed 1] [--jobs 2] [NAME ...]

Every file is played by launch/recording.py, judged by impact_cortex and recorded; then the bag is held against the file
row by row, replayed twice in lock-step, and converted. The folder has `smart_michigan/` (10 Hz) and `lmas_vibration/`
(1 kHz); it is not part of this repository.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bus.bag import BagReader
from bus.replay import differences, identical, replay
from bus.session import Session
from nodes.impact_cortex import ImpactCortex
from schemas.codec import codec
from schemas.impact import Intervention
from schemas.machine import Execution, MachineState, SignalBlock

RISE = str(Path(sys.executable).with_name("rise"))
LAUNCH = str(Path(__file__).parents[1] / "launch" / "recording.py")


@dataclass
class Row:
    """One file's line of the table."""

    file: str
    label: str
    rows: int
    seconds: float
    arrived: str = ""
    replayed: str = ""
    converted: str = ""
    decisions: list[tuple[float, str, str]] = field(default_factory=list)
    """(seconds, reaction, reason), one per reaction"""


@dataclass(frozen=True)
class Recording:
    """A file of the folder, and how it is read."""

    path: Path
    columns: str
    topic: str
    period_s: float
    label: str
    values: Any
    """float [rows, 1]: one column, to hold the bag against"""
    column: int
    """of that value in the block"""


def recordings(folder: Path) -> Iterator[Recording]:
    """The files this knows, in the order of their names."""
    labels = {}
    table = folder / "smart_michigan" / "labels.csv"
    if table.is_file():
        with open(table, newline="") as file:
            labels = {row["No"]: row for row in csv.DictReader(file)}
    for path in sorted((folder / "smart_michigan").glob("experiment_*.csv")):
        row = labels.get(str(int(path.stem.rsplit("_", 1)[1])), {})
        stopped = "" if row.get("machining_finalized") == "yes" else ", STOPPED: workpiece slipped"
        label = f"{row.get('tool_condition', '?')} tool, feed {row.get('feedrate', '?')}{stopped}"
        with open(path, newline="") as file:
            powers = [float(r["S1_OutputPower"]) for r in csv.DictReader(file)]
        yield Recording(path, "smart_michigan", "rec/machine/samples", 0.1, label, np.array(powers) * 200.0, 0)
    for path in sorted((folder / "lmas_vibration").glob("accel_*.txt")):
        found = []
        with open(path) as file:
            for line in file:
                words = line.split()
                if len(words) == 3:
                    found.append(float(words[0]))
        yield Recording(
            path, "lmas_vibration", "rec/machine/vibration", 0.001, "normal cutting", np.array(found) * 9.80665, 0
        )


def judge(recording: Recording, speed: float, work: Path) -> Row:
    """Play, record, check, replay twice, convert."""
    r = recording
    row = Row(r.path.name, r.label, len(r.values), len(r.values) * r.period_s)
    bags = work / "bags"
    domain = "real_" + hashlib.sha256(str(r.path).encode()).hexdigest()[:8]
    command = [RISE, "launch", LAUNCH, f"file:={r.path}", f"columns:={r.columns}", f"speed:={speed:g}"]
    command += ["--domain", domain, "-p", f"recorder.directory={bags}"]
    with open(work / "launch.log", "w") as log, subprocess.Popen(command, stdout=log, stderr=log) as launch:
        try:
            _until_completed(domain, row.seconds / speed + 60 if speed else 120.0)
        finally:
            launch.send_signal(signal.SIGINT)
            launch.wait(20)
    bag = next(p for p in sorted(bags.glob("*.mcap")) if "black_box" not in p.name)
    row.arrived = _compare(r, bag)
    results = [replay(ImpactCortex, bag) for _ in range(2)]
    same = identical(results[0], results[1]) and bool(results[0].made)
    differs = differences(results[0].recorded, results[0])
    speed_x = row.seconds / max(results[0].wall_s, 1e-9)
    row.replayed = ("identical" if same else "DIFFER") + f", {len(differs)} differences to the run, {speed_x:.0f}x"
    row.converted = _convert(bag, work)
    row.decisions = _decisions(bag)
    return row


def _until_completed(domain: str, timeout_s: float) -> None:
    done: list[bool] = []

    def heard(batch: list[Any]) -> None:
        states = [codec(MachineState).decode(raw.payload) for raw in batch if raw.payload]
        done.extend(True for s in states if s.execution is Execution.PROGRAM_COMPLETED)

    with Session(domain, select=lambda topic, _: topic == "rec/machine/state", heard=heard) as session:
        if not session.spin(lambda: bool(done), timeout_s):
            raise TimeoutError(f"{domain}: the recording did not come to its end in {timeout_s:.0f} s")
        # what was published last is on its way to the recorder
        session.spin(lambda: False, 1.0)


def _compare(r: Recording, bag: Path) -> str:
    values = np.full(len(r.values), np.nan)
    seen = np.zeros(len(r.values), dtype=int)
    stamps = []
    with BagReader(bag) as reader:
        for message in reader.messages(topics=lambda t: t == r.topic):
            block = codec(SignalBlock).decode(message.payload)
            data = block.data.array
            rows = np.arange(block.first_row, block.first_row + len(data))
            values[rows] = data[:, r.column]
            seen[rows] += 1
            stamps += [block.stamp_ns + i * block.period_ns for i in range(len(data))]
        lost = reader.lost()
    wrong = int(np.sum(~np.isclose(values, r.values, rtol=1e-5, atol=1e-4, equal_nan=True)))
    steps = np.diff(stamps)
    kept = bool(len(steps)) and int(np.max(np.abs(steps - r.period_s * 1e9))) <= 1
    text = f"{int(np.sum(seen > 0))}/{len(r.values)} rows, {int(np.sum(seen > 1))} twice, {wrong} changed, {lost} lost"
    return text + (", stamps kept" if kept else ", STAMPS DIFFER")


def _convert(bag: Path, work: Path) -> str:
    for kind in ("json", "csv"):
        out = work / kind if kind == "csv" else work / "out.mcap"
        subprocess.run(
            [RISE, "bag", "convert", str(bag), "--to", kind, "-o", str(out)], check=True, capture_output=True
        )
    return "json, csv"


def _decisions(bag: Path) -> list[tuple[float, str, str]]:
    """Every intervention at the recording's own time: that of the reading that led to it, not of its block."""
    found: list[tuple[float, str, str]] = []
    start_ns = 0
    with BagReader(bag) as reader:
        for message in reader.messages(topics=lambda t: t.startswith("rec/")):
            if message.type_name == "SignalBlock":
                start_ns = start_ns or codec(SignalBlock).decode(message.payload).stamp_ns
            elif message.type_name == "Intervention":
                i = codec(Intervention).decode(message.payload)
                read_ns = i.stamp_ns - round(i.age_ms * 1e6)
                said = ("would have: " if i.would_have else "") + i.reaction.value
                found.append(((read_ns - start_ns) / 1e9, said, i.reason))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="real_data", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="only files whose name contains one of these")
    parser.add_argument("--speed", type=float, default=0.0, help="1: as recorded; 0 (default): as fast as possible")
    parser.add_argument("--jobs", type=int, default=2, help="files at a time")
    arguments = parser.parse_intermixed_args()
    chosen = [
        r for r in recordings(arguments.folder) if not arguments.names or any(n in r.path.name for n in arguments.names)
    ]
    if not chosen:
        sys.stderr.write(f"{arguments.folder}: no smart_michigan/experiment_*.csv and no lmas_vibration/accel_*.txt\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="rise-real-") as work, ThreadPoolExecutor(arguments.jobs) as pool:

        def run(r: Recording) -> Row:
            place = Path(work) / r.path.stem
            place.mkdir()
            return judge(r, arguments.speed, place)

        rows = list(pool.map(run, chosen))
    for line in table(rows):
        sys.stdout.write(line + "\n")
    return 0


def table(rows: list[Row]) -> Iterator[str]:
    """The table: what arrived, then every decision with its time and reason."""
    for row in rows:
        yield f"{row.file:<20} {row.label}"
        yield f"    {row.arrived}; {row.seconds:.1f} s; replay {row.replayed}; converted to {row.converted}"
        for after_s, reaction, reason in row.decisions or [(0.0, "nothing", "no limit was passed")]:
            yield f"    {after_s:8.1f} s  {reaction:<24} {reason}"


if __name__ == "__main__":
    sys.exit(main())
