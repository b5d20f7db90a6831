"""How old readings are when they are seen."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.page import ages_ms


def test_readings_that_are_seen_together_are_of_different_age() -> None:
    frames = np.array([(10.0, np.nan), (10.0, 9.98), (10.02, 9.98), (10.04, 9.983)])
    assert ages_ms(frames) == pytest.approx([57.0, 58.0, 59.0])
