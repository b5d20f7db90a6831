"""A day's worth of the demo cell, as fast as the computer allows: memory flat, directories clean, bags under the quota,
nothing lost.

The simulated mills run at `speed`; every simulated minute the memory of each process (PSS), the files in the runtime
directory, the bags, and what every node says it lost are looked at. What grows shows as the slope of a straight line
through the samples behind the warm-up.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from bus.node import Raw
from bus.plan import SHIPPED
from bus.testing import Domain
from schemas.codec import codec
from schemas.machine import CoolantState, MachineState
from schemas.system import Diagnostics, LogLevel, LogRecord, Processes, RecorderStatus
from tests.soak.ending import ends_with_us

SPEEDS = (20.0, 16.0, 12.0, 10.0, 8.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0)
TRIAL_S = 12.0
KEPT_UP = 0.97
"""of the speed that was asked for: less, and the next slower one is tried"""
HEADROOM = 0.65
"""of all cores is what the cell may take, so that what others do meanwhile costs no message"""
DISPLAYS = frozenset({"console"})
"""what they drop while they are starved of CPU is told, and no loss: a display shows the newest"""
WARM_UP_S = 300.0
"""real: until then the rings of EVENT topics fill (4096 messages or 8 MiB each); a shorter run tells nothing of it"""
BOUND_MB_H = 1.0
"""a process whose memory rises by less in a simulated hour is flat: 24 MB in a day"""
NOISE_MB = 4.0
"""a rise over the whole run that is smaller says nothing"""
QUOTA_GB, SPLIT_S = 0.6, 20.0
OVER = 1.4
"""of the quota: the bag that is open, and what comes between two looks"""
START_WITHIN_S, END_WITHIN_S = 60.0, 60.0
MACHINES = ("vmc1", "vmc2")
Told = Callable[[str], None]


def site(speed: float) -> str:
    """The demo's site file with mills of that speed and a recorder that soon meets its quota."""
    text = (SHIPPED / "site.toml").read_text()
    text = text.replace('driver = "simulator"', f'driver = "simulator", speed = {speed:.1f}')
    return f"{text}\n[nodes.recorder]\nquota_gb = {QUOTA_GB}\nsplit_s = {SPLIT_S}\nretention_days = 0.0\n"


@dataclass
class Sample:
    """The cell at one simulated minute."""

    hours: float
    pss_mb: dict[str, float]
    files: int
    bags_mb: float
    cores: float = 0.0
    """that the cell takes"""


@dataclass
class Result:
    """What became of the day."""

    speed: float
    hours: float = 0.0
    seconds: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    losses: dict[str, int] = field(default_factory=dict)
    not_shown: int = 0
    """messages that a display dropped for newer ones"""
    received: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    @property
    def warm(self) -> list[Sample]:
        """The samples behind the warm-up."""
        begins = self.hours * min(WARM_UP_S / self.seconds, 0.5) if self.seconds else 0.0
        return [s for s in self.samples if s.hours >= begins]

    def slope_mb_h(self, name: str) -> float:
        """How fast a process's memory rises."""
        points = [(s.hours, s.pss_mb[name]) for s in self.warm if name in s.pss_mb]
        if len(points) < 3:
            return float("nan")
        hours, megabytes = zip(*points, strict=True)
        return float(np.polyfit(hours, megabytes, 1)[0])

    def is_flat(self, name: str) -> bool:
        seen = [(s.hours, s.pss_mb[name]) for s in self.warm if name in s.pss_mb]
        rise_mb = self.slope_mb_h(name) * (seen[-1][0] - seen[0][0]) if len(seen) > 2 else seen[-1][1] - seen[0][1]
        return rise_mb < NOISE_MB or self.slope_mb_h(name) < BOUND_MB_H

    def judge(self) -> None:
        """Complain of what is not as it must be."""
        if self.seconds > WARM_UP_S:
            self.complaints += [f"memory of {name} rises" for name in self.names if not self.is_flat(name)]
        counts = {s.files for s in self.warm}
        if len(counts) > 1:
            self.complaints.append(f"the runtime directory held between {min(counts)} and {max(counts)} files")
        self.complaints += [f"{count} {what}" for what, count in self.losses.items()]
        most = max((s.bags_mb for s in self.samples), default=0.0)
        if most > QUOTA_GB * 1000 * OVER:
            self.complaints.append(f"bags took {most:.0f} MB, the quota is {QUOTA_GB * 1000:.0f}")
        self.complaints += [f"{machine} finished no part" for machine in MACHINES if not self.parts.get(machine)]

    @property
    def names(self) -> list[str]:
        return list(self.samples[-1].pss_mb) if self.samples else []

    @property
    def good(self) -> bool:
        return bool(self.samples) and not self.complaints

    def __str__(self) -> str:
        rows = [f"{'PROCESS':<12}{'WARM MB':>9}{'LAST MB':>9}{'MOST MB':>9}{'MB/H':>8}  "]
        for name in self.names:
            seen = [s.pss_mb[name] for s in self.warm if name in s.pss_mb]
            rows.append(
                f"{name:<12}{seen[0]:>9.1f}{seen[-1]:>9.1f}{max(seen):>9.1f}{self.slope_mb_h(name):>8.2f}  "
                + (("flat" if self.is_flat(name) else "RISES") if self.seconds > WARM_UP_S else "too short to say")
            )
        parts = ", ".join(f"{count} of {machine}" for machine, count in self.parts.items())
        bags = [s.bags_mb for s in self.samples]
        files = sorted({s.files for s in self.warm})
        return "\n".join(
            (
                f"{self.hours:.2f} simulated hours in {self.seconds:.0f} s ({self.hours * 3600 / self.seconds:.1f}x, "
                f"asked for {self.speed:g}x), {len(self.samples)} samples",
                *rows,
                f"flat: below {BOUND_MB_H:g} MB per simulated hour, or {NOISE_MB:g} MB in all; PSS, simulated hours",
                f"cores taken: {np.mean([s.cores for s in self.samples] or [0.0]):.2f}; "
                f"files in the runtime directory: {' or '.join(map(str, files)) or 'none seen'}; "
                f"bags {min(bags, default=0):.0f} to {max(bags, default=0):.0f} MB, quota {QUOTA_GB * 1000:.0f}",
                f"received {self.received}, lost {sum(self.losses.values())}, not shown by a starved display "
                f"{self.not_shown}; parts: {parts or 'none'}",
                *(f"NOT AS IT MUST BE: {text}" for text in self.complaints),
            )
        )


