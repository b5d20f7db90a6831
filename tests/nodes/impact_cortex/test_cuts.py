"""Described cuts: which row holds, what it should need, and every mistake told at once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.check import check
from bus.plan import SHIPPED, load
from nodes.impact_cortex import ImpactCortex, physics
from nodes.impact_cortex.cuts import KEYS, BadCuts, Reference, read
from nodes.sensory_cortex.mill import Mill
from nodes.sensory_cortex.program import Do, pocket
from schemas.machine import Execution, MachineState, Motion
from tests.nodes.impact_cortex.mill_rig import VMC1
from tests.nodes.impact_cortex.rig import T0, machine_state

DRIVE = Reference("aluminium_wrought", physics.Cut(10.0, 3, 5.0, 5.0), 35.0, 5.5)


def state(tool: int = 1, block: int = 50, **more: Any) -> MachineState:
    now = machine_state(T0, Execution.ACTIVE, Motion.FEED)
    return now.model_copy(update={"tool_number": tool, "block_number": block, **more})


def test_the_first_row_that_fits_tool_and_block_counts() -> None:
    rows = [
        {"tool": 1, "blocks": [50, 130], "load_pct": 20.0},
        {"tool": 1, "load_pct": 30.0},
        {"blocks": [200, 200], "load_pct": 40.0},
    ]
    cuts = read(rows, DRIVE)
    loads = [cuts.model_pct(state(*where)) for where in ((1, 50), (1, 130), (1, 131), (2, 200), (2, 201))]
    assert loads[:4] == [20.0, 20.0, 30.0, 40.0]
    assert math.isnan(loads[4])


def test_a_row_inherits_what_it_does_not_say_and_physics_does_the_rest() -> None:
    cuts = read([{"tool": 1}, {"tool": 2, "depth_mm": 2.5}], DRIVE)
    # the physics vector: 1.130 kW of 5.5
    assert cuts.model_pct(state(1)) == pytest.approx(100 * 1.130 / 5.5, rel=0.001)
    assert cuts.model_pct(state(2)) == pytest.approx(50 * 1.130 / 5.5, rel=0.001)


def test_the_feed_override_counts_for_physics_and_for_a_measured_load_alike() -> None:
    cuts = read([{"tool": 1}, {"tool": 2, "load_pct": 20.0}], DRIVE)
    half = [cuts.model_pct(state(t, feed_override_pct=50.0)) / cuts.model_pct(state(t)) for t in (1, 2)]
    assert half == pytest.approx([0.5**0.75, 0.5**0.75], rel=0.001)
    assert cuts.model_pct(state(2, feed_override_pct=0.0)) == 0.0


def test_a_cut_is_entered_after_the_tools_radius_at_its_feed() -> None:
    cuts = read([{"tool": 1, "blocks": [50, 50]}, {"tool": 1, "diameter_mm": 20.0}], DRIVE)
    assert cuts.enters_s(state(1, 50)) == pytest.approx(60.0 * 5.0 / 1432.0)
    assert cuts.enters_s(state(1, 60, feed_override_pct=50.0)) == pytest.approx(60.0 * 10.0 / 716.0)
    assert cuts.enters_s(state(1, 60, feed_commanded_mm_min=0.001)) == 60.0
    assert cuts.enters_s(state(1, 60, feed_commanded_mm_min=math.nan)) == 0.0
    assert read([{"load_pct": 20.0}], Reference()).enters_s(state()) == 0.0
    assert [cuts.number(state(1, 50)), cuts.number(state(1, 60)), cuts.number(state(2, 60))] == [0, 1, -1]


def test_without_rows_the_one_description_holds_for_display_and_nothing_is_judged_by_it() -> None:
    cuts = read([], DRIVE)
    assert cuts.reference(state()) == DRIVE
    assert math.isnan(cuts.model_pct(state()))


def test_the_shipped_description_fits_the_simulated_programme() -> None:
    """What the engine thinks of every block is what the mill makes of it; one block cuts air and has no row."""
    cuts = ImpactCortex.described({**VMC1, "cuts": tuple(VMC1["cuts"])})
    mill = Mill(pocket(), iter(lambda: 0.0, 1.0))  # the stuff is the same everywhere
    mill.start()
    seen: dict[int, tuple[float, float]] = {}
    while mill.part_count == 0:
        mill.step()
        block = mill.block
        if block is None or block.do is not Do.FEED or mill.tool is None or mill.axes.left_mm < 5.0:
            continue
        now = state(
            mill.tool.number,
            block.number,
            spindle_speed_commanded_rpm=mill.spindle.commanded_rpm,
            feed_commanded_mm_min=block.feed_mm_min,
        )
        loaded = 100.0 * mill.cutting_nm / mill.spindle.curve.rated_nm(mill.spindle.speed_rpm)
        seen[block.number] = (cuts.model_pct(now), loaded)
    assert [n for n, (model, _) in seen.items() if math.isnan(model)] == [190]
    assert seen.pop(190)[1] == 0.0
    assert len(seen) == 8
    for model, loaded in seen.values():
        assert model == pytest.approx(loaded, rel=0.03)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"widht_mm": 5.0}, "cuts[0]: unknown key 'widht_mm'; did you mean 'width_mm'?"),
        ({"depth_mm": -1.0}, "cuts[0].depth_mm: expected a number above 0"),
        ({"teeth": True}, "cuts[0].teeth: expected a number above 0"),
        ({"blocks": [130, 50]}, "cuts[0].blocks: expected the first and the last block number"),
        ({"blocks": "50-130"}, "cuts[0].blocks: expected the first and the last block number"),
        ({"tool": "T1"}, "cuts[0].tool: expected a tool number"),
        ({"material": "aluminum_wrought"}, "did you mean 'aluminium_wrought'?"),
        ("T1", "cuts[0]: expected a table"),
    ],
)
def test_a_row_that_cannot_be_used_says_what_was_expected(row: Any, says: str) -> None:
    with pytest.raises(BadCuts) as error:
        read([row], DRIVE)
    assert says in str(error.value)


def test_a_row_of_which_no_load_can_be_computed_says_what_is_missing() -> None:
    with pytest.raises(BadCuts, match="no load can be computed"):
        read([{"tool": 1}], Reference())
    assert read([{"tool": 1, "load_pct": 20.0}], Reference()).model_pct(state()) == 20.0


def test_check_tells_all_mistakes_of_a_site_file_at_once(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    text = (SHIPPED / "site.toml").read_text()
    site.write_text(text.replace("depth_mm = 2.5, width_mm = 10.0", "dept_mm = 2.5, width_mm = 0", 1))
    mistakes = check(load("shop", site=site))
    assert sorted((m.id, m.text) for m in mistakes) == [
        ("cuts", "vmc1/impact_cortex: cuts[1].width_mm: expected a number above 0, at most 500, got 0"),
        ("cuts", "vmc1/impact_cortex: cuts[1]: unknown key 'dept_mm'; did you mean 'depth_mm'?"),
    ]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "x"]), inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(plain, max_size=3))
def test_any_rows_are_read_or_refused(rows: list[Any]) -> None:
    try:
        cuts = read(rows, DRIVE)
    except BadCuts as error:
        assert str(error)
        return
    load_pct = cuts.model_pct(state())
    assert math.isnan(load_pct) or load_pct >= 0.0
