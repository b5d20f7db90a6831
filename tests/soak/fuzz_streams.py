"""What a data acquisition device sends, and the list of sources as it is written."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from random import Random
from typing import Any

import numpy as np

from nodes.sensory_cortex.chunk import Chunk, ChunkKind
from nodes.sensory_cortex.columns import column_map
from nodes.sensory_cortex.drivers import Setting
from nodes.sensory_cortex.drivers.linuxcnc import LinuxCnc, LinuxCncOptions
from nodes.sensory_cortex.drivers.stream import Stream, StreamOptions
from nodes.sensory_cortex.entries import read_entries
from nodes.sensory_cortex.frames import MAGIC, encode, encode_int16
from nodes.sensory_cortex.linuxcnc.link import Link
from nodes.sensory_cortex.linuxcnc.said import Status
from nodes.sensory_cortex.linuxcnc.table import Layout
from nodes.sensory_cortex.rows import BadTable
from nodes.sensory_cortex.streamed import FrameReader, LineReader
from schemas.codec import codec
from schemas.machine import SignalBlock
from tests.soak.fuzz_mutate import Grammar
from tests.soak.fuzz_target import Target
from tests.soak.fuzz_text import JSON_WORDS, maps

MS = 1_000_000
NAMES = ("x_accel", "y_accel", "z_accel")


class _Node:
    """The side of the driver that makes blocks of chunks; rows and time must never go back."""

    def __init__(self, url: str) -> None:
        options = StreamOptions(url=url, columns=NAMES)
        self.driver = Stream(Setting("m", "daq", options, Random(1), lambda: "#1", lambda level, text: None))
        self.row, self.stamp_ns = 0, 0

    def take(self, chunk: Chunk) -> None:
        self.driver.receive(codec(Chunk).decode(codec(Chunk).encode(chunk)))
        for block in self.driver.advance(0):
            codec(type(block)).encode(block)
            first, stamp_ns = getattr(block, "first_row", 0), getattr(block, "stamp_ns", 0)
            if first < self.row or stamp_ns < self.stamp_ns:
                raise AssertionError(f"row {self.row} at {self.stamp_ns} is followed by row {first} at {stamp_ns}")
            self.row, self.stamp_ns = first + len(chunk.data.array), stamp_ns
        for quality in self.driver.quality.values():
            if len(quality.trouble) > 2000:
                raise AssertionError(f"a trouble of {len(quality.trouble)} characters")


def _packets(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def daq_frames() -> Target:
    """Counted frames: the first byte says TCP or UDP, the second how the bytes are cut."""
    columns = StreamOptions(url="tcp://h:1", columns=NAMES).read_map("daq").columns

    def run(data: bytes) -> None:
        head, rest = data[:2].ljust(2, b"\0"), data[2:]
        ordered = head[0] % 2 == 0
        clock = iter(range(10**18, 10**18 + 10**12, MS * (1 + head[0])))
        reader = FrameReader(columns, 3, lambda: next(clock), ordered=ordered)
        node = _Node("tcp://h:1" if ordered else "udp://h:1")
        packets = _packets(rest, 1 + 4 * head[1]) if ordered else rest.split(b"|cut|")
        for chunk in reader.chunks(packets):
            node.take(chunk)

    rows = np.arange(30, dtype=np.float32).reshape(10, 3)
    floats = [encode(n * 10, MS, rows, stamp_ns=10**18) for n in range(6)]
    ints = encode_int16(60, MS, rows.astype(np.int16), np.ones(3, np.float32), np.zeros(3, np.float32))
    seeds = [
        b"\0\xff" + b"".join(floats) + ints,
        b"\0\x05" + floats[0] + b"DAQF" + floats[3] + floats[0],
        b"\1\0" + b"|cut|".join([floats[0], floats[2], floats[1], floats[1], floats[5], floats[3]]),
        b"\1\0" + encode((1 << 62) - 1, 2**32 - 1, rows) + b"|cut|" + floats[0],
        b"\0\0" + encode(0, 1, rows, stamp_ns=-(2**61)),
    ]
    return Target("daq_frames", run, (), seeds, Grammar("bytes", 2, (MAGIC, b"|cut|", b"\x01\x01", b"\0" * 8)))


def linuxcnc() -> Target:
    """What the processes beside the driver say, datagram by datagram; rows and time must never go back."""
    width = len(Layout.of(()).types)

    def run(data: bytes) -> None:
        clock = iter(range(10**18, 10**18 + 10**12, MS))
        link = Link("", Layout.of(()).types, lambda: 0)
        setting = Setting("m", "lc", LinuxCncOptions(simulated=True), Random(1), lambda: "#1", lambda level, text: None)
        driver = LinuxCnc(setting)
        driver.receive(Chunk(kind=ChunkKind.LINK))
        row, stamp_ns = 0, 0
        for datagram in data.split(b"|cut|"):
            now_ns = next(clock)
            for chunk in link.heard(datagram, 1, now_ns):
                driver.receive(codec(Chunk).decode(codec(Chunk).encode(chunk)))
            for message in (*driver.advance(now_ns), driver.state(now_ns)):
                codec(type(message)).encode(message)
                if isinstance(message, SignalBlock):
                    if message.first_row < row or message.stamp_ns < stamp_ns:
                        raise AssertionError(f"row {row} at {stamp_ns} is followed by {message.first_row}")
                    row, stamp_ns = message.first_row + len(message.data.array), message.stamp_ns

    status = b"S" + json.dumps(asdict(Status(task_state=4, homed=True, file="/a.ngc"))).encode()
    rows = [b"R" + struct.pack("<Q", n) + bytes(4 * width) for n in (7, 8, 20, 9)]
    seeds = [
        b"|cut|".join([b"H", status, *rows]),
        b"|cut|".join([status, b'E{"text": "x"}', rows[0], b'A{"do": "run", "text": "no"}', b"Xended", rows[1]]),
    ]
    return Target("linuxcnc", run, (), seeds, Grammar("bytes", 0, (b"|cut|", b"S{", b'"line": ', b"R", b"\xff" * 8)))


def daq_lines() -> Target:
    """Lines of text: the first byte picks the map, the second how the bytes are cut."""
    known = [*maps(), column_map({"columns": {"x_mm": 0}, "period_ms": 1.0, "motion_column": 1})]

    def run(data: bytes) -> None:
        head, rest = data[:2].ljust(2, b"\0"), data[2:]
        clock = iter(range(10**18, 10**18 + 10**12, MS))
        reader = LineReader(known[head[0] % len(known)], "daq", lambda: next(clock), ordered=head[1] % 2 == 0)
        node = _Node("tcp://h:1")
        for _ in range(2):  # two connections
            try:
                for chunk in reader.chunks(_packets(rest, 1 + 4 * head[1])):
                    node.take(chunk)
            except BadTable as error:
                node.take(Chunk(kind=ChunkKind.LINK, text=str(error)))

    lines = (b"t,x,y\n0.0,1,2\n0.1,,nan\n1e18,3,4\n", b"1,2,3\n4,5,6\n")
    seeds = [bytes((n, size)) + text for n in range(len(known)) for size in (2, 255) for text in lines]
    seeds.append(b"\1\xfe\xff\n" + b"9" * 70_000 + b"\n1,2,3\n")
    return Target("daq_lines", run, (), seeds, Grammar("bytes", 2, (b"\n", b"\r", b",", b"nan", b"1e308", b"9" * 30)))


def sources() -> Target:
    """The list of sources as plain data: never an exception, every mistake with a text."""

    def run(data: bytes) -> None:
        try:
            tables: Any = json.loads(data)
        except (ValueError, RecursionError):
            return
        if not isinstance(tables, list):
            return  # the parameter's own check refuses it
        for table in tables:
            if isinstance(table, dict) and isinstance(table.get("column_map"), str):
                return  # a file of this computer
        entries, wrong = read_entries(tables)
        for id_, text, *path in wrong:
            if not (id_ and text and path):
                raise AssertionError("a mistake without a word")
        for entry in entries:
            if isinstance(entry.options, StreamOptions):
                list(entry.options.mistakes())

    mill = {"driver": "simulator", "speed": 2, "leave": ["x_mm"]}
    stream = {"driver": "stream", "name": "daq", "url": "tcp://10.0.0.9:5000", "columns": [*NAMES, {"signal": "x_mm"}]}
    lines = {"driver": "stream", "format": "csv", "column_map": {"columns": {"x_mm": 0}, "period_ms": 1}, "state": True}
    seeds = [json.dumps(tables).encode() for tables in ([mill], [mill, stream], [lines, stream], [{"driver": "x"}])]
    return Target("sources", run, (), seeds, Grammar("json", 0, JSON_WORDS), wordy=True)
