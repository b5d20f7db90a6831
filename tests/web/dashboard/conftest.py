"""A browser, a cell with the real hub, and pages in it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from tests.web.dashboard.cell import Cell
from tests.web.dashboard.chromium import CHROMIUM, FLAGS

LOG = logging.getLogger(__name__)
TABLET = (1280, 800)
SHOWN_WITHIN_MS = 15_000
"""two cells and a browser are more than two cores have at a start"""
expect.set_options(timeout=SHOWN_WITHIN_MS)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def cell() -> Iterator[Cell]:
    """Two simulated mills, their cortices, the recorder and the hub; shared: whoever stops a mill resets it."""
    with Cell() as cell:
        yield cell


def told(page: Page) -> Page:
    """Logs what the page asks of the hub and what comes of it: a failed test shows that."""

    def tell(what: str, request: Request) -> None:
        if request.resource_type == "fetch":
            LOG.warning("%s %s %s", what, request.method, request.url)

    page.on("request", lambda r: tell("asked", r))
    page.on("requestfinished", lambda r: tell("answered", r))
    page.on("requestfailed", lambda r: tell(f"failed ({r.failure})", r))
    return page


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a tablet; what goes wrong in it fails the test."""
    width, height = TABLET
    context = browser.new_context(viewport={"width": width, "height": height})
    page = told(context.new_page())
    page.set_default_timeout(SHOWN_WITHIN_MS)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    context.close()
    assert not wrong, wrong
