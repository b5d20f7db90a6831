"""The same recording for other programs: JSON in MCAP, CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from mcap.reader import make_reader

from bus.bag import BadBag, BagWriter
from bus.bag.check import check
from bus.bag.convert import file_stem, to_csv, to_json, viewer_schema
from bus.bag.types import known_types
from schemas import topics
from schemas.base import Samples
from schemas.grammar import definition
from schemas.impact import Intervention, Mode, Reaction
from schemas.machine import Cause, Execution, SignalBlock, SignalInfo, Signals
from schemas.system import TraceBlock
from tests.bus.bag.bags import START_NS, Pen, block, small, state

# null is "no reading": viewers take it where a number is expected, though their dialect has no word for it
_numbers = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
    "number", lambda _, value: value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
)
Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=_numbers)


def intervention() -> Intervention:
    return Intervention(
        stamp_ns=START_NS,
        intervention_id="x#1",
        reaction=Reaction.FEED_HOLD,
        mode=Mode.STOP,
        would_have=False,
        task="t",
        signal="s",
        unit="%",
        value=float("nan"),
        limit=85.0,
        reason="über",
        execution=Execution.ACTIVE,
        program="",
        block_number=1,
        tool_serial="",
        run_id="",
        cause=Cause(publisher="p", topic="t", seq=1),
        age_ms=0.5,
        evidence_names=("spindle_load_pct",),
        evidence=Samples([[1.0], [2.0]]),
    )


def busy(path: Path) -> None:
    with BagWriter(path) as writer:
        pen = Pen(writer)
        rows = (("spindle_load_pct", "%"), ("odd", ""))
        signals = Signals(
            signals=tuple(
                SignalInfo(name=n, mtconnect_type="LOAD", unit=u, source="drive", topic="machine/samples")
                for n, u in rows
            )
        )
        pen.put(topics.SIGNALS, signals, START_NS)
        pen.put(topics.MACHINE_STATE, state(START_NS), START_NS)
        pen.put(topics.SAMPLES, block(START_NS, 0, 42.5), START_NS)
        pen.put(topics.INTERVENTION, intervention(), START_NS)
        trace = TraceBlock(first=0, names=("a",), payloads=(b"\x00\xff",), records=b"\x01")
        pen.put(topics.NODE_TRACE, trace, START_NS)


def test_json_is_what_its_schema_says(tmp_path: Path) -> None:
    busy(tmp_path / "a.mcap")
    result = to_json(tmp_path / "a.mcap", tmp_path / "b.mcap")
    assert (result.messages, result.undecodable) == (5, 0)
    found: dict[str, Any] = {}
    with (tmp_path / "b.mcap").open("rb") as file:
        for schema, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            assert schema is not None
            assert (channel.message_encoding, schema.encoding) == ("json", "jsonschema")
            found[channel.topic] = json.loads(message.data)
            Validator(json.loads(schema.data)).validate(found[channel.topic])
    samples = found["vmc1/machine/samples"]
    assert samples["stamp"] == {"sec": START_NS // 10**9, "nsec": 0}
    assert samples["data"] == {"dtype": "<f4", "shape": [1, 2], "values": [42.5, None]}
    assert found["vmc1/impact/intervention"]["value"] is None
    assert found["vmc1/impact/intervention"]["reason"] == "über"
    assert found["vmc1/node/trace"]["payloads"] == ["AP8="]


@pytest.mark.parametrize("name", sorted(known_types()))
def test_every_schema_keeps_to_the_viewers_dialect(name: str) -> None:
    def walk(node: dict[str, Any]) -> None:
        assert not {"$ref", "anyOf", "oneOf", "allOf"} & node.keys()
        assert isinstance(node["type"], str)
        assert node["type"] != "null"
        for inner in node.get("properties", {}).values():
            walk(inner)
        if node["type"] == "array":
            assert node["items"]["type"] != "array"
            walk(node["items"])

    schema = viewer_schema(definition(known_types()[name]))
    assert schema["type"] == "object"
    jsonschema.Draft202012Validator.check_schema(schema)
    walk(schema)


def test_csv_has_columns_with_units_and_signals_by_name(tmp_path: Path) -> None:
    busy(tmp_path / "a.mcap")
    result = to_csv(tmp_path / "a.mcap", tmp_path / "out")
    assert result.messages == 5
    assert sorted(Path(p).name for p in result.paths) == [
        "vmc1.impact.intervention.csv",
        "vmc1.machine.samples.drive.csv",
        "vmc1.machine.signals.csv",
        "vmc1.machine.state.csv",
        "vmc1.node.trace.csv",
    ]
    with (tmp_path / "out" / "vmc1.machine.samples.drive.csv").open(newline="") as file:
        head, row = list(csv.reader(file))
    assert head[-3:] == ["row", "spindle_load_pct [%]", "odd"]
    assert "stamp_ns [ns]" in head
    assert row[-3:] == ["0", "42.5", ""]
    with (tmp_path / "out" / "vmc1.impact.intervention.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["spindle_load_pct"] for r in rows] == ["1.0", "2.0"]
    assert rows[0]["cause.publisher"] == "p"
    assert rows[0]["value"] == ""
    with pytest.raises(FileExistsError):
        to_csv(tmp_path / "a.mcap", tmp_path / "out")


def test_what_does_not_decode_is_counted(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "a.mcap") as writer:
        channel = writer.channel("t", "n", 1, definition(SignalBlock), "SENSOR", first_seq=1)
        writer.write(channel, 1, 1, 1, b"\xc1")
    assert to_json(tmp_path / "a.mcap", tmp_path / "b.mcap").undecodable == 1
    assert to_csv(tmp_path / "a.mcap", tmp_path / "out").undecodable == 1


def test_a_target_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    small(tmp_path / "a.mcap")
    with pytest.raises(FileExistsError):
        to_json(tmp_path / "a.mcap", tmp_path / "a.mcap", replace=True)
    assert check(tmp_path / "a.mcap").ok
    for make, target in ((to_json, tmp_path / "b.mcap"), (to_csv, tmp_path / "out")):
        made = make(tmp_path / "a.mcap", target)
        with pytest.raises(FileExistsError):
            make(tmp_path / "a.mcap", target)
        assert make(tmp_path / "a.mcap", target, replace=True) == made


@pytest.mark.parametrize("make", [to_json, to_csv])
def test_a_failure_leaves_nothing(tmp_path: Path, make: Callable[[Path, Path], object]) -> None:
    small(tmp_path / "a.mcap", 60)
    data = bytearray((tmp_path / "a.mcap").read_bytes())
    data[len(data) // 3] ^= 1
    (tmp_path / "b.mcap").write_bytes(data)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(BadBag):
        make(tmp_path / "b.mcap", out / "made" if make is to_json else out)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("source", ["drive", "../../drive", "a\0b", "spindle\n", "Antrieb ü", "\ud800"])
def test_a_table_lies_in_its_folder_whatever_its_source_is_called(tmp_path: Path, source: str) -> None:
    stem = file_stem(("vmc1/machine/samples", source))
    (tmp_path / stem).touch()
    assert [p.name for p in tmp_path.iterdir()] == [stem]
    assert stem.startswith("vmc1.machine.samples.")
