"""The dashboard open for an hour beside the demo cell, going through all its views: memory flat, nothing lost.

Once a minute the page's memory is looked at: its objects after a garbage collection, its nodes and listeners, and what
the browser's process that draws it takes. The rings of signals fill only while a view asks for them, so the first
minutes are spent on the one that asks for every machine's, and what is judged comes after them.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import psutil

from bus.usage import Usage, tree
from tests.web.dashboard.chromium import CHROMIUM, FLAGS

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession, Page

VIEWS = ("overview", "machine?m=vmc1", "signals?m=vmc1", "alarms", "nodes", "graph", "bags", "topology")
FIRST_VIEW_MIN = 5.0
"""the rings hold 262 s of signals; going through the views, one machine's would fill for forty minutes"""
WARM_UP_MIN = 10.0
"""by then each view was shown a few times"""
HEAP_MB_H, PSS_MB_H = 2.0, 8.0
"""a rise over an hour that is smaller is flat"""
NODES_H = 200.0


@dataclass
class Sample:
    """The page at one minute."""

    minutes: float
    heap_mb: float
    nodes: float
    listeners: float
    pss_mb: float


@dataclass
class Result:
    """What became of the hour."""

    samples: list[Sample] = field(default_factory=list)
    lost: str = ""
    """as the page says it"""
    errors: list[str] = field(default_factory=list)

    def slope(self, name: str) -> float:
        """By how much it rises in an hour, behind the warm-up; NaN of too few samples."""
        points = [(s.minutes / 60.0, getattr(s, name)) for s in self.samples if s.minutes >= WARM_UP_MIN]
        if len(points) < 5:
            return float("nan")
        hours, values = zip(*points, strict=True)
        return float(np.polyfit(hours, values, 1)[0])

    @property
    def complaints(self) -> list[str]:
        bounds = {"heap_mb": HEAP_MB_H, "pss_mb": PSS_MB_H, "nodes": NODES_H, "listeners": NODES_H}
        rising = [
            f"{name} rises by {self.slope(name):.1f} an hour" for name, b in bounds.items() if self.slope(name) > b
        ]
        return rising + ([f"lost: {self.lost}"] if self.lost != "0 0" else []) + self.errors

    def __str__(self) -> str:
        rows = [f"{'MINUTE':>8}{'HEAP MB':>10}{'NODES':>8}{'LISTENERS':>11}{'PSS MB':>9}"]
        rows += [
            f"{s.minutes:>8.1f}{s.heap_mb:>10.2f}{s.nodes:>8.0f}{s.listeners:>11.0f}{s.pss_mb:>9.1f}"
            for s in self.samples
        ]
        names = ("heap_mb", "nodes", "listeners", "pss_mb")
        said = ", ".join(f"{name} {self.slope(name):+.2f}" for name in names)
        return "\n".join(
            (*rows, f"an hour adds, behind {WARM_UP_MIN:g} minutes: {said}; lost and unexplained: {self.lost}",
             *(f"NOT AS IT MUST BE: {text}" for text in self.complaints))
        )  # fmt: skip


def taken(session: CDPSession, minutes: float) -> Sample:
    """The page as it is now, without its garbage."""
    session.send("HeapProfiler.collectGarbage")
    found = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    drawing = [p for p in tree(psutil.Process().pid) if "--type=renderer" in " ".join(_words(p))]
    usage, pss_mb = Usage(), 0.0
    for pid in drawing:
        usage.measure(pid)
        pss_mb += usage.pss_bytes / 1e6
    return Sample(minutes, found["JSHeapUsedSize"] / 1e6, found["Nodes"], found["JSEventListeners"], pss_mb)


def _words(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []  # it ended meanwhile


def look(
    page: Page, minutes: float, every_s: float = 60.0, view_s: float = 7.0, first_view_min: float = FIRST_VIEW_MIN
) -> Result:
    """Stay on the first view, then go from view to view, for so long in all."""
    result = Result()
    page.on("pageerror", lambda error: result.errors.append(str(error)))
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    began_s = time.monotonic()
    page.wait_for_timeout(first_view_min * 60_000)
    sampled_s, n = began_s, 0
    while (now_s := time.monotonic()) - began_s < minutes * 60.0:
        page.evaluate("view => { location.hash = '#/' + view; }", VIEWS[n % len(VIEWS)])
        page.wait_for_timeout(view_s * 1000)
        n += 1
        if now_s - sampled_s >= every_s and n % len(VIEWS) == 1:  # always of the same view
            sampled_s = now_s
            result.samples.append(taken(session, (now_s - began_s) / 60.0))
            sys.stdout.write(f"{result.samples[-1]}\n")
            sys.stdout.flush()
    said = page.locator("[data-unexplained]").first
    result.lost = f"{said.get_attribute('data-lost')} {said.get_attribute('data-unexplained')}"
    return result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=60.0)


def run(arguments: argparse.Namespace) -> bool:
    """Whether it held."""
    from playwright.sync_api import sync_playwright  # neither it nor Chromium is needed for the other parts

    from tests.web.dashboard.cell import Cell

    with Cell() as cell, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(cell.url)
        page.wait_for_selector("[data-machine]")
        result = look(page, arguments.minutes)
        browser.close()
    sys.stdout.write(f"{result}\n{'NOT HELD' if result.complaints else 'held'}\n")
    return not result.complaints
