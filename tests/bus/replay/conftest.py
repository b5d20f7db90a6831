from __future__ import annotations

from pathlib import Path

import pytest

from tests.bus.replay.tapes import record


@pytest.fixture(scope="session")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short bag of a saw and its judge, recorded once."""
    return record(tmp_path_factory.mktemp("tape") / "saw.mcap")
