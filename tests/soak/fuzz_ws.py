"""The door `/ws` of a living hub: a stranger is at it, and a page beside it misses nothing.

After it: the page had every number and was never told that something was dropped; whoever comes is served; the hub's
memory and descriptors are as before; what was wrong is counted, and its log says little of it.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from bus.testing import Domain
from bus.usage import Usage
from tests.soak.ending import ends_with_us
from tests.soak.fuzz_worker import Finding, Report
from tests.web.browser import Page, Sequence, answered

NAME = "door_ws"
GROWTH_MB = 100.0
DESCRIPTORS_MORE = 10
"""beyond those of before, once the stranger is gone"""
WITHIN_S = 30.0
NICE = 19
LOG_BYTES_MAX = 20_000
COUNTED = re.compile(r"rise_hub_(?:bad_requests|bad_frames|refused)_total (\d+)")


class Watching(threading.Thread):
    """A page that is open all the time."""

    def __init__(self, url: str) -> None:
        super().__init__(name="page", daemon=True)
        self._url = url
        self.seen = Sequence()
        self.batches = self.dropped = 0
        self.failed = ""
        self.ends = threading.Event()

    def run(self) -> None:
        try:
            with Page(self._url, max_queue=None) as page:
                page.ask("subscribe", id=1, topics=["*/machine/samples", "*/machine/state"])
                while not self.ends.is_set():
                    said = page.read()
                    self.seen.take(page, said)
                    self.batches += said["op"] == "batch"
                    self.dropped += said["op"] == "dropped"
        except Exception as error:  # told in the end
            self.failed = f"{type(error).__name__}: {error}"


class Served:
    """The hub as a process, and what can be seen of it from outside."""

    def __init__(self, domain: Domain, child: subprocess.Popen[bytes], log: Path) -> None:
        self.pid = child.pid
        self.child = child
        self.log = log
        address = domain.root / "state" / domain.name / "web" / "address"
        self.url = address.read_text().strip().partition("#")[0]
        answered(self.url)

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory_mb(self) -> float:
        usage = Usage()
        usage.measure(self.pid)
        return usage.pss_bytes / 1e6

    def counted(self) -> int:
        """What was wrong so far."""
        return sum(map(int, COUNTED.findall(httpx.get(f"{self.url}metrics", timeout=WITHIN_S).text)))


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Served]:
    """A mill and a hub."""
    log = folder / "hub.log"
    with Domain("door") as domain, domain.process("nodes.sensory_cortex", "--namespace", "vmc1"):
        ready, ready_end = os.pipe()
        words = ["bus.run", "--domain", domain.name, "web.node", "--name", "fanuc_api", "-p", "port=0"]
        with log.open("wb") as errors:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", *words], stderr=errors, pass_fds=(ready_end,),
                env={**os.environ, "RISE_READY_FD": str(ready_end)}, preexec_fn=ends_with_us,
            )  # fmt: skip
        os.close(ready_end)
        try:
            with open(ready, "rb") as pipe:
                if not pipe.readline().startswith(b"READY"):
                    raise RuntimeError(f"the hub did not get ready: {log.read_text()}")
            yield Served(domain, child, log)
        finally:
            child.kill()
            child.wait()


def door(hub: Served, inputs: int, seed: int, *, seconds: float = 0.0) -> Report:
    """One stranger at `/ws` until it has sent `inputs`, or for `seconds`."""
    report = Report(NAME)
    page = Watching(hub.url)
    page.start()
    before, quiet_fds, quiet_mb = hub.counted(), hub.descriptors(), hub.memory_mb()
    start_s = time.monotonic()
    words = [sys.executable, "-P", "-m", "tests.soak.fuzz_ws_stranger", "--port", str(hub.port)]
    stranger = subprocess.Popen(
        [*words, "--inputs", str(inputs), "--seed", str(seed)], stdout=subprocess.PIPE, preexec_fn=_nicely
    )
    most_fds = 0
    while stranger.poll() is None and hub.child.poll() is None:
        if seconds and time.monotonic() - start_s > seconds:
            break
        report.peak_mb = max(report.peak_mb, hub.memory_mb())
        most_fds = max(most_fds, hub.descriptors())
        with contextlib.suppress(subprocess.TimeoutExpired):
            stranger.wait(0.5)
    report.seconds = time.monotonic() - start_s
    code = stranger.poll()
    stranger.kill()
    said = stranger.communicate()[0].decode().strip()
    report.inputs = int(said) if code == 0 else 0
    wrong = [said] if code not in (None, 0) else []
    wrong += _judge(hub, page, quiet_fds, most_fds)
    if report.peak_mb - quiet_mb > GROWTH_MB:
        wrong.append(f"the hub took {report.peak_mb:.0f} MB, {quiet_mb:.0f} before")
    if hub.child.poll() is None:
        report.refused = hub.counted() - before
        if not report.refused:
            wrong.append("nothing of it was counted")
    report.findings = [Finding("door", NAME, text, "") for text in wrong]
    return report


def _nicely() -> None:
    os.nice(NICE)
    ends_with_us()


def _judge(hub: Served, page: Watching, quiet_fds: int, most_fds: int) -> Iterator[str]:
    if hub.child.poll() is not None:
        yield f"the hub ended ({hub.child.returncode}): {hub.log.read_text(errors='replace')[-600:]}"
        return
    try:
        with Page(hub.url) as another:
            another.ask("subscribe", id=1, topics=["*/machine/samples"])
            another.until(lambda said: said["op"] == "batch" and said["signals"])
    except Exception as error:  # whatever it is, nobody was served
        yield f"another page is not served: {type(error).__name__}: {error}"
    page.ends.set()
    page.join(WITHIN_S)
    if page.failed or page.is_alive():
        yield f"the page beside it ended: {page.failed or 'it hears nothing more'}"
    if page.seen.holes or page.seen.gaps or page.dropped or not page.batches:
        seen = page.seen
        yield f"the page missed something: {seen.holes[:3]}, gaps {seen.gaps[:3]}, dropped {page.dropped} times"
    ends_s = time.monotonic() + WITHIN_S
    while hub.descriptors() > quiet_fds + DESCRIPTORS_MORE and time.monotonic() < ends_s:
        hub.counted()
    if hub.descriptors() > quiet_fds + DESCRIPTORS_MORE:
        yield f"{hub.descriptors()} descriptors are open, {quiet_fds} before, {most_fds} at most"
    text = hub.log.read_text(errors="replace")
    if "Traceback" in text or len(text) > LOG_BYTES_MAX:
        yield f"the hub says too much: {' '.join(text.split())[-900:]}"
