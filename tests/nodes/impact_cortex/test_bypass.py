"""A bypass is somebody's, for a reason, and ends by itself."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nodes.impact_cortex.bypass import NONE, SHIFT_MIN, begun, refused
from schemas.impact import BypassRequest, Mode
from tests.nodes.impact_cortex.rig import T0

MINUTE_NS = 60_000_000_000


def asked(minutes: float = 10.0, changed_by: str = "maria", reason: str = "probe is being replaced") -> BypassRequest:
    return BypassRequest(minutes=minutes, changed_by=changed_by, reason=reason)


@pytest.mark.parametrize("minutes", [-1.0, SHIFT_MIN + 0.001, math.nan, math.inf])
def test_it_lasts_a_shift_at_most(minutes: float) -> None:
    assert "a shift at most" in refused(asked(minutes))


@pytest.mark.parametrize("words", [{"changed_by": " "}, {"reason": ""}])
def test_it_is_somebodys_and_for_a_reason(words: Any) -> None:
    assert "say who" in refused(asked(**words))


def test_while_it_lasts_the_engine_observes_whatever_its_mode() -> None:
    assert refused(asked(SHIFT_MIN)) == ""
    made = begun(asked(), T0)
    for mode in Mode:
        assert made.mode(mode, T0 + 10 * MINUTE_NS - 1) is Mode.OBSERVE
        assert made.mode(mode, T0 + 10 * MINUTE_NS) is mode
    assert made.text(T0) == "bypassed by maria until 22:23:20 UTC: probe is being replaced"
    assert made.text(T0 + 10 * MINUTE_NS) == ""


def test_no_minutes_end_it() -> None:
    assert begun(asked(0.0), T0) is NONE
    assert not NONE.active(T0)
