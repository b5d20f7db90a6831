"""A fuzz target: one thing that takes bytes from outside, and what it may answer."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgpack

from tests.soak.fuzz_mutate import BYTES, Grammar

LONGEST_TEXT = 2000
"""characters of an error's text: it goes into a log, and a stranger's megabyte must not"""


@dataclass(frozen=True, slots=True)
class Target:
    """A parser, as the engines drive it.

    `run` and `settle` return, or raise one of `allowed`. Anything else is a finding: another exception, a second of CPU
    for one input, a gigabyte of memory, an error without a text, or one with a text of kilobytes.
    """

    name: str
    run: Callable[[bytes], object]
    allowed: tuple[type[BaseException], ...]
    seeds: Sequence[bytes]
    grammar: Grammar = BYTES
    known: Sequence[bytes] = ()
    """what it once answered wrongly"""
    wordy: bool = False
    """its errors go to the person who wrote the input, and may repeat it in full"""
    settle: Callable[[], object] | None = None
    """looks at what came of the last `batch` inputs and begins anew: for what is dear to set up"""
    batch: int = 50
    close: Callable[[], None] = lambda: None
    """lets go of what the target holds"""

    def feed(self, data: bytes) -> None:
        """One kept input again: of a target that settles, all inputs of its batch."""
        if self.settle is None:
            self.run(data)
            return
        for one in msgpack.unpackb(data):
            self.run(one)
        self.settle()


def scratch() -> Path:
    """A folder of this process's own for targets that read files; in memory where there is such a place."""
    given = os.environ.get("RISE_FUZZ_SCRATCH")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    made = Path(tempfile.mkdtemp(prefix="rise-fuzz-", dir=given or memory))
    if not given:
        atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made
