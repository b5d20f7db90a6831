"""A real LinuxCNC for tests: the shipped mill, in a thread that runs it; nothing is left behind."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from nodes.linuxcnc.control import APT, Control, installed, parts
from nodes.linuxcnc.node import MILL

USER = "nobody"
T = TypeVar("T")


def needs_linuxcnc(test: T) -> T:
    """Marks a test, or a class of tests, that runs a real LinuxCNC."""
    missing: Any = pytest.mark.skipif(not installed(), reason=f"LinuxCNC is not installed: {APT}")
    full: Any = pytest.mark.full
    return cast(T, full(missing(test)))


def wait_for(what: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether it came to hold in time."""
    pause, end_s = threading.Event(), time.monotonic() + seconds
    while not what():
        if time.monotonic() > end_s:
            return False
        pause.wait(0.02)
    return True


class Mill:
    """LinuxCNC, life after life."""

    def __init__(self, ini: Path = MILL) -> None:
        self.said: list[str] = []
        self._control = Control(ini, USER)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.said += self._control.lines(self._end)

    def start(self) -> None:
        self._end.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def gone(self, seconds: float = 20.0) -> bool:
        """Whether it ended by itself, and was cleaned up after."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def end(self) -> None:
        self._end.set()
        assert self.gone(), "LinuxCNC did not end"
        assert not parts()


@contextlib.contextmanager
def mill() -> Iterator[Mill]:
    made = Mill()
    made.start()
    try:
        yield made
    finally:
        made.end()
