"""Bags for the tests here: recorded from living nodes, and rewritten with things missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bus.bag import BagMessage, BagReader, BagWriter
from bus.host import Spec
from bus.node import Raw
from bus.testing import Domain
from schemas import topics
from schemas.system import SetParameterRequest
from tests.bus.replay.toys import ASK, Judge, Saw, Tape, Told


def record(path: Path, *, judge: Mapping[str, Any] | None = None, verdicts: int = 10) -> Path:
    """A saw and its judge on a tape, with a parameter changed and a question asked in the middle."""
    with Domain() as domain:
        specs = [Spec(Tape), Spec(Saw, "saw", "mill1"), Spec(Judge, "judge", "mill1", judge or {})]
        with domain.running(*specs), domain.session() as session:
            entries = {name: json.loads(e.to_json()) for name, e in session.directory.entries().items()}

            def seen(count: int) -> Callable[[], bool]:
                return lambda: sum(r.topic == "mill1/toy/verdict" for r in Tape.heard) >= count

            def traced() -> int:
                return sum(r.topic == "mill1/judge/trace" for r in Tape.heard)

            assert session.spin(seen(verdicts // 2), 10.0)
            session.call("mill1/toy/ask", ASK, Told(text="limit"), timeout_s=2.0)
            late = session.start_call("mill1/toy/ask", ASK, Told(text="late"), timeout_s=0.0)
            assert session.spin(lambda: bool(late), 5.0)
            changed = SetParameterRequest(name="limit_pct", json_value="95.0", changed_by="test")
            session.call("mill1/judge/set_parameter", topics.NODE_SET_PARAMETER, changed, timeout_s=2.0)
            session.call("mill1/toy/ask", ASK, Told(text="limit"), timeout_s=2.0)
            assert session.spin(seen(verdicts), 10.0)
            # a later block of the trace: a bag can be cut after the parameter was set
            blocks = traced()
            assert session.spin(lambda: traced() >= blocks + 2, 10.0)
    definitions = {h: d for e in entries.values() for h, d in e["definitions"].items()}
    with BagWriter(path) as writer:
        for name in ("mill1/saw", "mill1/judge"):
            writer.node(entries[name])
        for raw in Tape.heard:
            write(writer, raw, definitions)
    return path


def write(writer: BagWriter, raw: Raw, definitions: Mapping[str, Any]) -> None:
    """One message as the recorder writes it."""
    assert not raw.lost_first
    definition = definitions[raw.type_hash]
    channel = writer.channel(raw.topic, raw.publisher, raw.publisher_id, definition, raw.qos, first_seq=raw.seq)
    writer.write(channel, raw.seq, raw.received_ns, raw.stamp_ns, raw.payload)


def rewrite(
    bag: Path,
    path: Path,
    keep: Callable[[BagMessage], bool],
    words: Mapping[str, str] | None = None,
    target: str = "",
) -> Path:
    """The same bag without some messages; `target` instead of what its nodes were."""
    with BagReader(bag) as reader, BagWriter(path) as writer:
        for entry in reader.nodes().values():
            writer.node({**entry, "target": target} if target else entry)
        if words:
            writer.metadata("cut", words)
        for m in reader.messages():
            if keep(m):
                c = m.channel
                number = writer.channel(c.topic, c.publisher, c.publisher_id, c.definition, c.qos, first_seq=m.seq)
                writer.write(number, m.seq, m.log_ns, m.publish_ns, m.payload)
    return path
