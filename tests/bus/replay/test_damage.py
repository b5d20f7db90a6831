"""Bags whose content is wrong: replay says so in its own words, whatever it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.bag import BagReader, BagWriter
from bus.replay import NotReplayable, differences, lines, replay
from bus.trace import BadTrace
from schemas.codec import codec
from schemas.system import TraceBlock
from tests.bus.replay.toys import Judge


def changed(bag: Path, path: Path, topic: str, change: Any, entry: dict[str, Any] | None = None) -> Path:
    """The bag with the payloads of one topic changed."""
    path.unlink(missing_ok=True)
    with BagReader(bag) as reader, BagWriter(path) as writer:
        for known in reader.nodes().values():
            writer.node({**known, **(entry or {})})
        for m in reader.messages():
            c = m.channel
            number = writer.channel(c.topic, c.publisher, c.publisher_id, c.definition, c.qos, first_seq=m.seq)
            payload = change(m.payload) if c.topic == topic else m.payload
            writer.write(number, m.seq, m.log_ns, m.publish_ns, payload)
    return path


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_trace_with_wrong_bytes_is_refused_or_followed(tape: Path, tmp_path: Path, data: st.DataObject) -> None:
    def change(payload: bytes) -> bytes:
        at = data.draw(st.integers(0, len(payload) - 1))
        return payload[:at] + data.draw(st.binary(max_size=4)) + payload[at + 1 :]

    bag = changed(tape, tmp_path / "bad.mcap", "mill1/judge/trace", change)
    try:
        result = replay(Judge, bag)
    except (BadTrace, NotReplayable):
        return
    differences(result.recorded, result)
    lines(result)


@pytest.mark.parametrize("topic", ["mill1/toy/readings", "mill1/toy/job"])
def test_input_that_is_no_message_is_refused(tape: Path, tmp_path: Path, topic: str) -> None:
    with pytest.raises(NotReplayable, match=topic):
        replay(Judge, changed(tape, tmp_path / "bad.mcap", topic, lambda p: b"\x80"))


@pytest.mark.parametrize("topic", ["mill1/toy/verdict", "mill1/toy/ask/_event"])
def test_output_that_is_no_message_makes_the_bag_no_reference(tape: Path, tmp_path: Path, topic: str) -> None:
    result = replay(Judge, changed(tape, tmp_path / "bad.mcap", topic, lambda p: b"\x80"))
    assert any(topic in problem for problem in result.problems)


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_damaged_parameters_are_refused(tape: Path, tmp_path: Path, text: str) -> None:
    def change(payload: bytes) -> bytes:
        block = codec(TraceBlock).decode(payload)
        return codec(TraceBlock).encode(TraceBlock(**{**block.__dict__, "parameters_json": text}))

    with pytest.raises(BadTrace, match="damaged parameters"):
        replay(Judge, changed(tape, tmp_path / "bad.mcap", "mill1/judge/trace", change))


def test_recorded_parameters_that_no_longer_fit_say_what_to_give(tape: Path, tmp_path: Path) -> None:
    def change(payload: bytes) -> bytes:
        block = codec(TraceBlock).decode(payload)
        values = {**block.__dict__, "parameters_json": json.dumps({"limit_pct": 900.0})}
        return codec(TraceBlock).encode(TraceBlock(**values))

    bag = changed(tape, tmp_path / "bad.mcap", "mill1/judge/trace", change)
    with pytest.raises(NotReplayable, match=r"above 200 %; give a value that fits with -p limit_pct=\.\.\."):
        replay(Judge, bag)
    assert replay(Judge, bag, limit_pct=90.0).parameters == {"limit_pct": 90.0}


@pytest.mark.parametrize("entry", [{"parameters": 3}, {"remappings": "x"}])
def test_a_damaged_entry_is_refused(tape: Path, tmp_path: Path, entry: dict[str, Any]) -> None:
    with pytest.raises(NotReplayable, match="what it says of its nodes is damaged"):
        replay(Judge, changed(tape, tmp_path / "bad.mcap", "", lambda p: p, entry))
