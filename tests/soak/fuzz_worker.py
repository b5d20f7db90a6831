"""One target, one process: feeds it until it has had enough, and writes down what it answered wrongly.

    python -P -m tests.soak.fuzz_worker TARGET --inputs 1000000 --seed 1 --out FOLDER

A process of its own, because an input may kill. What is being fed stands in FOLDER/TARGET.input, so that whoever
started this process finds the input that ended it. The last line of the output is a Report as JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import mmap
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import msgpack

from tests.soak.fuzz_mutate import TREE_MAX_BYTES, Mutator
from tests.soak.fuzz_target import LONGEST_TEXT, Target
from tests.soak.fuzz_targets import find

ROOT = Path(__file__).resolve().parents[2]
OURS = ("schemas", "bus", "nodes")
HANG_S = 1.0
"""of CPU: a busy computer is nobody's fault"""
MEMORY_BYTES = 1 << 30
"""what one input may take beyond what the process had when it began"""
LOOK_EVERY = 256
NEAR_MAX_BYTES = 1000
MOST_FINDINGS = 50


class Hang(BaseException):
    """An input has taken HANG_S of CPU. No Exception, so that nothing that is tested catches it."""


@dataclasses.dataclass(slots=True)
class Finding:
    """A wrong answer; `where` is the line of ours that it came from. Of one line only the shortest input is kept."""

    kind: str
    where: str
    text: str
    file: str
    count: int = 1


@dataclasses.dataclass(slots=True)
class Report:
    """What became of one target."""

    target: str
    inputs: int = 0
    seconds: float = 0.0
    refused: int = 0
    """inputs that were answered with a documented error"""
    findings: list[Finding] = dataclasses.field(default_factory=list)
    peak_mb: float = 0.0

    @property
    def per_second(self) -> float:
        return self.inputs / self.seconds if self.seconds else 0.0


class Judge:
    """Feeds one input after the other to a target.

    Args:
        folder: where inputs with wrong answers are kept; None keeps none.
    """

    def __init__(self, target: Target, folder: Path | None) -> None:
        self.target = target
        self.report = Report(target.name)
        self._folder = folder
        self._found: dict[tuple[str, str], tuple[Finding, int]] = {}
        self._watched = -1
        self._batch: list[bytes] = []
        self._slot: mmap.mmap | bytearray = bytearray(8 + TREE_MAX_BYTES)
        if folder is not None:
            path = folder / f"{target.name}.input"
            path.write_bytes(bytes(self._slot))
            with path.open("r+b") as file:
                self._slot = mmap.mmap(file.fileno(), 0)
        self._start_s = time.monotonic()

    def feed(self, data: bytes) -> None:
        """One input, and what came of it."""
        self.report.inputs += 1
        slot = self._slot
        shown = data[: len(slot) - 8]
        slot[8 : 8 + len(shown)] = shown
        slot[:8] = len(shown).to_bytes(8, "little")
        self._watch(self.target.run, data)
        if self.target.settle is not None:
            self._batch.append(data)
            if len(self._batch) >= self.target.batch:
                self.settle()

    def settle(self) -> None:
        """The end of a batch."""
        if self.target.settle is not None:
            self._watch(self.target.settle)
            self._batch.clear()

    def _watch(self, act: Callable[..., object], *data: bytes) -> None:
        try:
            act(*data)
        except self.target.allowed as error:
            self.report.refused += 1
            text = str(error)
            if not text or (len(text) > LONGEST_TEXT and not self.target.wordy):
                self._note(error, data, f"{type(error).__name__} with a text of {len(text)} characters")
            elif not (self.target.wordy or _travels(text)):
                self._note(error, data, f"{type(error).__name__} with a text that is no UTF-8")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self._note(error, data, type(error).__name__)

    def _note(self, error: BaseException, fed: Sequence[bytes], kind: str) -> None:
        data = b"".join(fed) if self.target.settle is None else msgpack.packb([*self._batch, *fed])
        ours = [f for f in traceback.extract_tb(error.__traceback__) if _is_ours(f.filename)]
        where = f"{Path(ours[-1].filename).relative_to(ROOT)}:{ours[-1].lineno}" if ours else "?"
        if isinstance(error, Hang):  # wherever it was just then
            where = where.partition(":")[0]
        key = (kind.split(" with a text")[0], where)
        known = self._found.get(key)
        if known is not None:
            known[0].count += 1
        if len(self._found) >= MOST_FINDINGS or (known is not None and known[1] <= len(data)):
            return
        file = self._keep(data, key)
        if known is None:
            finding = Finding(kind, where, str(error)[:300], file)
            self.report.findings.append(finding)
        else:
            finding = known[0]
            finding.text, finding.file = str(error)[:300], file
        self._found[key] = (finding, len(data))

    def _keep(self, data: bytes, key: tuple[str, str]) -> str:
        if self._folder is None:
            return ""
        name = f"{self.target.name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:8]}"
        path = self._folder / name
        path.write_bytes(data)
        return str(path)

    def on_clock(self, number: int, frame: FrameType | None) -> None:
        """Called every HANG_S of CPU: the same input as at the last call hangs."""
        if self._watched == self.report.inputs:
            self._watched = -1
            raise Hang(f"more than {HANG_S:g} s of CPU for one input")
        self._watched = self.report.inputs

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Bound the time and the memory of each input."""
        before = signal.signal(signal.SIGPROF, self.on_clock)
        signal.setitimer(signal.ITIMER_PROF, HANG_S, HANG_S)
        limits = resource.getrlimit(resource.RLIMIT_AS)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)

    def done(self) -> Report:
        """What has come of it so far."""
        self.report.seconds = time.monotonic() - self._start_s
        self.report.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return self.report


def _travels(text: str) -> bool:
    """Whether a text can be published as a log record."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_ours(filename: str) -> bool:
    path = Path(filename)
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in (*OURS, "launch", "tests")


def enough(inputs: int, seconds: float) -> Callable[[int], bool]:
    """Whether so many inputs are enough; 0 seconds is no bound."""
    ends_s = time.monotonic() + seconds if seconds else float("inf")
    return lambda had: had >= inputs or (not had % LOOK_EVERY and time.monotonic() >= ends_s)


def mutate(target: Target, inputs: int, seconds: float, seed: int, folder: Path | None) -> Report:
    """The structure-aware mutator: seeds first, then what is near them. Comes back."""
    judge = Judge(target, folder)
    over = enough(inputs, seconds)
    near = [one for one in target.known if len(one) <= NEAR_MAX_BYTES]  # of what was only large enough has been fed
    mutator = Mutator(random.Random(seed), target.grammar, [*target.seeds, *near])
    try:
        with judge.watching():
            for one in (*target.seeds, *target.known):
                judge.feed(one)
            while not over(judge.report.inputs):
                judge.feed(mutator.next())
            judge.settle()
    finally:
        target.close()
    return judge.done()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    report = mutate(find(asked.target), asked.inputs, asked.seconds, asked.seed, asked.out)
    print(json.dumps(dataclasses.asdict(report)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