class Watch:
    """What the cell says of itself."""

    topics = frozenset(
        {"launch/processes", "diagnostics", "bag/status", "log"}
        | {f"{m}/{t}" for m in MACHINES for t in ("coolant/state", "machine/state", "impact/intervention")}
    )

    def __init__(self) -> None:
        self.processes: Processes | None = None
        self.health: dict[str, Diagnostics] = {}
        self.recorder: RecorderStatus | None = None
        self.stamps_ns: dict[str, tuple[int, int]] = {}
        """by machine the first and the last moment of its own time"""
        self.parts: dict[str, int] = {}
        self.interventions = 0
        self.warnings: list[str] = []

    def heard(self, batch: list[Raw]) -> None:
        for raw in batch:
            machine, _, kind = raw.topic.partition("/")
            if not raw.payload:
                continue
            if kind == "coolant/state":
                now_ns = codec(CoolantState).decode(raw.payload).stamp_ns
                self.stamps_ns[machine] = (self.stamps_ns.get(machine, (now_ns, 0))[0], now_ns)
            elif kind == "machine/state":
                self.parts[machine] = codec(MachineState).decode(raw.payload).part_count
            elif kind == "impact/intervention":
                self.interventions += 1
            elif raw.topic == "launch/processes":
                self.processes = codec(Processes).decode(raw.payload)
            elif raw.topic == "bag/status":
                self.recorder = codec(RecorderStatus).decode(raw.payload)
            elif raw.topic == "diagnostics":
                said = codec(Diagnostics).decode(raw.payload)
                self.health[said.node] = said
            else:
                record = codec(LogRecord).decode(raw.payload)
                if record.level in (LogLevel.WARNING, LogLevel.ERROR):
                    self.warnings.append(f"{record.node}: {record.text}")

    @property
    def hours(self) -> float:
        """Of the slower machine's time."""
        spans = [last - first for first, last in self.stamps_ns.values()]
        return min(spans) / 3.6e12 if len(spans) == len(MACHINES) else 0.0

    def losses(self) -> dict[str, int]:
        """By kind, node and topic; only what there is."""
        found: dict[str, int] = {}
        for node, said in self.health.items():
            if node.startswith("_"):
                continue
            for c in said.topics:
                if c.publisher != node:
                    kinds = {"lost": c.lost, "dropped": c.dropped, "expired": c.expired, "undecodable": c.undecodable}
                    if node in DISPLAYS:
                        del kinds["dropped"], kinds["expired"]
                    found |= {f"{kind} by {node} of {c.topic}": n for kind, n in kinds.items() if n}
        if self.recorder is not None and self.recorder.lost:
            found["lost by the recorder"] = self.recorder.lost
        return found

    def not_shown(self) -> int:
        return sum(c.dropped + c.expired for node in DISPLAYS & set(self.health) for c in self.health[node].topics)

    def received(self) -> int:
        return sum(c.received for n, said in self.health.items() for c in said.topics if c.publisher != n)


