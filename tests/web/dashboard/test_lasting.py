"""Half a minute of the hour for which `make soak ARGS=page` keeps a page open."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.soak.page import look
from tests.web.dashboard.cell import Cell

pytestmark = pytest.mark.full


@pytest.mark.timeout(180)
def test_a_page_goes_through_its_views(page: Page, cell: Cell) -> None:
    page.goto(cell.base)
    page.wait_for_selector("[data-machine]")
    seen = look(page, 0.5, every_s=0.0, view_s=0.5, first_view_min=0.0)
    assert len(seen.samples) > 2
    assert not seen.errors
    assert seen.lost.endswith(" 0"), "every hole is told"
