"""The recorder under 20 machines: 1 kHz each, 16 channels; and how fast a bag is read."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from bus.bag import BagReader
from bus.node import Node, parameter, publisher, timer
from bus.testing import Domain
from schemas import topics
from schemas.base import Samples
from schemas.machine import SignalBlock
from tests.benchmarks.measure import Row, interval

MACHINES = 20
CHANNELS = 16
SECONDS = 10.0
MILLS = ("tests.benchmarks.recorder:Mills", "--name", "mills")


class Mills(Node):
    """Twenty sources in one process; a period that was missed is made up for."""

    machines = parameter(MACHINES)
    samples = publisher(topics.SAMPLES, namespace="*")

    def on_configure(self) -> None:
        noise = np.random.default_rng(1).normal(50.0, 5.0, (1000, 1, CHANNELS)).astype("<f4")
        self.rows = [Samples(row) for row in noise.round(1)]
        self.outlets = [self.samples.at(f"vmc{n}") for n in range(self.machines)]
        self.start_ns = self.now_ns()
        self.row = 0

    @timer(0.001)
    def tick(self) -> None:
        now_ns = self.now_ns()
        while self.start_ns + self.row * 1_000_000 < now_ns:
            data = self.rows[self.row % len(self.rows)]
            stamp_ns = self.start_ns + self.row * 1_000_000
            for outlet in self.outlets:
                outlet.publish(
                    SignalBlock(stamp_ns=stamp_ns, period_ns=1_000_000, source="drive", first_row=self.row, data=data)
                )
            self.row += 1


def recorder(domain: Domain, count: int) -> list[Row]:
    """Cores of the recorder's process, messages that are not in the bag, messages read a second."""
    cores, missing, read, mb_per_s = [], [], [], []
    for _ in range(max(1, count // 5)):
        with tempfile.TemporaryDirectory(prefix="rise") as folder:
            arguments = ("nodes.recorder", "-p", f"directory={json.dumps(folder)}", "-p", "keep_free_mb=0")
            with domain.process(*arguments) as child, domain.process(*MILLS) as mills:
                process = psutil.Process(child.pid)
                time.sleep(2.0)  # everybody has met
                before = process.cpu_times()
                time.sleep(SECONDS)  # the thing measured is what it does in that time
                after = process.cpu_times()
                cores.append((after.user + after.system - before.user - before.system) / SECONDS)
                mills.terminate()
                mills.wait(10)
                child.terminate()
                child.wait(20)
            (path,) = Path(folder).glob("*.mcap")
            with BagReader(path) as bag:
                per_mill: dict[str, tuple[int, int, int]] = {}
                start_ns = time.perf_counter_ns()
                total = sum(1 for _ in bag.messages())
                read.append(total / (time.perf_counter_ns() - start_ns) * 1e9)
                for message in bag.messages(topics=lambda topic: topic.endswith("machine/samples")):
                    first, _, seen = per_mill.get(message.topic, (message.seq, 0, 0))
                    per_mill[message.topic] = (first, message.seq, seen + 1)
                missing.append(float(sum(last - first + 1 - seen for first, last, seen in per_mill.values())))
                mb_per_s.append(bag.size_bytes / 1e6 / ((bag.end_ns - bag.start_ns) / 1e9))
    also = {"size MB/s": interval(mb_per_s).median}
    return [
        Row("recorder, 20 x 1 kHz x 16", "cores", interval(cores), 0.4, also=also),
        Row("recorder, 20 x 1 kHz x 16", "messages missing", interval(missing), 0.0),
        Row("reading a bag", "messages/s", interval(read), 500_000.0, at_least=True),
    ]
