"""Kills -9 either side of a DURABLE topic at random, and counts against a model what was accepted and what came of it.

The model is what `publish` returned from: the memory in which the publisher notes it outlives the kill. An event whose
`publish` was interrupted may have been accepted or not; it is counted as neither lost nor doubled, and it may come at
most once.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import mmap
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import IO

from bus.testing import Domain
from tests.soak.durable_nodes import ACCEPTED, HEARD
from tests.soak.ending import ends_with_us

SOON = 0.3
"""share of kills that come within a second of the one before: in the middle of a start, or of catching up"""
LOOK_S = 0.002
NODES = "tests.soak.durable_nodes"


@dataclass
class Result:
    """What became of every event."""

    accepted: int = 0
    lost: int = 0
    doubled: int = 0
    unforeseen: int = 0
    """booked, and never published, or out of order"""
    in_doubt: int = 0
    """came, though the publisher was killed before `publish` returned"""
    tally_lost: int = 0
    tally_repeated: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    """tracebacks of the processes"""
    seconds: float = 0.0
    publishing_s: float = 0.0

    @property
    def good(self) -> bool:
        """Nothing lost, nothing doubled in effect; the file form repeats at most the event a kill interrupted."""
        wrong = self.lost + self.doubled + self.unforeseen + self.tally_lost + len(self.complaints)
        return not wrong and self.tally_repeated <= self.kills["tally"]

    def __str__(self) -> str:
        kills = ", ".join(f"{n} of {who}" for who, n in sorted(self.kills.items()))
        return (
            f"{self.accepted} accepted, {sum(self.kills.values())} kills ({kills})\n"
            f"in a transaction: {self.lost} lost, {self.doubled} doubled, {self.unforeseen} unforeseen, "
            f"{self.in_doubt} came though publish() was interrupted\n"
            f"by file: {self.tally_lost} lost, {self.tally_repeated} came again\n"
            f"{self.seconds:.0f} s, {self.accepted / self.publishing_s if self.publishing_s else 0:.0f} accepted/s "
            "while the publisher ran" + "".join(f"\n{c}" for c in self.complaints)
        )


class Side:
    """A process that is started again whenever it was killed."""

    def __init__(self, name: str, command: Callable[[int], list[str]], errors: IO[bytes]) -> None:
        self.name = name
        self.life = 0
        self._command = command
        self._errors = errors
        self._start()

    def _start(self) -> None:
        self.life += 1
        command = [sys.executable, "-P", "-m", "bus.run", *self._command(self.life)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=self._errors, preexec_fn=ends_with_us
        )

    def start_again(self) -> None:
        self.process.wait()
        self._start()

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Soak:
    """One run, in a domain of its own."""

    def __init__(self, domain: Domain, events: int, kills: int, seed: int, *, composed: bool) -> None:
        self.domain = domain
        self.events = events
        self.rng = random.Random(seed)
        self.folder = domain.root / "soak"
        self.folder.mkdir()
        self.result = Result()
        self._maps: dict[int, mmap.mmap] = {}
        self._kills = kills
        self._composed = composed

    # --- the model ---------------------------------------------------------------------------------------------------

    def accepted(self) -> dict[int, int]:
        """By life of the publisher how many events it was told are accepted."""
        for path in self.folder.glob("accepted.*"):
            life = int(path.suffix[1:])
            if life not in self._maps and path.stat().st_size:
                with path.open("rb") as file:
                    self._maps[life] = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        return {life: int(ACCEPTED.unpack_from(found)[0]) for life, found in self._maps.items()}

    def _done(self) -> int:
        return sum(self.accepted().values())

    # --- the processes -----------------------------------------------------------------------------------------------

    def _commands(self) -> dict[str, Callable[[int], list[str]]]:
        domain, folder = ["--domain", self.domain.name], f'folder="{self.folder}"'

        def producer(life: int) -> list[str]:
            left = max(0, self.events - self._done())
            return [f"{NODES}:Producer", "-p", folder, "-p", f"life={life}", "-p", f"total={left}"]

        def accounts(life: int) -> list[str]:
            return [f"{NODES}:Accounts", "-p", folder]

        def tally(life: int) -> list[str]:
            return [*domain, f"{NODES}:Tally", "-p", folder]

        if self._composed:
            return {"composition": lambda life: [*domain, *producer(life), "+", *accounts(life)], "tally": tally}
        return {
            "producer": lambda life: [*domain, *producer(life)],
            "accounts": lambda life: [*domain, *accounts(life)],
            "tally": tally,
        }

    @contextlib.contextmanager
    def _running(self) -> Iterator[dict[str, Side]]:
        with (self.folder / "stderr").open("wb") as errors:
            sides = {name: Side(name, command, errors) for name, command in self._commands().items()}
            try:
                yield sides
            finally:
                for side in sides.values():
                    side.end()

    def run(self, told: Callable[[str], None] = lambda text: None) -> Result:
        """Publish, kill, wait until everything that was accepted has come, count."""
        start_s = time.monotonic()
        at = sorted(self.rng.randrange(self.events) for _ in range(self._kills))
        with self._running() as sides:
            for n, threshold in enumerate(at, 1):
                if self.rng.random() < SOON:
                    time.sleep(self.rng.random())  # the kill has to hit a start somewhere
                else:
                    self._wait(lambda: self._done() >= threshold, 120, "the publisher does not go on")  # noqa: B023 # called at once
                self._kill(sides)
                if n % 25 == 0:
                    told(f"{n} kills, {self._done()} accepted, {time.monotonic() - start_s:.0f} s")
            self._wait(lambda: self._done() >= self.events, 300, "the publisher does not finish")
            self.result.publishing_s = time.monotonic() - start_s
            self._wait(self._all_came, 300, "not everything came")
        self.result.seconds = time.monotonic() - start_s
        self._count()
        return self.result

    def _kill(self, sides: dict[str, Side]) -> None:
        # now and then all at once, as when the computer's memory is full
        victims = list(sides) if self.rng.random() < 0.1 else [self.rng.choice(list(sides))]
        for name in victims:
            self.result.kills[name] += 1
            sides[name].process.kill()
        for name in victims:
            sides[name].start_again()

    def _wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Until it is so; what did not come is counted, not raised."""
        ends_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > ends_s:
                self.result.complaints.append(f"{what} within {timeout_s:g} s")
                return
            time.sleep(LOOK_S)

    def _all_came(self) -> bool:
        time.sleep(0.1)
        with contextlib.closing(self._accounts()) as db:
            booked = int(db.execute("SELECT count(*) FROM booked").fetchone()[0])
        return booked >= self._done() and (self.folder / "tally").stat().st_size >= self._done() * HEARD.size

    def _accounts(self) -> sqlite3.Connection:
        return sqlite3.connect(self.folder / "accounts.sqlite3", timeout=30)

    # --- counting ----------------------------------------------------------------------------------------------------

    def _count(self) -> None:
        r, accepted = self.result, self.accepted()
        r.accepted = sum(accepted.values())
        with contextlib.closing(self._accounts()) as db:
            booked = list(db.execute("SELECT life, number FROM booked ORDER BY rowid"))
        r.unforeseen = sum(a >= b for a, b in itertools.pairwise(booked))
        times = Counter(booked)
        r.doubled = sum(n - 1 for n in times.values())
        r.lost = sum((life, n) not in times for life, count in accepted.items() for n in range(1, count + 1))
        beyond = [(life, n) for life, n in times if n > accepted.get(life, 0)]
        r.in_doubt = sum(n == accepted.get(life, 0) + 1 for life, n in beyond)
        r.unforeseen += len(beyond) - r.in_doubt
        data = (self.folder / "tally").read_bytes()
        heard = Counter(HEARD.iter_unpack(data[: len(data) // HEARD.size * HEARD.size]))
        r.tally_lost = sum((life, n) not in heard for life, count in accepted.items() for n in range(1, count + 1))
        r.tally_repeated = sum(n - 1 for n in heard.values())
        said = (self.folder / "stderr").read_text(errors="replace")
        if "Traceback" in said:
            r.complaints.append(said[said.index("Traceback") :][:3000])


def soak(
    events: int, kills: int, seed: int, *, composed: bool = False, told: Callable[[str], None] = lambda text: None
) -> Result:
    """A run in a domain and folder that are gone afterwards."""
    with Domain("soak") as domain:
        return Soak(domain, events, kills, seed, composed=composed).run(told)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1, help="of the victims and the moments")
    parser.add_argument("--composed", action="store_true", help="publisher and consumer in one process")


def run(asked: argparse.Namespace) -> bool:
    """Whether nothing was lost and nothing doubled."""
    result = soak(asked.events, asked.kills, asked.seed, composed=asked.composed, told=partial(print, flush=True))
    print(result)
    print("held" if result.good else "NOT HELD")
    return result.good
