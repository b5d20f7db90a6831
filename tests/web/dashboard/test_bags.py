"""Recordings in a real browser: what lies in each, what another limit would have decided, and a crash played again."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from bus.bag import BagReader
from bus.bag.plain import unpack
from tests.web.dashboard.cell import Cell
from tests.web.dashboard.test_views import SMALL, at
from tests.web.test_reads import CRASH

pytestmark = pytest.mark.full

PLAYED_MS = 30_000


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


def played(page: Page, cell: Cell, at_s: float | None = None) -> Locator:
    """The crash, played; the time bar. Where a moment is given, paused there."""
    at(page, cell, "bags")
    page.get_by_role("button", name="Play crash.mcap").click()
    bar = page.get_by_role("region", name="Time in the recording")
    expect(bar.locator("[data-recorded]")).to_contain_text("RECORDED vmc1")
    expect(bar.locator("[data-recorded]")).to_contain_text("NOT LIVE")
    if at_s is not None:
        bar.get_by_role("button", name="Pause").click(timeout=PLAYED_MS)
        go(bar, at_s)
    return bar


def go(bar: Locator, at_s: float) -> None:
    """To a moment, by the time bar."""
    bar.get_by_role("slider").fill(f"{at_s:.2f}")
    expect(bar).to_have_attribute("aria-busy", "false", timeout=PLAYED_MS)


def in_bag_s(phase: str) -> float:
    """When a step of the recorded stop was, in seconds from the bag's beginning."""
    with BagReader(CRASH) as bag:
        for message in bag.messages(topics=lambda topic: topic == "vmc1/machine/motion"):
            if unpack(message.channel.definition, message.payload)["phase"] == phase:
                return (message.log_ns - bag.start_ns) / 1e9
    raise AssertionError(phase)


def test_a_recorded_crash_is_scrubbed_to_its_contact_and_tells_its_story(page: Page, cell: Cell) -> None:
    bar = played(page, cell)
    expect(page).to_have_url(re.compile("#/machine"))
    slider = bar.get_by_role("slider")
    story = page.locator("section", has=page.get_by_role("heading", name="Last event"))
    expect(bar.get_by_text("3.73 s / 3.7 s")).to_be_visible(timeout=PLAYED_MS)
    expect(bar.get_by_role("button", name="Play")).to_be_visible()  # at its end it stands
    for step in (r"^contact$", r"^decision FEED HOLD$", r"^decision STOP$", r"^accepted$", r"^axes stood$"):
        expect(story.get_by_text(re.compile(step)).first).to_be_visible()
    # back, to just behind the contact: it cuts, and nothing is decided yet
    go(bar, in_bag_s("CONTACT") + 0.005)
    expect(story.get_by_text("contact", exact=True)).to_be_visible()
    expect(story.get_by_text(re.compile("decision"))).to_have_count(0)
    expect(page.locator("[data-what=state] svg")).to_have_attribute("aria-label", "ACTIVE")
    slider.press("ArrowRight")
    page.locator("main").focus()
    page.keyboard.press(".")
    expect(story.get_by_text(re.compile(r"^decision FEED HOLD$"))).to_be_visible()
    expect(story.get_by_text(re.compile(r"^decision STOP$"))).to_have_count(0)
    bar.get_by_role("button", name="next intervention").click()
    expect(slider).to_have_value("3.39")
    page.keyboard.press("k")
    expect(story.get_by_text(re.compile(r"^decision STOP$"))).to_be_visible()
    expect(bar.get_by_role("alert")).to_have_count(0)


