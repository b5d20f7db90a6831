"""The fuzz part of `make soak`: each target in a process of its own, then each socket door of living nodes; a table.

make soak ARGS="fuzz"                               everything: 1,000,000 inputs for each
make soak ARGS="fuzz --inputs 20000 codec bag_read" some of it
make soak ARGS="fuzz --replay FILE codec"           one input again, with its traceback

An input that is answered wrongly stays in a file; once understood it belongs into tests/soak/fuzz_seeds.py.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.soak import fuzz_ws
from tests.soak.ending import ends_with_us
from tests.soak.fuzz_doors import door, talking
from tests.soak.fuzz_stranger import DOORS
from tests.soak.fuzz_targets import TARGETS, find
from tests.soak.fuzz_worker import Finding, Report

INPUTS = 1_000_000
LOOK_S = 5.0
BLOCKED_S = 120.0
"""an input that has not come to an end by then never will: it waits for something"""
AT_DOORS = (*(f"door_{name}" for name in DOORS), fuzz_ws.NAME)
HEAD = f"{'target':<16} {'inputs':>10} {'seconds':>8} {'inputs/s':>9} {'refused':>10} {'peak MB':>8}  findings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = ", ".join((*TARGETS, *AT_DOORS))
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"default: all of {names}")
    parser.add_argument("--inputs", type=int, default=INPUTS, help="for each target")
    parser.add_argument("--seconds", type=float, default=0.0, help="at most, for each; 0: until the inputs are done")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="where wrong answers are kept; default: a new folder")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="feed this one input to the one TARGET")


def run(asked: argparse.Namespace) -> bool:
    """Whether every answer was right."""
    known = (*TARGETS, *AT_DOORS)
    if unknown := [t for t in asked.targets if t not in known]:
        print(f"no target {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return False
    if asked.replay is not None:
        find(asked.targets[0]).feed(asked.replay.read_bytes())
        print("answered rightly")
        return True
    out = asked.out or Path(tempfile.mkdtemp(prefix="rise-fuzz-"))
    out.mkdir(parents=True, exist_ok=True)
    print(HEAD, flush=True)
    reports: list[Report] = []
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # files there cost no disk
    with tempfile.TemporaryDirectory(prefix="rise-fuzz-", dir=memory) as scratch:
        for name in asked.targets or known:
            reports.append(_target(asked, name, out, scratch) if name in TARGETS else _door(asked, name, Path(scratch)))
            print(_line(reports[-1]), flush=True)
    return _told(reports, out)


def _line(r: Report) -> str:
    return (
        f"{r.target:<16} {r.inputs:>10,} {r.seconds:>8.0f} {r.per_second:>9,.0f} {r.refused:>10,} {r.peak_mb:>8.0f}  "
        f"{len(r.findings) or '-'}"
    )


def _told(reports: list[Report], out: Path) -> bool:
    for r in reports:
        for f in r.findings:
            print(f"\n{r.target}: {f.kind} at {f.where}, {f.count} times: {f.text}")
            if f.file:
                print(f"  again: make soak ARGS='fuzz --replay {f.file} {r.target}'")
    total, wrong = sum(r.inputs for r in reports), sum(len(r.findings) for r in reports)
    print(f"\n{total:,} inputs, {sum(r.seconds for r in reports):,.0f} s, {wrong} wrong answers, kept in {out}")
    return not wrong


def _door(asked: argparse.Namespace, name: str, folder: Path) -> Report:
    if name == fuzz_ws.NAME:
        with fuzz_ws.served(folder) as hub:
            return fuzz_ws.door(hub, asked.inputs, asked.seed, seconds=asked.seconds)
    with talking(folder) as pair:
        return door(pair, name.removeprefix("door_"), asked.inputs, asked.seed, seconds=asked.seconds)


# --- one target -------------------------------------------------------------------------------------------------------


def _target(asked: argparse.Namespace, name: str, out: Path, scratch: str) -> Report:
    words = [sys.executable, "-P", "-m", "tests.soak.fuzz_worker", name, "--inputs", str(asked.inputs)]
    words += ["--seconds", str(asked.seconds), "--seed", str(asked.seed), "--out", str(out)]
    log = out / f"{name}.log"
    with log.open("wb") as errors:
        child = subprocess.Popen(
            ["nice", "-n", "10", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            preexec_fn=ends_with_us, env={**os.environ, "RISE_FUZZ_SCRATCH": scratch},
        )  # fmt: skip
        said, blocked = _watched(child, out / f"{name}.input")
    if (report := _report(said)) is not None:
        return report
    report = Report(name)
    kind = "blocked" if blocked else f"ended ({child.returncode})"
    report.findings.append(Finding(kind, "?", log.read_text(errors="replace")[-300:], str(_last_input(out, name))))
    return report


def _watched(child: subprocess.Popen[bytes], slot: Path) -> tuple[bytes, bool]:
    """What the child said until its end, and whether it had to be killed, because it was at one input for too long."""
    before, since_s = b"", time.monotonic()
    while True:
        try:
            said, _ = child.communicate(timeout=LOOK_S)
        except subprocess.TimeoutExpired:
            now = slot.read_bytes() if slot.exists() else b""
            if now != before:
                before, since_s = now, time.monotonic()
            elif time.monotonic() - since_s > BLOCKED_S:
                child.kill()
                return child.communicate()[0], True
            continue
        return said, False


def _report(said: bytes) -> Report | None:
    lines = said.strip().splitlines()
    try:
        plain: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        return None
    return Report(**{**plain, "findings": [Finding(**f) for f in plain["findings"]]})


def _last_input(out: Path, name: str) -> Path | None:
    """What the child was at when it ended."""
    slot = out / f"{name}.input"
    if not slot.exists():
        return None
    data = slot.read_bytes()
    kept = out / f"{name}-last"
    kept.write_bytes(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return kept
