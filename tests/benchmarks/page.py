"""The page in a real browser: 20 channels at 1 kHz, how old a reading is when it is seen; a crash until it is red."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from bus.testing import Domain
from tests.benchmarks.hub import CHANNELS, HUB, MILL
from tests.benchmarks.measure import Interval, Row, interval
from tests.web.dashboard.cell import Cell
from tests.web.dashboard.chromium import CHROMIUM, FLAGS

SECONDS = 10.0
WARM_UP_MS = 6_000
"""by then the five seconds that are shown are full"""
WATCH = """ms => new Promise(done => {
  const host = document.querySelector('[data-plot]'), frames = [];
  let drawn = [0, NaN], seen = NaN;
  host.addEventListener('drawn', e => {
    if (document.timeline.currentTime > drawn[0]) seen = drawn[1];
    drawn = [document.timeline.currentTime, e.detail];
  });
  const next = () => {
    // what an earlier frame has drawn is on the screen by now; what this one has is not
    if (document.timeline.currentTime > drawn[0]) seen = drawn[1];
    frames.push([(performance.timeOrigin + performance.now()) / 1000, seen]);
    if (frames[frames.length - 1][0] - frames[0][0] < ms / 1000) requestAnimationFrame(next);
    else done(frames);
  };
  requestAnimationFrame(next);
})"""
"""(when a frame began, the newest reading that the frame before has drawn), in seconds of the epoch"""

CRASH = """name => new Promise(done => {
  const card = document.querySelector('[data-machine=vmc1]');
  const red = () => card.classList.contains('danger') && /asked for|servo overload/.test(card.innerText);
  const start = performance.now();
  new MutationObserver((_, seen) => { if (red()) { seen.disconnect(); done(performance.now() - start); } })
    .observe(card, { attributes: true, childList: true, characterData: true, subtree: true });
  [...document.querySelectorAll('button')].find(b => b.textContent.includes(name)).click();
})"""
"""milliseconds from the click to a red card with the reason"""


def ages_ms(frames: np.ndarray[Any, np.dtype[np.float64]], period_s: float = 0.001) -> list[float]:
    """Of every reading that came to be seen, how old it was then: those between two frames' newest came together."""
    found: list[float] = []
    for (_, before), (seen_s, newest) in pairwise(frames[~np.isnan(frames[:, 1])]):
        found += [(seen_s - newest + n * period_s) * 1e3 for n in range(round((newest - before) / period_s))]
    return found


def page(domain: Domain, count: int) -> list[Row]:
    """A page that shows 20 channels at 1 kHz; every sequence number is looked at in it."""
    name = f"page, {CHANNELS} x 1 kHz"
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        return [Row(name, "frames/s", Interval.single(math.nan), missing="make test-full")]
    address = domain.root / "state" / domain.name / "web" / "address"
    rate: list[float] = []
    p95: list[float] = []
    holes: list[float] = []
    view = f"#/signals?m=vmc1&ch={','.join(f'channel_{n}' for n in range(CHANNELS))}&w=5"
    with domain.process(*MILL), domain.process(*HUB), sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        except Error:
            return [Row(name, "frames/s", Interval.single(math.nan), missing="make test-full")]
        shown = browser.new_page(viewport={"width": 1280, "height": 800})
        shown.goto(address.read_text().strip().partition("#")[0] + view)
        shown.wait_for_timeout(WARM_UP_MS)
        for _ in range(max(2, count // 5)):
            frames = np.array(shown.evaluate(WATCH, SECONDS * 1000))
            rate.append((len(frames) - 1) / (frames[-1, 0] - frames[0, 0]))
            p95.append(float(np.percentile(ages_ms(frames), 95)))
        numbers = shown.locator("[data-unexplained]").first
        holes.append(float(numbers.get_attribute("data-unexplained") or math.nan))
        holes.append(float(numbers.get_attribute("data-lost") or math.nan))
        browser.close()
    red = interval(reds_ms(max(5, count)))
    return [
        Row(name, "frames/s", interval(rate), 50.0, at_least=True),
        Row(name, "sample to pixel p95", interval(p95), 100.0, unit="ms"),
        Row(name, "numbers missing", Interval.single(sum(holes)), 0.0),
        Row("page, Crash vmc1 in the demo cell", "click to red card", red, 1000.0, unit="ms"),
    ]


def reds_ms(count: int) -> list[float]:
    """The demo cell: the button is pressed, and the card is red with the reason; each time by a machine that runs."""
    from playwright.sync_api import sync_playwright

    found = []
    with Cell() as cell, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        shown = browser.new_page(viewport={"width": 1280, "height": 800})
        shown.goto(cell.url)
        for _ in range(count):
            cell.runs("vmc1")
            shown.wait_for_selector("[data-machine=vmc1]:not(.danger)")
            found.append(float(shown.evaluate(CRASH, "Crash vmc1")))
        browser.close()
    return found
