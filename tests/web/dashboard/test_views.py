"""Each view in a real browser against a live cell: what an operator sees, at arm's length and with gloves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.web.dashboard.cell import Cell

pytestmark = pytest.mark.full

VIEWS = ("overview", "machine", "signals", "alarms", "nodes", "graph", "bags", "topology")
TEN_MM_PX = {(1280, 800): 59.4, (1920, 1080): 36.2}
"""10 mm on a 10-inch tablet (151 dpi) and on a 24-inch screen (92 dpi)"""

SMALL = """() => [...document.querySelectorAll('button, select, input, a[href], label:has(input[type=checkbox])')]
    .filter(e => e.offsetParent && !e.matches('.skip, [type=checkbox]'))
    .filter(e => e.getBoundingClientRect().height < 47.9 || e.getBoundingClientRect().width < 47.9)
    .map(e => e.outerHTML.slice(0, 120))"""
"""what is too small to be hit with gloves, as HTML"""

DRAWN = "canvas => canvas.toDataURL()"
MOVES = """async (canvas, before) => {
    const end = performance.now() + 15000;
    while (canvas.toDataURL() === before && performance.now() < end) await new Promise(requestAnimationFrame);
    return canvas.toDataURL() !== before;
}"""
"""whether something else is drawn within 15 s; page.wait_for_function would need what the page's own policy forbids"""


def at(page: Page, cell: Cell, view: str, query: str = "") -> None:
    """The view, live."""
    page.goto(f"{cell.base}#/{view}{query}")
    expect(page.get_by_text("LIVE", exact=False).first).to_be_visible()


@pytest.mark.timeout(120)
def test_overview_shows_the_run_s_job_to_whoever_comes_late_and_the_load_against_its_limit(
    page: Page, cell: Cell
) -> None:
    job = json.dumps({"job_id": "502", "program": "O1001 POCKET", "operator_id": "maria"})
    cell.rise("service", "call", "/vmc1/job/start", job)
    at(page, cell, "overview")
    card = page.locator("[data-machine=vmc1]")
    expect(card.get_by_text("502", exact=True)).to_be_visible(timeout=90_000)  # from the next start of the program on
    page.reload()
    expect(card.get_by_text("502", exact=True)).to_be_visible()
    load = card.get_by_role("img", name=re.compile(r"^spindle_load_pct \S+ %, limit \S+$"))
    expect(load.first).to_be_visible()


@pytest.fixture(params=TEN_MM_PX, ids=lambda size: f"{size[0]}x{size[1]}")
def screen(request: pytest.FixtureRequest, browser: Browser) -> Iterator[tuple[Page, float]]:
    """A page of each size, and how many pixels 10 mm are there."""
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height})
    yield context.new_page(), TEN_MM_PX[request.param]
    context.close()


def test_overview_shows_both_machines_cutting_with_a_moving_trace(page: Page, cell: Cell) -> None:
    at(page, cell, "overview")
    expect(page.get_by_text("SIMULATED", exact=True)).to_be_visible()
    for machine in ("vmc1", "vmc2"):
        card = page.locator(f"[data-machine={machine}]")
        expect(card.locator("[data-what=protection] svg")).to_have_attribute("aria-label", "PROTECTED")
        expect(card.locator("[data-what=state] svg")).to_have_attribute(
            "aria-label", re.compile(r"^(ACTIVE|READY|PROGRAM COMPLETED)$")
        )
        expect(card.get_by_text("O1001", exact=False)).to_be_visible()
        expect(card.get_by_text(re.compile(r"sample → decision \d+\.\d+ / \d+\.\d+ ms"))).to_be_visible()
        trace = card.locator("canvas")
        assert trace.evaluate(MOVES, trace.evaluate(DRAWN))
    expect(page.locator(".numbers")).to_have_text("lost: 0")
    assert page.locator(".numbers").get_attribute("data-unexplained") == "0"


def test_state_protection_alarm_and_stop_are_ten_millimetres_high(screen: tuple[Page, float], cell: Cell) -> None:
    page, ten_mm_px = screen
    for view in ("overview", "machine"):
        at(page, cell, view)
        expect(page.locator("[data-what=alarm] svg").first).to_be_visible()
        what = page.locator("[data-what] svg, .stop svg")
        assert what.count() >= 4
        # the box is as high as capitals: the letters fill it when capitals are 0.716 of the font's size or more
        cap = page.evaluate(
            """() => { const c = document.createElement('canvas').getContext('2d');
                c.font = `bold 100px ${getComputedStyle(document.querySelector('.big text')).fontFamily}`;
                return c.measureText('H').actualBoundingBoxAscent / 100; }"""
        )
        for box in what.all():
            letters = box.locator("text").last.evaluate(
                "t => parseFloat(t.getAttribute('font-size')) * t.getScreenCTM().d"
            )
            assert letters * cap >= ten_mm_px, (view, box.get_attribute("aria-label"), letters * cap)


@pytest.mark.parametrize("view", VIEWS)
def test_stop_is_in_sight_wherever_one_scrolls(page: Page, cell: Cell, view: str) -> None:
    at(page, cell, view)
    expect(page.get_by_text("Software stop, not a safety function")).to_be_visible()
    stop = page.get_by_role("button", name="STOP vmc1")
    expect(stop).to_be_in_viewport(ratio=1)
    page.locator("main").evaluate("m => { m.scrollTop = m.scrollHeight; }")
    page.evaluate("window.scrollTo(0, 1e6)")
    expect(stop).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("view", VIEWS)
