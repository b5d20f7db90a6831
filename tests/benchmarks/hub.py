"""The hub under 50 pages: 20 channels at 1 kHz; and how much of the computer it takes while nobody looks."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time

import numpy as np
import psutil

from bus.node import Node, publisher, timer
from bus.testing import Domain
from bus.usage import Usage
from schemas import topics
from schemas.base import Samples
from schemas.machine import SignalBlock, SignalInfo, Signals
from tests.benchmarks.measure import Row, interval

PAGES = 50
CHANNELS = 20
SECONDS = 10.0
IDLE_S = 10.0
MILL = ("tests.benchmarks.hub:Mill", "--name", "mill", "--namespace", "vmc1")
HUB = ("web.node", "--name", "fanuc_api", "-p", "port=0")


class Mill(Node):
    """One source: a block a millisecond; a period that was missed is made up for."""

    samples = publisher(topics.SAMPLES)
    signals = publisher(topics.SIGNALS)

    def on_configure(self) -> None:
        noise = np.random.default_rng(1).normal(50.0, 5.0, (1000, 1, CHANNELS)).astype("<f4")
        self.rows = [Samples(row) for row in noise]
        self.start_ns = self.now_ns()
        self.row = 0
        names = [f"channel_{n}" for n in range(CHANNELS)]
        self.signals.publish(
            Signals(
                signals=tuple(
                    SignalInfo(name=n, mtconnect_type="LOAD", unit="%", source="drive", topic="machine/samples")
                    for n in names
                )
            )
        )

    @timer(0.001)
    def tick(self) -> None:
        now_ns = self.now_ns()
        while self.start_ns + self.row * 1_000_000 < now_ns:
            stamp_ns = self.start_ns + self.row * 1_000_000
            data = self.rows[self.row % len(self.rows)]
            self.samples.publish(
                SignalBlock(stamp_ns=stamp_ns, period_ns=1_000_000, source="drive", first_row=self.row, data=data)
            )
            self.row += 1


def _cores(process: psutil.Process, seconds: float) -> float:
    before = process.cpu_times()
    time.sleep(seconds)  # the thing measured is what it does in that time
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / seconds


def hub(domain: Domain, count: int) -> list[Row]:
    """Cores of the hub's process with 50 pages and with none, holes that pages saw, memory."""
    cores, idle, holes, memory, late = [], [], [], [], []
    address = domain.root / "state" / domain.name / "web" / "address"
    for _ in range(max(1, count // 5)):
        with domain.process(*MILL), domain.process(*HUB) as child:
            process = psutil.Process(child.pid)
            time.sleep(2.0)  # everybody has met
            idle.append(_cores(process, IDLE_S))
            url = address.read_text().strip().partition("#")[0]
            words = [sys.executable, "-P", "-m", "tests.benchmarks.hub_pages", url, str(PAGES), str(SECONDS + 4)]
            with subprocess.Popen(words, stdout=subprocess.PIPE) as pages:
                assert pages.stdout is not None
                assert pages.stdout.readline() == b"all are there\n"
                cores.append(_cores(process, SECONDS))
                usage = Usage()
                usage.measure(child.pid)
                memory.append(usage.pss_bytes / 1e6)
                seen = json.loads(pages.stdout.read())
            if seen["rows"] < PAGES * SECONDS * 900:
                raise RuntimeError(f"the pages saw next to nothing: {seen}")
            holes.append(float(seen["holes"] + seen["gaps"] + seen["dropped"]))
            late.append(seen["late_p99_ms"])
    also = {"stamp to page p99 ms": interval(late).median}
    return [
        Row("hub, 20 x 1 kHz to 50 pages", "cores", interval(cores), 0.15, also=also),
        Row("hub, 20 x 1 kHz to 50 pages", "holes, gaps, drops", interval(holes), 0.0),
        Row("hub, 20 x 1 kHz to 50 pages", "PSS MB", interval(memory), 150.0),
        Row("hub, 20 x 1 kHz, nobody looks", "cores", interval(idle), math.nan),
    ]
