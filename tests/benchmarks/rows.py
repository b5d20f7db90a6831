"""The rows of the table: what each measures, against which bar. A row's peer runs in the same minute."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgpack
import psutil

from bus.replay import replay
from bus.testing import Domain
from nodes.impact_cortex import ImpactCortex
from schemas.codec import codec
from tests.benchmarks.another import another
from tests.benchmarks.backtest import backtest
from tests.benchmarks.durable import durable
from tests.benchmarks.graph import graph
from tests.benchmarks.hub import hub
from tests.benchmarks.linuxcnc import linuxcnc
from tests.benchmarks.measure import Interval, Row, interval, pairs, percentile, ratio
from tests.benchmarks.messages import Twenty, twenty
from tests.benchmarks.page import page
from tests.benchmarks.peers import missing
from tests.benchmarks.process import Role, cpu_s
from tests.benchmarks.recorder import recorder
from tests.benchmarks.side import against, ours, peer
from tests.benchmarks.stop import stop_path, stop_path_loaded
from tests.soak.ending import ends_with_us

PIXELS = 480 * 640 * 3


def latency(domain: Domain, count: int) -> list[Row]:
    """A 20-field typed message at 1 kHz, process to process, from publish() to the callback; CPU and memory of each."""
    shown = dict.fromkeys(
        ("p99", "cpu", "publisher cpu", "subscriber cpu", "publisher PSS", "subscriber PSS"), math.nan
    )
    raw = partial(peer, "raw", domain.root)
    rows = against("typed message 1 kHz", partial(ours, "steady", "listen"), raw, count, {"p50": 1.3, **shown})
    return rows + against("A/A: raw beside raw", raw, raw, count, {"p50": math.nan})


def peers(domain: Domain, count: int) -> list[Row]:
    """The same message beside zenoh and redis, where they are installed, and beside pyzmq with our codec."""
    rows = []
    for name, bar in (("zenoh", 1.0), ("redis", 1.0), ("zenoh_default", math.nan), ("coded", math.nan)):
        if command := missing(name):
            rows.append(Row("typed message 1 kHz", f"p50 / {name}", Interval.single(math.nan), missing=command))
            continue
        figures = {"p50": bar, "p99": math.nan, "cpu": math.nan}
        beside = partial(peer, name, domain.root)
        rows += against("typed message 1 kHz", partial(ours, "steady", "listen"), beside, count, figures, name)
    return rows


def composed(domain: Domain, count: int) -> list[Row]:
    """The same message between two nodes of one process."""
    with Role("composed") as role:
        results = [role.go() for _ in range(count)]
    p50 = interval([percentile(r["delays_us"], 50) for r in results])
    p99 = interval([percentile(r["delays_us"], 99) for r in results])
    return [Row("composed, by reference", "p50", p50, 10.0, unit="us", also={"p99 us": p99.median})]


def fan_out(domain: Domain, count: int) -> list[Row]:
    """One publisher, eight subscribers, 1 kHz."""
    eight = partial(ours, "steady", "listen", subscribers=8)
    raw = partial(peer, "raw", domain.root, subscribers=8)
    return against("1 to 8 subscribers", eight, raw, count, {"p50": 1.3, "cpu": 1.3})


def image(domain: Domain, count: int) -> list[Row]:
    """A 0.9 MB image at 30 Hz."""
    raw = partial(peer, "raw", domain.root, size=PIXELS, burst=30, period_s=1 / 30)
    pictures = partial(ours, "pictures", "listen_pictures")
    return against("0.9 MB image 30 Hz", pictures, raw, count, {"p50": 1.2, "cpu": 1.2})


def flood(domain: Domain, count: int) -> list[Row]:
    """150,000 typed messages a second for 10 s, one to one: no gap."""
    lost = []
    cpu = []
    with Role("flood", json.dumps({"rate_hz": 150_000, "seconds": 10.0})) as sender, Role("listen_flood") as receiver:
        for _ in range(max(1, count // 5)):
            before_s = sender.cpu_s() + receiver.cpu_s()
            sender.go()
            time.sleep(1.0)  # the queue empties
            cpu.append((sender.cpu_s() + receiver.cpu_s() - before_s) / 1.5)
            lost.append(1_500_000.0 - receiver.go()["received"])
    return [Row("150,000/s for 10 s", "messages missing", interval(lost), 0.0, also={"cpu us": interval(cpu).median})]


def codec_row(domain: Domain, count: int) -> list[Row]:
    """Encode and decode of the 20-field message with every check, beside msgpack with model_validate."""
    message = twenty(1, 2, 3)
    mine = codec(Twenty)
    data = mine.encode(message)

    def timed(work: Callable[[], Any], n: int = 3000) -> float:
        start_ns = time.perf_counter_ns()
        for _ in range(n):
            work()
        return (time.perf_counter_ns() - start_ns) / n / 1000

    def ours() -> float:
        return timed(lambda: mine.decode(mine.encode(message)))

    def peer() -> float:
        return timed(
            lambda: Twenty.model_validate(msgpack.unpackb(msgpack.packb(message.model_dump(mode="json"))), strict=False)
        )

    assert mine.decode(data) == message
    a, b = pairs(count, ours, peer)
    return [
        Row("codec, 20 fields", "encode + decode", interval(a), 3.5, unit="us"),
        Row("codec, 20 fields", "/ msgpack, model_validate", ratio(a, b), 0.5),
    ]


def cell(domain: Domain, count: int) -> list[Row]:
    """The demo cell: from `rise launch` to all nodes ready; then its CPU and memory over 10 s."""
    rise = os.path.join(os.path.dirname(sys.executable), "rise")
    directory = f"recorder.directory={domain.root}/bags"
    ready_s, cpu, pss_mb = [], [], []
    for i in range(max(2, count // 5)):
        start_ns = time.monotonic_ns()
        command = [rise, "launch", "cell", "--domain", f"cell{i}", "-p", directory]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=ends_with_us) as launch:
            assert launch.stdout is not None
            while not launch.stdout.readline().startswith("ready:"):
                pass
            ready_s.append((time.monotonic_ns() - start_ns) / 1e9)
            processes = [psutil.Process(launch.pid), *psutil.Process(launch.pid).children(recursive=True)]
            time.sleep(2)  # what start-up cost is over
            before = sum(sum(p.cpu_times()[:2]) for p in processes)
            time.sleep(10)  # the thing measured is what it does in that time
            cpu.append((sum(sum(p.cpu_times()[:2]) for p in processes) - before) / 10)
            pss_mb.append(sum(p.memory_full_info().pss for p in processes) / 1e6)
            launch.send_signal(signal.SIGINT)
    return [
        Row("demo cell", "all ready", interval(ready_s), 4.0, unit="s"),
        Row("demo cell", "CPU, cores", interval(cpu), 1.0),
        Row("demo cell", "PSS", interval(pss_mb), 1000.0, unit="MB"),
    ]


def lock_step(domain: Domain, count: int) -> list[Row]:
    """Lock-step replay of a 1 kHz job through impact_cortex: recorded seconds per second."""
    rise = os.path.join(os.path.dirname(sys.executable), "rise")
    bags = domain.root / "bags"
    command = [rise, "launch", "cell", "--domain", "job", "-p", f"recorder.directory={bags}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=ends_with_us) as launch:
        time.sleep(40)  # the job that is replayed
        launch.send_signal(signal.SIGINT)
    (bag,) = bags.glob("*.mcap")
    speeds = []
    for _ in range(count):
        result = replay(ImpactCortex, bag, node="vmc1/impact_cortex")
        assert not result.problems, result.problems
        speeds.append(result.span_ns / 1e9 / result.wall_s)
    return [Row("lock-step replay, 40 s job", "times real time", interval(speeds), 50.0, at_least=True)]


def idle(domain: Domain, count: int) -> list[Row]:
    """A node with nothing to do, alone: CPU over 60 s, memory."""
    seconds = 60.0
    with domain.process("tests.benchmarks.idle") as child:
        time.sleep(2)  # what start-up cost is over
        before_s = cpu_s(child.pid)
        time.sleep(seconds)  # the thing measured is what it does in that time
        share_pct = (cpu_s(child.pid) - before_s) / seconds * 100
        pss_mb = psutil.Process(child.pid).memory_full_info().pss / 1e6
    return [
        Row("idle node, 60 s", "CPU of a core", Interval.single(share_pct), 0.1, unit="%"),
        Row("idle node, 60 s", "PSS", Interval.single(pss_mb), 60.0, unit="MB"),
    ]


def command_line(domain: Domain, count: int) -> list[Row]:
    """`rise topic list`, whole process."""
    rise = os.path.join(os.path.dirname(sys.executable), "rise")

    def run(command: list[str]) -> float:
        start_ns = time.perf_counter_ns()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return (time.perf_counter_ns() - start_ns) / 1e6

    with domain.process("tests.benchmarks.idle"):
        a, b = pairs(count, lambda: run([rise, "topic", "list"]), lambda: run([sys.executable, "-c", "pass"]))
    also = {"python ms": interval(b).median}
    return [Row("rise topic list", "whole process", interval(a), 200.0, unit="ms", also=also)]


ROWS: dict[str, Callable[[Domain, int], list[Row]]] = {
    "codec": codec_row,
    "latency": latency,
    "peers": peers,
    "composed": composed,
    "flood": flood,
    "fan_out": fan_out,
    "image": image,
    "stop": stop_path,
    "stop_loaded": stop_path_loaded,
    "cell": cell,
    "replay": lock_step,
    "backtest": backtest,
    "idle": idle,
    "cli": command_line,
    "recorder": recorder,
    "hub": hub,
    "page": page,
    "another": another,
    "durable": durable,
    "graph": graph,
    "linuxcnc": linuxcnc,
}
