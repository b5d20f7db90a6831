"""What a node heard as columns: everything its trace tells of, once, in its order; what is missing is counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bus import trace
from bus.bag import BagMessage, BagReader, BagWriter
from bus.node import Node, subscription
from bus.replay.columns import Begun, Columns, Happened
from bus.replay.inputs import RecordedNode
from bus.trace import Kind, TraceWriter
from schemas import topics
from schemas.codec import codec
from schemas.grammar import definition
from schemas.machine import MachineState, SignalBlock
from schemas.system import TraceBlock
from tests.bus.bag.bags import MS, START_NS, Pen, block, state

NODE = RecordedNode("vmc1/watch", "vmc1")
S = 1_000_000_000


class Watch(Node):
    """Hears a machine."""

    @subscription(topics.SAMPLES)
    def on_samples(self, samples: SignalBlock) -> None: ...

    @subscription(topics.MACHINE_STATE)
    def on_state(self, state: MachineState) -> None: ...


def take(writer: BagWriter, tape: TraceWriter, number: int, log_ns: int, publisher_id: int = 5) -> None:
    made = tape.take()
    assert made is not None
    channel = writer.channel("vmc1/watch/trace", "vmc1/watch", publisher_id, definition(TraceBlock), "EVENT")
    writer.write(channel, number, log_ns, log_ns, codec(TraceBlock).encode(made))


def recorded(path: Path, *, handled: Callable[[int], bool] = lambda row: True, seconds: int = 12) -> Path:
    """A row a millisecond, a state each 400 ms; the node heard each 3 ms later and told of it every 100 ms."""
    tape = TraceWriter(lambda: '{"limit": 1}')
    tape.record(Kind.CONFIGURE, "on_configure", START_NS, 5)
    with BagWriter(path, chunk_bytes=50_000) as writer:
        pen = Pen(writer)
        for row in range(seconds * 1000):
            at = START_NS + row * MS
            if not row % 400:
                seq = pen.put(topics.MACHINE_STATE, state(at), at)
                tape.record(Kind.MESSAGE, "on_state vmc1/machine/state", at + 2 * MS, 77, seq)
            seq = pen.put(topics.SAMPLES, block(at, row, float(row)), at)
            if handled(row):
                tape.record(Kind.MESSAGE, "on_samples vmc1/machine/samples", at + 3 * MS, 77, seq)
            if row % 50 == 49:
                tape.record(Kind.TIMER, "tick", at + 3 * MS + 1)
            if row % 100 == 99:
                take(writer, tape, row // 100, at + 5 * MS)
    return path


def columns(path: Path, also: dict[str, Any] | None = None) -> tuple[list[tuple[str, int, int]], Columns]:
    """(what, a number, when) of everything in order: rows by their value."""
    found: list[tuple[str, int, int]] = []
    with BagReader(path) as reader:
        made = Columns(
            reader,
            NODE,
            Watch.interface,
            columns=(("on_samples",), ("stamp_ns", "first_row"), "data"),
            wanted=lambda kind, name: kind == Kind.LINK or name.startswith("on_state "),
            also=also or {},
        )
        for item in made:
            if isinstance(item, Begun):
                found.append(("begun", len(item.before), item.now_ns))
            elif isinstance(item, Happened):
                found.append((item.record.name.split()[0], item.record.seq, item.record.now_ns))
                assert item.message is None or item.message.seq == item.record.seq
            else:
                for heard in item:
                    values = heard.stack.arrays[:, 0, 0].astype(np.int64)
                    assert (heard.stack.numbers["first_row"] == values).all()
                    found += [("row", int(v), int(ns)) for v, ns in zip(values, heard.heard_ns, strict=True)]
    return found, made


def test_everything_comes_once_and_in_the_order_of_the_trace(tmp_path: Path) -> None:
    found, made = columns(recorded(tmp_path / "a.mcap"))
    assert found[0] == ("begun", 0, START_NS)
    assert [ns for _, _, ns in found] == sorted(ns for _, _, ns in found)
    assert [n for what, n, _ in found if what == "row"] == list(range(12_000))
    assert [n for what, n, _ in found if what == "on_state"] == list(range(1, 31))
    assert (made.missing, made.notes) == (0, [])


def test_what_the_node_did_not_handle_it_did_not_hear(tmp_path: Path) -> None:
    def handled(row: int) -> bool:
        return row % 7 != 3 and not 5000 <= row < 5300

    found, made = columns(recorded(tmp_path / "a.mcap", handled=handled))
    assert [n for what, n, _ in found if what == "row"] == [row for row in range(12_000) if handled(row)]
    assert made.missing == 0


def changed(path: Path, to: Path, change: Callable[[BagMessage], bytes | None]) -> Path:
    with BagReader(path) as reader, BagWriter(to, chunk_bytes=50_000) as writer:
        for m in reader.messages():
            payload = change(m)
            if payload is not None:
                c = m.channel
                number = writer.channel(c.topic, c.publisher, c.publisher_id, c.definition, c.qos, first_seq=m.seq)
                writer.write(number, m.seq, m.log_ns, m.publish_ns, payload)
    return to


def test_what_the_bag_lacks_is_counted(tmp_path: Path) -> None:
    def change(m: BagMessage) -> bytes | None:
        gone = (m.topic == "vmc1/machine/samples" and 100 < m.seq <= 150) or (
            m.topic == "vmc1/machine/state" and m.seq == 3
        )
        return None if gone else m.payload

    found, made = columns(changed(recorded(tmp_path / "a.mcap", seconds=2), tmp_path / "b.mcap", change))
    assert made.missing == 51
    assert len([n for what, n, _ in found if what == "row"]) == 1950


def test_a_message_that_fits_no_column_comes_as_one_at_its_place(tmp_path: Path) -> None:
    def change(m: BagMessage) -> bytes | None:
        return b"\x80" if m.topic == "vmc1/machine/samples" and m.seq == 101 else m.payload

    found, made = columns(changed(recorded(tmp_path / "a.mcap", seconds=1), tmp_path / "b.mcap", change))
    names = [what for what, _, _ in found if what != "on_state"]
    assert names == ["begun", *["row"] * 100, "on_samples", *["row"] * 899]
    assert made.missing == 0


def test_a_bag_that_begins_in_mid_run_begins_with_the_state_that_was_in_force(tmp_path: Path) -> None:
    def change(m: BagMessage) -> bytes | None:
        return None if m.topic == "vmc1/watch/trace" and m.log_ns < START_NS + 500 * MS else m.payload

    found, _ = columns(changed(recorded(tmp_path / "a.mcap", seconds=1), tmp_path / "b.mcap", change))
    assert found[0][:2] == ("begun", 1)
    assert [n for what, n, _ in found if what == "row"] == list(range(400, 1000))


def test_a_node_that_is_started_again_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "twice.mcap"
    with BagWriter(path) as writer:
        pen = Pen(writer)
        for life in (5, 6):
            tape = TraceWriter()
            at = START_NS + life * S
            tape.record(Kind.CONFIGURE, "on_configure", at, life)
            for row in range(10):
                seq = pen.put(topics.SAMPLES, block(at + row * MS, row, float(row)), at + row * MS)
                tape.record(Kind.MESSAGE, "on_samples vmc1/machine/samples", at + row * MS + 1, 77, seq)
            take(writer, tape, 1, at + S // 2, life)
    found, _ = columns(path)
    assert [what for what, _, _ in found] == ["begun", *["row"] * 10] * 2


def test_what_nobody_handles_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that died leaves rows that nothing will refer to: memory must not grow with them."""
    monkeypatch.setattr("bus.replay.columns.KEEP_NS", S)
    monkeypatch.setattr("bus.replay.columns.MOST_HELD", 5)
    found, made = columns(recorded(tmp_path / "a.mcap", handled=lambda row: row < 2000, seconds=14))
    assert len([what for what, _, _ in found if what == "row"]) == 2000
    assert len([what for what, _, _ in found if what == "on_state"]) == 35
    first_ns = min(int(stack.log_ns[0]) for stack in made._stacks)
    assert first_ns > START_NS + 5 * S
    assert len(made._held) < 30


