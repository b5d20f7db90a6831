"""Strangers at the doors of living nodes, for a moment: the two that talk go on talking and lose nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.soak.fuzz_doors import WELL_FORMED, Pair, door, talking
from tests.soak.fuzz_stranger import DOORS


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with talking(tmp_path_factory.mktemp("doors")) as pair:
        yield pair


@pytest.mark.parametrize("name", DOORS)
def test_nothing_is_lost_with_a_stranger_at_the_door(pair: Pair, name: str) -> None:
    report = door(pair, name, 400, 3)
    assert not report.findings, "\n".join(f.text for f in report.findings)
    assert report.inputs == 400
    assert report.refused > 0 or name in WELL_FORMED
