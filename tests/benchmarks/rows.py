"""The rows of the table: what each measures, against which bar. A row's peer runs in the same minute."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import psutil

from bus.replay import replay
from bus.testing import Domain
from nodes.impact_cortex import ImpactCortex
from schemas.codec import codec
from tests.benchmarks.durable import durable
from tests.benchmarks.measure import Interval, Row, interval, pairs, percentile, ratio
from tests.benchmarks.messages import Twenty, twenty
from tests.benchmarks.process import Role
from tests.benchmarks.recorder import recorder

RAW_TWENTY = ("200", "1000", "0.001")
PIXELS = 480 * 640 * 3


def _burst(sender: Role, receivers: list[Role]) -> dict[str, Any]:
    """One burst: delays of all receivers together, CPU per message of everybody."""
    sent = sender.go()
    time.sleep(0.05)  # what is on its way arrives
    got = [r.go() for r in receivers]
    messages = max(1, got[0]["received"])
    return {
        "p50": percentile([d for g in got for d in g["delays_us"]], 50),
        "p99": percentile([d for g in got for d in g["delays_us"]], 99),
        "cpu": (sent["sent_cpu_s"] + sum(g["cpu_s"] for g in got)) / messages * 1e6,
        "received": sum(g["received"] for g in got),
        "gaps": sum(g["gaps"] for g in got),
    }


@contextlib.contextmanager
def _ours(
    sender: str, receiver: str, receivers: int = 1, parameters: str = "{}"
) -> Iterator[Callable[[], dict[str, Any]]]:
    with contextlib.ExitStack() as stack:
        s = stack.enter_context(Role(sender, parameters))
        rs = [stack.enter_context(Role(receiver)) for _ in range(receivers)]
        yield lambda: _burst(s, rs)


@contextlib.contextmanager
def _raw(path: str, size: str, burst: str, period_s: str, receivers: int = 1) -> Iterator[Callable[[], dict[str, Any]]]:
    with contextlib.ExitStack() as stack:
        s = stack.enter_context(Role("raw_pub", path, size, burst, period_s))
        rs = [stack.enter_context(Role("raw_sub", path)) for _ in range(receivers)]
        time.sleep(0.3)  # raw PUB has no handshake: a plain script waits and hopes
        yield lambda: _burst(s, rs)


def _column(results: list[dict[str, Any]], key: str) -> list[float]:
    return [r[key] for r in results]


def _against_raw(
    name: str, ours: Callable[[], Any], raw: Callable[[], Any], count: int, figures: dict[str, float]
) -> list[Row]:
    a, b = pairs(count, ours, raw)
    rows = []
    for key, bar in figures.items():
        also = {"ours_us": interval(_column(a, key)).median, "raw_us": interval(_column(b, key)).median}
        also["gaps"] = sum(_column(a, "gaps"))
        rows.append(Row(name, f"{key} ratio to raw", ratio(_column(a, key), _column(b, key)), bar, also=also))
    return rows


def latency(domain: Domain, count: int) -> list[Row]:
    """A 20-field typed message at 1 kHz, process to process, from publish() to the callback."""
    with _ours("steady", "listen") as ours, _raw(f"{domain.root}/a", *RAW_TWENTY) as raw:
        rows = _against_raw("typed message 1 kHz", ours, raw, count, {"p50": 1.3, "p99": math.nan, "cpu": math.nan})
    with _raw(f"{domain.root}/b", *RAW_TWENTY) as raw, _raw(f"{domain.root}/c", *RAW_TWENTY) as again:
        return rows + _against_raw("A/A: raw against raw", again, raw, count, {"p50": math.nan})


def composed(domain: Domain, count: int) -> list[Row]:
    """The same message between two nodes of one process."""
    with Role("composed") as role:
        results = [role.go() for _ in range(count)]
    p50 = interval([percentile(r["delays_us"], 50) for r in results])
    p99 = interval([percentile(r["delays_us"], 99) for r in results])
    return [Row("composed, by reference", "p50", p50, 10.0, unit="us", also={"p99_us": p99.median})]


def fan_out(domain: Domain, count: int) -> list[Row]:
    """One publisher, eight subscribers, 1 kHz."""
    with _ours("steady", "listen", 8) as ours, _raw(f"{domain.root}/a", *RAW_TWENTY, receivers=8) as raw:
        return _against_raw("1 to 8 subscribers", ours, raw, count, {"p50": 1.3, "cpu": 1.3})


def image(domain: Domain, count: int) -> list[Row]:
    """A 0.9 MB image at 30 Hz."""
    arguments = (str(PIXELS), "30", str(1 / 30))
    with _ours("pictures", "listen_pictures") as ours, _raw(f"{domain.root}/a", *arguments) as raw:
        return _against_raw("0.9 MB image 30 Hz", ours, raw, count, {"p50": 1.2, "cpu": 1.2})


def flood(domain: Domain, count: int) -> list[Row]:
    """150,000 typed messages a second for 10 s, one to one: no gap."""
    lost = []
    cpu = []
    with Role("flood", json.dumps({"rate_hz": 150_000, "seconds": 10.0})) as sender, Role("listen_flood") as receiver:
        for _ in range(max(1, count // 5)):
            sent = sender.go()
            time.sleep(1.0)  # the queue empties
            got = receiver.go()
            lost.append(1_500_000.0 - got["received"])
            cpu.append((sent["sent_cpu_s"] + got["cpu_s"]) / 1.5)
    return [Row("150,000/s for 10 s", "messages missing", interval(lost), 0.0, also={"cpu_us_per_message": cpu[0]})]


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
        Row("codec, 20 fields", "ratio to msgpack + model_validate", ratio(a, b), 0.5),
    ]


def stop_path(domain: Domain, count: int) -> list[Row]:
    """Sample -> decision -> STOP accepted."""
    rows = []
    for name, roles, bars in (
        ("stop path, composed", ("stop_composed",), {"p99": 500.0}),
        ("stop path, two processes", ("steady_actor", "decide"), {"p50": 400.0, "p99": 2000.0}),
    ):
        with contextlib.ExitStack() as stack:
            first, *_ = [stack.enter_context(Role(r)) for r in roles]
            results = [first.go() for _ in range(count)]
        for key, bar in bars.items():
            values = [percentile(r["delays_us"], float(key[1:])) for r in results]
            rows.append(Row(name, key, interval(values), bar, unit="us"))
    return rows


def stop_path_loaded(domain: Domain, count: int) -> list[Row]:
    """The same in two processes under SCHED_FIFO, with eight busy nodes beside it."""
    with contextlib.ExitStack() as stack:
        for i in range(4):
            elsewhere = {"namespace": f"busy{i}", "burst": 10_000_000}
            busy = stack.enter_context(Role("steady", json.dumps(elsewhere)))
            stack.enter_context(Role("listen", json.dumps(elsewhere)))
            busy.start()
        roles = [stack.enter_context(Role(r)) for r in ("steady_actor", "decide")]
        got = "FIFO" if all(_fifo(r.pid) for r in roles) else "no FIFO"
        results = [roles[0].go() for _ in range(count)]
    delays = [r["delays_us"] for r in results]
    every = [d for ds in delays for d in ds]
    p999 = percentile(every, 99.9)
    return [
        Row(f"stop path, 8 busy nodes, {got}", "p99", interval([percentile(d, 99) for d in delays]), 1000.0, unit="us"),
        Row(f"stop path, 8 busy nodes, {got}", "p99.9", Interval(p999, p999, p999), 5000.0, unit="us"),
    ]


def _fifo(pid: int) -> bool:
    """SCHED_FIFO for every thread of a process, libzmq's included; False where that is not allowed."""
    try:
        for thread in psutil.Process(pid).threads():
            os.sched_setscheduler(thread.id, os.SCHED_FIFO, os.sched_param(10))
    except PermissionError:
        return False
    return True


