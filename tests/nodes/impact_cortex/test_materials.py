"""The table of materials: a value without a source is worth nothing."""

from __future__ import annotations

import math

from nodes.impact_cortex.materials import MATERIALS


def test_every_material_says_its_source() -> None:
    for m in MATERIALS.values():
        assert m.source
        assert m.kc11_n_mm2 > 0
        assert 0 < m.mc < 1
        known = not math.isnan(m.taylor_c_m_min)
        assert known == bool(m.taylor_source) == (not math.isnan(m.taylor_n))
