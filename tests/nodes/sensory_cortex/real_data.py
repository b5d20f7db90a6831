"""Where public data lies that is no part of the repository: $RISE_TEST_DATA, else ../shared/data of the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LAUNCH = ROOT / "launch"
DATA = Path(os.environ.get("RISE_TEST_DATA", ROOT.parent / "shared" / "data"))

needs_real_data = pytest.mark.real_data


def real(name: str) -> Path:
    """A file of the real data; its absence fails the test, since the folder is there."""
    path = DATA / name
    assert path.is_file(), f"{path} is missing"
    return path
