"""Recordings in a real browser: what lies in each, what another limit would have decided, and a crash played again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.web.dashboard.cell import Cell
from tests.web.dashboard.test_views import at
from tests.web.test_reads import CRASH

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def cell() -> Iterator[Cell]:
    """A cell of its own, with a recorded crash on its shelf, one that was cut off in the middle, and no bag at all."""
    with Cell() as cell:
        folder = cell.folder / "state" / "bags"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(CRASH, folder / "crash.mcap")
        (folder / "cut.mcap").write_bytes(CRASH.read_bytes()[:500_000])
        (folder / "none.mcap").write_bytes(b"nothing")
        yield cell


def test_the_list_says_what_lies_in_each_bag_and_which_is_none(page: Page, cell: Cell) -> None:
    at(page, cell, "bags")
    row = page.locator("[data-bag='crash.mcap']")
    expect(row.get_by_role("cell").nth(2)).to_have_text("3.7 s")
    expect(row.get_by_role("cell").nth(4)).to_have_text("vmc1")
    expect(row.get_by_role("cell").nth(6)).to_have_text("2")
    expect(page.locator("[data-bag='none.mcap']")).to_contain_text("is no bag")
    expect(page.locator("[data-bag='cut.mcap']").get_by_role("cell").nth(2)).to_have_text("3.2 s")
    expect(page.locator("tr", has_text="Recording").get_by_role("cell").nth(4)).to_have_text("vmc1, vmc2")


def test_a_slider_asks_a_recorded_crash_about_another_limit(page: Page, cell: Cell) -> None:
    at(page, cell, "bags", "?b=crash.mcap")
    answer = page.locator("[data-answer]")
    slider = page.get_by_role("slider", name="value")
    expect(page.get_by_role("combobox", name="about")).to_have_value(re.compile(r"^3\.\d{3}$"))
    slider.fill("190")
    # with this one another limit is met, 17 ms later
    held = answer.get_by_text(re.compile(r"vmc1 impact/intervention +3\.234 s .*task load_limit -> axis_limit"))
    expect(held).to_be_visible()
    slider.fill("85")  # as recorded
    expect(answer.get_by_text("limit_pct = 85")).to_be_visible()
    expect(held).to_have_count(0)
    slider.press("ArrowRight")
    expect(answer.get_by_text("limit_pct = 90")).to_be_visible()
