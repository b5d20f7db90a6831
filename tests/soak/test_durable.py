"""`make soak` at a tenth of its size."""

from __future__ import annotations

import pytest

from tests.soak.durable import soak


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("events", "kills", "composed"), [(100_000, 30, False), (20_000, 10, True)])
def test_nothing_is_lost_and_nothing_doubled(events: int, kills: int, composed: bool) -> None:
    result = soak(events, kills, seed=7, composed=composed)
    assert result.good, str(result)
    assert result.accepted >= events
    assert sum(result.kills.values()) >= kills
