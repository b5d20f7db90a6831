"""The table of keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bus.node import BadParameter
from nodes.sensory_cortex import SensoryCortex
from nodes.sensory_cortex.items import ROWS, BadItems, items
from nodes.sensory_cortex.observed import UNTOLD_COOLANT
from schemas.machine import CoolantState, MachineState
from schemas.wire.shdr import Kind
from tests.nodes.sensory_cortex.stage import Stage


def test_every_field_of_the_state_has_a_row_and_no_key_means_two_things() -> None:
    names = {r.name for r in ROWS if r.topic == "machine/state"} - {"availability"}
    assert names == set(MachineState.model_fields) - {"stamp_ns", "run_id"}
    assert {r.name for r in ROWS if r.topic == "coolant/state"} == set(CoolantState.model_fields) - {"stamp_ns"}
    assert set(UNTOLD_COOLANT) == set(CoolantState.model_fields) - {"stamp_ns"}
    for key, rows in items({}).rows.items():
        assert len(rows) == 1 or key in ("path_pos", "path_position", "p1LPathPos")


def test_a_shops_own_rows() -> None:
    table = items(
        {
            "Xf": {"signal": "x_force_n", "type": "FORCE", "unit": "N", "factor": 0.5},
            "vib": {"signal": "x_accel", "series": True},
            "Sload": "load_meter_pct",
            "state": "execution",
            "sys": "condition",
            "note": "message",
            "chatty": "",
        }
    )
    (force,) = table.rows["Xf"]
    assert (force.name, force.unit, force.topic, force.read("4")) == ("x_force_n", "N", "machine/samples", 2.0)
    assert np.isnan(force.read(""))
    assert table.rows["vib"][0].topic == "machine/vibration"
    assert table.rows["Sload"][0].name == "load_meter_pct"
    assert (table.kinds["vib"], table.kinds["sys"], table.kinds["note"]) == (
        Kind.TIME_SERIES,
        Kind.CONDITION,
        Kind.MESSAGE,
    )


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("spindle_lod_pct", "did you mean 'spindle_load_pct'?"),
        (3, "not 3"),
        ({"signal": "x_force_n"}, "`type` and `unit`"),
        ({"signal": "x_mm", "colour": 1}, "no 'colour' here"),
        ({"signal": "x_mm", "factor": True}, "factor is"),
        ({"signal": "x_mm", "factor": float("inf")}, "factor is inf"),
        (
            {"signal": "x_mm", "topic": "machine/vibration"},
            "topic is machine/samples, or with `series` machine/vibration",
        ),
    ],
)
def test_mistakes_are_told_by_key(given: Any, text: str) -> None:
    with pytest.raises(BadItems) as caught:
        items({"a": given, "b": "nothing"})
    first, second = str(caught.value).splitlines()
    assert text in first
    assert second.startswith("items: b: ")


def shdr(**options: Any) -> dict[str, Any]:
    return {"sources": ({"driver": "shdr", **options},)}


def test_check_tells_what_is_wrong_with_the_options() -> None:
    wrong = {id_: text for id_, text, *_ in SensoryCortex.mistakes(shdr(address="http://x:1", items={"a": "b"}))}
    assert wrong["source-address"].startswith("source 1: address: expected shdr://host:7878")
    assert wrong["source-items"].startswith("source 1: items: a:")
    assert not list(SensoryCortex.mistakes(shdr(address="mill7")))


def test_a_machine_that_only_tells_carries_the_state_unless_told_not_to() -> None:
    mill = {"driver": "simulator"}
    beside = {"driver": "mtconnect", "address": "mill7"}
    assert [id_ for id_, *_ in SensoryCortex.mistakes({"sources": (mill, beside)})] == ["two-states"]
    assert not list(SensoryCortex.mistakes({"sources": (mill, beside | {"state": False})}))


def test_a_driver_with_bad_options_is_refused() -> None:
    with pytest.raises(BadParameter, match="expected shdr"):
        Stage(shdr(address=""))
    with pytest.raises(BadParameter, match="items: a:"):
        Stage(shdr(address="mill", items={"a": "b"}))
