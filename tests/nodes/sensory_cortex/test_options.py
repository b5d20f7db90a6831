"""What a driver may be told: types, bounds, a second type, names that are near."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from nodes.sensory_cortex.drivers import DRIVERS, options_class
from nodes.sensory_cortex.options import Options, declared_options, option, read_options


@dataclass(frozen=True, slots=True, kw_only=True)
class Oven(Options):
    heat_c: float = option(20.0, unit="°C", ge=0.0, le=300.0, doc="how hot")
    program: str | Mapping[str, Any] = option("", also=dict, doc="a path, or the program itself")
    names: tuple[str, ...] = option((), doc="of the loaves")


def test_what_is_given_is_taken_and_the_rest_has_its_default() -> None:
    made, wrong = read_options(Oven, {"heat_c": 200, "names": ["a"], "driver": "oven"}, ("driver",))
    assert wrong == []
    assert made == Oven(heat_c=200.0, names=("a",))
    made, wrong = read_options(Oven, {"program": {"a": 1}})
    assert (made, wrong) == (Oven(program={"a": 1}), [])


def test_every_mistake_is_told() -> None:
    made, wrong = read_options(Oven, {"heat_c": 301, "program": 3, "name": [], "drvier": "x"}, ("driver",))
    assert made is None
    assert wrong == [
        ("bad-option", "heat_c: 301.0 is above 300 °C"),
        ("bad-option", "program: expected str, got int 3"),
        ("unknown-option", "no option 'name'; did you mean 'names'?"),
        ("unknown-option", "no option 'drvier'; did you mean 'driver'?"),
    ]


@pytest.mark.parametrize("kind", DRIVERS)
def test_every_option_of_every_driver_says_what_it_is_for(kind: str) -> None:
    declared = declared_options(options_class(kind))
    assert declared
    assert all(p.doc for p in declared.values())
    assert isinstance(options_class(kind)(), Options), "everything has a default"