def test_a_gap_in_the_trace_is_told(tmp_path: Path) -> None:
    def change(m: BagMessage) -> bytes | None:
        return None if m.topic == "vmc1/watch/trace" and m.seq == 3 else m.payload

    _, made = columns(changed(recorded(tmp_path / "a.mcap", seconds=1), tmp_path / "b.mcap", change))
    (note,) = made.notes
    assert note.endswith("are missing in the trace")


def test_without_a_trace_the_order_is_that_of_recording(tmp_path: Path) -> None:
    def change(m: BagMessage) -> bytes | None:
        return None if m.topic == "vmc1/watch/trace" else m.payload

    found, made = columns(changed(recorded(tmp_path / "a.mcap", seconds=8), tmp_path / "b.mcap", change))
    assert [n for what, n, _ in found if what == "row"] == list(range(8000))
    assert [n for what, n, _ in found if what == "on_state"] == list(range(1, 21))
    assert not made.traced
    assert "no trace" in made.notes[0]


@pytest.mark.parametrize("records", [b"\0" * 30, b"\1\xff\xff" + b"\0" * 28, b"\1" + b"\0" * 26 + b"\xff" * 4])
def test_a_trace_that_is_damaged_is_refused(tmp_path: Path, records: bytes) -> None:
    def change(m: BagMessage) -> bytes | None:
        if m.topic != "vmc1/watch/trace":
            return m.payload
        return codec(TraceBlock).encode(TraceBlock(first=0, names=("tick",), payloads=(), records=records))

    path = changed(recorded(tmp_path / "a.mcap", seconds=1), tmp_path / "b.mcap", change)
    with pytest.raises(trace.BadTrace):
        columns(path)


def test_others_are_told_besides(tmp_path: Path) -> None:
    heard: list[int] = []
    columns(recorded(tmp_path / "a.mcap", seconds=1), {"vmc1/machine/state": lambda m: heard.append(m.seq)})
    assert heard == [1, 2, 3]
