from __future__ import annotations

import numpy as np
import pytest

from nodes.impact_cortex.materials import MATERIALS
from nodes.sensory_cortex.program import Do
from tests.benchmarks.detect.crashes import CRASHES, Kind, a_crash
from tests.benchmarks.detect.scenarios import (
    CURVE,
    MOST_FORCE_N,
    NET_LOAD_PCT,
    Job,
    a_plan,
    a_tool,
    needed_nm,
    normal,
)


def drawn(count: int) -> list[Job]:
    return [normal(np.random.default_rng([9, n])) for n in range(count)]


def test_programs_range_over_materials_tools_engagement_and_feed() -> None:
    jobs = drawn(60)
    cuts = [b for j in jobs for b in j.program.blocks if b.do is Do.FEED]
    assert {j.material for j in jobs} == set(MATERIALS)
    assert {t.cutter.diameter_mm for j in jobs for t in j.program.tools} >= {4.0, 10.0, 20.0}
    assert {t.cutter.teeth for j in jobs for t in j.program.tools} == {2, 3, 4, 5}
    feeds = [b.feed_mm_min for b in cuts]
    assert min(feeds) < 200.0
    assert max(feeds) > 4000.0
    assert any(b.ap_mm == 0.0 for b in cuts), "some feed moves cut air"
    assert any(b.ae_mm == t.cutter.diameter_mm for j in jobs for t in j.program.tools for b in j.program.blocks)


@pytest.mark.parametrize("seed", range(40))
def test_a_sharp_tool_is_programmed_to_what_tool_and_spindle_bear(seed: int) -> None:
    rng = np.random.default_rng([8, seed])
    material = str(rng.choice(list(MATERIALS)))
    tool = a_tool(rng, 1)
    plan = a_plan(rng, material, tool)
    nm = needed_nm(material, tool, plan.ae_mm, plan.ap_mm, plan.feed_mm_min, plan.rpm)
    assert 0.0 < nm <= 1.0001 * NET_LOAD_PCT / 100.0 * CURVE.rated_nm(plan.rpm)
    assert nm * 2000.0 / tool.cutter.diameter_mm <= 1.0001 * MOST_FORCE_N
    assert 0.0 < plan.rpm <= CURVE.max_speed_rpm


def test_every_cut_is_described_as_it_is_programmed() -> None:
    for job in drawn(10):
        by_block = {b.number: b for b in job.program.blocks}
        assert len(job.cuts.rows) == len(job.rows)
        for row in job.cuts.rows:
            block = by_block[row.first]
            assert (row.reference.cut.depth_mm, row.reference.cut.width_mm) == (block.ap_mm, block.ae_mm)


@pytest.mark.parametrize("kind", Kind)
def test_a_crash_comes_in_a_move_of_its_program(kind: Kind) -> None:
    for seed in range(20):
        crash = a_crash(np.random.default_rng([7, seed]), kind)
        block = next(b for b in crash.job.program.blocks if b.number == crash.number)
        expected = {Kind.RAPID: Do.RAPID, Kind.TOOL_CHANGE: Do.TOOL}.get(kind, Do.FEED)
        assert block.do is expected
        assert crash.after_s >= 0.0


def test_crashes_are_of_every_kind() -> None:
    kinds = {a_crash(np.random.default_rng([6, n])).kind for n in range(200)}
    assert kinds == set(CRASHES)
