"""Ctrl-C while `rise` loads, works and ends: exit code 130, no traceback, nothing left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.testing import Domain
from tests.bus.cli.shop import open_shop
from tests.bus.live import until

SCRIPT = str(Path(sys.executable).with_name("rise"))
LAUNCH = "from bus.launch import *\ndef launch():\n    yield Process('nodes.recorder')\n"


@pytest.fixture(scope="module")
def shop() -> Iterator[Domain]:
    with open_shop() as domain:
        yield domain


class Loading:
    """A program that says on standard error which modules it has loaded."""

    def __init__(self, *command: str) -> None:
        command = (sys.executable, "-X", "importtime", "-P", *command)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.said = self.process.stderr

    def until(self, module: str) -> None:
        while line := self.said.readline():
            if line.startswith("import time:") and line.rpartition("|")[2].strip() == module:
                return
        raise AssertionError(f"it never loaded {module}")

    def end(self, number: int) -> tuple[list[str], int]:
        """The signal; what it says after it but for modules, and the exit code."""
        self.process.send_signal(number)
        lines = [line for line in self.said if line.strip() and not line.startswith("import time:")]
        return lines, self.process.wait(20)

    def __enter__(self) -> Loading:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait(20)
        self.said.close()


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("bus.rise", "topic list"),
        ("click.core", "topic list"),
        ("bus.cli", "topic list"),
        ("bus.register", "topic list"),
        ("numpy._core.multiarray", "topic echo vmc1/shop/reading"),
        ("pydantic_core._pydantic_core", "topic echo vmc1/shop/reading"),
        ("zmq.backend", "topic echo vmc1/shop/reading"),
        ("bus.session", "topic echo vmc1/shop/reading"),
        ("bus.plan", "launch cell"),
        ("bus.executor", "launch cell"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_while_modules_are_loaded(module: str, arguments: str) -> None:
    with Loading(SCRIPT, *arguments.split()) as rise:
        rise.until(module)
        assert rise.end(signal.SIGINT) == ([], 130)


@pytest.mark.parametrize("seed", range(12))
def test_at_any_moment(shop: Domain, seed: int) -> None:
    """From the first module of ours on; whoever was faster has ended well."""
    with Loading(SCRIPT, "topic", "hz", "vmc1/shop/reading", "--window", "0.1", "--count", "2") as rise:
        rise.until("bus.rise")
        for _ in range(random.Random(seed).randrange(400)):
            rise.said.readline()
        assert rise.end(signal.SIGINT) in [([], 130), ([], 0)]
    until(lambda: len(list((shop.root / shop.name / "nodes").glob("*.lock"))) == 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_is_still_loading_ends_without_a_word(domain: Domain, number: int) -> None:
    with Loading("-m", "bus.run", "nodes.recorder") as node:
        node.until("numpy._core.multiarray")
        assert node.end(number) == ([], 0)
    assert list(domain.root.iterdir()) == []


def test_a_launch_that_comes_up_ends_without_a_traceback(domain: Domain, tmp_path: Path) -> None:
    file = tmp_path / "launch.py"
    file.write_text(LAUNCH)
    for seed in range(4):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bus.rise", "launch", str(file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "RISE_STATE_DIR": str(tmp_path / "state")},
        )
        until(lambda: (domain.root / domain.name / "nodes/launch.lock").exists())
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=random.Random(seed).uniform(0.0, 1.0))
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=20)
        assert process.returncode == 0, said
        assert "ended (SIGINT)" in said
        assert "Traceback" not in said
        assert list(domain.root.iterdir()) == []