def day(speed: float, hours: float, told: Told, real_s: float = float("inf")) -> Result:
    """The cell until so many hours have passed in it, in a domain and folder that are gone afterwards."""
    result, watch = Result(speed), Watch()
    with Domain("day") as domain:
        file = domain.root / "site.toml"
        file.write_text(site(speed))
        command = [sys.executable, "-P", "-m", "bus.cli", "launch", "cell"]
        command += ["--domain", domain.name, "--site", str(file)]
        with (
            domain.session(select=lambda topic, _: topic in watch.topics, heard=watch.heard) as session,
            (domain.root / "out").open("wb") as out,
            subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, preexec_fn=ends_with_us) as launch,
        ):
            try:
                if not session.spin(lambda: watch.hours > 0.0, START_WITHIN_S):
                    raise RuntimeError(f"the cell did not start:\n{(domain.root / 'out').read_text()}")
                start_s, next_minute = time.monotonic(), 1.0
                began = watch.hours
                while watch.hours < hours and time.monotonic() - start_s < real_s and launch.poll() is None:
                    session.spin(lambda: watch.hours * 60 >= next_minute or launch.poll() is not None, 5.0)  # noqa: B023 # called at once
                    if watch.hours * 60 < next_minute:
                        continue
                    next_minute = int(watch.hours * 60) + 1.0
                    result.samples.append(_sample(watch, domain, launch.pid))
                    if len(result.samples) % 60 == 0:
                        sizes = ", ".join(f"{name} {mb:.1f}" for name, mb in result.samples[-1].pss_mb.items())
                        told(f"{watch.hours:.1f} h, lost {sum(watch.losses().values())}, MB: {sizes}")
                result.hours, result.seconds = watch.hours - began, time.monotonic() - start_s
                result.losses, result.not_shown = watch.losses(), watch.not_shown()
                result.received, result.parts = watch.received(), dict(watch.parts)
                _complain(result, watch, launch.poll())
                launch.send_signal(signal.SIGINT)
                if not session.spin(lambda: launch.poll() is not None, END_WITHIN_S):
                    result.complaints.append(f"the launch did not end within {END_WITHIN_S:g} s")
            finally:
                launch.kill()
        left = _files(domain)
        if left:
            result.complaints.append(f"left in the runtime directory: {', '.join(left)}")
    result.judge()
    return result


def _complain(result: Result, watch: Watch, ended: int | None) -> None:
    if ended is not None:
        result.complaints.append(f"the launch ended by itself with exit code {ended}")
    if watch.interventions:
        result.complaints.append(f"{watch.interventions} interventions, and nothing was wrong")
    again = [p for p in (watch.processes.processes if watch.processes else ()) if p.restarts]
    result.complaints += [f"{p.name} was started again {p.restarts} times: {p.last_exit}" for p in again]
    for said in watch.health.values():
        result.complaints += [f"{said.node}: {f.code}: {f.text}" for f in said.findings if f.level.value == "FAULT"]
    result.complaints += [text for text in dict.fromkeys(watch.warnings) if "are lost" in text]


def _sample(watch: Watch, domain: Domain, pid: int) -> Sample:
    pss_mb = {p.name: p.pss_bytes / 1e6 for p in watch.processes.processes} if watch.processes else {}
    pss_mb["launch"] = psutil.Process(pid).memory_full_info().pss / 1e6
    bags = sum(_size(path) for path in (domain.root / "state" / "bags").glob("*"))
    cores = sum(p.cpu_pct for p in watch.processes.processes) / 100 if watch.processes else 0.0
    return Sample(watch.hours, pss_mb, len(_files(domain)), bags / 1e6, cores)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # the quota took it


def _files(domain: Domain) -> list[str]:
    """What the bus keeps in the runtime directory."""
    names: Iterable[Path] = (domain.root / domain.name).rglob("*")
    return sorted(str(p.relative_to(domain.root)) for p in names)


def fastest(told: Told) -> float:
    """The highest speed at which the computer keeps up, by trial."""
    for speed in SPEEDS[:-1]:
        tried = day(speed, 24.0, lambda text: None, real_s=TRIAL_S)
        reached = tried.hours * 3600 / tried.seconds if tried.seconds else 0.0
        late = [text for text in tried.complaints if "are lost" in text]
        cores = tried.samples[-1].cores if tried.samples else math.inf
        told(f"{speed:g}x: {reached:.1f}x reached with {cores:.2f} cores, {sum(tried.losses.values())} lost")
        room = cores <= HEADROOM * (os.cpu_count() or 1)
        if reached >= KEPT_UP * speed and room and not tried.losses and not late:
            return speed
    return SPEEDS[-1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hours", type=float, default=24.0, help="simulated")
    parser.add_argument("--speed", type=float, default=0.0, help="0: the highest at which the computer keeps up")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="real time, after which it ends")


def run(arguments: argparse.Namespace) -> bool:
    """Whether it held."""

    def told(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    result = day(arguments.speed or fastest(told), arguments.hours, told, arguments.minutes * 60)
    told(f"{result}\n{'held' if result.good else 'NOT HELD'}")
    return result.good