def cell(domain: Domain, count: int) -> list[Row]:
    """The demo cell: from `rise launch` to all nodes ready; then its CPU and memory over 10 s."""
    rise = os.path.join(os.path.dirname(sys.executable), "rise")
    directory = f"recorder.directory={domain.root}/bags"
    ready_s, cpu, pss_mb = [], [], []
    for i in range(max(2, count // 5)):
        start_ns = time.monotonic_ns()
        command = [rise, "launch", "cell", "--domain", f"cell{i}", "-p", directory]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as launch:
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
        Row("demo cell", "CPU of one core", interval(cpu), 1.0),
        Row("demo cell", "PSS", interval(pss_mb), 1000.0, unit="MB"),
    ]


def lock_step(domain: Domain, count: int) -> list[Row]:
    """Lock-step replay of a 1 kHz job through impact_cortex: recorded seconds per second."""
    rise = os.path.join(os.path.dirname(sys.executable), "rise")
    bags = domain.root / "bags"
    command = [rise, "launch", "cell", "--domain", "job", "-p", f"recorder.directory={bags}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as launch:
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
    """A node with nothing to do: CPU over 20 s, memory."""
    with domain.process("tests.benchmarks.idle") as child:
        process = psutil.Process(child.pid)
        before = process.cpu_times()
        time.sleep(20)  # the thing measured is what it does in that time
        after = process.cpu_times()
        share = (after.user + after.system - before.user - before.system) / 20 * 100
        pss_mb = process.memory_full_info().pss / 1e6
    return [
        Row("idle node", "CPU of one core", Interval(share, share, share), 0.1, unit="%"),
        Row("idle node", "PSS", Interval(pss_mb, pss_mb, pss_mb), 60.0, unit="MB"),
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
    also = {"python_pass_ms": interval(b).median}
    return [Row("rise topic list", "whole process", interval(a), 200.0, unit="ms", also=also)]


ROWS: dict[str, Callable[[Domain, int], list[Row]]] = {
    "codec": codec_row,
    "latency": latency,
    "composed": composed,
    "flood": flood,
    "fan_out": fan_out,
    "image": image,
    "stop": stop_path,
    "stop_loaded": stop_path_loaded,
    "cell": cell,
    "replay": lock_step,
    "idle": idle,
    "cli": command_line,
    "recorder": recorder,
    "durable": durable,
}
