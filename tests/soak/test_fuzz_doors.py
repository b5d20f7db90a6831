"""Strangers at the doors of living nodes, for a moment: the two that talk go on talking and lose nothing."""

from __future__ import annotations

import pytest

from tests.soak.fuzz_doors import SHARE, door
from tests.soak.fuzz_stranger import DOORS


@pytest.mark.parametrize("name", ["xpub", "router", "lane", "ears"])
def test_nothing_is_lost_with_a_stranger_at_the_door(name: str) -> None:
    report = door(name, 400, 3)
    assert not report.findings, "\n".join(f.text for f in report.findings)
    assert report.inputs == 400
    assert report.refused > 0


def test_every_door_has_its_share() -> None:
    assert set(SHARE) == set(DOORS)
    assert sum(SHARE.values()) == pytest.approx(1.0)