def test_targets_are_big_enough_for_gloves(page: Page, cell: Cell, view: str) -> None:
    at(page, cell, view)
    small = page.evaluate(SMALL)
    assert not small, small


@pytest.mark.parametrize("night", [False, True], ids=["day", "night"])
@pytest.mark.parametrize("view", VIEWS)
def test_nothing_stands_in_the_way_of_people(page: Page, cell: Cell, view: str, night: bool) -> None:
    page.add_init_script(f"localStorage.setItem('night', '{'yes' if night else 'no'}')")
    at(page, cell, view)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_every_view_is_reached_by_keyboard(page: Page, cell: Cell) -> None:
    at(page, cell, "overview")
    for number, view in enumerate(VIEWS, 1):
        page.keyboard.press(str(number))
        expect(page).to_have_url(re.compile(f"#/{view}"))
    page.keyboard.press("1")
    page.locator("main").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "STOP vmc1":
            break
    else:
        pytest.fail("STOP is not reached by the tabulator key")


def test_signals_pause_scrub_cursors_and_the_url_holds_them(page: Page, cell: Cell) -> None:
    at(page, cell, "signals", "?m=vmc1&ch=spindle_load_pct,x_mm&w=2")
    plot = page.locator("[data-plot]")
    expect(plot.locator("canvas")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page).to_have_url(re.compile(r"&t=\d+\.\d+"))
    plot.locator(".u-over").click(position={"x": 300, "y": 50})
    plot.locator(".u-over").click(position={"x": 500, "y": 50}, modifiers=["Shift"])
    expect(page.get_by_text("Δt", exact=False)).to_be_visible()
    expect(page).to_have_url(re.compile(r"&a=\d+\.\d+&b=\d+\.\d+"))
    paused = plot.locator("canvas").evaluate(DRAWN)
    page.keyboard.press("ArrowLeft")
    assert plot.locator("canvas").evaluate(MOVES, paused)
    url = page.url
    page.reload()
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    assert page.url == url
    expect(page.get_by_role("checkbox", name="x_mm")).to_be_checked()
    page.get_by_role("button", name="Live").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_signals_are_saved_as_csv_row_by_row(page: Page, cell: Cell) -> None:
    at(page, cell, "signals", "?m=vmc1&ch=spindle_load_pct,x_mm&w=0.5")
    expect(page.locator("td.n").first).to_contain_text(re.compile(r"\d"))
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save CSV").click()
    lines = saving.value.path().read_text().splitlines()
    assert lines[0].startswith("time_s,spindle_load_pct [%],x_mm [")
    times = [float(line.split(",")[0]) for line in lines[1:]]
    assert times == sorted(times)
    steps = [round((b - a) * 1000) for a, b in pairwise(times)]
    assert steps
    assert set(steps) == {1}  # 1 kHz, and no row is missing


def test_vibration_at_ten_kilohertz_has_a_spectrum_with_marks_of_the_teeth(page: Page, cell: Cell) -> None:
    at(page, cell, "signals", "?m=vmc1&w=0.1&s=1")
    page.get_by_role("checkbox", name="x_accel").check()
    page.get_by_role("checkbox", name="spindle_load_pct").uncheck()
    expect(page.get_by_text(re.compile(r"^\d+(\.\d+)? Hz: "))).to_be_visible()


def test_graph_has_the_nodes_and_the_edge_from_machine_to_engine(page: Page, cell: Cell) -> None:
    at(page, cell, "graph")
    for node in ("vmc1/sensory_cortex", "vmc1/impact_cortex", "knowledge_graph", "fanuc_api"):
        expect(page.get_by_role("button", name=node, exact=True)).to_be_visible()
    row = page.get_by_role("row").filter(has_text="vmc1/machine/samples").filter(has_text="vmc1/impact_cortex")
    expect(row.first).to_be_visible()
    expect(row.first.locator("td.n").first).to_have_text(re.compile(r"^\d{3,4}$"))  # Hz, near 1000
    page.get_by_role("button", name="vmc2/impact_cortex", exact=True).press("Enter")
    expect(row).to_have_count(0)


def test_nodes_show_parameters_and_topics_with_units(page: Page, cell: Cell) -> None:
    at(page, cell, "nodes")
    page.get_by_role("link", name="vmc1/impact_cortex", exact=True).click()
    expect(page.get_by_label("limit_pct", exact=True)).to_have_value("85.0")
    page.get_by_role("link", name="vmc1/machine/state", exact=True).click()
    row = page.get_by_role("row").filter(has_text="spindle_speed_commanded_rpm")
    expect(row).to_contain_text("rpm")


def test_topology_says_why_and_what_hangs_on_what(page: Page, cell: Cell) -> None:
    at(page, cell, "topology")
    page.get_by_role("link", name="coolant_tank", exact=True).click()
    expect(page.get_by_text("vmc1", exact=False).filter(has_text="vmc2").first).to_be_visible()
    page.get_by_label("signal").fill("spindle_load_pct")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("li").filter(has_text="feed_mm_min → vmc1/spindle_load_pct").first).to_be_visible()
