"""The sampler's pins: as many as rise.hal has, in its order, with the shop's words and units."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nodes.sensory_cortex.linuxcnc.table import AT, CHANNELS, Layout

MILL = Path(__file__).parents[4] / "nodes" / "linuxcnc" / "mill"


def test_the_shipped_hal_samples_what_the_table_says() -> None:
    hal = (MILL / "rise.hal").read_text()
    cfg = re.search(r"^loadrt sampler depth=\d+ cfg=(\w+)$", hal, re.M)
    assert cfg is not None
    assert cfg.group(1) == Layout.of(()).types
    both = hal + (MILL / "mill.hal").read_text()
    linked = [int(n) for n in re.findall(r"^net .*sampler\.0\.pin\.(\d+)", both, re.M)]
    assert sorted(linked) == list(range(len(CHANNELS)))
    (inhibit,) = re.findall(r"^net rise-inhibit .*$", hal, re.M)
    assert {"motion.feed-inhibit", f"sampler.0.pin.{AT['inhibited']}"} <= set(inhibit.split())


def test_signals_have_type_and_unit_of_the_vocabulary_and_further_ones_follow() -> None:
    layout = Layout.of(("x_current_a",))
    assert layout.types == Layout.of(()).types + "f"
    told = [(s.name, s.mtconnect_type, s.unit) for s in layout.signals("lc")]
    assert told[0] == ("x_mm", "POSITION", "mm")
    assert told[-1] == ("x_current_a", "AMPERAGE", "A")
    assert len(layout.columns) == len(told)
    with pytest.raises(KeyError):
        Layout.of(("no_such_signal",))


def test_a_machine_in_inches_is_told_in_millimetres() -> None:
    factors = Layout.of(()).factors(1 / 25.4)
    assert factors[AT["x"]] == pytest.approx(25.4)
    assert factors[AT["velocity"]] == pytest.approx(25.4 * 60)
    assert factors[AT["spindle_rpm"]] == 1.0
    assert Layout.of(()).factors(1.0)[AT["feed_override"]] == 100.0
