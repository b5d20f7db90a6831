"""Messages as the hub's tap gets them, for tests of what it makes of them."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np

from bus.context import Raw
from schemas.base import Message, Samples
from schemas.codec import codec
from schemas.grammar import type_hash
from schemas.machine import SignalBlock, SignalInfo, Signals

MILL, ID = "vmc1/sensory_cortex", 2**63 + 5
SAMPLES = "vmc1/machine/samples"
STEP_NS = 1_000_000


def raw(topic: str, message: Message, seq: int, *, qos: str = "LATCHED", publisher_id: int = ID) -> Raw:
    payload = codec(type(message)).encode(message)
    return Raw(
        topic, MILL, publisher_id, seq, seq * STEP_NS, seq * STEP_NS, payload, type(message).__name__,
        type_hash(type(message)), qos,
    )  # fmt: skip


def block(
    seq: int, *, first_row: int | None = None, rows: int = 1, columns: int = 2, source: str = "drive",
    publisher_id: int = ID,
) -> Raw:  # fmt: skip
    """Block `seq`, whose values count up: row r, column c holds 10 r + c."""
    first = (seq - 1) * rows if first_row is None else first_row
    values = np.arange(first, first + rows, dtype=np.float32)[:, None] * 10 + np.arange(columns, dtype=np.float32)
    made = SignalBlock(
        stamp_ns=first * STEP_NS, period_ns=STEP_NS, source=source, first_row=first, data=Samples(values)
    )
    return raw(SAMPLES, made, seq, qos="SENSOR", publisher_id=publisher_id)


def hole(first: int, last: int) -> Raw:
    return block(last)._replace(payload=b"", lost_first=first)


def signals(*names: str, source: str = "drive") -> Signals:
    return Signals(
        signals=tuple(
            SignalInfo(name=n, mtconnect_type="LOAD", unit="%", source=source, topic="machine/samples") for n in names
        )
    )


def read(data: bytes) -> dict[str, Any]:
    said: dict[str, Any] = msgpack.unpackb(data)
    return said