def test_a_recording_is_never_taken_for_the_shop(page: Page, cell: Cell) -> None:
    bar = played(page, cell, 3.5)
    expect(page.get_by_text("LIVE", exact=True)).to_have_count(0)
    for view in ("machine", "overview", "alarms"):
        page.goto(f"{cell.base}#/{view}?m=vmc1")
        expect(bar.locator("[data-recorded]")).to_be_visible()
        for acting in ("Crash vmc1", "Reset", "Feed hold", "False stop", "Acknowledge"):
            expect(page.get_by_role("button", name=acting, exact=False).and_(page.locator(":enabled"))).to_have_count(0)
    expect(page.get_by_text("This recording holds no alarms", exact=False)).to_be_visible()
    page.goto(f"{cell.base}#/nodes?n=vmc1/impact_cortex")
    expect(page.get_by_text("Parameters and restarting are of the shop as it is now", exact=False)).to_be_visible()
    expect(page.get_by_role("button", name="Restart", exact=False)).to_have_count(0)
    # what was recorded is of vmc1 alone; STOP is of both real machines, and acts on them
    page.goto(f"{cell.base}#/overview")
    expect(page.locator("[data-machine=vmc1]")).to_be_visible()
    expect(page.locator("[data-machine=vmc2]")).to_have_count(0)
    expect(page.get_by_text("REAL vmc1")).to_be_visible()
    page.get_by_role("button", name="STOP vmc2").click()
    expect(page.get_by_text(re.compile(r"vmc2: accepted after \d+ ms"))).to_be_visible()
    told = json.loads(cell.rise("topic", "echo", "vmc2/machine/state", "--once", "--json"))
    assert told["message"]["execution"] in ("STOPPED", "INTERRUPTED"), told
    cell.rise("service", "call", "/vmc1/machine/inject", '{"fault": "CRASH"}')
    expect(bar.get_by_role("button", name="in the real shop", exact=False)).to_be_visible(timeout=30_000)
    bar.get_by_role("button", name="Back to live").click()
    expect(page.locator("[data-machine=vmc2] [data-what=state] svg")).to_have_attribute(
        "aria-label", re.compile("STOPPED|INTERRUPTED")
    )
    expect(page.get_by_text("LIVE", exact=False).first).to_be_visible()


def test_nodes_topics_and_graph_are_those_of_the_recording(page: Page, cell: Cell) -> None:
    played(page, cell, 3.5)
    page.goto(f"{cell.base}#/nodes?t=vmc1/machine/state")
    nodes = page.locator("table").first
    expect(nodes.get_by_role("link", name="vmc2/impact_cortex", exact=True)).to_be_visible(timeout=PLAYED_MS)
    expect(page.get_by_role("link", name="vmc1/machine/samples", exact=True)).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^execution (FEED_HOLD|STOPPED|INTERRUPTED)"))).to_be_visible()
    page.goto(f"{cell.base}#/graph")
    expect(page.get_by_role("button", name="vmc1/impact_cortex", exact=True)).to_be_visible()
    # the shop as it is has a hub, the recorded one had none
    expect(page.get_by_label("Graph").get_by_role("button", name="fanuc_api")).to_have_count(0)
    page.goto(f"{cell.base}#/topology")
    expect(page.get_by_text("go back to live to ask", exact=False)).to_be_visible()
    expect(page.get_by_role("button", name="Causes")).to_have_count(0)


def test_signals_of_a_recording_are_drawn_at_any_speed(page: Page, cell: Cell) -> None:
    bar = played(page, cell, 1.0)
    page.goto(f"{cell.base}#/signals?m=vmc1&ch=spindle_load_pct,x_load_pct&w=2")
    canvas = page.locator("[data-plot] canvas")
    expect(canvas).to_be_visible()
    bar.get_by_role("button", name="16 times as fast").click()
    bar.get_by_role("button", name="4 times as fast", exact=True).click()
    expect(bar.get_by_role("button", name="4 times as fast", exact=True)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("k")
    expect(bar.get_by_text("3.73 s / 3.7 s")).to_be_visible(timeout=PLAYED_MS)
    expect(page.get_by_role("checkbox", name="x_load_pct")).to_be_checked()
    expect(page.locator("td.n").first).to_contain_text("%")


@pytest.mark.parametrize("night", [False, True], ids=["day", "night"])
@pytest.mark.parametrize("view", ["overview", "machine", "signals", "alarms", "bags", "nodes", "graph", "topology"])
def test_nothing_of_a_recording_stands_in_the_way_of_people(page: Page, cell: Cell, view: str, night: bool) -> None:
    page.add_init_script(f"localStorage.setItem('night', '{'yes' if night else 'no'}')")
    bar = played(page, cell, 3.5)
    page.goto(f"{cell.base}#/{view}?m=vmc1&b=crash.mcap")
    if view == "signals":
        expect(page.locator("[data-plot] canvas")).to_be_visible(timeout=PLAYED_MS)
    expect(bar.locator("[data-recorded]")).to_be_visible()
    stop = page.get_by_role("button", name="STOP vmc1")
    expect(stop).to_be_in_viewport(ratio=1)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    small = page.evaluate(SMALL)
    assert not small, small
    if (pictures := os.environ.get("RISE_PICTURES")) is not None:
        page.screenshot(path=f"{pictures}/{view}_{'night' if night else 'day'}.png")
