"""The socket doors of living nodes: two nodes talk, a stranger is at one door, and nothing of what they say is lost.

Of each door: the nodes live, the hearer misses no EVENT message and gets its answers, their memory stays bounded, what
is wrong is counted, and told in one line.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bus.node import Raw
from bus.session import Session
from bus.testing import Domain
from bus.usage import Usage
from schemas.codec import codec
from schemas.system import Diagnostics
from tests.bus.toys.talk import Word
from tests.soak.ending import ends_with_us
from tests.soak.fuzz_toys import REPORT
from tests.soak.fuzz_worker import Finding, Report

GROWTH_MB = 300.0
"""what strangers may make a node take: frames of 10 MB on their way, and what libzmq keeps of subscriptions"""
WITHIN_S = 60.0
NICE = 19
ONE_LINE = "none of this bus"
WELL_FORMED = ("deaf",)
"""doors where what comes is no mistake, only too much"""


class Pair:
    """The speaker and the hearer as processes, and what is heard of them."""

    def __init__(self, domain: Domain, folder: Path) -> None:
        self.domain = domain
        self.logs = {name: folder / f"{name}.log" for name in ("speaker", "hearer")}
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.report: dict[str, int] = {}
        self.bad: dict[str, int] = {}
        self.peak_mb = {"speaker": 0.0, "hearer": 0.0}
        for name in self.logs:
            self._start(name)
        self.session = Session(domain.name, select=self._wanted, heard=self._heard)

    def _start(self, name: str) -> None:
        command = [sys.executable, "-P", "-m", "bus.run", "--domain", self.domain.name, "--tcp", "127.0.0.1"]
        ready, ready_end = os.pipe()
        with self.logs[name].open("wb") as log:
            self.children[name] = subprocess.Popen(
                [*command, f"tests.soak.fuzz_toys:{name.capitalize()}", "--name", name],
                stderr=log, pass_fds=(ready_end,),
                env={**os.environ, "RISE_READY_FD": str(ready_end)}, preexec_fn=ends_with_us,
            )  # fmt: skip
        os.close(ready_end)
        with open(ready, "rb") as pipe:
            if not pipe.readline().startswith(b"READY"):
                raise RuntimeError(f"{name} did not get ready: {self.logs[name].read_text()}")

    def _wanted(self, topic: str, type_name: str) -> bool:
        return topic in (REPORT.name, "diagnostics")

    def _heard(self, batch: list[Raw]) -> None:
        for raw in batch:
            if raw.topic == REPORT.name and raw.payload:
                self.report = json.loads(codec(Word).decode(raw.payload).text)
            elif raw.payload:
                said = codec(Diagnostics).decode(raw.payload)
                for finding in said.findings:
                    if finding.code == "bad_frames":
                        self.bad[said.node] = int(finding.text.split()[0])

    def dead(self) -> list[str]:
        """Which of the two has ended, with its last words."""
        return [
            f"{name} ended ({child.returncode}): {self.logs[name].read_text(errors='replace')[-600:]}"
            for name, child in self.children.items()
            if child.poll() is not None
        ]

    def measure(self) -> None:
        for name, child in self.children.items():
            usage = Usage()
            usage.measure(child.pid)
            self.peak_mb[name] = max(self.peak_mb[name], usage.pss_bytes / 1e6)

    def goes_on(self) -> bool:
        """Whether the hearer hears and is answered, from now on."""
        before = dict(self.report)

        def further() -> bool:
            now = self.report
            return now["heard"] > before["heard"] + 20 and now["answers"] > before["answers"]

        return bool(self.session.spin(further, WITHIN_S))

    def close(self) -> None:
        self.session.executor.close()
        for child in self.children.values():
            child.kill()
            child.wait()


@contextlib.contextmanager
def talking(folder: Path) -> Iterator[Pair]:
    """The two at it."""
    with Domain("doors") as domain:
        pair = Pair(domain, folder)
        try:
            if not pair.session.spin(lambda: pair.report.get("answers", 0) > 1, WITHIN_S):
                raise RuntimeError("the two do not even talk without strangers")
            yield pair
        finally:
            pair.close()


def door(pair: Pair, name: str, inputs: int, seed: int, *, seconds: float = 0.0) -> Report:
    """One stranger at one door of the two, until it has sent `inputs`, or for `seconds`."""
    before = sum(pair.bad.values())
    pair.peak_mb = dict.fromkeys(pair.peak_mb, 0.0)
    pair.measure()
    quiet_mb = dict(pair.peak_mb)
    report = Report(f"door_{name}")
    start_s = time.monotonic()
    stranger = _stranger(name, inputs, seed, pair.domain.name)
    ends_s = start_s + seconds if seconds else float("inf")
    while stranger.poll() is None and not pair.dead() and time.monotonic() < ends_s:
        pair.session.spin(lambda: False, 0.2)
        pair.measure()
    report.seconds = time.monotonic() - start_s
    report.inputs = inputs if stranger.poll() == 0 else 0
    stranger.kill()
    stranger.wait()
    wrong = pair.dead() or list(_judge(pair, quiet_mb))
    if not wrong and name not in WELL_FORMED and not pair.session.spin(lambda: sum(pair.bad.values()) > before, 5.0):
        wrong = ["nothing of it was counted"]
    report.refused = sum(pair.bad.values()) - before
    report.findings = [Finding("door", name, text, "") for text in wrong]
    report.peak_mb = max(pair.peak_mb.values())
    return report


def _stranger(name: str, inputs: int, seed: int, domain: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-P", "-m", "tests.soak.fuzz_stranger", name, "--inputs", str(inputs), "--seed", str(seed)]
    return subprocess.Popen([*words, "--domain", domain], stdout=subprocess.DEVNULL, preexec_fn=_nicely)


def _nicely() -> None:
    os.nice(NICE)
    ends_with_us()


def _judge(pair: Pair, quiet_mb: Mapping[str, float]) -> Iterator[str]:
    if not pair.goes_on():
        yield f"the two no longer talk: {pair.report}"
    for what in ("gaps", "lost", "failed"):
        if pair.report[what]:
            yield f"{what}: {pair.report}"
    for node, peak in pair.peak_mb.items():
        if peak - quiet_mb[node] > GROWTH_MB:
            yield f"{node} took {peak:.0f} MB, {quiet_mb[node]:.0f} before"
    for node, log in pair.logs.items():
        text = log.read_text(errors="replace")
        if text.count(ONE_LINE) > 1 or "Traceback" in text or len(text) > 20_000:
            yield f"{node} says too much: {' '.join(text.split())[-600:]}"
