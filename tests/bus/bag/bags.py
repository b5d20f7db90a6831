"""Small bags that the tests here read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bus.bag import BagWriter
from schemas import topics
from schemas.base import M, Samples, Topic
from schemas.codec import codec
from schemas.grammar import definition
from schemas.machine import ControllerMode, EmergencyStop, Execution, MachineState, Motion, SignalBlock

MS = 1_000_000
START_NS = 1_700_000_000 * 1000 * MS
ENTRY = {"name": "vmc1/sensory_cortex", "namespace": "vmc1", "target": "nodes.sensory_cortex", "parameters": {"a": 1}}


def state(stamp_ns: int, execution: Execution = Execution.ACTIVE, run_id: str = "run#1") -> MachineState:
    return MachineState(
        stamp_ns=stamp_ns,
        execution=execution,
        controller_mode=ControllerMode.AUTOMATIC,
        emergency_stop=EmergencyStop.ARMED,
        motion=Motion.FEED,
        program="O0001",
        block_number=1,
        block="G1 X1",
        tool_number=1,
        tool_serial="T1",
        part_count=0,
        spindle_speed_commanded_rpm=9549.0,
        feed_commanded_mm_min=1432.0,
        feed_override_pct=100.0,
        run_id=run_id,
    )


def block(stamp_ns: int, row: int, value: float = 1.0) -> SignalBlock:
    data = np.array([[value, float("nan")]], dtype="<f4")
    return SignalBlock(stamp_ns=stamp_ns, period_ns=MS, source="drive", first_row=row, data=Samples(data))


class Pen:
    """Writes messages of the table into a bag, numbering them per topic."""

    def __init__(self, writer: BagWriter, namespace: str = "vmc1", node: str = "sensory_cortex") -> None:
        self.writer = writer
        self.namespace = namespace
        self.node = f"{namespace}/{node}" if namespace else node
        self.seqs: dict[str, int] = {}

    def put(self, topic: Topic[M], message: M, log_ns: int, *, skip: int = 0) -> int:
        name = topic.name[1:] if topic.name.startswith("/") else f"{self.namespace}/{topic.name}"
        seq = self.seqs.get(name, 0) + 1 + skip
        self.seqs[name] = seq
        channel = self.writer.channel(name, self.node, 77, definition(type(message)), topic.qos.name, first_seq=seq)
        self.writer.write(channel, seq, log_ns, log_ns - 1000, codec(type(message)).encode(message))
        return seq


def small(
    path: Path, blocks: int = 20, *, chunk_bytes: int = 400, close: bool = True, states: bool = True
) -> BagWriter:
    """One or two topics, a node's entry, an attachment, several chunks."""
    writer = BagWriter(path, chunk_bytes=chunk_bytes)
    writer.metadata("rise", {"version": "0", "host": "here"})
    writer.node(ENTRY)
    pen = Pen(writer)
    if states:
        pen.put(topics.MACHINE_STATE, state(START_NS), START_NS)
    for row in range(blocks):
        at = START_NS + row * MS
        pen.put(topics.SAMPLES, block(at, row), at)
    writer.attach("launch.py", "text/x-python", b"def launch(): ...", START_NS)
    if close:
        writer.close()
    return writer
