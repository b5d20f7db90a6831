"""Fuzz targets of the backtest: a bag of a machine whose trace and messages may be anything, and files of labels."""

from __future__ import annotations

import json
from pathlib import Path

import msgpack
import numpy as np

from bus import labels
from bus.backtest import NoBacktest, Question
from bus.bag import BadBag, BagReader, BagWriter
from bus.bag.stacks import layout
from bus.replay import NotReplayable
from bus.replay.inputs import recorded_nodes
from bus.trace import BadTrace, Kind, TraceWriter
from nodes.impact_cortex import ImpactCortex
from nodes.impact_cortex import recorded as offered
from schemas import topics
from schemas.base import Message, Samples
from schemas.codec import codec
from schemas.grammar import definition
from schemas.impact import Intervention, Verdict
from schemas.machine import Execution, Motion, SignalBlock, Signals
from schemas.shop import JobSpec
from schemas.system import TraceBlock
from tests.nodes.impact_cortex.rig import ACCELEROMETER, DRIVE, MS, T0, machine_state
from tests.soak.fuzz_mutate import Grammar
from tests.soak.fuzz_target import Target, scratch
from tests.soak.fuzz_wire import example

HAL, ENGINE = 11, 12
HEARD = (topics.SIGNALS, topics.MACHINE_STATE, topics.MOTION, topics.SAMPLES, topics.VIBRATION)
SAID = (topics.INTERVENTION, topics.VERDICT)
ENTRY = {"name": "vmc1/impact_cortex", "namespace": "vmc1", "target": "nodes.impact_cortex.node:ImpactCortex"}
SETTINGS: tuple[dict[str, float], ...] = ({}, {"limit_pct": 30.0}, {"depth_mm": 7.0})


def backtested() -> Target:
    """[parameters, trace records, messages], each message [number of its topic, seq, log time, payload]."""
    path = scratch() / "x.mcap"
    kinds = [int(k) for k in Kind]

    def run(data: bytes) -> None:
        try:
            parameters, records, messages = msgpack.unpackb(
                data, strict_map_key=False, unicode_errors="surrogateescape"
            )
            path.unlink(missing_ok=True)
            tape = TraceWriter(lambda: parameters)
            for kind, name, now_ns, id_, seq, payload in records[:60]:
                tape.record(kinds[kind] if 0 <= kind < len(kinds) else kind & 255, name, now_ns, id_, seq, payload)
            with BagWriter(path, compress=False) as out:
                out.node(ENTRY)
                for which, seq, log_ns, payload in messages[:60]:
                    topic = (*HEARD, *SAID)[which % 7]
                    by, id_ = ("vmc1/impact_cortex", ENGINE) if topic in SAID else ("vmc1/sensory_cortex", HAL)
                    channel = out.channel(f"vmc1/{topic.name}", by, id_, definition(topic.type), topic.qos.name)
                    out.write(channel, seq, log_ns, log_ns, payload)
                block = tape.take()
                if block is not None:
                    number = out.channel(
                        "vmc1/impact_cortex/trace", "vmc1/impact_cortex", ENGINE, definition(TraceBlock), "EVENT"
                    )
                    out.write(number, 1, T0, T0, codec(TraceBlock).encode(block))
        except Exception:  # what cannot be written is no input
            return
        with BagReader(path) as reader:
            node = recorded_nodes(reader)[0]
            said = tuple(offered.gathered(reader, node))
            question = Question(said=said)
            offered.backtest(reader, node, ImpactCortex.interface, SETTINGS, question, lambda done: None)

    return Target(
        "backtested", run, (BadBag, BadTrace, NotReplayable, NoBacktest), list(_recordings()), Grammar("msgpack")
    )


def encoded(kind: type[Message]) -> bytes:
    return codec(kind).encode(example(kind))


def _recordings() -> list[bytes]:
    state = machine_state(T0, Execution.ACTIVE, Motion.FEED)
    messages: list[list[object]] = [
        [0, 1, T0, codec(Signals).encode(Signals(signals=DRIVE + ACCELEROMETER))],
        [1, 1, T0 + 1, codec(type(state)).encode(state)],
        [5, 1, T0 + 2, encoded(Intervention)],
        [6, 1, T0 + 3, encoded(Verdict)],
    ]
    records: list[list[object]] = [
        [0, "on_configure", T0, ENGINE, 0, b""],
        [1, "on_signals vmc1/machine/signals", T0 + 5, HAL, 1, b""],
        [1, "on_state vmc1/machine/state", T0 + 6, HAL, 1, b""],
    ]
    for n in range(12):
        data = np.full((1 + n % 2, 4), 120.0 if n > 6 else 40.0, np.float32)
        block = SignalBlock(stamp_ns=T0 + n * MS, period_ns=MS, source="drive", first_row=n, data=Samples(data))
        messages.append([3, n + 1, T0 + (n + 1) * MS, codec(SignalBlock).encode(block)])
        records.append([1, "on_samples vmc1/machine/samples", T0 + (n + 1) * MS + 9, HAL, n + 1, b""])
    job = codec(JobSpec).encode(JobSpec(job_id="1", program="O1001"))
    records += [
        [5, "start_job console", T0 + 20 * MS, 0, 1, job],
        [9, "limit_pct", T0 + 21 * MS, 0, 0, b"70.0"],
        [9, "cuts", T0 + 22 * MS, 0, 0, json.dumps([{"tool": 1, "load_pct": 5.0}]).encode()],
    ]
    return [msgpack.packb(["{}", records, messages]), msgpack.packb(["", [], messages])]


def labelled() -> Target:
    """A file of labels."""
    seeds = [
        b"machine,start,end,kind\nvmc1,1.5,2,crash\n",
        b"# x\nkind,bag,end,start,machine\nfine,a.mcap,2025-11-25T12:00:00Z,2025-11-25T11:00:00+01:00,vmc1\n",
    ]

    def run(data: bytes) -> None:
        found = labels.parse(data.decode("utf-8", "replace"))
        labels.of(found, Path("a.mcap"), "vmc1", T0, T0 + MS)
        list(labels.mistakes(found, [Path("a.mcap"), Path("b.mcap")]))

    words = (b",", b"\n", b'"', b"\0", b"nan", b"vmc1", b"9999-12-31T23:59:59.999999-23:59")
    return Target("labelled", run, (labels.BadLabels,), seeds, Grammar("text", 0, words), wordy=True)


def laid_out() -> Target:
    """The payload of a message that may become a row of columns: its layout, or none."""
    block = SignalBlock(stamp_ns=T0, period_ns=MS, source="drive", first_row=70_000, data=Samples(np.ones((2, 3))))

    def run(data: bytes) -> None:
        found = layout(data, ("stamp_ns", "first_row"), "data")
        if found is not None and not 0 <= found.array[0] <= found.array[1] <= len(data):
            raise AssertionError(f"an array at {found.array} of {len(data)} bytes")

    return Target("laid_out", run, (), [codec(SignalBlock).encode(block)], Grammar("msgpack"))
