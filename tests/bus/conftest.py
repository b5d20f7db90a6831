"""A runtime directory with processes in it, for the tests of discovery and of the register below it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.discovery import Directory
from tests.bus.crowd import Nodes


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.wait(20)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    made = Directory("cell", tmp_path)
    made.watch()
    yield made
    made.close()
