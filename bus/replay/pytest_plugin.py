"""A bag is a test: in a conftest.py beside the bags, one line, and every .mcap there is replayed by `pytest`.

    from bus.replay.pytest_plugin import pytest_collect_file  # noqa: F401 # pytest finds it by name

Each node that `rise bag cut --node` named (else each node with a trace) is one test. It fails when the node decides
something else than the expected file beside the bag says; without such a file, than was recorded.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.bag import BadBag, BagReader
from bus.node import BadParameter
from bus.replay import NotReplayable, replay
from bus.replay.differences import differences
from bus.replay.expected import beside, changes
from bus.replay.inputs import RecordedNode, recorded_nodes
from bus.target import BadTarget, recorded_class
from bus.trace import BadTrace


class ChangedDecision(Exception):
    """The node decides something else now."""


class BadReference(Exception):
    """The bag cannot serve as a test; says why."""


def _rise() -> str:
    """The command as it can be pasted here: beside this Python, which is on nobody's path."""
    return shlex.quote(os.path.relpath(Path(sys.executable).with_name("rise")))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.File | None:
    """Called by pytest for every file it sees."""
    if file_path.suffix == ".mcap":
        made: pytest.File = BagFile.from_parent(parent, path=file_path)
        return made
    return None


class BagFile(pytest.File):
    """A bag: a test for each of its nodes."""

    def collect(self) -> Iterator[pytest.Item]:
        try:
            with BagReader(self.path) as reader:
                nodes = nodes_under_test(reader)
        except BadBag as error:
            raise self.CollectError(str(error)) from None
        if not nodes:
            raise self.CollectError(f"{self.path.name}: no node with a trace in it: nothing to test")
        for node in nodes:
            yield BagItem.from_parent(self, name=node.name, node=node)


def nodes_under_test(reader: BagReader) -> list[RecordedNode]:
    """The nodes the bag was cut for, else those that left a trace."""
    cut = {name for name in reader.metadata().get("cut", {}).get("node", "").split(",") if name}
    traces = {channel.topic for channel in reader.channels.values()}
    return [n for n in recorded_nodes(reader) if (n.name in cut if cut else n.trace_topic in traces)]


class BagItem(pytest.Item):
    """The replay of one node."""

    def __init__(self, *, node: RecordedNode, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.node = node

    def runtest(self) -> None:
        try:
            cls = recorded_class(self.node.target, self.path)
            if cls.interface.taps:
                return  # a recorder: what it heard is the bag itself
            result = replay(cls, self.path, node=self.node.name)
        except (NotReplayable, BadParameter, BadTrace, BadTarget) as error:
            raise BadReference(str(error)) from None
        expected = beside(self.path, self.node.name)
        if result.problems:
            raise BadReference("the bag is no reference:\n  " + "\n  ".join(result.problems))
        told = changes(expected, result) if expected.exists() else differences(result.recorded, result)
        told += [f"error: {error}" for error in result.errors]
        if told:
            against = f"{expected.name} says" if expected.exists() else "was recorded"
            bag = shlex.quote(str(self.path.relative_to(self.config.rootpath)))
            listing = "\n  ".join(told)
            raise ChangedDecision(
                f"{self.node.name} decides something else than {against}:\n  {listing}\n"
                f"If this is what you want:\n  {_rise()} replay {self.node.name} {bag} --update"
            )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, (ChangedDecision, BadReference)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"{self.path.stem}: {self.node.name}"
